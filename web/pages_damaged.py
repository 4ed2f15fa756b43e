"""The page of damaged files, and the same for programs."""

from starlette.requests import Request
from starlette.responses import Response

from web.answers import json_answer
from web.page_context import person_page
from web.parameters import cursor_of, page_limit, query_of
from web.sessions import Caller
from web.shapes import entries_json


async def list_damaged(request: Request, caller: Caller) -> Response:
    """Files whose stored copy is damaged or missing: sent again, they are healed."""
    query = query_of(request)
    return json_answer(entries_json(await caller.scope.damage.page(cursor_of(query), page_limit(query))))


async def damaged_page(request: Request, caller: Caller) -> Response:
    cursor = cursor_of(query_of(request))
    page = await caller.scope.damage.page(cursor)
    return await person_page(
        request, caller, "damaged.html", "damaged", entries=page.items, next=page.next, cursor=cursor
    )  # fmt: skip
