"""Repair: what is known to be damaged or missing is healed from the trash or from a copy of the store.

What always holds: nothing counts as healed before its bytes matched its digest, on the way in and again from where they
lie; a copy is only read. The row is claimed before the bytes are placed, as an upload does.
"""

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cas.blob import Blob
from cas.errors import BlobDamaged, BlobMissing, DigestMismatch, SizeMismatch
from cas.local import LocalBackend
from cas.store import BlobStore
from cas.trash import Trash
from catalog.system import SystemScope
from catalog.values import BlobRow, VerificationRecord
from tools.verify.report import Report

ROWS_AT_ONCE: Final = 200

FROM_TRASH: Final = "healed from the trash"
FROM_COPY: Final = "healed from the copy"
NOT_HEALED: Final = "not healed: no whole copy"


async def repair(system: SystemScope, store: BlobStore, trash: Trash, folder: Path, report: Report) -> None:
    """Heal what can be healed. `folder`: another store's root, or a replica's, with the same layout."""
    with closing(LocalBackend(folder)) as backend:
        copy = BlobStore(backend, store.store_id)
        after = 0
        while rows := await system.scrubbing.unhealthy(after, ROWS_AT_ONCE):
            for row in rows:
                how = await _heal(system, store, trash, copy, row)
                report.repaired[how] = report.repaired.get(how, 0) + 1
            after = rows[-1].id


async def _heal(system: SystemScope, store: BlobStore, trash: Trash, copy: BlobStore, row: BlobRow) -> str:
    if await asyncio.to_thread(_comes_back, store, trash, row.blob):
        await system.record_verifications([VerificationRecord(row.id, "good")])
        return FROM_TRASH
    if not await system.scrubbing.hold(row):
        return NOT_HEALED
    placed = await asyncio.to_thread(_copied, store, copy, row.blob)
    if placed is None or not await system.scrubbing.heal(row.id, placed):
        return NOT_HEALED
    return FROM_COPY


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


def _copied(store: BlobStore, copy: BlobStore, blob: Blob) -> Blob | None:
    """The blob out of the copy in a file of its own, re-read; None if the copy does not have it whole."""
    try:
        with copy.read(blob) as reader:
            staged = store.stage(reader.chunks(), blob.digest, blob.size_bytes)
    except (BlobDamaged, BlobMissing, DigestMismatch, SizeMismatch):
        return None
    placed = store.place(staged)
    store.check(placed)
    return placed
