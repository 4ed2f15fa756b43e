"""A batch of small blobs from the wire into a pack, and the pack into the catalog.

What always holds: the pack's row is in the catalog before its file has its name; a batch is stored as a whole or not at
all, but for the blobs that it rejects by name. `web.bundles` comes the same way, with the names.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeVar

import anyio
from starlette.requests import Request

from cas.blob import EMPTY_BLOB
from cas.digest import Digest
from cas.packwriter import PackWriter, StagedPack
from catalog.errors import CatalogError, DatabaseUnavailable
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


class Reader(Protocol):
    """Takes a body in blocks of any size, and adds the blobs in it to a pack; by one thread at a time."""

    def feed(self, block: bytes) -> None: ...

    def finish(self) -> None:
        """Raises `BadRequest` where the body must not end here, or what came does not fit together."""


R = TypeVar("R", bound=Reader)
T = TypeVar("T")


async def receive_batch(request: Request, scope: TenantScope) -> Received:
    """The body's blobs, durable and the tenant's own. Raises as `receive`."""

    async def keep(reader: BatchReader, pack: NewPack | None) -> Received:
        return _sorted(reader, {} if pack is None else await scope.blobs.receive(pack))

    return await receive(request, scope, "A batch of blobs", BatchReader, keep)


async def receive(
    request: Request,
    scope: TenantScope,
    what: str,
    reader_of: Callable[[PackWriter], R],
    keep: Callable[[R, NewPack | None], Awaitable[T]],
) -> T:
    """Read the body (`what` it is, in a sentence) into a placed pack, None if no blob came, and have the catalog `keep`
    it. Raises `QuotaExceeded`, `TooLarge`, `TooMany`, `Busy`, `BadRequest`, as `keep`, and as the store."""
    held = services(request)
    size_bytes = check_length(request, BATCH_BODY_BYTES_MAX, what)
    with held.uploads.take(scope.tenant.id), Reservation(held.incoming, scope) as room:
        await room.cover(size_bytes or 0, exact=True)
        pack = await held.writers.run(held.store.pack)
        beginning = asyncio.create_task(scope.blobs.begin_pack(pack.pack_id))
        try:
            reader = reader_of(pack)
            await _read(request, held, room, reader, what)
            staged = await held.writers.run(pack.finish)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await held.writers.run(pack.abort)
                await drop_row(held, scope, beginning, pack.pack_id)
            raise
        return await store_pack(held, scope, staged, beginning, partial(keep, reader))


async def store_pack(
    held: Services,
    scope: TenantScope,
    staged: StagedPack,
    beginning: "asyncio.Task[None]",
    keep: Callable[[NewPack | None], Awaitable[T]],
) -> T:
    """Place a staged pack whose row is being begun, and have the catalog `keep` it. Nothing is left of an empty one, or
    on an error."""
    try:
        if staged.blobs:
            await beginning
            blobs = await held.writers.run(held.store.place_pack, staged)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await held.writers.run(staged.discard)
            await drop_row(held, scope, beginning, staged.pack_id)
        raise
    if not staged.blobs:
        await held.writers.run(staged.discard)
        await drop_row(held, scope, beginning, staged.pack_id)
        return await keep(None)
    try:
        return await keep(NewPack(staged.pack_id, staged.stored_bytes, blobs))
    except BaseException as error:
        if isinstance(error, DatabaseUnavailable) or not isinstance(error, CatalogError):
            held.unsettled.add(staged.pack_id)  # the commit may stand
            raise
        # Refused for certain: nothing names the pack.
        await held.writers.run(held.store.trash_pack, staged.pack_id, datetime.now(UTC).date())
        await drop_row(held, scope, beginning, staged.pack_id)
        raise


async def _read(request: Request, held: Services, room: Reservation, reader: Reader, what: str) -> None:
    """Each block is read while the next one is collected."""
    reading: asyncio.Future[None] | None = None
    size_bytes = 0
    try:
        async for block in blocks(request):
            size_bytes += len(block)
            if size_bytes > BATCH_BODY_BYTES_MAX:
                raise TooLarge(BATCH_BODY_BYTES_MAX, what)
            await room.cover(size_bytes)
            if reading is not None:
                await settle(reading)
            reading = held.writers.start(reader.feed, block)
        if reading is not None:
            await settle(reading)
            reading = None
    finally:
        if reading is not None:
            with anyio.CancelScope(shield=True):
                await asyncio.wait({reading})
                reading.exception()
    reader.finish()


async def drop_row(held: Services, scope: TenantScope, beginning: "asyncio.Task[None]", pack_id: str) -> None:
    """The row of a pack that came to nothing goes; where the database is lost just now, once it answers."""
    (failed,) = await asyncio.gather(beginning, return_exceptions=True)
    if failed is None:
        (failed,) = await asyncio.gather(scope.blobs.drop_pack(pack_id), return_exceptions=True)
    if isinstance(failed, DatabaseUnavailable):
        held.unsettled.add(pack_id)


def _sorted(reader: BatchReader, claims: dict[Digest, Claim]) -> Received:
    rejected = {digest: why for digest, why in reader.rejected.items() if digest not in claims}
    stored = [digest for digest, claim in claims.items() if not claim.possessed]
    deduplicated = [digest for digest, claim in claims.items() if claim.possessed]
    if reader.has_empty:
        deduplicated.append(EMPTY_BLOB.digest)
    return Received(stored, deduplicated, rejected)
