"""`/api/v1/devices/{device}/manifests/{sequence}` and `…/restore`: what a change did, undoing it, and a folder as it
was."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.restoring import Wanted
from catalog.values import Area, EntryPath
from web.answers import json_answer
from web.bodies import read_json
from web.limits import HISTORY_ITEMS_MAX
from web.parameters import cursor_of, page_limit, path_id, query_of
from web.sessions import Caller
from web.shapes import changed_json, manifest_json, restored_json, undone_json
from web.times import parse_moment


class Restoration(msgspec.Struct, forbid_unknown_fields=True):
    """`exact`: what was added since goes into the hold."""

    at: str
    area: Area = Area.ORIGINALS
    directory: str = ""
    exact: bool = False


async def get_manifest(request: Request, caller: Caller) -> Response:
    """One change of the device."""
    manifest = await caller.scope.history.manifest(path_id(request, "device"), path_id(request, "sequence"))
    return json_answer(manifest_json(manifest))


async def list_changes(request: Request, caller: Caller) -> Response:
    """What it changed, name by name."""
    query = query_of(request)
    page = await caller.scope.history.changes(
        path_id(request, "device"),
        path_id(request, "sequence"),
        cursor_of(query),
        page_limit(query, HISTORY_ITEMS_MAX),
    )
    return json_answer({"changes": [changed_json(changed) for changed in page.items], "next": page.next})


async def undo_manifest(request: Request, caller: Caller) -> Response:
    """Reverse it, as far as nothing came after it."""
    done = await caller.scope.undoing.undo(path_id(request, "device"), path_id(request, "sequence"))
    return json_answer(undone_json(done), 201 if done.result and done.result.manifest else 200)


async def restore_folder(request: Request, caller: Caller) -> Response:
    """Bring a folder back to how it was."""
    wanted = await read_json(request, Restoration)
    moment = parse_moment(wanted.at, "at")
    path = EntryPath.parse(wanted.directory)
    done = await caller.scope.restoring.restore(
        Wanted(path_id(request, "device"), wanted.area, path, moment, wanted.exact)
    )
    return json_answer(restored_json(done), 201 if done.manifests else 200)
