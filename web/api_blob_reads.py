"""`/api/v1/blobs/read` and `/api/v1/blobs/status`: many small blobs in one answer, and which bytes are safe here.

What always holds: a blob's bytes leave only after they matched its digest; a damaged one breaks the answer off, after
all that was read before it has been sent, and is marked, so that the rest can be had by asking again.
"""

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Final

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cas.blob import Blob
from cas.digest import Digest
from cas.layout import PACK_BLOB_BYTES_MAX
from cas.store import BlobStore
from catalog.errors import BadRequest, TooMany
from catalog.holdings import BlobStatus, Holding
from catalog.tenant import TenantScope
from web.answers import json_answer
from web.blob_frames import BLOBS_TYPE, frame_head
from web.bodies import read_json
from web.damage import report_damage
from web.downloads import read_blob
from web.errors import BlobsTooLarge, ContentDamaged, TooLarge
from web.limits import DIGESTS_MAX, PIECE_BYTES, READ_BLOBS_MAX, READ_BYTES_MAX
from web.sessions import Caller
from web.shapes import Json
from web.state import Services, services
from web.streaming import StreamedAnswer
from web.times import moment_text

_SUBJECT: Final = "many small files"
_LOGGED_AS: Final = 0
"""Of no entry: the reads of one restore are one event in the audit."""


class Digests(msgspec.Struct, forbid_unknown_fields=True):
    digests: list[str]


async def read_blobs(request: Request, caller: Caller) -> Response:
    """The blobs' bytes, checked, in the order in which they lie in the store."""
    wanted = _digests(await read_json(request, Digests), READ_BLOBS_MAX)
    if not wanted:
        raise BadRequest("No digests are named. Name at least one.")
    holdings = await caller.scope.holdings.find(wanted)
    total_bytes = _check_sizes(holdings)
    await _log(request, caller, len(holdings), total_bytes)
    held = services(request)
    pieces = _pieces(held, caller.scope, sorted(holdings, key=_reading_order))
    headers = {
        "Content-Type": BLOBS_TYPE,
        "Content-Length": str(total_bytes + len(holdings) * len(frame_head(wanted[0], 0))),
        "Cache-Control": "private, no-store",
    }
    return await StreamedAnswer.begin(200, headers, pieces, held.downloads.take(caller.scope.tenant.id))


async def blob_status(request: Request, caller: Caller) -> Response:
    """Which of these bytes are safe here: a live file of the account has them, and they are not damaged."""
    wanted = _digests(await read_json(request, Digests), DIGESTS_MAX)
    statuses = await caller.scope.holdings.statuses(wanted)
    return json_answer({"blobs": [_status_json(status) for status in statuses]})


def _digests(wanted: Digests, most: int) -> list[Digest]:
    if len(wanted.digests) > most:
        raise TooMany(most, "digests")
    return [Digest.from_hex(text) for text in wanted.digests]


def _check_sizes(holdings: Sequence[Holding]) -> int:
    """How many bytes they have in all. Raises `BlobsTooLarge` for single ones, `TooLarge` for all together."""
    large = [holding.blob.digest for holding in holdings if holding.blob.size_bytes > PACK_BLOB_BYTES_MAX]
    if large:
        raise BlobsTooLarge(large, PACK_BLOB_BYTES_MAX)
    total_bytes = sum(holding.blob.size_bytes for holding in holdings)
    if total_bytes > READ_BYTES_MAX:
        raise TooLarge(READ_BYTES_MAX, "The blobs of one read, together,")
    return total_bytes


def _reading_order(holding: Holding) -> tuple[bool, str, int, str, str]:
    """As they lie on the disk, offsets as numbers; the damaged ones last, for at the first of them the answer ends."""
    place, _, offset = holding.blob.location.rpartition(":")
    return holding.is_damaged, place, len(offset), offset, holding.blob.digest.hex


async def _pieces(held: Services, scope: TenantScope, holdings: Sequence[Holding]) -> AsyncGenerator[bytes, None]:
    """Pieces of at least 1 MiB but the last, made in worker threads."""
    frames = _frames(held.store, [holding.blob for holding in holdings])
    try:
        while piece := await held.readers.run(next, frames, b""):
            yield piece
    except ContentDamaged as error:
        await report_damage(held, scope, error, _SUBJECT)
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await held.readers.run(frames.close)


def _frames(store: BlobStore, blobs: Sequence[Blob]) -> Generator[bytes, None, None]:
    """What is whole before a damaged blob goes out before the damage is raised."""
    parts: list[bytes] = []
    size_bytes = 0
    for blob in blobs:
        try:
            content = b"".join(read_blob(store, blob))
        except ContentDamaged:
            if parts:
                yield b"".join(parts)
            raise
        parts += [frame_head(blob.digest, blob.size_bytes), content]
        size_bytes += len(content)
        if size_bytes >= PIECE_BYTES:
            yield b"".join(parts)
            parts, size_bytes = [], 0
    if parts:
        yield b"".join(parts)


async def _log(request: Request, caller: Caller, count: int, total_bytes: int) -> None:
    """Into the audit before the first byte leaves: once for all the reads of one restore."""
    scope, log = caller.scope, services(request).download_log
    key = (scope.tenant.id, scope.actor.kind, scope.actor.id, _LOGGED_AS)
    if log.is_new(key):
        detail: dict[str, object] = {"blobs": count, "bytes": total_bytes}
        await scope.audit.record("download", _SUBJECT, detail, device_id=scope.token_device)
        log.note(key)


def _status_json(status: BlobStatus) -> Json:
    return {
        "digest": status.digest.hex,
        "safe": status.is_safe,
        "verified": None if status.verified_at is None else moment_text(status.verified_at),
        "reason": status.unsafe,
    }
