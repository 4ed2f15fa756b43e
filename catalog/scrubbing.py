"""What tools/verify asks beside the blobs themselves: which blobs a selection names, rows that disagree with each
other, and how fresh the verification of the whole store is. Operators see ids and counts here, never names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from cas.blob import Blob
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, id_list
from catalog.blobs import confirm
from catalog.database import Database, Transaction
from catalog.errors import ClaimLost
from catalog.values import BlobRow

FAULTS_MAX: Final = 1_000
_KEPT: Final = "b.state IN ('live', 'condemned')"


@dataclass(frozen=True, slots=True)
class Freshness:
    """How well the store is known: blobs in all, those never re-read, and when the one read longest ago was."""

    blobs: int
    never: int
    oldest: datetime | None
    unhealthy: int


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run of tools/verify, over or under way. `selection` None: everything; `counts`: outcome → blobs."""

    id: int
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    selection: str | None
    counts: dict[str, int]


class Scrubbing:
    """Questions of tools/verify that no tenant may ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- selections: ids in order ----------------------------------------------------------------------------------

    async def since(self, span: timedelta) -> list[int]:
        """Blobs that came within the span."""
        return await self._ids("b.created_at >= %s ORDER BY b.id", clock.to_db(clock.now() - span))

    async def of_tenant(self, tenant_id: int) -> list[int]:
        """Blobs that the tenant possesses."""
        return await self._ids(
            "EXISTS (SELECT 1 FROM possession p WHERE p.tenant_id = %s AND p.blob_id = b.id) ORDER BY b.id", tenant_id
        )

    async def of_digest(self, digest: Digest) -> list[int]:
        return await self._ids("b.digest = %s", digest.raw)

    async def of_entry(self, tenant_id: int, entry_id: int) -> list[int]:
        """The blob of one file, in whatever version."""
        return await self._ids(
            "b.id = (SELECT e.blob_id FROM entry e WHERE e.tenant_id = %s AND e.id = %s)", tenant_id, entry_id
        )

    async def oldest(self, percent: float) -> list[int]:
        """So much of all blobs, rounded up: never re-read ones first, then those re-read longest ago."""
        async with self._database.reading() as tx:
            row = await tx.fetch_one(f"SELECT COUNT(*) FROM `blob` b WHERE {_KEPT}")
            count = -(-int(row[0] if row else 0) * percent // 100)
            rows = await tx.fetch_all(
                f"SELECT b.id FROM `blob` b LEFT JOIN verification v ON v.blob_id = b.id WHERE {_KEPT}"
                " ORDER BY v.verified_at IS NOT NULL, v.verified_at, b.id LIMIT %s",
                (int(count),),
            )
        return sorted(blob_id for (blob_id,) in rows)

    async def rows(self, blob_ids: Sequence[int]) -> list[BlobRow]:
        """The rows of these ids that are still there, in order of id."""
        if not blob_ids:
            return []
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT b.id, b.state, {BLOB_COLUMNS} FROM `blob` b WHERE b.id IN ({id_list(blob_ids)}) AND {_KEPT}"
                " ORDER BY b.id"
            )
        return [BlobRow(blob_id, blob_of(*columns), state) for blob_id, state, *columns in rows]

    async def freshness(self) -> Freshness:
        """How old what is known of the store is."""
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT COUNT(*), SUM(v.blob_id IS NULL), MIN(v.verified_at), SUM(COALESCE(v.outcome <> 'good', 0))"
                f" FROM `blob` b LEFT JOIN verification v ON v.blob_id = b.id WHERE {_KEPT}"
            )
        if row is None or not row[0]:
            return Freshness(0, 0, None, 0)
        return Freshness(row[0], int(row[1]), None if row[2] is None else clock.from_db(row[2]), int(row[3]))

    async def history(self, limit: int) -> list[PastRun]:
        """The newest runs first."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT id, started_at, updated_at, finished_at, selection, counts FROM scrub_run"
                " ORDER BY id DESC LIMIT %s",
                (limit,),
            )
        return [
            PastRun(
                run_id, clock.from_db(started), clock.from_db(updated), None if end is None else clock.from_db(end),
                selection, msgspec.json.decode(counts, type=dict[str, int]),
            )
            for run_id, started, updated, end, selection, counts in rows
        ]  # fmt: skip

    async def _ids(self, where: str, *params: object) -> list[int]:
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(f"SELECT b.id FROM `blob` b WHERE {_KEPT} AND {where}", params)
        return [blob_id for (blob_id,) in rows]

    # -- repair ----------------------------------------------------------------------------------------------------

    async def unhealthy(self, after: int, limit: int) -> list[BlobRow]:
        """The next blobs that are known to be damaged or missing, in order of id."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT b.id, b.state, {BLOB_COLUMNS} FROM verification v JOIN `blob` b ON b.id = v.blob_id"
                f" WHERE v.outcome <> 'good' AND v.blob_id > %s AND {_KEPT} ORDER BY v.blob_id LIMIT %s",
                (after, limit),
            )
        return [BlobRow(blob_id, blob_of(*columns), state) for blob_id, state, *columns in rows]

    async def hold(self, row: BlobRow) -> bool:
        """Claim a blob's row before its bytes are placed again; False if the sweep is taking it away."""

        async def work(tx: Transaction) -> bool:
            return bool(
                await tx.execute(
                    "UPDATE `blob` SET state = 'live', touched_at = %s"
                    " WHERE id = %s AND state IN ('live', 'condemned')",
                    (clock.to_db(clock.now()), row.id),
                )
            )

        return await self._database.run(work)

    async def heal(self, blob_id: int, placed: Blob) -> bool:
        """The placed copy takes the damaged one's place; False if the row went meanwhile."""

        async def work(tx: Transaction) -> bool:
            try:
                await confirm(tx, blob_id, placed)
            except ClaimLost:
                return False
            return True

        return await self._database.run(work)

    # -- rows that disagree ----------------------------------------------------------------------------------------

    async def disagreements(self) -> list[str]:
        """Each in a sentence, by ids: counters that are not what they count, and rows without what they rest on. A
        tenant that seems wrong is counted again while nobody else may change it."""
        faults: list[str] = []
        async with self._database.reading() as tx:
            tenants = [row[0] for row in await tx.fetch_all("SELECT tenant_id FROM ledger ORDER BY tenant_id")]
            for sentence, sql in _PAIRS.items():
                rows = await tx.fetch_all(f"{sql} LIMIT {FAULTS_MAX:d}")
                faults += [sentence.format(*row) for row in rows]
        for tenant_id in tenants:
            async with self._database.reading() as tx:
                seems_wrong = await _counters(tx, tenant_id)
            if seems_wrong:
                faults += await self._database.run(partial(_counters_locked, tenant_id=tenant_id))
        return faults[:FAULTS_MAX]


_PAIRS: Final = {
    "tenant {} has an entry {} whose blob {} it does not possess": (
        "SELECT e.tenant_id, e.id, e.blob_id FROM entry e LEFT JOIN possession p"
        " ON p.tenant_id = e.tenant_id AND p.blob_id = e.blob_id"
        " WHERE e.kind = 'file' AND e.size_bytes > 0 AND p.tenant_id IS NULL"
    ),
    "entry {1} of tenant {0} says {2} bytes, its blob has {3}": (
        "SELECT e.tenant_id, e.id, e.size_bytes, b.size_bytes FROM entry e JOIN `blob` b ON b.id = e.blob_id"
        " WHERE e.size_bytes <> b.size_bytes"
    ),
    "entry {1} of tenant {0} names blob {2}, which is {3}": (
        "SELECT e.tenant_id, e.id, e.blob_id, b.state FROM entry e JOIN `blob` b ON b.id = e.blob_id"
        " WHERE b.state IN ('pending', 'deleting')"
    ),
    "blob {} lies in pack {}, which has no row or is going": (
        "SELECT b.id, SUBSTRING(b.location, 6, 32) FROM `blob` b"
        " LEFT JOIN pack p ON p.id = UNHEX(SUBSTRING(b.location, 6, 32)) AND p.state = 'live'"
        " WHERE b.location LIKE 'pack:%%' AND p.id IS NULL AND b.state <> 'deleting'"
    ),
}
"""A sentence for each row of a statement. None of them may find anything, whatever else is running."""


async def _counters(tx: Transaction, tenant_id: int) -> list[str]:
    """The tenant's counters against what they count."""
    faults = []
    for name, counted in _COUNTED.items():
        row = await tx.fetch_one(f"SELECT l.{name}, ({counted}) FROM ledger l WHERE l.tenant_id = %s", (tenant_id,))
        if row is not None and int(row[0]) != int(row[1]):
            faults.append(f"tenant {tenant_id}: {name} is {row[0]}, its rows add up to {int(row[1])}")
    devices = await tx.fetch_all(
        "SELECT v.id, v.file_count, v.size_bytes, COUNT(e.id), COALESCE(SUM(e.size_bytes), 0) FROM device v"
        " LEFT JOIN entry e ON e.tenant_id = v.tenant_id AND e.device_id = v.id AND e.kind = 'file'"
        " AND e.removed_seq IS NULL WHERE v.tenant_id = %s GROUP BY v.id",
        (tenant_id,),
    )
    for device_id, files, size_bytes, found, found_bytes in devices:
        if (files, size_bytes) != (found, int(found_bytes)):
            faults.append(
                f"tenant {tenant_id}, device {device_id}: {files} files of {size_bytes} bytes are counted,"
                f" there are {found} of {int(found_bytes)}"
            )
    return faults


async def _counters_locked(tx: Transaction, tenant_id: int) -> list[str]:
    await tx.fetch_one("SELECT 1 FROM ledger WHERE tenant_id = %s FOR UPDATE", (tenant_id,))
    return await _counters(tx, tenant_id)


_COUNTED: Final = {
    "used_bytes": (
        "SELECT COALESCE(SUM(e.size_bytes), 0) FROM entry e WHERE e.tenant_id = l.tenant_id AND e.kind = 'file'"
        " AND (e.removal IS NULL OR e.removal IN ('deleted', 'replaced'))"
    ),
    "leased_bytes": (
        "SELECT COALESCE(SUM(b.size_bytes), 0) FROM possession p JOIN `blob` b ON b.id = p.blob_id"
        " WHERE p.tenant_id = l.tenant_id AND p.leased_until IS NOT NULL"
    ),
}
