"""What a rebuild finds in the store's files: rows of packs and blobs. A pack's index knows all of a blob, so its row is
`live` at once; of a blob's own file only the journal knows the rest, and its row is `pending` until an entry names it.

What always holds: a file of its own comes before a slice of the same bytes, since a copy that healed a damaged slice
lies in such a file. Rows that no entry names are dropped at the end, and what they stood for is dead or an orphan.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import id_list
from catalog.database import Database, Transaction
from catalog.records import BlobFacts

_PER_STATEMENT: Final = 1_000
_IDS_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A blob's own file. Its plain size and CRC-32 only the journal knows."""

    digest: Digest
    encoding: Encoding
    stored_bytes: int


class Found:
    """The rows of what was found. Everything may be repeated."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._at = clock.to_db(clock.now())

    async def add_files(self, files: Sequence[FoundFile]) -> None:
        """Blobs in files of their own."""
        rows = [
            f"(x'{file.digest.hex}',{file.stored_bytes:d},{file.stored_bytes:d},0,'{file.encoding.value}','{OWN_FILE}',"
            f"'pending','{self._at}','{self._at}')"
            for file in files
        ]
        await self._database.run(lambda tx: _insert_blobs(tx, rows))

    async def add_pack(self, pack_id: str, stored_bytes: int, blobs: Sequence[Blob]) -> None:
        """A pack with what its index names; all of it counts as dead until `finish` has seen what is named."""
        slices_bytes = sum(blob.stored_bytes for blob in blobs)
        rows = [
            f"(x'{blob.digest.hex}',{blob.size_bytes:d},{blob.stored_bytes:d},{blob.crc32:d},'{blob.encoding.value}',"
            f"'{blob.location}','live','{self._at}','{self._at}')"
            for blob in sorted(blobs, key=_digest)  # in one order, so that two packs at once never wait for each other
        ]

        async def work(tx: Transaction) -> None:
            await tx.execute(
                "INSERT INTO pack (id, state, blob_count, stored_bytes, dead_bytes, created_at)"
                " VALUES (%s, 'live', %s, %s, %s, %s) ON DUPLICATE KEY UPDATE dead_bytes = VALUES(dead_bytes)",
                (bytes.fromhex(pack_id), len(blobs), stored_bytes, slices_bytes, self._at),
            )
            await _insert_blobs(tx, rows)

        await self._database.run(work)

    async def finish(self) -> int:
        """Drop the rows that no entry names, count the dead bytes of each pack; returns how many rows went."""
        async with self._database.reading() as tx:
            last = await tx.fetch_one("SELECT MAX(id) FROM `blob`")
        dropped = 0
        for first in range(0, (last and last[0]) or 0, _IDS_AT_ONCE):
            dropped += await self._drop_unnamed(first, first + _IDS_AT_ONCE)
        await self._database.run(self._count_dead)
        return dropped

    async def _drop_unnamed(self, after: int, through: int) -> int:
        async with self._database.reading() as tx:
            return await tx.execute(
                "DELETE FROM `blob` WHERE id > %s AND id <= %s"
                " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.blob_id = `blob`.id)",
                (after, through),
            )

    async def _count_dead(self, tx: Transaction) -> None:
        rows = await tx.fetch_all(
            "SELECT SUBSTRING(location, 6, 32), COUNT(*), SUM(stored_bytes) FROM `blob`"
            " WHERE location LIKE 'pack:%%' GROUP BY SUBSTRING(location, 6, 32)"
        )
        for pack_id, _, live_bytes in rows:
            await tx.execute(
                "UPDATE pack SET dead_bytes = dead_bytes - LEAST(dead_bytes, %s) WHERE id = %s",
                (int(live_bytes), bytes.fromhex(pack_id)),
            )


async def name_blobs(tx: Transaction, facts: Mapping[str, BlobFacts]) -> tuple[dict[str, int], list[str]]:
    """The ids of blobs that entries name, live from now on; and those of them that no file holds, which count as
    missing and come back with the next upload of the same bytes. By digests in hex, which the caller has parsed."""
    at = clock.to_db(clock.now())
    there = await _states(tx, facts)
    ids = {digest: blob_id for digest, (blob_id, _) in there.items()}
    missing = [digest for digest in facts if digest not in there]
    unknown = [digest for digest, (_, state) in there.items() if state == "pending" or facts[digest].media_type]
    rows = [_named(facts[digest], at) for digest in sorted([*missing, *unknown])]
    for start in range(0, len(rows), _PER_STATEMENT):
        await tx.execute(
            "INSERT INTO `blob` (digest, size_bytes, stored_bytes, crc32, encoding, location, media_type, state,"
            f" created_at, touched_at) VALUES {','.join(rows[start : start + _PER_STATEMENT])}"
            " ON DUPLICATE KEY UPDATE size_bytes = VALUES(size_bytes), crc32 = VALUES(crc32),"
            " media_type = VALUES(media_type), state = 'live'"
        )
    ids |= {digest: blob_id for digest, (blob_id, _) in (await _states(tx, missing)).items()}
    await _note_missing(tx, [ids[digest] for digest in missing])
    return ids, missing


def _digest(blob: Blob) -> Digest:
    return blob.digest


def _named(facts: BlobFacts, at: datetime) -> str:
    """A row, as far as the journal knows it; where its bytes lie, a row that is there already says itself."""
    return (
        f"(x'{facts.digest}',{facts.size_bytes:d},{facts.stored_bytes:d},{facts.crc32:d},"
        f"'{Encoding(facts.encoding).value}','{OWN_FILE}',{_text(facts.media_type)},'live','{at}','{at}')"
    )


async def _states(tx: Transaction, digests: Collection[str]) -> dict[str, tuple[int, str]]:
    """Id and state of each that is there."""
    found: dict[str, tuple[int, str]] = {}
    wanted = sorted(digests)
    for start in range(0, len(wanted), _PER_STATEMENT):
        part = ",".join(f"x'{digest}'" for digest in wanted[start : start + _PER_STATEMENT])
        rows = await tx.fetch_all(f"SELECT id, digest, state FROM `blob` WHERE digest IN ({part})")
        found.update({bytes(digest).hex(): (blob_id, state) for blob_id, digest, state in rows})
    return found


async def _note_missing(tx: Transaction, blob_ids: Sequence[int]) -> None:
    if blob_ids:
        await tx.execute(
            "INSERT INTO verification (blob_id, verified_at, outcome)"
            f" SELECT id, UTC_TIMESTAMP(6), 'missing' FROM `blob` WHERE id IN ({id_list(blob_ids)})"
            " ON DUPLICATE KEY UPDATE outcome = 'missing'"
        )


async def _insert_blobs(tx: Transaction, rows: Sequence[str]) -> None:
    for start in range(0, len(rows), _PER_STATEMENT):
        await tx.execute(
            "INSERT INTO `blob` (digest, size_bytes, stored_bytes, crc32, encoding, location, state, created_at,"
            f" touched_at) VALUES {','.join(rows[start : start + _PER_STATEMENT])} ON DUPLICATE KEY UPDATE id = id"
        )


def _text(value: str | None) -> str:
    """A text as a literal: hex, so that nothing in it can be more than text."""
    return "NULL" if value is None else f"_ascii x'{value.encode('ascii', 'replace').hex()}'"
