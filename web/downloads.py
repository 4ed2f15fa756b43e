"""A stored file as an HTTP answer: whole or one range, checked as it flows, and harmless in a browser.

What always holds: no byte leaves here unchecked, and the last piece of a whole file only after its digest matched; a
damaged file breaks the answer off and never completes it; the content can neither run script nor be taken for a page.
What the proxy sends by itself (`web/proxy.py`) was re-read not long ago.
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from cas.blob import Blob
from cas.errors import BlobDamaged, BlobMissing
from cas.store import BlobStore
from catalog.errors import Conflict
from catalog.values import Entry, EntryKind
from web.damage import report_damage
from web.digests import etag
from web.errors import ContentDamaged
from web.media import preview_kind
from web.proxy import proxy_path
from web.ranges import ByteRange, is_unchanged, parse_range, range_still_fits
from web.sessions import Caller
from web.state import services
from web.streaming import StreamedAnswer
from web.threads import in_thread
from web.times import http_date

CONTENT_CSP: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
_DOWNLOAD_TYPE: Final = "application/octet-stream"
_OF_BYTES: Final = {"Accept-Ranges", "Content-Length", "Content-Range"}
"""Said by whoever sends the bytes."""


async def content_answer(request: Request, caller: Caller, entry: Entry, *, inline: bool = False) -> Response:
    """The content of an entry.

    Raises `Conflict` for what has none, `RangeNotSatisfiable`, `ContentDamaged`.
    """
    blob = _blob_of(entry)
    headers = _headers(entry, blob, inline=inline)
    if is_unchanged(request.headers.get("if-none-match"), etag(blob.digest)):
        return Response(status_code=304, headers=headers)
    part = _part(request, blob)
    if part is not None:
        headers["Content-Range"] = part.content_range(blob.size_bytes)
    headers["Content-Length"] = str(blob.size_bytes if part is None else part.length)
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    await _log(request, caller, entry)
    path = await proxy_path(request, caller, entry, blob, is_part=part is not None)
    if path is not None:
        kept = {name: value for name, value in headers.items() if name not in _OF_BYTES}
        return Response(headers=kept | {"X-Accel-Redirect": path})
    held = services(request)
    pieces = checked_pieces(request, caller, read_blob(held.store, blob, part), str(entry.path))
    return await StreamedAnswer.begin(status, headers, pieces, held.downloads.take(caller.scope.tenant.id))


async def checked_pieces(
    request: Request, caller: Caller, pieces: Generator[bytes, None, None], subject: str
) -> AsyncGenerator[bytes, None]:
    """Made in worker threads, about 1 MiB each; damage is reported before it is raised."""
    held = services(request)
    try:
        async with aclosing(in_thread(pieces, held.readers)) as made:
            async for piece in made:
                yield piece
    except ContentDamaged as error:
        await report_damage(held, caller.scope, error, subject)
        raise


def read_blob(store: BlobStore, blob: Blob, part: ByteRange | None = None) -> Generator[bytes, None, None]:
    """A blob's bytes, or a range of them, for a worker thread. Raises `ContentDamaged`."""
    try:
        with store.read(blob) as reader:
            yield from reader.chunks() if part is None else reader.range(part.offset, part.length)
    except (BlobDamaged, BlobMissing) as error:
        raise ContentDamaged(blob) from error


def attachment(name: str, *, inline: bool = False) -> str:
    """`Content-Disposition` (RFC 6266) with the name for every browser."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _blob_of(entry: Entry) -> Blob:
    if entry.kind is EntryKind.DIRECTORY:
        raise Conflict("This is a folder. Make an export of it to download it as a zip.")
    if entry.blob is None:
        raise Conflict("This is a link. It has no content of its own.")
    return entry.blob


def _part(request: Request, blob: Blob) -> ByteRange | None:
    if not range_still_fits(request.headers.get("if-range"), etag(blob.digest)):
        return None
    return parse_range(request.headers.get("range"), blob.size_bytes)


def _headers(entry: Entry, blob: Blob, *, inline: bool) -> dict[str, str]:
    is_shown = inline and preview_kind(entry.media_type) is not None
    return {
        "Content-Type": entry.media_type if is_shown else _DOWNLOAD_TYPE,
        "Content-Disposition": attachment(entry.name.decode("utf-8", "replace"), inline=is_shown),
        "Content-Security-Policy": CONTENT_CSP,
        "Accept-Ranges": "bytes",
        "ETag": etag(blob.digest),
        "Last-Modified": http_date(entry.mtime_ns),
        "Cache-Control": "private, no-cache",
    }


async def _log(request: Request, caller: Caller, entry: Entry) -> None:
    """Into the audit before the first byte leaves; a range that belongs to a download of before is not new."""
    scope, log = caller.scope, services(request).download_log
    key = (scope.tenant.id, scope.actor.kind, scope.actor.grant_id or scope.actor.id, entry.id)
    if log.is_new(key):
        detail: dict[str, object] = {"entry": str(entry.id), "bytes": entry.size_bytes}
        await scope.audit.record("download", str(entry.path), detail, device_id=entry.device_id)
        log.note(key)
