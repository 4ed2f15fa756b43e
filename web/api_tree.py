"""`/api/v1/devices/{device}/tree`: everything below a folder in large pages, for a restore."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.trees import TreeEntry
from catalog.values import Area
from web.bodies import field
from web.limits import TREE_ITEMS, TREE_ITEMS_MAX
from web.parameters import choice, cursor_of, page_limit, path_id, query_of
from web.path_bytes import to_base64url
from web.queries import directory_of
from web.sessions import Caller
from web.shapes import Json
from web.state import services
from web.times import parse_moment, time_text


async def list_tree(request: Request, caller: Caller) -> Response:
    """All that is below a folder, now or at a moment, parents before children. The first page fixes the moment."""
    query = query_of(request)
    at = field(query, "at")
    page = await caller.scope.trees.page(
        path_id(request, "device"),
        choice(query, "area", Area) or Area.ORIGINALS,
        directory_of(query),
        parse_moment(at, "at") if at else None,
        cursor_of(query),
        page_limit(query, TREE_ITEMS_MAX, TREE_ITEMS),
    )
    # Ten thousand entries take long enough to be noticed by all others.
    body = await services(request).readers.run(_page_json, page.items, page.next)
    return Response(body, media_type="application/json")


def _page_json(entries: Sequence[TreeEntry], cursor: str | None) -> bytes:
    return msgspec.json.encode({"entries": [tree_entry_json(entry) for entry in entries], "next": cursor})


def tree_entry_json(entry: TreeEntry) -> Json:
    """Names and targets that are not valid UTF-8 come as base64url, under `path_bytes` and `target_bytes` instead."""
    shape: Json = {
        "id": str(entry.id),
        "type": entry.kind,
        "mtime": time_text(entry.mtime_ns),
        "mode": entry.mode,
    }
    _put_text(shape, "path", entry.path)
    if entry.digest is not None:
        shape["digest"] = entry.digest.hex()
        shape["size"] = entry.size_bytes
    if entry.link_target is not None:
        _put_text(shape, "target", entry.link_target)
    return shape


def _put_text(shape: Json, name: str, raw: bytes) -> None:
    try:
        shape[name] = raw.decode()
    except UnicodeDecodeError:
        shape[f"{name}_bytes"] = to_base64url(raw)
