"""`/api/v1/exports`: a selection, a folder or a search as zips, now or as of a moment, whole or since the last time."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest
from catalog.export_values import Directory, Terms
from catalog.values import Area, EntryPath, Export
from web.answers import json_answer, no_content
from web.bodies import field, read_json
from web.exports import ExportMaking, export_url, zip_answer
from web.limits import EXPORT_ITEMS_MAX
from web.parameters import cursor_of, page_limit, parse_id, path_id, query_of
from web.sessions import Caller
from web.shapes import export_json
from web.state import services
from web.times import parse_moment


class NewExport(msgspec.Struct, forbid_unknown_fields=True):
    """One of: `entries`; `device` with `directory` (empty: all of it) and `area`; `search`, a query as of
    `GET /api/v1/search`; `again` or `since`, an export whose selection is taken once more, whole or only what was added
    since it was made."""

    entries: list[str] | None = None
    device: str | None = None
    area: Area = Area.ORIGINALS
    directory: str = ""
    search: str | None = None
    again: str | None = None
    since: str | None = None
    at: str | None = None
    name: str | None = None
    part_bytes_max: int | None = None


async def create_export(request: Request, caller: Caller) -> Response:
    """Save the selection as it is now, or was then, and plan its zips."""
    wanted = await read_json(request, NewExport)
    export = await _made(request, caller, wanted)
    return json_answer(await _shape(caller, export), 201, {"Location": export_url(export)})


async def list_exports(request: Request, caller: Caller) -> Response:
    """The exports, newest first."""
    query = query_of(request)
    page = await caller.scope.exports.page(cursor_of(query), page_limit(query, EXPORT_ITEMS_MAX))
    return json_answer({"exports": [await _shape(caller, export) for export in page.items], "next": page.next})


async def get_export(request: Request, caller: Caller) -> Response:
    """One export, with its zips."""
    return json_answer(await _shape(caller, await caller.scope.exports.get(path_id(request, "export"))))


async def delete_export(request: Request, caller: Caller) -> Response:
    """Forget it; the files stay."""
    await caller.scope.exports.remove(path_id(request, "export"))
    return no_content()


async def get_zip(request: Request, caller: Caller) -> Response:
    """A zip of it, whole or a range."""
    export = await caller.scope.exports.get(path_id(request, "export"))
    number = parse_id(field(query_of(request), "part") or "1", "part of the export")
    return await zip_answer(request, caller, export, number)


async def _shape(caller: Caller, export: Export) -> dict[str, object]:
    return export_json(export, await caller.scope.exports.parts(export.id))


async def _made(request: Request, caller: Caller, wanted: NewExport) -> Export:
    kinds = (wanted.entries, wanted.device, wanted.search, wanted.again, wanted.since)
    if sum(kind is not None for kind in kinds) != 1:
        raise BadRequest("Name one of: entries, a device, a search, again, or since.")
    at = None if wanted.at is None else parse_moment(wanted.at, "at")
    terms = Terms(wanted.name or "", caller.scope.tenant.time_zone, at, wanted.part_bytes_max)
    making = ExportMaking(services(request), caller.scope, terms)
    if wanted.entries is not None:
        return await making.of_entries([parse_id(text, "file") for text in wanted.entries])
    if wanted.device is not None:
        device_id = parse_id(wanted.device, "device")
        return await making.of_directory(Directory(device_id, wanted.area, EntryPath.parse(wanted.directory)))
    if at is not None:
        raise BadRequest("Only entries and folders can be exported as of a moment.")
    if wanted.search is not None:
        return await making.of_search(wanted.search)
    export = await caller.scope.exports.get(parse_id(wanted.again or wanted.since, "export"))
    return await making.again(export, only_new=wanted.since is not None)
