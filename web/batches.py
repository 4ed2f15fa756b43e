"""A batch of small blobs from the wire into a pack, and the pack into the catalog.

What always holds: the pack's row is in the catalog before its file has its name; a batch is stored as a whole or not at
all, but for the blobs that it rejects by name.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
from starlette.requests import Request

from cas.blob import EMPTY_BLOB
from cas.digest import Digest
from cas.packwriter import PackWriter, StagedPack
from catalog.errors import ClaimLost, QuotaExceeded
from catalog.packs import NewPack
from catalog.tenant import TenantScope
from catalog.values import Claim
from web.admission import Reservation
from web.blob_frames import BatchReader
from web.bodies import check_length
from web.errors import TooLarge
from web.limits import BATCH_BODY_BYTES_MAX
from web.state import Services, services
from web.threads import settle
from web.uploads import blocks


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a batch: each digest stands in one of the three."""

    stored: list[Digest]
    deduplicated: list[Digest]
    rejected: dict[Digest, str]


async def receive_batch(request: Request, scope: TenantScope) -> Received:
    """The body's blobs, durable and the tenant's own. Raises `QuotaExceeded`, `TooLarge`, `TooMany`, `Busy`,
    `BadRequest`, and as the store."""
    held = services(request)
    size_bytes = check_length(request, BATCH_BODY_BYTES_MAX, "A batch of blobs")
    with held.uploads.take(scope.tenant.id), Reservation(held.incoming, scope) as room:
        await room.cover(size_bytes or 0, exact=True)
        pack = await held.writers.run(held.store.pack)
        beginning = asyncio.create_task(scope.blobs.begin_pack(pack.pack_id))
        try:
            reader = await _read(request, held, room, pack)
            staged = await held.writers.run(pack.finish)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await held.writers.run(pack.abort)
                await drop_row(scope, beginning, pack.pack_id)
            raise
        claims = await store_pack(held, scope, staged, beginning)
    return _sorted(reader, claims)


async def store_pack(
    held: Services, scope: TenantScope, staged: StagedPack, beginning: "asyncio.Task[None]"
) -> dict[Digest, Claim]:
    """Place a staged pack whose row is being begun, and make its blobs the tenant's. Nothing is left of an empty one,
    or on an error."""
    try:
        if not staged.blobs:
            await held.writers.run(staged.discard)
            await drop_row(scope, beginning, staged.pack_id)
            return {}
        await beginning
        blobs = await held.writers.run(held.store.place_pack, staged)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await held.writers.run(staged.discard)
            await drop_row(scope, beginning, staged.pack_id)
        raise
    try:
        return await scope.blobs.receive(NewPack(staged.pack_id, staged.stored_bytes, blobs))
    except (QuotaExceeded, ClaimLost):
        # Refused for certain, unlike a lost database: nothing names the pack.
        await held.writers.run(held.store.trash_pack, staged.pack_id, datetime.now(UTC).date())
        await drop_row(scope, beginning, staged.pack_id)
        raise


async def _read(request: Request, held: Services, room: Reservation, pack: PackWriter) -> BatchReader:
    """Each block is added while the next one is collected."""
    reader = BatchReader(pack)
    adding: asyncio.Future[None] | None = None
    size_bytes = 0
    try:
        async for block in blocks(request):
            size_bytes += len(block)
            if size_bytes > BATCH_BODY_BYTES_MAX:
                raise TooLarge(BATCH_BODY_BYTES_MAX, "A batch of blobs")
            await room.cover(size_bytes)
            if adding is not None:
                await settle(adding)
            adding = held.writers.start(reader.feed, block)
        if adding is not None:
            await settle(adding)
            adding = None
    finally:
        if adding is not None:
            with anyio.CancelScope(shield=True):
                await asyncio.wait({adding})
                adding.exception()
    reader.finish()
    return reader


async def drop_row(scope: TenantScope, beginning: "asyncio.Task[None]", pack_id: str) -> None:
    """The row of a pack that came to nothing goes. If the database is lost just now, the next start drops the row."""
    (failed,) = await asyncio.gather(beginning, return_exceptions=True)
    if failed is None:
        await asyncio.gather(scope.blobs.drop_pack(pack_id), return_exceptions=True)


def _sorted(reader: BatchReader, claims: dict[Digest, Claim]) -> Received:
    rejected = {digest: why for digest, why in reader.rejected.items() if digest not in claims}
    stored = [digest for digest, claim in claims.items() if not claim.possessed]
    deduplicated = [digest for digest, claim in claims.items() if claim.possessed]
    if reader.has_empty:
        deduplicated.append(EMPTY_BLOB.digest)
    return Received(stored, deduplicated, rejected)
