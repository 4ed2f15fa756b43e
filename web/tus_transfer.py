"""`Transfer`: the bytes of one request into the part of a resumable upload.

What always holds: an offset is told only after the bytes before it are durable; a request holds one of the few places,
with the buffers of an open part, only while bytes flow, and else at most `PART_PENDING_BYTES`; however a request ends,
what came stays (but bytes whose checksum is wrong or unknown, those of a client that lied about its length, and of a
request that is taken over those of the last `PART_FLOW_GAP_SECONDS`); once a newer request has taken the upload over,
this one writes no byte more.
"""

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

import anyio
from starlette.requests import Request

from cas.errors import CasError, SizeMismatch
from cas.part import PartHash, PartWriter
from catalog.errors import QuotaExceeded, UploadLost
from catalog.tenant import TenantScope
from catalog.uploads import Upload
from web.blocks import Block
from web.bodies import flowing
from web.errors import ChecksumMismatch, Disconnected, TooLarge, TooSlow, UploadStalled
from web.limits import (
    PART_FLOW_GAP_SECONDS,
    PART_FLOW_SECONDS,
    PART_IDLE_SECONDS,
    PART_PENDING_BYTES,
    PART_SAVE_BYTES,
    PART_SAVE_SECONDS,
    PART_SAVE_SECONDS_OF_FEW,
    PIECE_BYTES,
    QUOTA_STEP_BYTES,
    REHASH_BYTES,
)
from web.state import Services
from web.threads import settle
from web.tus_headers import Checksum
from web.tus_turns import Turn

_KEPT: Final = (Disconnected, TooSlow, UploadLost, asyncio.CancelledError)
"""How a request may end that has done nothing wrong: what came stays."""


def lifetime(held: Services) -> timedelta:
    """How long an upload lives from its last progress on."""
    return timedelta(hours=held.settings.upload_expires_hours)


class Transfer:
    """One request on one upload, whose newest writer it is.

    As an async context manager it lets go of the part, whatever happened. After `receive`, `upload` says where the
    upload stands; where all bytes have come, `writer` is open for finishing.
    """

    def __init__(self, held: Services, scope: TenantScope, upload: Upload, turn: Turn) -> None:
        self.upload = upload
        self._held = held
        self._scope = scope
        self._turn = turn
        self._key = (scope.tenant.id, upload.id)
        self._hashes: PartHash | None = held.tus.hashes.take(self._key)
        self._hashes_before: PartHash | None = None
        self._checksum: Checksum | None = None
        self._writer: PartWriter | None = None
        self._has_place = False
        self._is_broken = False
        self._block = Block()
        self._block_began = 0.0
        self._taken_bytes = self._given_bytes = self._saved_bytes = upload.offset_bytes
        self._saved_at = time.monotonic()
        self._writing: asyncio.Future[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._rehashing: asyncio.Task[None] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every byte of the upload has come."""
        return self._taken_bytes == self.upload.size_bytes

    async def receive(self, request: Request, checksum: Checksum | None) -> None:
        """Take the request's body. Raises `UploadLost`, `UploadStalled`, `Disconnected`, `SizeMismatch`, `TooLarge`,
        `QuotaExceeded`, `ChecksumMismatch`, and as the store."""
        self._checksum = checksum
        if checksum is not None and self._hashes is not None:
            self._hashes_before = self._hashes.copy()
        try:
            with self._turn.interruptible():
                async with aclosing(flowing(request, self._patience, self._flows_at)) as pieces:
                    async for piece in pieces:
                        await self._take(piece)
        except _KEPT as error:
            if not isinstance(error, UploadLost) or self._turn.is_lost:
                # Lost to another process, the part is no longer ours to write; to a request here, it waits for us.
                with anyio.CancelScope(shield=True):
                    await self.keep()
            if isinstance(error, TooSlow):
                raise UploadStalled(error.rate) from error
            raise
        with anyio.CancelScope(shield=True):
            await self._end()

    async def open(self) -> PartWriter:
        """The part, open at what was given to it, in a place of the few."""
        if self._writer is None:
            if not self._has_place:
                await self._held.tus.places.take(self._scope.tenant.id)
                self._has_place = True
            self._writer = await self._resumed()
            self._hashes = self._writer.hashes
            if not self._writer.is_hashed:
                self._rehashing = asyncio.create_task(_rehash(self._held, self._writer))
            self._block_began = time.monotonic()
        return self._writer

    def spend(self) -> None:
        """The part is no more, or not as it was: its hashes are not kept."""
        self._is_broken = True

    async def __aenter__(self) -> "Transfer":
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._close()
            if self._hashes is not None and not self._is_broken:
                self._held.tus.hashes.keep(self._key, self._hashes)

    async def keep(self) -> None:
        """The request ends before the upload does: what came is durable, where that can be said."""
        if self._checksum is not None:
            await self._roll_back()
        elif not self._is_broken and self._taken_bytes > self._saved_bytes:
            await self.open()
            await self._flush()
            if self._writer is not None:
                await self._save(self._writer)
        await self._close()

    async def _resumed(self) -> PartWriter:
        resume, workers = self._held.store.resume, self._held.writers
        opening = workers.start(resume, self.upload.part, self._given_bytes, self._hashes)
        try:
            return await settle(opening)
        except asyncio.CancelledError:
            if opening.exception() is None:
                await workers.run(opening.result().close)
            raise

    # -- while bytes come

    async def _take(self, piece: bytes | memoryview) -> None:
        """A piece of the body, or an empty one when none came for a while. A view is a block of its own."""
        self._check(len(piece))
        if isinstance(piece, memoryview):
            if self._block:
                await self._hand_over(self._block.take())
            self._taken_bytes += len(piece)
            await self._hand_over(piece)
            self._save_beside()
            return
        if not self._block:
            self._block_began = time.monotonic()
        self._block.append(piece)
        self._taken_bytes += len(piece)
        seconds = time.monotonic() - self._block_began
        if self._writer is None:
            if len(self._block) >= PART_PENDING_BYTES:
                await self.open()
                if seconds > PART_FLOW_SECONDS:
                    await self._pause()
            elif self._is_due and self._taken_bytes > self._saved_bytes:
                await self.open()
                await self._pause()
        elif len(self._block) >= PIECE_BYTES:
            await self._hand_over(self._block.take())
            self._save_beside()
        elif not piece or seconds > PART_FLOW_SECONDS:
            await self._pause()

    def _flows_at(self) -> int | None:
        """Where the next byte belongs, while there is a writer."""
        return None if self._writer is None else self._taken_bytes

    def _patience(self) -> float:
        """How long to wait for bytes before something else is to be done."""
        return PART_FLOW_GAP_SECONDS if self._writer is not None else PART_IDLE_SECONDS

    def _check(self, more_bytes: int) -> None:
        size_bytes, bytes_max = self.upload.size_bytes, self._held.settings.upload_bytes_max
        if size_bytes is None and self._taken_bytes + more_bytes > bytes_max:
            raise TooLarge(bytes_max, "A file")
        if size_bytes is not None and self._taken_bytes + more_bytes > size_bytes:
            raise SizeMismatch(f"more than the announced {size_bytes} bytes came")

    @property
    def _is_due(self) -> bool:
        """Whether it is time to make an offset durable, or to prolong the life of an upload that moves none."""
        unsaved_bytes = 0 if self._checksum is not None else self._taken_bytes - self._saved_bytes
        seconds_max = PART_SAVE_SECONDS if unsaved_bytes >= PIECE_BYTES else PART_SAVE_SECONDS_OF_FEW
        return unsaved_bytes >= PART_SAVE_BYTES or time.monotonic() - self._saved_at > seconds_max

    async def _hand_over(self, block: bytes | memoryview) -> None:
        """Give a block to a thread; waits for the one before it."""
        await self._cover()
        writer = await self.open()
        await self._settle_write()
        self._given_bytes += len(block)
        self._writing = self._held.writers.start(self._write, writer, block)
        self._block_began = time.monotonic()

    def _save_beside(self) -> None:
        """While the next bytes come."""
        if self._is_due and self._saving is None and self._writer is not None:
            self._saving = asyncio.create_task(self._save(self._writer))

    def _write(self, writer: PartWriter, block: bytes | memoryview) -> None:
        try:
            if self._checksum is not None:
                self._checksum.hasher.update(block)
            writer.write(block)
        except CasError:
            self._is_broken = True
            raise

    async def _settle_write(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await settle(writing)
        if self._saving is not None and self._saving.done():
            saving, self._saving = self._saving, None
            await settle(saving)

    async def _cover(self) -> None:
        """Room in the quota for an upload of unknown length, in steps."""
        if self.upload.size_bytes is not None or self._taken_bytes <= self.upload.wanted.reserved_bytes:
            return
        try:
            await self._reserve(-(-self._taken_bytes // QUOTA_STEP_BYTES) * QUOTA_STEP_BYTES)
        except QuotaExceeded:
            await self._reserve(self._taken_bytes)

    async def _reserve(self, size_bytes: int) -> None:
        others_bytes = self._held.incoming.reserved_bytes[self._scope.tenant.id]
        reserved = await self._scope.uploads.reserve(self.upload, size_bytes, others_bytes)
        self.upload = replace(self.upload, wanted=reserved.wanted)

    # -- when they do not

    async def _pause(self) -> None:
        """Let go of the place until more comes."""
        await self._flush()
        if self._is_due and self._writer is not None:
            await self._save(self._writer)
        await self._close()

    async def _flush(self) -> None:
        """Everything that came is with the system, and the buffers are free."""
        if self._block:
            await self._hand_over(self._block.take())
        await self._settle_write()
        if self._saving is not None:
            saving, self._saving = self._saving, None
            await settle(saving)
        if self._writer is not None:
            await self._held.writers.run(self._writer.settle)

    async def _save(self, writer: PartWriter) -> None:
        """What was written is durable, and the catalog says so. With a checksum that is still to be compared, only the
        upload's life is prolonged."""
        if self._checksum is not None:
            await self._move(self.upload.offset_bytes)
        else:
            await self._move(await self._held.writers.run(writer.sync))

    async def _move(self, offset_bytes: int) -> None:
        if self.upload.size_bytes is not None:
            # The last byte is acknowledged when all is committed, so that no client takes the upload for finished.
            offset_bytes = min(offset_bytes, max(0, self.upload.size_bytes - 1))
        moved = await self._scope.uploads.move(self.upload, offset_bytes, lifetime(self._held))
        self.upload = replace(self.upload, offset_bytes=moved.offset_bytes, expires_at=moved.expires_at)
        self._saved_bytes = offset_bytes
        self._saved_at = time.monotonic()

    async def _end(self) -> None:
        """The body has come to its end."""
        if self._taken_bytes > self._saved_bytes or self.is_whole:
            await self.open()
        await self._flush()
        if self._checksum is not None and not self._checksum.holds:
            await self._roll_back()
            raise ChecksumMismatch
        self._checksum = None
        if not self.is_whole:
            await self.keep()

    async def _roll_back(self) -> None:
        """None of this request's bytes was ever here."""
        self._block.clear()
        await self._close()
        self._hashes = self._hashes_before
        self._given_bytes = self.upload.offset_bytes
        await self.open()  # which cuts the part

    async def _close(self) -> None:
        """Let go of the part and of the place. What is under way ends first; if it fails, so did the request."""
        if self._rehashing is not None:
            self._rehashing.cancel()
            await asyncio.wait({self._rehashing})
            self._rehashing = None
        for under_way in (self._writing, self._saving):
            if under_way is not None:
                await asyncio.wait({under_way})
                self._is_broken |= under_way.cancelled() or under_way.exception() is not None
        self._writing = self._saving = None
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                await self._held.writers.run(writer.close)
        finally:
            if self._has_place:
                self._has_place = False
                self._held.tus.places.leave(self._scope.tenant.id)


async def _rehash(held: Services, writer: PartWriter) -> None:
    """Read again, beside the writing, what came before this process did."""
    while not writer.is_hashed:
        async with held.tus.rehashing:
            # An error is the finish's to tell, which reads what is left.
            with suppress(CasError):
                if await held.readers.run(writer.rehash, REHASH_BYTES):
                    continue
        await asyncio.sleep(PART_FLOW_GAP_SECONDS)
