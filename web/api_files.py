"""`/api/v1/devices/{device}/files/{area}/{path}`: one whole file in, out, and away."""

from starlette.requests import Request
from starlette.responses import Response

from catalog.changes import RemovePath
from catalog.errors import BadPath, BadRequest, NotAllowed
from catalog.values import Area, Entry, EntryPath
from web.answers import json_answer, no_content
from web.digests import announced_digests
from web.downloads import content_answer
from web.errors import WrongMediaType
from web.file_uploads import store_upload
from web.parameters import flag, path_area, path_id, query_of
from web.paths import entry_path
from web.sessions import Caller
from web.times import parse_http_date, parse_time

MTIME_HEADER = "x-otb-mtime"


async def put_file(request: Request, caller: Caller) -> Response:
    """Stream a file in.

    201 for a new path, 200 where one was replaced or stayed; sent only when all of it is durable.
    """
    device_id, path = path_id(request, "device"), _file_path(request)
    if path_area(request) is not Area.ORIGINALS:
        raise NotAllowed("Files are uploaded to originals. What stands in derived is made here from them.")
    _check_whole(request)
    announced, mtime_ns = announced_digests(request.headers), _mtime_ns(request)
    await caller.scope.devices.get(device_id)
    put = await store_upload(request, caller.scope, device_id, path, mtime_ns, announced)
    shape = {
        "entry": str(put.entry_id),
        "digest": put.digest.hex,
        "size": put.size_bytes,
        "deduplicated": put.possessed,
    }
    return json_answer(shape, 201 if put.is_new else 200)


async def get_file(request: Request, caller: Caller) -> Response:
    """The file's content, whole or a range."""
    entry = await _entry(request, caller)
    return await content_answer(request, caller, entry, inline=flag(query_of(request), "inline"))


async def delete_file(request: Request, caller: Caller) -> Response:
    """Into the hold; a folder with all that is in it."""
    entry = await _entry(request, caller)
    await caller.scope.manifests.remove(entry.device_id, [RemovePath(entry.path, entry.area)])
    return no_content()


def _check_whole(request: Request) -> None:
    """A part, or coded bytes, would be kept as if they were the file (RFC 9110, 14.5 and 8.4)."""
    if "content-range" in request.headers:
        raise BadRequest("Send the whole file, without Content-Range.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise WrongMediaType("the file's bytes as they are, without Content-Encoding")


async def _entry(request: Request, caller: Caller) -> Entry:
    return await caller.scope.entries.by_path(path_id(request, "device"), path_area(request), _file_path(request))


def _file_path(request: Request) -> EntryPath:
    """The path in the raw URL. Raises `BadPath`."""
    device, area = request.path_params["device"], request.path_params["area"]
    path = entry_path(request.scope, f"/api/v1/devices/{device}/files/{area}")
    if not path.names:
        raise BadPath("The path is empty. Name the file.")
    return path


def _mtime_ns(request: Request) -> int | None:
    """When the file was changed: `X-OTB-Mtime`, else `Last-Modified`, else None: a file that is there keeps its own."""
    exact, coarse = request.headers.get(MTIME_HEADER), request.headers.get("last-modified")
    if exact is not None:
        return parse_time(exact, "X-OTB-Mtime")
    return None if coarse is None else parse_http_date(coarse, "Last-Modified")
