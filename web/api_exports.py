"""`/api/v1/exports`: a selection or a folder as one zip."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest
from catalog.values import Area, EntryPath, Export
from web.answers import json_answer
from web.bodies import read_json
from web.exports import export_etag, export_url, make_export, make_folder_export, zip_answer
from web.parameters import parse_id, path_id
from web.sessions import Caller
from web.shapes import export_json


class NewExport(msgspec.Struct, forbid_unknown_fields=True):
    """Either `entries`, or `device` with `directory` (empty: all of it) and `area`."""

    entries: list[str] | None = None
    device: str | None = None
    area: Area = Area.ORIGINALS
    directory: str = ""
    name: str | None = None


async def create_export(request: Request, caller: Caller) -> Response:
    """Save the selection as it is now, and work out its zip's length."""
    wanted = await read_json(request, NewExport)
    export = await _made(request, caller, wanted)
    url = export_url(export)
    shape = export_json(export, url, export.size_bytes or 0, export_etag(export, caller.scope))
    return json_answer(shape, 201, {"Location": url})


async def get_export(request: Request, caller: Caller) -> Response:
    """The zip."""
    return await zip_answer(request, caller, await caller.scope.exports.get(path_id(request, "export")))


async def _made(request: Request, caller: Caller, wanted: NewExport) -> Export:
    if (wanted.entries is None) is (wanted.device is None):
        raise BadRequest("Name either entries or a device.")
    if wanted.entries is not None:
        ids = [parse_id(text, "file") for text in wanted.entries]
        if not ids:
            raise BadRequest("No entries are named. Choose at least one.")
        return await make_export(request, caller.scope, ids, wanted.name)
    path = EntryPath.parse(wanted.directory)
    device_id = parse_id(wanted.device, "device")
    return await make_folder_export(request, caller.scope, device_id, wanted.area, path, wanted.name)
