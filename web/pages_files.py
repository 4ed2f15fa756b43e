"""The pages of files wherever they lie: what was deleted, and search."""

from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest
from catalog.values import DateKind, Entry, MediaKind, Page
from web.bodies import Form, field
from web.errors import problem_of
from web.page_context import person_page
from web.parameters import cursor_of, query_of
from web.queries import search_query
from web.sessions import Caller
from web.state import services

SEARCH_FIELDS: Final = ("q", "from", "to", "by", "device", "area", "kind")


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


async def search_page(request: Request, caller: Caller) -> Response:
    """The form, and what was found. A day that does not exist is told above the form."""
    query = query_of(request)
    cursor, asked = cursor_of(query), any(field(query, name) for name in SEARCH_FIELDS if name != "by")
    page: Page[Entry] = Page([], None)
    error = None
    try:
        wanted = search_query(query)
        if asked:
            page = await caller.scope.search.find(wanted, cursor)
    except BadRequest as e:
        error = e
    return await person_page(
        request,
        caller,
        "search.html",
        "search",
        problem_of(error).status if error else 200,
        query=_as_asked(query),
        asked=asked,
        query_string=urlencode({name: field(query, name) for name in SEARCH_FIELDS if field(query, name)}),
        devices=await caller.scope.devices.all(),
        kinds=list(MediaKind),
        today=_today(caller),
        entries=page.items,
        next=page.next,
        cursor=cursor,
        problem=str(error) if error else None,
    )


def _as_asked(query: Form) -> dict[str, str]:
    return {
        "q": field(query, "q"),
        "from_day": field(query, "from"),
        "to_day": field(query, "to"),
        "by": field(query, "by") or DateKind.TAKEN,
        "device": field(query, "device"),
        "area": field(query, "area"),
        "kind": field(query, "kind"),
    }


def _today(caller: Caller) -> date:
    return datetime.now(UTC).astimezone(ZoneInfo(caller.scope.tenant.time_zone)).date()
