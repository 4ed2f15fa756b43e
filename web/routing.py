"""The table of operations: which function answers which method and path, and who may call it.

Authorisation stands here and nowhere else: a handler that takes a `Caller` cannot be reached without one.
Tests walk this table, so that no operation escapes them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from web.bodies import Form, field, read_form
from web.csrf import SAFE_METHODS
from web.rates import network
from web.sessions import Caller, address, check_caller_csrf, find_caller, find_person
from web.state import services
from web.support import note_look

ROUTE_KEY: Final = "otb.route"
"""Of a scope: the path of its operation in this table, which says what is asked for and names nothing of anybody."""

Handler = Callable[[Request], Awaitable[Response]]


class Reach(Enum):
    """Who may call an operation."""

    ANYONE = auto()
    CALLER = auto()
    """A signed-in person, a device token within its device, or staff within their grant."""
    PERSON = auto()
    """A signed-in person of a tenant, or staff within their grant, on a page."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. HEAD comes with GET."""

    method: str
    path: str
    answer: Handler
    reach: Reach


def open_to_all(method: str, path: str, handler: Handler) -> Operation:
    """An operation that needs no session."""

    async def answer(request: Request) -> Response:
        services(request).rates.open_calls.take(network(address(request)))
        return await handler(request)

    return Operation(method, path, answer, Reach.ANYONE)


def bulk(method: str, path: str, handler: Callable[[Request, Caller], Awaitable[Response]]) -> Operation:
    """An API operation of which a backup needs one after the other; see `web/limits.py` for what bounds it."""
    return api(method, path, handler, is_bulk=True)


def api(
    method: str, path: str, handler: Callable[[Request, Caller], Awaitable[Response]], *, is_bulk: bool = False
) -> Operation:
    """An API operation: by session (unsafe methods with `X-CSRF-Token`) or by device token."""

    async def answer(request: Request) -> Response:
        caller = await find_caller(request)
        if not is_bulk:
            _count_change(request, caller)
        await note_look(request, caller)
        return await handler(request, caller)

    return Operation(method, path, answer, Reach.CALLER)


def page(path: str, handler: Callable[[Request, Caller], Awaitable[Response]]) -> Operation:
    """A page, by session."""

    async def answer(request: Request) -> Response:
        caller = await find_person(request)
        await note_look(request, caller)
        return await handler(request, caller)

    return Operation("GET", path, answer, Reach.PERSON)


def form(path: str, handler: Callable[[Request, Caller, Form], Awaitable[Response]]) -> Operation:
    """A form of a page, by session, with its `csrf_token` field checked."""

    async def answer(request: Request) -> Response:
        caller = await find_person(request)
        fields = await read_form(request)
        check_caller_csrf(caller, field(fields, "csrf_token"), request.headers.get("x-csrf-token"))
        _count_change(request, caller)
        return await handler(request, caller, fields)

    return Operation("POST", path, answer, Reach.PERSON)


def _count_change(request: Request, caller: Caller) -> None:
    """Raises `TooFast`."""
    if request.method not in SAFE_METHODS:
        services(request).rates.changes.take(caller.key)


def routes_of(operations: Sequence[Operation]) -> list[Route]:
    """One route per path, in the order of first mention, so that a wrong method is told all the right ones."""
    order = {operation.path: at for at, operation in reversed(list(enumerate(operations)))}
    by_path = groupby(sorted(operations, key=lambda o: order[o.path]), key=lambda o: o.path)
    return [_route(path, {operation.method: operation.answer for operation in group}) for path, group in by_path]


def _route(path: str, handlers: dict[str, Handler]) -> Route:
    async def dispatch(request: Request) -> Response:
        request.scope[ROUTE_KEY] = path
        method = "GET" if request.method == "HEAD" and "HEAD" not in handlers else request.method
        return await handlers[method](request)

    return Route(path, dispatch, methods=list(handlers), name=path)


def is_unsafe(operation: Operation) -> bool:
    """Whether the operation changes something."""
    return operation.method not in SAFE_METHODS
