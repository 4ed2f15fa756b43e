"""The dashboard, and signing out."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.search import SearchQuery
from catalog.values import DateKind, Device, EntryKind
from web.answers import see_other
from web.bodies import Form, field, read_form
from web.csrf import check_csrf
from web.errors import NotSignedIn
from web.page_context import person_page
from web.sessions import (
    SESSION_COOKIE,
    Caller,
    actor_of,
    find_session,
    forget_cookie,
    session_token,
    token_of,
)
from web.state import services

RECENT_SHOWN: Final = 8
QUIET_DAYS: Final = 14
"""Without an upload for so long, a device is shown as one to look after."""
_RECENT_READ: Final = 40
"""Folders among them are left out."""


async def dashboard(request: Request, caller: Caller) -> Response:
    newest = await caller.scope.search.find(SearchQuery(by=DateKind.UPLOADED), limit=_RECENT_READ)
    recent = [entry for entry in newest.items if entry.kind is not EntryKind.DIRECTORY][:RECENT_SHOWN]
    devices = await caller.scope.devices.all()
    return await person_page(
        request,
        caller,
        "dashboard.html",
        "home",
        devices=devices,
        recent=recent,
        assurance=await caller.scope.safety.assurance(),
        quiet=_quiet(devices),
    )


def _quiet(devices: Sequence[Device]) -> set[int]:
    """The devices that were backed up once and have not been for long."""
    since = datetime.now(UTC) - timedelta(days=QUIET_DAYS)
    return {device.id for device in devices if device.last_upload_at and device.last_upload_at < since}


async def sign_out(request: Request) -> Response:
    """End the session, of staff too. Without one there is nothing to do."""
    held = services(request)
    answer = see_other("/")
    try:
        session = await find_session(request)
    except NotSignedIn:
        return answer
    fields: Form = await read_form(request)
    check_csrf(token_of(held, session), field(fields, "csrf_token"), request.headers.get("x-csrf-token"))
    tenant_id = session.tenant.id if session.tenant else None
    await held.catalog.system.sessions.end(session_token(request) or "", actor_of(request, session), tenant_id)
    forget_cookie(answer, held.settings, SESSION_COOKIE)
    return answer
