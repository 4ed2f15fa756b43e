"""What stands in a request's path and query, parsed once into the catalog's types."""

from enum import StrEnum
from typing import Final, TypeVar

from starlette.requests import Request

from catalog.errors import BadRequest, NotFound
from catalog.values import Area
from web.bodies import Form, field, parse_form
from web.limits import PAGE_ITEMS, PAGE_ITEMS_MAX

E = TypeVar("E", bound=StrEnum)

_ID_MAX: Final = 2**63 - 1


def parse_id(text: object, what: str) -> int:
    """An id as JSON and URLs write it. What cannot be one is not found, as any id that is not there."""
    digits = str(text)
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or int(digits) > _ID_MAX:
        raise NotFound(what)
    return int(digits)


def path_id(request: Request, name: str) -> int:
    """The id in the path parameter `name`, which says what it is of."""
    return parse_id(request.path_params[name], name)


def path_area(request: Request) -> Area:
    """The area in the path. Raises `NotFound`."""
    text = request.path_params["area"]
    if text not in set(Area):
        raise NotFound("area")
    return Area(text)


def query_of(request: Request) -> Form:
    """The query's fields. Raises `BadRequest`."""
    return parse_form(request.scope["query_string"])


def choice(query: Form, name: str, kind: type[E]) -> E | None:
    """One of an enumeration, or None where the field is empty. Raises `BadRequest`."""
    text = field(query, name)
    if not text:
        return None
    if text not in set(kind):
        raise BadRequest(f"{name} must be one of: {', '.join(kind)}.")
    return kind(text)


def page_limit(query: Form, most: int = PAGE_ITEMS_MAX, default: int = PAGE_ITEMS) -> int:
    """`limit`. Raises `BadRequest`."""
    text = field(query, "limit")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= most:
        raise BadRequest(f"limit must be a number from 1 to {most:,}.")
    return int(text)


def cursor_of(query: Form) -> str | None:
    """`cursor`, or None for the first page."""
    return field(query, "cursor") or None


def optional_id(query: Form, name: str) -> int | None:
    """An id in the query, or None where the field is empty. Raises `NotFound`."""
    text = field(query, name)
    return parse_id(text, name) if text else None


def flag(query: Form, name: str) -> bool:
    """Whether a field is set: `1`, or empty for not. Raises `BadRequest`."""
    text = field(query, name)
    if text not in {"", "1"}:
        raise BadRequest(f"{name} must be 1, or left out.")
    return text == "1"
