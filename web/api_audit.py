"""`/api/v1/audit`: what was done in the account, as pages and as files."""

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from web.answers import json_answer
from web.audit_export import csv_pieces, json_pieces
from web.downloads import attachment
from web.limits import AUDIT_ITEMS_MAX
from web.parameters import cursor_of, page_limit, query_of
from web.queries import audit_filter
from web.sessions import Caller
from web.shapes import event_json
from web.state import services
from web.streaming import StreamedAnswer


async def list_audit(request: Request, caller: Caller) -> Response:
    """Events, newest first, and where the chain stands."""
    query = query_of(request)
    page = await caller.scope.audit.page(cursor_of(query), page_limit(query, AUDIT_ITEMS_MAX), audit_filter(query))
    head = await caller.scope.audit.head()
    return json_answer(
        {
            "events": [event_json(event) for event in page.items],
            "head": {"number": head.sequence, "hash": head.hash.hex()},
            "next": page.next,
        }
    )


async def get_csv(request: Request, caller: Caller) -> Response:
    """All of the account's events, or those that a filter leaves, oldest first."""
    pieces = csv_pieces(caller.scope, audit_filter(query_of(request)))
    return await _file(request, caller, pieces, "text/csv; charset=utf-8; header=present", "csv")


async def get_json(request: Request, caller: Caller) -> Response:
    """The same as JSON, from which the chain can be proved (docs/audit.md)."""
    pieces = json_pieces(caller.scope, audit_filter(query_of(request)))
    return await _file(request, caller, pieces, "application/json", "json")


async def _file(
    request: Request, caller: Caller, pieces: AsyncGenerator[bytes, None], media_type: str, extension: str
) -> Response:
    headers = {"Content-Type": media_type, "Content-Disposition": attachment(f"activity.{extension}")}
    if request.method == "HEAD":
        return Response(headers=headers)
    await caller.scope.audit.record("audit.export", extension.upper(), device_id=caller.scope.token_device)
    slot = services(request).downloads.take(caller.scope.tenant.id)
    return await StreamedAnswer.begin(200, headers, pieces, slot)
