"""What the search index reads from MariaDB: which manifests are new, the entries they added and ended, media notes.

Bounded pages by key, each statement for itself: an entry that a later manifest ends is seen alive now and ended when
that manifest's turn comes. Removals are read from the entries themselves; an entry that was purged meanwhile is told by
the rows that a page of results does not find (`catalog/search.py`).
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from catalog.blob_rows import id_list
from catalog.database import Transaction
from catalog.search_documents import DOCUMENT_COLUMNS, Array, Documents, from_rows
from catalog.search_files import Followed

PAGE_ROWS: Final = 16_384
STAGE_CHANGES: Final = 100_000
_STAGE_MANIFESTS_MAX: Final = 10_000
_NOTES_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Head:
    """A device's last manifest, and how many living files the device has after it."""

    sequence: int
    file_count: int


async def heads(tx: Transaction, tenant_id: int) -> dict[int, Head]:
    """device → where it stands, all as of one moment."""
    rows = await tx.fetch_all(
        "SELECT h.device_id, h.manifest_sequence, d.file_count FROM journal_head h"
        " JOIN device d ON d.tenant_id = h.tenant_id AND d.id = h.device_id"
        " WHERE h.tenant_id = %s AND h.manifest_sequence > 0",
        (tenant_id,),
    )
    return {device_id: Head(int(sequence), int(files)) for device_id, sequence, files in rows}


async def stage(tx: Transaction, tenant_id: int, device_id: int, after: int, until: int) -> int:
    """The manifest up to which the device's next ones may be read together: at least one, few entries else."""
    rows = await tx.fetch_all(
        "SELECT sequence, added + removed FROM manifest WHERE tenant_id = %s AND device_id = %s AND sequence > %s"
        " AND sequence <= %s ORDER BY sequence LIMIT %s",
        (tenant_id, device_id, after, until, _STAGE_MANIFESTS_MAX),
    )
    count = 0
    for sequence, changes in rows:
        count += int(changes)
        if count >= STAGE_CHANGES:
            return int(sequence)
    return int(rows[-1][0]) if len(rows) == _STAGE_MANIFESTS_MAX else until


async def digests(tx: Transaction, tenant_id: int, sequences: dict[int, int]) -> dict[int, bytes | None]:
    """device → the digest of the record that carries this manifest of it; devices without that manifest are left
    out."""
    found: dict[int, bytes | None] = {}
    for device_id, sequence in sequences.items():
        row = await tx.fetch_one(
            "SELECT record_digest FROM manifest WHERE tenant_id = %s AND device_id = %s AND sequence = %s",
            (tenant_id, device_id, sequence),
        )
        if row is not None:
            found[device_id] = None if row[0] is None else bytes(row[0])
    return found


async def is_continued(tx: Transaction, tenant_id: int, followed: dict[int, Followed]) -> bool:
    """Whether the catalog still has the history that was read: it may have been restored from an older copy."""
    there = await digests(tx, tenant_id, {device_id: one.sequence for device_id, one in followed.items()})
    return all(device_id in there and there[device_id] == one.digest for device_id, one in followed.items())


async def purged_since(tx: Transaction, tenant_id: int, followed: dict[int, Followed]) -> set[int]:
    """The devices of which a later manifest purged something: entries may be gone without a trace of their end."""
    found = set()
    for device_id, one in followed.items():
        row = await tx.fetch_one(
            "SELECT 1 FROM manifest WHERE tenant_id = %s AND device_id = %s AND sequence > %s AND purged > 0 LIMIT 1",
            (tenant_id, device_id, one.sequence),
        )
        if row is not None:
            found.add(device_id)
    return found


async def changes_since(tx: Transaction, tenant_id: int, followed: dict[int, Followed]) -> int:
    """How many entries were added and ended since, on all devices."""
    count = 0
    for device_id, head in (await heads(tx, tenant_id)).items():
        since = followed[device_id].sequence if device_id in followed else 0
        if head.sequence > since:
            row = await tx.fetch_one(
                "SELECT COALESCE(SUM(added + removed), 0) FROM manifest"
                " WHERE tenant_id = %s AND device_id = %s AND sequence > %s",
                (tenant_id, device_id, since),
            )
            count += int(row[0]) if row else 0
    return count


async def every_entry(tx: Transaction, tenant_id: int, until: dict[int, int]) -> AsyncIterator[Documents]:
    """All live entries that manifests up to these added, in order of id."""
    last = 0
    while True:
        rows = await tx.fetch_all(
            f"SELECT {DOCUMENT_COLUMNS}, e.added_seq FROM entry e WHERE e.tenant_id = %s AND e.id > %s"
            " AND e.removed_seq IS NULL ORDER BY e.id LIMIT %s",
            (tenant_id, last, PAGE_ROWS),
        )
        if rows:
            yield from_rows([row[:-1] for row in rows if row[-1] <= until.get(row[6], 0)])
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][0]


async def added(tx: Transaction, tenant_id: int, device_id: int, after: int, until: int) -> AsyncIterator[Documents]:
    """The entries that a device's manifests in (after, until] added and that are live, or were until a later one."""
    sequence, last = after + 1, 0
    while True:
        rows = await tx.fetch_all(
            f"SELECT {DOCUMENT_COLUMNS}, e.added_seq FROM entry e"
            " WHERE e.tenant_id = %s AND e.device_id = %s"
            " AND e.added_seq >= %s AND e.added_seq <= %s AND (e.added_seq > %s OR e.id > %s)"
            " AND (e.removed_seq IS NULL OR e.removed_seq > %s)"
            " ORDER BY e.added_seq, e.id LIMIT %s",
            (tenant_id, device_id, sequence, until, sequence, last, until, PAGE_ROWS),
        )
        if rows:
            yield from_rows([row[:-1] for row in rows])
        if len(rows) < PAGE_ROWS:
            return
        sequence, last = rows[-1][-1], rows[-1][0]


async def ended(tx: Transaction, tenant_id: int, device_id: int, after: int, until: int) -> AsyncIterator[Array]:
    """The ids of entries that a device's manifests in (after, until] ended."""
    sequence, last = after + 1, 0
    while True:
        rows = await tx.fetch_all(
            "SELECT e.id, e.removed_seq FROM entry e WHERE e.tenant_id = %s AND e.device_id = %s"
            " AND e.removed_seq >= %s AND e.removed_seq <= %s AND (e.removed_seq > %s OR e.id > %s)"
            " ORDER BY e.removed_seq, e.id LIMIT %s",
            (tenant_id, device_id, sequence, until, sequence, last, PAGE_ROWS),
        )
        if rows:
            yield np.array([row[0] for row in rows], np.int64)
        if len(rows) < PAGE_ROWS:
            return
        last, sequence = rows[-1]


async def living(tx: Transaction, tenant_id: int, device_id: int, until: int) -> AsyncIterator[Array]:
    """The ids of all living entries of a device that manifests up to this added, in order."""
    last = 0
    while True:
        rows = await tx.fetch_all(
            "SELECT e.id FROM entry e WHERE e.tenant_id = %s AND e.device_id = %s AND e.removed_seq IS NULL"
            " AND e.id > %s AND e.added_seq <= %s ORDER BY e.id LIMIT %s",
            (tenant_id, device_id, last, until, PAGE_ROWS),
        )
        if rows:
            yield np.array([row[0] for row in rows], np.int64)
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][0]


async def last_note(tx: Transaction, tenant_id: int) -> int:
    """The number of the tenant's last media note; 0 where there is none."""
    row = await tx.fetch_one("SELECT seq FROM media_head WHERE tenant_id = %s", (tenant_id,))
    return int(row[0]) if row else 0


async def noted(tx: Transaction, tenant_id: int, after: int) -> AsyncIterator[tuple[int, Array]]:
    """Media notes after a number, some at a time: the last one's number, and the living entries of their blobs."""
    while True:
        notes = await tx.fetch_all(
            "SELECT seq, blob_id FROM media_note WHERE tenant_id = %s AND seq > %s ORDER BY seq LIMIT %s",
            (tenant_id, after, _NOTES_AT_ONCE),
        )
        if not notes:
            return
        after = int(notes[-1][0])
        rows = await tx.fetch_all(
            "SELECT e.id FROM entry e WHERE e.tenant_id = %s AND e.removed_seq IS NULL"
            f" AND e.blob_id IN ({id_list(blob_id for _, blob_id in notes)})",
            (tenant_id,),
        )
        yield after, np.unique(np.array([row[0] for row in rows], np.int64))


async def by_ids(tx: Transaction, tenant_id: int, ids: Sequence[int]) -> Documents:
    """Those of the entries that are live, as they are now."""
    if not ids:
        return from_rows([])
    rows = await tx.fetch_all(
        f"SELECT {DOCUMENT_COLUMNS} FROM entry e"
        f" WHERE e.tenant_id = %s AND e.removed_seq IS NULL AND e.id IN ({id_list(ids)})",
        (tenant_id,),
    )
    return from_rows(rows)
