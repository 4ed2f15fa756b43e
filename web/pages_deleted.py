"""The page of what was deleted and can still be recovered, and its forms: recovering, and deleting for good."""

from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from catalog.entries import HeldFilter
from catalog.values import MediaKind
from web.answers import see_other
from web.bodies import Form, field
from web.form_fields import back_of, chosen_of
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import choice, cursor_of, optional_id, query_of
from web.sessions import Caller, is_owner, require_owner
from web.state import services

FIELDS: Final = ("q", "device", "kind")


async def deleted_page(request: Request, caller: Caller) -> Response:
    """Newest first, whole folders as one row each; by name, device and kind."""
    query = query_of(request)
    cursor, asked = cursor_of(query), {name: field(query, name) for name in FIELDS}
    only = HeldFilter(asked["q"], optional_id(query, "device"), choice(query, "kind", MediaKind))
    page = await caller.scope.entries.held(cursor, only=only)
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
        asked=asked,
        query_string=urlencode({name: value for name, value in asked.items() if value}),
        devices=await caller.scope.devices.all(),
        kinds=list(MediaKind),
        may_purge=is_owner(caller),
    )


async def recover_entries(request: Request, caller: Caller, fields: Form) -> Response:
    """Out of the hold, and back to the page."""
    ids, settings = chosen_of(fields), services(request).settings
    if not ids:
        return with_notice(see_other(back_of(fields)), settings, "choose")
    await caller.scope.entries.recover(ids)
    return with_notice(see_other(back_of(fields)), settings, "recovered", len(ids))


async def purge_entries(request: Request, caller: Caller, fields: Form) -> Response:
    """For good, and back to the page. Owners only."""
    require_owner(caller, "delete files for good")
    ids, settings = chosen_of(fields), services(request).settings
    if not ids:
        return with_notice(see_other(back_of(fields)), settings, "choose")
    done = await caller.scope.purge.entries(ids)
    return with_notice(see_other(back_of(fields)), settings, "purged", done.files)
