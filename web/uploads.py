"""One file from the wire into the store: received and written at the same time, in bounded memory.

What always holds: a block is collected while the one before it is written, so an upload holds two blocks of 2 MiB;
whatever goes wrong, the staged bytes are gone before the error leaves here; nothing is named before the catalog's claim
stands.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

import anyio
from starlette.requests import Request

from cas.blob import Blob
from cas.errors import DigestMismatch, SizeMismatch
from cas.staged import Staged
from cas.writer import BlobWriter
from catalog.tenant import TenantScope
from catalog.values import Claim, Claimable
from web.admission import Reservation
from web.blocks import Block
from web.bodies import check_length, flowing, paced
from web.digests import Announced
from web.errors import TooLarge
from web.limits import PIECE_BYTES
from web.state import Services, services
from web.threads import settle

_GATHERING_SECONDS: Final = 1.0
"""A block that is not full by then is copied, and joined with what follows."""


class _Sink:
    """A blob writer fed from the event loop, one block in flight."""

    def __init__(self, held: Services, writer: BlobWriter, announced: Announced) -> None:
        self._workers = held.writers
        self._writer = writer
        self._announced = announced
        self._sha256 = announced.sha256_hasher()
        self._writing: asyncio.Future[None] | None = None
        self.size_bytes = 0

    async def take(self, block: bytes | memoryview) -> None:
        """Hand over a block; waits for the one before it."""
        await self._settle()
        self.size_bytes += len(block)
        self._writing = self._workers.start(self._write, block)

    async def finish(self, size_bytes: int | None) -> Staged:
        """Everything is durable and what was announced. Raises `DigestMismatch`, `SizeMismatch`, and as the writer."""
        await self._settle()
        if size_bytes is not None and self.size_bytes != size_bytes:
            raise SizeMismatch(f"{self.size_bytes} bytes came instead of {size_bytes}")
        if self._sha256 is not None and self._sha256.digest() != self._announced.sha256:
            raise DigestMismatch("the SHA-256 is another than announced")
        finishing = self._workers.start(self._writer.finish, self._announced.blake3)
        try:
            return await settle(finishing)
        except asyncio.CancelledError:
            if finishing.exception() is None:
                await self._workers.run(finishing.result().discard)
            raise

    async def drop(self) -> None:
        """Nothing is left of it."""
        with anyio.CancelScope(shield=True):
            if self._writing is not None:
                await asyncio.wait({self._writing})
                self._writing.exception()
            await self._workers.run(self._writer.abort)

    def _write(self, block: bytes | memoryview) -> None:
        if self._sha256 is not None:
            self._sha256.update(block)
        self._writer.write(block)

    async def _settle(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await settle(writing)


@asynccontextmanager
async def received(request: Request, scope: TenantScope, announced: Announced) -> AsyncIterator[Staged]:
    """The request's body as a staged blob, dropped if the block that gets it fails; `place` drops it by itself.

    Raises `QuotaExceeded`, `TooLarge`, `Busy`, `TooSlow`, `Disconnected`, and as the store.
    """
    held = services(request)
    size_bytes = check_length(request, held.settings.upload_bytes_max, "A file")
    with held.uploads.take(scope.tenant.id), Reservation(held.incoming, scope) as room:
        await room.cover(size_bytes or 0, exact=True)
        staged = await _staged(request, room, announced, size_bytes)
        try:
            yield staged
        except BaseException:
            with anyio.CancelScope(shield=True):
                await held.writers.run(staged.discard)
            raise


async def _staged(request: Request, room: Reservation, announced: Announced, size_bytes: int | None) -> Staged:
    held = services(request)
    sink = _Sink(held, await held.writers.run(held.store.writer, size_bytes), announced)
    try:
        async with aclosing(_file_blocks(request)) as file_blocks:
            async for block in file_blocks:
                so_far_bytes = sink.size_bytes + len(block)
                if size_bytes is None and so_far_bytes > held.settings.upload_bytes_max:
                    raise TooLarge(held.settings.upload_bytes_max, "A file")
                await room.cover(so_far_bytes)
                await sink.take(block)
        return await sink.finish(size_bytes)
    except BaseException:
        await sink.drop()
        raise


async def _file_blocks(request: Request) -> AsyncGenerator[bytes | memoryview, None]:
    """The same of a large file, received directly: a view is good until the block after the next is asked for."""
    block, came_bytes = Block(), 0
    pieces = flowing(request, lambda: _GATHERING_SECONDS, lambda: came_bytes if came_bytes >= PIECE_BYTES else None)
    async with aclosing(pieces):
        async for piece in pieces:
            came_bytes += len(piece)
            if isinstance(piece, memoryview):
                if block:
                    yield block.take()
                yield piece
                continue
            block.append(piece)
            if len(block) >= PIECE_BYTES:
                yield block.take()
    if block:
        yield block.take()


async def blocks(request: Request) -> AsyncGenerator[bytes, None]:
    """The body in blocks of at least 1 MiB but the last."""
    block = Block()
    async for piece in paced(request):
        block.append(piece)
        if len(block) >= PIECE_BYTES:
            yield block.take()
    if block:
        yield block.take()


async def claim_and_place(held: Services, scope: TenantScope, staged: Staged) -> tuple[Claim, Blob]:
    """The catalog's row first, then the name on disk: the sweep cannot come between (DESIGN.md)."""
    facts = Claimable(staged.digest, staged.size_bytes, staged.stored_bytes, staged.crc32, staged.encoding)
    (claim,) = await scope.blobs.claim([facts])
    if claim.packed is not None:
        await held.writers.run(staged.discard)
        return claim, claim.packed
    return claim, await held.writers.run(held.store.place, staged)
