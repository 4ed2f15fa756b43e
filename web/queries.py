"""The questions that the API and the pages ask alike: a search, and a folder's path in a query."""

from catalog.audit import AuditFilter
from catalog.errors import BadRequest
from catalog.folders import FolderOrder, FolderView
from catalog.search import SearchQuery
from catalog.values import Area, DateKind, EntryPath, MediaKind
from web.bodies import Form, field
from web.parameters import choice, optional_id
from web.path_bytes import from_base64url
from web.times import parse_day


def search_query(query: Form) -> SearchQuery:
    """The search that a query asks for. Raises `BadRequest`, `NotFound`."""
    first, last = field(query, "from"), field(query, "to")
    return SearchQuery(
        text=field(query, "q"),
        device_id=optional_id(query, "device"),
        area=choice(query, "area", Area),
        media_kind=choice(query, "kind", MediaKind),
        first_day=parse_day(first, "from") if first else None,
        last_day=parse_day(last, "to") if last else None,
        by=choice(query, "by", DateKind) or DateKind.TAKEN,
    )


def audit_filter(query: Form) -> AuditFilter:
    """The events that a query asks for. Raises `BadRequest`, `NotFound`."""
    first, last = field(query, "from"), field(query, "to")
    return AuditFilter(
        action=field(query, "action") or None,
        actor=field(query, "actor") or None,
        device_id=optional_id(query, "device"),
        grant_id=optional_id(query, "grant"),
        first_day=parse_day(first, "from") if first else None,
        last_day=parse_day(last, "to") if last else None,
    )


def folder_view(query: Form) -> FolderView:
    """How a folder is to be sorted and filtered. Raises `BadRequest`."""
    first, last = field(query, "from"), field(query, "to")
    if field(query, "order") not in {"", "ascending", "descending"}:
        raise BadRequest("order must be one of: ascending, descending.")
    return FolderView(
        order=choice(query, "sort", FolderOrder) or FolderOrder.NAME,
        is_descending=field(query, "order") == "descending",
        media_kind=choice(query, "kind", MediaKind),
        first_day=parse_day(first, "from") if first else None,
        last_day=parse_day(last, "to") if last else None,
        by=choice(query, "by", DateKind) or DateKind.TAKEN,
    )


def directory_of(query: Form) -> EntryPath:
    """`directory`, or `directory_bytes` for one that is not UTF-8; the area's root where neither is set."""
    return path_of(field(query, "directory"), field(query, "directory_bytes"), "directory_bytes")


def path_of(text: str, raw: str, name: str) -> EntryPath:
    """A path as text, or the same as base64url (called `name` in what is said) where it is not UTF-8."""
    return EntryPath.parse_bytes(from_base64url(raw, name)) if raw else EntryPath.parse(text)
