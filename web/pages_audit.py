"""The activity page: what was done, by whom; filtered, paged, and to be kept as a file."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from web.bodies import field
from web.page_context import person_page
from web.parameters import cursor_of, query_of
from web.queries import audit_filter
from web.sessions import Caller

_FIELDS = ("action", "actor", "device", "grant", "from", "to")


async def activity(request: Request, caller: Caller) -> Response:
    query, audit = query_of(request), caller.scope.audit
    chosen = {name: field(query, name) for name in _FIELDS}
    page = await audit.page(cursor_of(query), wanted=audit_filter(query))
    return await person_page(
        request,
        caller,
        "audit.html",
        "activity",
        events=page.items,
        actions=await audit.actions(),
        actors=await audit.actors(),
        devices=await caller.scope.devices.all(),
        head=await audit.head(),
        chosen=chosen,
        query=urlencode({name: value for name, value in chosen.items() if value}),
        next=page.next,
        cursor=cursor_of(query),
    )
