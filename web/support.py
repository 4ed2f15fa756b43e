"""Support access as both sides see it: the banner on every page, and a record of all that staff look at.

What always holds: what staff open is in the owner's audit before it is answered, also where nothing was found.
"""

import re
from typing import Final
from urllib.parse import unquote_plus

from starlette.requests import Request

from catalog.errors import NotFound
from web.csrf import SAFE_METHODS
from web.parameters import parse_id
from web.sessions import Caller

LOOK: Final = "support.look"
_DEVICE: Final = re.compile(
    r"/(?:files|devices|api/v1/devices)/(\d{1,19})(?:/(?:files/)?(originals|derived))?(?:/(.*))?"
)
_ENTRY: Final = re.compile(r"/(?:api/v1/)?entries/(\d{1,19})(?:/.*)?")
_SILENT: Final = re.compile(r"/api/v1/(?:me|entries/\d+/thumbnail)")
"""What tells nothing that the page around it did not: a folder's list was looked at before its small pictures."""


async def support_context(caller: Caller) -> dict[str, object] | None:
    """What the banner says: to staff where they are, to the account's people who looks on. None: nobody does."""
    scope = caller.scope
    if scope.grant is not None:
        return {"side": "staff", "grant": scope.grant, "account": scope.tenant.label}
    if caller.session is None:
        return None
    live = await scope.grants.live()
    return {"side": "account", "grants": live} if live else None


async def note_look(request: Request, caller: Caller) -> None:
    """Write down that staff look at something. What they change has its own event."""
    if caller.scope.grant is None or request.method not in SAFE_METHODS:
        return
    path = request.scope["path"]
    if _SILENT.fullmatch(path):
        return
    subject, device_id = await _subject(caller, path, request.scope["query_string"].decode("ascii", "replace"))
    await caller.scope.audit.record(LOOK, subject, {"path": path[:1000]}, device_id=device_id)


async def _subject(caller: Caller, path: str, query: str) -> tuple[str, int | None]:
    """What is looked at in words, and the device that it is of, if it is in reach."""
    try:
        if match := _ENTRY.fullmatch(path):
            entry = await caller.scope.entries.get(parse_id(match[1], "file"))
            return f"{entry.device_name}: {entry.path}", entry.device_id
        if match := _DEVICE.fullmatch(path):
            device = await caller.scope.devices.get(parse_id(match[1], "device"))
            return f"{device.name}: {match[3] or 'all folders'}", device.id
    except NotFound:
        return f"{path} (not found)", None
    asked = f" ({unquote_plus(query)})" if query else ""
    return f"{path}{asked}", None
