"""The pages of files wherever they lie: what was deleted."""

from starlette.requests import Request
from starlette.responses import Response

from web.page_context import person_page
from web.parameters import cursor_of, query_of
from web.sessions import Caller
from web.state import services


async def deleted_page(request: Request, caller: Caller) -> Response:
    cursor = cursor_of(query_of(request))
    page = await caller.scope.entries.held(cursor)
    return await person_page(
        request,
        caller,
        "deleted.html",
        "deleted",
        entries=page.items,
        hold_days=services(request).settings.hold_days,
        next=page.next,
        cursor=cursor,
        gone_at={entry.id: caller.scope.entries.held_until(entry) for entry in page.items},
    )
