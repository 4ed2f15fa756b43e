"""The sweep's half of the catalog: blob rows from live to condemned to deleting to gone, each step a transaction.

What always holds: rows are locked in order of digest, and what refers to them is asked in a later statement; a row is
`deleting`, committed, before anything touches its file; nobody refers to a row that is `deleting`, since whoever would
asks for its state under the same lock; an id never comes back. `docs/concurrency.md` has the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from cas.blob import OWN_FILE, Blob
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, digest_list, id_list
from catalog.database import Database, Transaction
from catalog.packs import leave_pack
from catalog.references import is_referenced, references
from catalog.values import BlobRow

ROWS_AT_ONCE: Final = 500

_SWEPT: Final = "b.size_bytes > 0"
"""The empty blob is permanent."""


@dataclass(frozen=True, slots=True)
class LooseBlob:
    """A small blob in a file of its own that could lie in a pack."""

    id: int
    blob: Blob


@dataclass(frozen=True, slots=True)
class Survey:
    """What a sweep would find. `ripe`: what would be taken away; `expired`: what the hold no longer protects."""

    unreferenced: int
    ripe: int
    ripe_bytes: int
    expired_files: int
    expired_bytes: int


class SweepRows:
    """Blob rows, as the one sweep that runs goes through them. Times are aware, in UTC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- what may have lost its last reference ------------------------------------------------------------------------

    async def queued(self, before: datetime, limit: int = ROWS_AT_ONCE) -> list[int]:
        """The oldest candidates of the queue that were put there before a moment."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT blob_id FROM sweep_candidate WHERE queued_at <= %s ORDER BY queued_at, blob_id LIMIT %s",
                (clock.to_db(before), limit),
            )
        return [blob_id for (blob_id,) in rows]

    async def unreferenced(self, after: int, before: datetime, span: int = 20_000) -> tuple[list[int], int | None]:
        """The full check of one range of ids: the live blobs in it that nothing names and nobody touched since a
        moment, and where the next range begins, or None at the end."""
        async with self._database.reading() as tx:
            last = await tx.fetch_one(
                "SELECT MAX(id) FROM (SELECT id FROM `blob` WHERE id > %s ORDER BY id LIMIT %s) part", (after, span)
            )
            if last is None or last[0] is None:
                return [], None
            rows = await tx.fetch_all(
                f"SELECT b.id FROM `blob` b WHERE b.id > %s AND b.id <= %s AND b.state = 'live' AND {_SWEPT}"
                f" AND b.touched_at <= %s AND NOT ({is_referenced(await references(tx))})",
                (after, last[0], clock.to_db(before)),
            )
        return [blob_id for (blob_id,) in rows], int(last[0])

    # -- the states ---------------------------------------------------------------------------------------------------

    async def condemn(self, blob_ids: Sequence[int], before: datetime) -> list[int]:
        """Live blobs that nothing names, and nobody touched since a moment, are condemned; returns which. Those that
        were looked at leave the queue; what was touched too recently waits in it."""

        async def work(tx: Transaction) -> list[int]:
            rows = await _lock(tx, blob_ids, "'live'")
            named = await _named(tx, rows)
            recent = {row.id for row in rows if row.touched_at > clock.to_db(before)}
            doomed = [row.id for row in rows if row.id not in named | recent]
            now = clock.to_db(clock.now())
            if doomed:
                await tx.execute(
                    f"UPDATE `blob` SET state = 'condemned', touched_at = %s WHERE id IN ({id_list(doomed)})", (now,)
                )
            waiting = recent - named
            if waiting:
                await tx.execute(
                    f"UPDATE sweep_candidate SET queued_at = %s WHERE blob_id IN ({id_list(waiting)})", (now,)
                )
            if done := set(blob_ids) - waiting:
                await tx.execute(f"DELETE FROM sweep_candidate WHERE blob_id IN ({id_list(done)})")
            return doomed

        return await self._database.run(work) if blob_ids else []

    async def ripe(self, before: datetime, limit: int = ROWS_AT_ONCE) -> list[int]:
        """Condemned blobs, and claims that were never finished, that nobody touched since a moment."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT id FROM `blob` WHERE state IN ('condemned', 'pending') AND touched_at <= %s"
                " ORDER BY touched_at, id LIMIT %s",
                (clock.to_db(before), limit),
            )
        return [blob_id for (blob_id,) in rows]

    async def doom(self, blob_ids: Sequence[int], before: datetime) -> int:
        """Of these, what nothing names still is `deleting` from now on; what was named again is live. Returns how many
        of either. A claim that was never finished has no file that anyone may count on, so it never turns live here."""

        async def work(tx: Transaction) -> int:
            rows = [
                row for row in await _lock(tx, blob_ids, "'condemned', 'pending'")
                if row.touched_at <= clock.to_db(before)
            ]  # fmt: skip
            named = await _named(tx, rows)
            doomed = [row.id for row in rows if row.id not in named]
            if doomed:
                await tx.execute(f"UPDATE `blob` SET state = 'deleting' WHERE id IN ({id_list(doomed)})")
            if named:
                await tx.execute(f"UPDATE `blob` SET state = 'live' WHERE id IN ({id_list(named)})")
            return len(rows)

        return await self._database.run(work) if blob_ids else 0

    async def reprieve(self) -> list[int]:
        """Rows that are `deleting` though something refers to them, which must not be, are live again; returns their
        ids. A file that was moved already comes back out of the trash with the next look at it."""

        async def work(tx: Transaction) -> list[int]:
            rows = await tx.fetch_all(
                f"SELECT b.id FROM `blob` b WHERE b.state = 'deleting' AND ({is_referenced(await references(tx))})"
            )
            if rows:
                ids = id_list(blob_id for (blob_id,) in rows)
                await tx.execute(f"UPDATE `blob` SET state = 'live' WHERE id IN ({ids})")
            return [blob_id for (blob_id,) in rows]

        return await self._database.run(work)

    async def doomed(self, after: int = 0, limit: int = ROWS_AT_ONCE) -> list[BlobRow]:
        """Rows that are `deleting`, by this sweep or one that was interrupted, in order of id."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT b.id, {BLOB_COLUMNS} FROM `blob` b WHERE b.state = 'deleting' AND b.id > %s"
                " ORDER BY b.id LIMIT %s",
                (after, limit),
            )
        return [BlobRow(blob_id, blob_of(*columns), "deleting") for blob_id, *columns in rows]

    async def forget(self, rows: Sequence[BlobRow]) -> None:
        """Drop rows that are `deleting`, once their files are out of the way; a slice is dead in its pack from now on.
        A row that anything refers to cannot be dropped."""

        async def work(tx: Transaction) -> None:
            for row in sorted(rows, key=lambda row: row.blob.digest):
                if await tx.execute("DELETE FROM `blob` WHERE id = %s AND state = 'deleting'", (row.id,)):
                    await leave_pack(tx, row.blob)

        await self._database.run(work)

    # -- files and rows -----------------------------------------------------------------------------------------------

    async def settled(self, digests: Sequence[Digest], before: datetime) -> dict[Digest, BlobRow | None]:
        """The rows of those digests that have one, in whatever state; None for one that is not settled: claimed since
        the moment, or known to be damaged, so that any other copy may be needed."""
        if not digests:
            return {}
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT b.id, b.state, b.touched_at <= %s AND COALESCE(v.outcome, 'good') = 'good', {BLOB_COLUMNS}"
                " FROM `blob` b LEFT JOIN verification v ON v.blob_id = b.id"
                f" WHERE b.digest IN ({digest_list(digests)})",
                (clock.to_db(before),),
            )
        found: dict[Digest, BlobRow | None] = {}
        for blob_id, state, is_settled, *columns in rows:
            row = BlobRow(blob_id, blob_of(*columns), state)
            found[row.blob.digest] = row if is_settled else None
        return found

    async def loose(self, after: int, size_bytes_max: int, before: datetime, limit: int) -> list[LooseBlob]:
        """The next small healthy live blobs in files of their own, in order of id."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT b.id, {BLOB_COLUMNS} FROM `blob` b LEFT JOIN verification v ON v.blob_id = b.id"
                f" WHERE b.id > %s AND b.state = 'live' AND b.location = %s AND {_SWEPT} AND b.size_bytes <= %s"
                " AND b.touched_at <= %s AND (v.outcome IS NULL OR v.outcome = 'good') ORDER BY b.id LIMIT %s",
                (after, OWN_FILE, size_bytes_max, clock.to_db(before), limit),
            )
        return [LooseBlob(blob_id, blob_of(*columns)) for blob_id, *columns in rows]

    async def survey(self, before: datetime, hold_before: datetime) -> Survey:
        """What a sweep would find now: counted in one pass, and changed by nobody."""
        async with self._database.reading() as tx:
            named = is_referenced(await references(tx))
            unreferenced = await tx.fetch_one(
                f"SELECT COUNT(*) FROM `blob` b WHERE b.state = 'live' AND {_SWEPT} AND b.touched_at <= %s"
                f" AND NOT ({named})",
                (clock.to_db(before),),
            )
            ripe = await tx.fetch_one(
                "SELECT COUNT(*), COALESCE(SUM(b.stored_bytes), 0) FROM `blob` b"
                f" WHERE b.state IN ('condemned', 'pending', 'deleting') AND b.touched_at <= %s AND NOT ({named})",
                (clock.to_db(before),),
            )
            held = await tx.fetch_one(
                "SELECT COUNT(*), COALESCE(SUM(e.size_bytes), 0) FROM entry e JOIN tenant t ON t.id = e.tenant_id"
                " WHERE t.status = 'active' AND e.removal = 'deleted' AND e.kind = 'file' AND e.removed_at <= %s",
                (clock.to_db(hold_before),),
            )
        if unreferenced is None or ripe is None or held is None:
            raise AssertionError("an aggregate has a row")
        return Survey(unreferenced[0], ripe[0], int(ripe[1]), held[0], int(held[1]))

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def start(self) -> int:
        """Begin a run of tools/sweep; returns its id."""
        now = clock.to_db(clock.now())
        async with self._database.reading() as tx:
            return await tx.insert(
                "INSERT INTO sweep_run (started_at, updated_at, counts) VALUES (%s, %s, '{}')", (now, now)
            )

    async def finish(self, run_id: int, counts: dict[str, int], *, is_complete: bool) -> None:
        """Keep what the run did."""
        now = clock.to_db(clock.now())
        async with self._database.reading() as tx:
            await tx.execute(
                "UPDATE sweep_run SET updated_at = %s, finished_at = IF(%s, %s, NULL), counts = %s WHERE id = %s",
                (now, is_complete, now, msgspec.json.encode(counts).decode(), run_id),
            )


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    touched_at: datetime


async def _lock(tx: Transaction, blob_ids: Sequence[int], states: str) -> list[_Row]:
    """The rows among these that are in one of the states, locked in order of digest."""
    known = await tx.fetch_all(f"SELECT digest FROM `blob` WHERE id IN ({id_list(blob_ids)})")
    if not known:
        return []
    digests = digest_list(sorted(Digest(bytes(digest)) for (digest,) in known))
    rows = await tx.fetch_all(
        f"SELECT b.id, b.touched_at FROM `blob` b WHERE b.digest IN ({digests}) AND b.state IN ({states})"
        f" AND b.id IN ({id_list(blob_ids)}) AND {_SWEPT} FOR UPDATE"
    )
    return [_Row(*row) for row in rows]


async def _named(tx: Transaction, rows: Sequence[_Row]) -> set[int]:
    """Those of the locked rows that anything refers to: a later statement than the lock, so that it sees what was
    committed before the lock was got."""
    if not rows:
        return set()
    ids = id_list(row.id for row in rows)
    found = await tx.fetch_all(
        f"SELECT b.id FROM `blob` b WHERE b.id IN ({ids}) AND ({is_referenced(await references(tx))})"
    )
    return {blob_id for (blob_id,) in found}
