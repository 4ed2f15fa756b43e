"""`/api/v1/devices/{device}/manifests`: many files at once, by digests already sent or with their bytes."""

from contextlib import AbstractContextManager, nullcontext

from starlette.requests import Request
from starlette.responses import Response

from web.answers import json_answer
from web.bodies import check_length, media_type, read_body, read_json
from web.bundles import BUNDLE_TYPE, receive_bundle
from web.limits import AUDIT_ITEMS_MAX, JSON_BODY_BYTES_MAX, MANIFEST_BODY_BYTES_MAX
from web.manifest_bodies import NDJSON_TYPE, NewManifest, changes_of, manifest_of_lines
from web.parameters import cursor_of, page_limit, path_id, query_of
from web.sessions import Caller
from web.shapes import bundle_json, commit_json, manifest_json
from web.state import services


async def commit_manifest(request: Request, caller: Caller) -> Response:
    """All changes or none. 409 names the digests whose bytes have not been sent."""
    if media_type(request) == BUNDLE_TYPE:
        result = await receive_bundle(request, caller.scope, path_id(request, "device"))
        return json_answer(bundle_json(result), 201 if result.manifest else 200)
    with _room_for_body(request, caller):
        return await _commit(request, caller)


def _room_for_body(request: Request, caller: Caller) -> AbstractContextManager[None]:
    """A slot, for a body that is large or does not say. Raises `Busy`, `TooLarge`, `BadRequest`."""
    length = check_length(request, MANIFEST_BODY_BYTES_MAX)
    if length is not None and length <= JSON_BODY_BYTES_MAX:
        return nullcontext()
    return services(request).large_bodies.take(caller.scope.tenant.id)


async def _commit(request: Request, caller: Caller) -> Response:
    wanted = await _read_manifest(request)
    changes = await services(request).readers.run(changes_of, wanted)
    result = await caller.scope.manifests.commit(path_id(request, "device"), changes, wanted.note)
    return json_answer(commit_json(result), 201 if result.manifest else 200)


async def list_manifests(request: Request, caller: Caller) -> Response:
    """The device's history, newest first."""
    query = query_of(request)
    page = await caller.scope.manifests.page(
        path_id(request, "device"), cursor_of(query), page_limit(query, AUDIT_ITEMS_MAX)
    )
    return json_answer({"manifests": [manifest_json(manifest) for manifest in page.items], "next": page.next})


async def _read_manifest(request: Request) -> NewManifest:
    if media_type(request) != NDJSON_TYPE:
        return await read_json(request, NewManifest, MANIFEST_BODY_BYTES_MAX)
    return manifest_of_lines((await read_body(request, MANIFEST_BODY_BYTES_MAX)).split(b"\n"))
