"""Healing by making it again: a damaged derived file, thumbnail or preview has a source, and what its recipe makes of
that today may be the very bytes that were lost. A picture that comes out otherwise heals nothing."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing, DigestMismatch, SizeMismatch
from cas.staged import Staged
from cas.store import BlobStore
from catalog.derived_rows import MadeRow
from catalog.system import SystemScope
from catalog.values import BlobRow
from tools.verify.derived import why_skipped
from tools.worker.errors import OutputRefused, SandboxBroken
from tools.worker.maker import Maker
from tools.worker.making.order import Piece

FROM_SOURCE: Final = "healed by making it again"
_READ_BYTES: Final = 1 << 20


@dataclass(slots=True)
class MadeAgain:
    """What comes of the recipe that made a blob, as a `tools.verify.repair.Source`. Raises `SandboxBroken` where the
    sandbox is not to be had any more."""

    system: SystemScope
    store: BlobStore
    maker: Maker
    told: str = FROM_SOURCE

    async def staged(self, row: BlobRow) -> Staged | None:
        for made in await self.system.derived_rows.of_blob(row.id):
            if why_skipped(made) is None and (staged := await self._made(made)) is not None:
                return staged
        return None

    async def _made(self, row: MadeRow) -> Staged | None:
        source = (await self.system.blobs_by_digest([row.source])).get(row.source)
        if source is None:
            return None
        try:
            tried = await self.maker.make(row.recipe, row.parameters, source.blob, lambda _percent: None, lambda: False)
            for piece in tried.pieces:
                if (staged := await asyncio.to_thread(self._staged, piece, row.digest)) is not None:
                    return staged
        except SandboxBroken:
            await self.maker.sandbox.start()
        except (BlobDamaged, BlobMissing, OutputRefused):
            pass  # the source is no better, or nothing good came of it
        return None

    def _staged(self, piece: Piece, wanted: Digest) -> Staged | None:
        with os.fdopen(self.maker.sandbox.open_piece(piece.file), "rb") as file:
            try:
                return self.store.stage(_chunks(file), wanted)
            except (DigestMismatch, SizeMismatch):
                return None


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_READ_BYTES):
        yield chunk
