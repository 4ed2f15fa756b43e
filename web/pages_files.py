"""The pages of files: a folder, one file, what was deleted, search; and the forms on them."""

from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadPath, BadRequest, Conflict
from catalog.values import Area, DateKind, Entry, EntryKind, EntryPath, MediaKind, Page, parse_name
from web.answers import see_other
from web.bodies import Form, field
from web.errors import problem_of
from web.form_fields import back_of, chosen_of
from web.media import preview_kind
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import cursor_of, path_area, path_id, query_of
from web.paths import entry_path
from web.queries import search_query
from web.sessions import Caller
from web.state import services

FOLDER_ITEMS: Final = 200
SEARCH_FIELDS: Final = ("q", "from", "to", "by", "device", "area", "kind")


async def folder_page(request: Request, caller: Caller) -> Response:
    """A folder's content. A file's address leads to its own page."""
    device = await caller.scope.devices.get(path_id(request, "device"))
    area = path_area(request)
    path = entry_path(request.scope, f"/files/{request.path_params['device']}/{area}", trailing_slash=True)
    folder = await caller.scope.entries.by_path(device.id, area, path) if path.names else None
    if folder is not None and folder.kind is not EntryKind.DIRECTORY:
        return see_other(f"/entries/{folder.id}")
    cursor = cursor_of(query_of(request))
    page = await caller.scope.entries.page(device.id, area, path, cursor=cursor, limit=FOLDER_ITEMS)
    return await person_page(
        request,
        caller,
        "files.html",
        "devices",
        device=device,
        area=area,
        path=path,
        directory_id=folder.id if folder else None,
        entries=page.items,
        next=page.next,
        cursor=cursor,
        may_upload=area is Area.ORIGINALS,
    )


async def area_redirect(request: Request, _caller: Caller) -> Response:
    """The address of an area without its slash at the end."""
    return see_other(f"/files/{path_id(request, 'device')}/{path_area(request)}/")


async def entry_page(request: Request, caller: Caller) -> Response:
    """A file's or link's page. A folder's is its listing."""
    entry = await caller.scope.entries.get(path_id(request, "entry"))
    if entry.kind is EntryKind.DIRECTORY:
        return see_other(folder_url(entry, entry.path))
    return await _show_entry(request, caller, entry)


async def rename_entry(request: Request, caller: Caller, fields: Form) -> Response:
    entry_id, base_name = path_id(request, "entry"), field(fields, "base_name")
    try:
        entry = await caller.scope.entries.rename(entry_id, parse_name(base_name))
    except (BadPath, BadRequest, Conflict) as error:
        entry = await caller.scope.entries.get(entry_id)
        return await _show_entry(request, caller, entry, error, base_name=base_name)
    return with_notice(see_other(f"/entries/{entry.id}"), services(request).settings, "renamed")


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


async def delete_entries(request: Request, caller: Caller, fields: Form) -> Response:
    """Into the hold, and back to the page."""
    ids, settings = chosen_of(fields), services(request).settings
    if not ids:
        return with_notice(see_other(back_of(fields)), settings, "choose")
    await caller.scope.entries.delete(ids)
    return with_notice(see_other(back_of(fields)), settings, "deleted", len(ids))


async def recover_entries(request: Request, caller: Caller, fields: Form) -> Response:
    """Out of the hold, and back to the page."""
    ids, settings = chosen_of(fields), services(request).settings
    if not ids:
        return with_notice(see_other(back_of(fields)), settings, "choose")
    await caller.scope.entries.recover(ids)
    return with_notice(see_other(back_of(fields)), settings, "recovered", len(ids))


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


def folder_url(entry: Entry, path: EntryPath) -> str:
    """The page of a folder on the entry's device."""
    return f"/files/{entry.device_id}/{entry.area}/" + "/".join(quote(name, safe="") for name in path.names)


async def _show_entry(
    request: Request, caller: Caller, entry: Entry, error: Exception | None = None, **context: object
) -> Response:
    return await person_page(
        request,
        caller,
        "entry.html",
        "devices",
        problem_of(error).status if error else 200,
        entry=entry,
        device=await caller.scope.devices.get(entry.device_id),
        preview=preview_kind(entry.media_type) if entry.kind is EntryKind.FILE else None,
        versions=await caller.scope.entries.versions(entry.id),
        gone_at=caller.scope.entries.held_until(entry),
        may_change=entry.removed_at is None,
        problem=str(error) if error else None,
        **context,
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
