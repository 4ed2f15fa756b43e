"""The pages of exports: the list, one export with its zips, and the forms that make, repeat and remove them."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest, NotFound
from catalog.export_values import Directory, Terms
from catalog.values import Area, Export
from web.answers import see_other
from web.bodies import Form, field
from web.exports import ExportMaking, export_url, zip_name
from web.form_fields import back_of, chosen_of
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import cursor_of, parse_id, path_id, query_of
from web.paths import parse_encoded
from web.sessions import Caller
from web.state import services
from web.times import parse_moment

PAGE_ITEMS: Final = 50
GIB: Final = 1 << 30
PART_SIZES_GIB: Final = (1, 2, 4, 10, 50)
"""What the form offers; 4 GiB is the most that FAT32 sticks hold, and is kept just below it."""


async def exports_page(request: Request, caller: Caller) -> Response:
    """All exports, newest first."""
    cursor = cursor_of(query_of(request))
    page = await caller.scope.exports.page(cursor, PAGE_ITEMS)
    return await person_page(
        request,
        caller,
        "exports.html",
        "exports",
        exports=page.items,
        devices=await caller.scope.devices.all(),
        part_sizes=PART_SIZES_GIB,
        urls={export.id: export_url(export) for export in page.items},
        next=page.next,
        cursor=cursor,
    )


async def export_page(request: Request, caller: Caller) -> Response:
    """One export: its zips, and what of it is gone."""
    export = await caller.scope.exports.get(path_id(request, "export"))
    parts = await caller.scope.exports.parts(export.id)
    return await person_page(
        request,
        caller,
        "export.html",
        "exports",
        export=export,
        zips=[(part, export_url(export, part.number), zip_name(export, part.number)) for part in parts],
        gone=await caller.scope.exports.purged(export.id),
    )


async def create_export(request: Request, caller: Caller, fields: Form) -> Response:
    """A zip of what was chosen, of a whole folder or of a search: at once, or kept under Exports with a name."""
    making = ExportMaking(services(request), caller.scope, _terms(caller, fields))
    export = await _made(making, fields)
    if export is None:
        return with_notice(see_other(back_of(fields)), services(request).settings, "choose")
    if field(fields, "keep") or export.part_count > 1:
        return see_other(f"/exports/{export.id}")
    return see_other(export_url(export))


async def repeat_export(request: Request, caller: Caller, fields: Form) -> Response:
    """The same selection once more: all of it, or what is new since."""
    export = await caller.scope.exports.get(path_id(request, "export"))
    terms = Terms("", caller.scope.tenant.time_zone, part_bytes_max=export.part_bytes_max)
    making = ExportMaking(services(request), caller.scope, terms)
    made = await making.again(export, only_new=field(fields, "do") == "since")
    if not made.member_count and made.since is not None:
        await caller.scope.exports.remove(made.id)
        return with_notice(see_other(f"/exports/{export.id}"), services(request).settings, "nothing_new")
    return with_notice(see_other(f"/exports/{made.id}"), services(request).settings, "export_made")


async def remove_export(request: Request, caller: Caller, _fields: Form) -> Response:
    """Forget it; the files stay."""
    await caller.scope.exports.remove(path_id(request, "export"))
    return with_notice(see_other("/exports"), services(request).settings, "export_removed")


async def _made(making: ExportMaking, fields: Form) -> Export | None:
    """The export that the form asks for; None if nothing was chosen."""
    if ids := chosen_of(fields):
        return await making.of_entries(ids)
    if query := field(fields, "search"):
        return await making.of_search(query)
    if not field(fields, "device"):
        return None
    area = field(fields, "area") or Area.ORIGINALS
    if area not in set(Area):
        raise NotFound("area")
    device_id, path = parse_id(field(fields, "device"), "device"), parse_encoded(field(fields, "directory"))
    return await making.of_directory(Directory(device_id, Area(area), path))


def _terms(caller: Caller, fields: Form) -> Terms:
    at, size = field(fields, "at"), field(fields, "part_gib")
    if size and size not in {str(choice) for choice in PART_SIZES_GIB}:
        raise BadRequest("Choose the size of a part from the list.")
    most = int(size) * GIB - 1 if size else None
    moment = parse_moment(at, "at") if at else None
    return Terms(field(fields, "name").strip(), caller.scope.tenant.time_zone, moment, most)
