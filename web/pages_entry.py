"""The page of one file, and the forms on it: renaming, moving, bringing back a version."""

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadPath, BadRequest, Conflict, QuotaExceeded
from catalog.values import Entry, EntryKind, parse_name
from web.answers import see_other
from web.bodies import Form, field
from web.errors import problem_of
from web.media import viewer_kind
from web.notices import with_notice
from web.page_context import person_page
from web.pages_jobs import derived_context
from web.parameters import path_id
from web.places import Place, folder_url
from web.sessions import Caller
from web.state import services


async def entry_page(request: Request, caller: Caller) -> Response:
    """A file's or link's page. A folder's is its listing."""
    entry = await caller.scope.entries.get(path_id(request, "entry"))
    if entry.kind is EntryKind.DIRECTORY:
        return see_other(folder_url(Place(entry.device_id, entry.area, entry.path)))
    return await _show(request, caller, entry)


async def rename_entry(request: Request, caller: Caller, fields: Form) -> Response:
    """Another base name, and to the page of the entry that has it."""
    entry_id, base_name = path_id(request, "entry"), field(fields, "base_name")
    try:
        entry = await caller.scope.entries.rename(entry_id, parse_name(base_name))
    except (BadPath, BadRequest, Conflict) as error:
        entry = await caller.scope.entries.get(entry_id)
        return await _show(request, caller, entry, error, base_name=base_name)
    return with_notice(see_other(f"/entries/{entry.id}"), services(request).settings, "renamed")


async def revert_entry(request: Request, caller: Caller, _fields: Form) -> Response:
    """The content of this version again, and to the page of the entry that has it."""
    entry_id = path_id(request, "entry")
    try:
        entry = await caller.scope.entries.revert(entry_id)
    except (Conflict, QuotaExceeded) as error:
        return await _show(request, caller, await caller.scope.entries.get(entry_id), error)
    return with_notice(see_other(f"/entries/{entry.id}"), services(request).settings, "reverted")


async def _show(
    request: Request, caller: Caller, entry: Entry, error: Exception | None = None, **context: object
) -> Response:
    scope = caller.scope
    return await person_page(
        request,
        caller,
        "entry.html",
        "devices",
        problem_of(error).status if error else 200,
        entry=entry,
        device=await scope.devices.get(entry.device_id),
        preview=viewer_kind(entry.media_type) if entry.kind is EntryKind.FILE else None,
        versions=await scope.entries.versions(entry.id),
        places=await scope.trail.places(entry),
        keeping=await scope.trail.keeping(entry),
        steps=await scope.trail.steps(entry),
        gone_at=scope.entries.held_until(entry),
        may_change=entry.removed_at is None,
        **await derived_context(caller, entry),
        problem=str(error) if error else None,
        **context,
    )
