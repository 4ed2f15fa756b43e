"""The sweep's half of the catalog for packs: rewritten ones, and those that nothing points into any more.

What always holds: a blob moves by compare-and-set of its location, and only into a pack that is placed; a pack is
condemned in the same transaction that moves the last blobs out of it, and no row comes to point into it again; it is
`deleting`, committed, before its file is touched.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cas.blob import Blob, Location
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, digest_list
from catalog.database import Database, Transaction
from catalog.errors import ClaimLost
from catalog.packs import NewPack, begin_pack, drop_pack
from catalog.values import BlobRow

PACKS_AT_ONCE: Final = 10_000
"""Of one run; the rest waits for the next."""

_PER_STATEMENT: Final = 1_000
_SPAN: Final = 50_000


@dataclass(frozen=True, slots=True)
class PackRow:
    """A pack as its row has it. Sizes in bytes; `dead_bytes` of slices that no blob points to."""

    pack_id: str
    blob_count: int
    stored_bytes: int
    dead_bytes: int


class SweepPacks:
    """Packs, as the one sweep that runs goes through them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mostly_dead(self, before: datetime, limit: int = PACKS_AT_ONCE) -> list[PackRow]:
        """Live packs made before a moment of whose slices at least half are dead, by bytes; the deadest first."""
        overhead = "(112 + 56 * CAST(blob_count AS SIGNED))"  # header, trailer and index: docs/decisions/0006
        return await self._packs(
            f"state = 'live' AND created_at <= %s AND dead_bytes > 0"
            f" AND 2 * CAST(dead_bytes AS SIGNED) >= CAST(stored_bytes AS SIGNED) - {overhead}"
            " ORDER BY dead_bytes DESC",
            before, limit,
        )  # fmt: skip

    async def condemned(self, before: datetime, limit: int = PACKS_AT_ONCE) -> list[PackRow]:
        """Packs that were condemned before a moment."""
        return await self._packs("state = 'condemned' AND condemned_at <= %s ORDER BY condemned_at", before, limit)

    async def doomed(self, limit: int = PACKS_AT_ONCE) -> list[PackRow]:
        """Packs that are `deleting`, by this sweep or one that was interrupted."""
        return await self._packs("state = 'deleting' AND created_at <= %s ORDER BY id", clock.now(), limit)

    async def given_up(self, before: datetime, limit: int = PACKS_AT_ONCE) -> list[PackRow]:
        """Packs that were begun before a moment and never committed."""
        return await self._packs("state = 'pending' AND created_at <= %s ORDER BY created_at", before, limit)

    async def located(self, pack_id: str, digests: Sequence[Digest]) -> list[BlobRow]:
        """The rows, in whatever state, of these digests that point into the pack."""
        found: list[BlobRow] = []
        async with self._database.reading() as tx:
            for start in range(0, len(digests), _PER_STATEMENT):
                part = digest_list(digests[start : start + _PER_STATEMENT])
                rows = await tx.fetch_all(
                    f"SELECT b.id, b.state, {BLOB_COLUMNS} FROM `blob` b WHERE b.digest IN ({part})"
                    " AND b.location LIKE %s",
                    (f"pack:{pack_id}:%",),
                )
                found += [BlobRow(blob_id, blob_of(*columns), state) for blob_id, state, *columns in rows]
        return found

    async def begin(self, pack_id: str) -> None:
        """The row of a pack that is being written."""
        await begin_pack(self._database, pack_id)

    async def drop(self, pack_id: str) -> None:
        """A pack that was begun came to nothing."""
        await drop_pack(self._database, pack_id)

    async def move(self, moves: dict[int, tuple[Location, Blob]], new: NewPack, old_pack_id: str | None) -> int:
        """The placed pack is live, and each blob (id → where it lay, what it is now) that still lies there lies in it;
        the old pack, if there is one, is condemned. Returns how many moved; the other slices are dead from the
        beginning. Raises `ClaimLost` if the new pack's row waits no longer."""

        async def work(tx: Transaction) -> int:
            moved, dead_bytes = 0, 0
            for blob_id, (location, blob) in sorted(moves.items(), key=lambda move: move[1][1].digest):
                changed = await tx.execute(
                    "UPDATE `blob` SET location = %s, stored_bytes = %s, encoding = %s"
                    " WHERE id = %s AND digest = %s AND location = %s AND state IN ('live', 'condemned')",
                    (blob.location, blob.stored_bytes, str(blob.encoding), blob_id, blob.digest.raw, location),
                )
                moved += changed
                dead_bytes += 0 if changed else blob.stored_bytes
            placed = await tx.execute(
                "UPDATE pack SET state = 'live', blob_count = %s, stored_bytes = %s, dead_bytes = %s"
                " WHERE id = %s AND state = 'pending'",
                (len(new.blobs), new.stored_bytes, dead_bytes, bytes.fromhex(new.pack_id)),
            )
            if not placed:
                raise ClaimLost
            if old_pack_id is not None:
                await _condemn(tx, old_pack_id)
            return moved

        return await self._database.run(work)

    async def condemn(self, pack_id: str) -> None:
        """Nothing points into this pack."""
        await self._database.run(lambda tx: _condemn(tx, pack_id))

    async def in_use(self, pack_ids: Collection[str]) -> set[str]:
        """Those of the packs that any blob's row, in whatever state, points into: one pass over all rows."""
        used: set[str] = set()
        if not pack_ids:
            return used
        after = 0
        async with self._database.reading() as tx:
            while True:
                rows = await tx.fetch_all(
                    "SELECT id, SUBSTRING(location, 6, 32) FROM `blob`"
                    " WHERE id > %s AND id <= %s AND location LIKE 'pack:%%'",
                    (after, after + _SPAN),
                )
                used.update(pack_id for _, pack_id in rows if pack_id in pack_ids)
                row = await tx.fetch_one("SELECT MIN(id) FROM `blob` WHERE id > %s", (after + _SPAN,))
                if row is None or row[0] is None:
                    return used
                after = int(row[0]) - 1

    async def doom(self, pack_ids: Sequence[str]) -> None:
        """These packs, condemned or never committed, are `deleting` from now on: no row points into them."""
        await self._set_state(pack_ids, "deleting", "'condemned', 'pending'")

    async def spare(self, pack_ids: Sequence[str]) -> None:
        """Condemned packs that something points into after all are live again."""
        await self._set_state(pack_ids, "live", "'condemned'")

    async def forget(self, pack_ids: Sequence[str]) -> None:
        """Drop rows that are `deleting`, once their files are out of the way."""

        async def work(tx: Transaction) -> None:
            for pack_id in sorted(pack_ids):
                await tx.execute("DELETE FROM pack WHERE id = %s AND state = 'deleting'", (bytes.fromhex(pack_id),))

        await self._database.run(work)

    async def _set_state(self, pack_ids: Sequence[str], state: str, of: str) -> None:
        async def work(tx: Transaction) -> None:
            for pack_id in sorted(pack_ids):
                await tx.execute(
                    f"UPDATE pack SET state = %s WHERE id = %s AND state IN ({of})", (state, bytes.fromhex(pack_id))
                )

        await self._database.run(work)

    async def _packs(self, where: str, moment: datetime, limit: int) -> list[PackRow]:
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT id, blob_count, stored_bytes, dead_bytes FROM pack WHERE {where} LIMIT %s",
                (clock.to_db(moment), limit),
            )
        return [PackRow(bytes(pack_id).hex(), *columns) for pack_id, *columns in rows]


async def _condemn(tx: Transaction, pack_id: str) -> None:
    await tx.execute(
        "UPDATE pack SET state = 'condemned', condemned_at = %s WHERE id = %s AND state = 'live'",
        (clock.to_db(clock.now()), bytes.fromhex(pack_id)),
    )
