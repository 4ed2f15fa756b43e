"""Repair: what is known to be damaged or missing is healed from the trash, from a copy of the store, or by making it
again.

What always holds: nothing counts as healed before its bytes matched its digest, on the way in and again from where they
lie; a copy is only read. The row is claimed before the bytes are placed, as an upload does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from cas.blob import Blob
from cas.errors import BlobDamaged, BlobMissing, DigestMismatch, SizeMismatch
from cas.staged import Staged
from cas.store import BlobStore
from cas.trash import Trash
from catalog.system import SystemScope
from catalog.values import BlobRow, VerificationRecord
from tools.verify.report import Report

ROWS_AT_ONCE: Final = 200

FROM_TRASH: Final = "healed from the trash"
FROM_COPY: Final = "healed from the copy"
NOT_HEALED: Final = "not healed: no whole copy"


class Source(Protocol):
    """Where whole bytes may be had. `told`: what the report says of a blob that was healed from here."""

    told: str

    async def staged(self, row: BlobRow) -> Staged | None:
        """The blob's bytes, compared with its digest, in `incoming/`; None where they are not to be had."""


@dataclass(slots=True)
class Copy:
    """Another store's blobs, or a replica's, with the same layout."""

    store: BlobStore
    copy: BlobStore
    told: str = FROM_COPY

    async def staged(self, row: BlobRow) -> Staged | None:
        return await asyncio.to_thread(self._read, row.blob)

    def _read(self, blob: Blob) -> Staged | None:
        try:
            with self.copy.read(blob) as reader:
                return self.store.stage(reader.chunks(), blob.digest, blob.size_bytes)
        except (BlobDamaged, BlobMissing, DigestMismatch, SizeMismatch):
            return None


async def repair(
    system: SystemScope, store: BlobStore, trash: Trash, sources: Sequence[Source], report: Report
) -> None:
    """Heal what can be healed: from the trash, else from the first of the sources that has it."""
    after = 0
    while rows := await system.scrubbing.unhealthy(after, ROWS_AT_ONCE):
        for row in rows:
            how = await _heal(system, store, trash, sources, row)
            report.repaired[how] = report.repaired.get(how, 0) + 1
        after = rows[-1].id


async def _heal(system: SystemScope, store: BlobStore, trash: Trash, sources: Sequence[Source], row: BlobRow) -> str:
    if await asyncio.to_thread(_comes_back, store, trash, row.blob):
        await system.record_verifications([VerificationRecord(row.id, "good")])
        return FROM_TRASH
    for source in sources:
        staged = await source.staged(row)
        if staged is not None and await _is_healed(system, store, row, staged):
            return source.told
    return NOT_HEALED


async def _is_healed(system: SystemScope, store: BlobStore, row: BlobRow, staged: Staged) -> bool:
    """Whether the staged bytes are now in the damaged ones' place, in a file of their own and re-read; False if the row
    went meanwhile."""
    with staged:
        if not await system.scrubbing.hold(row):
            return False
        placed = await asyncio.to_thread(_placed, store, staged)
    return await system.scrubbing.heal(row.id, placed)


def _placed(store: BlobStore, staged: Staged) -> Blob:
    placed = store.place(staged)
    store.check(placed)
    return placed


def _comes_back(store: BlobStore, trash: Trash, blob: Blob) -> bool:
    """Out of the trash, only where nothing lies in its place: a whole file is never replaced by an unknown one."""
    try:
        store.check(blob)
    except BlobMissing:
        if not trash.restore(blob, datetime.now(UTC).date()):
            return False
    except BlobDamaged:
        return False
    else:
        return True  # somebody healed it meanwhile
    try:
        store.check(blob)
    except (BlobDamaged, BlobMissing):
        return False
    return True
