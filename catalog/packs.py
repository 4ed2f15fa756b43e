"""Rows of packs, and of the many blobs that arrive in one: a whole batch in one transaction.

What always holds: a pack's row is there, `pending`, before its file has its name, so that a start finds what a killed
server left; it turns `live` in the transaction that makes its blobs live. A packed blob needs no claim before it is
placed: its place in a new pack is its alone, so no sweep can take it for another's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cas.blob import Blob, parsed_pack_location
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, digest_list, id_list
from catalog.database import Database, DuplicateKey, Retry, Transaction
from catalog.errors import ClaimLost

_PER_STATEMENT: Final = 1_000


@dataclass(frozen=True, slots=True)
class NewPack:
    """A placed pack: its id (32 hex digits), its file's size, and the blobs in it, each digest once."""

    pack_id: str
    stored_bytes: int
    blobs: Sequence[Blob]


@dataclass(frozen=True, slots=True)
class ReceivedPack:
    """Digest → blob id of all in the pack; the ids of the rows that are new, and of those whose copy was damaged."""

    ids: dict[Digest, int]
    new: set[int]
    healed: set[int]


@dataclass(frozen=True, slots=True)
class _Row:
    blob_id: int
    state: str
    is_damaged: bool


async def begin_pack(database: Database, pack_id: str) -> None:
    """The row of a pack that is being written."""
    async with database.reading() as tx:
        await tx.execute(
            "INSERT INTO pack (id, state, created_at) VALUES (%s, 'pending', %s)",
            (bytes.fromhex(pack_id), clock.to_db(clock.now())),
        )


async def drop_pack(database: Database, pack_id: str) -> None:
    """Forget a pack that was begun and came to nothing."""
    async with database.reading() as tx:
        await tx.execute("DELETE FROM pack WHERE id = %s AND state = 'pending'", (bytes.fromhex(pack_id),))


async def give_up_pack(database: Database, pack_id: str) -> bool:
    """Whether the pack was never committed and is not going to be: it is `deleting` then, and no transaction that waits
    can commit it any more. Waits for one that has the row."""

    async def work(tx: Transaction) -> bool:
        key = (bytes.fromhex(pack_id),)
        await tx.execute("UPDATE pack SET state = 'deleting' WHERE id = %s AND state = 'pending'", key)
        row = await tx.fetch_one("SELECT state FROM pack WHERE id = %s", key)
        return row is not None and row[0] == "deleting"

    return await database.run(work)


async def forget_pack(database: Database, pack_id: str) -> None:
    """Drop the row of a pack that was given up, once its file is out of the way."""
    async with database.reading() as tx:
        await tx.execute("DELETE FROM pack WHERE id = %s AND state = 'deleting'", (bytes.fromhex(pack_id),))


async def receive_pack(tx: Transaction, pack: NewPack) -> ReceivedPack | None:
    """Make the pack and its blobs live. None while the sweep deletes one of them: try again. Raises `ClaimLost` where
    the pack's row no longer waits for them: the sweep has taken it for one that was given up.

    Of two healthy copies the older location wins, and the slice here is dead from its beginning; where the older copy
    is known to be damaged, or was never finished, this one takes its place.
    """
    by_digest = {blob.digest: blob for blob in sorted(pack.blobs, key=lambda blob: blob.digest.raw)}
    there = await _lock(tx, list(by_digest))
    if any(row.state == "deleting" for row in there.values()):
        return None
    made = await _insert(tx, [blob for digest, blob in by_digest.items() if digest not in there])
    await _touch(tx, [row.blob_id for row in there.values()])
    healed = [(row.blob_id, by_digest[digest]) for digest, row in there.items() if _needs_copy(row)]
    await _heal(tx, healed)
    dead_bytes = sum(by_digest[digest].stored_bytes for digest, row in there.items() if not _needs_copy(row))
    changed = await tx.execute(
        "UPDATE pack SET state = 'live', blob_count = %s, stored_bytes = %s, dead_bytes = %s"
        " WHERE id = %s AND state = 'pending'",
        (len(by_digest), pack.stored_bytes, dead_bytes, bytes.fromhex(pack.pack_id)),
    )
    if not changed:
        raise ClaimLost
    ids = {**made, **{digest: row.blob_id for digest, row in there.items()}}
    return ReceivedPack(ids, set(made.values()), {row.blob_id for row in there.values() if row.is_damaged})


async def is_pack_kept(tx: Transaction, pack_id: str) -> bool:
    """Whether a row may come to point into this pack: it is live, and stays so until the transaction ends."""
    row = await tx.fetch_one("SELECT state FROM pack WHERE id = %s LOCK IN SHARE MODE", (bytes.fromhex(pack_id),))
    return row is not None and row[0] == "live"


async def leave_pack(tx: Transaction, blob: Blob) -> None:
    """The blob's row points into its pack no more: the slice is dead there. Nothing for a blob in a file of its own."""
    place = parsed_pack_location(blob.location)
    if place is not None:
        await tx.execute(
            "UPDATE pack SET dead_bytes = dead_bytes + %s WHERE id = %s", (blob.stored_bytes, bytes.fromhex(place[0]))
        )


async def known_packs(database: Database, pack_ids: Sequence[str]) -> set[str]:
    """Those of the packs that have a row, in whatever state."""
    found: set[str] = set()
    async with database.reading() as tx:
        for start in range(0, len(pack_ids), _PER_STATEMENT):
            part = [bytes.fromhex(pack_id) for pack_id in pack_ids[start : start + _PER_STATEMENT]]
            rows = await tx.fetch_all(f"SELECT id FROM pack WHERE id IN ({','.join(['%s'] * len(part))})", part)
            found.update(bytes(pack_id).hex() for (pack_id,) in rows)
    return found


async def is_live(database: Database, pack_id: str) -> bool:
    """Whether the transaction that received the pack stands."""
    async with database.reading() as tx:
        row = await tx.fetch_one("SELECT 1 FROM pack WHERE id = %s AND state = 'live'", (bytes.fromhex(pack_id),))
    return row is not None


async def unfinished_packs(database: Database, limit: int) -> list[str]:
    """Packs that were begun and never committed. Only while no server writes to the store."""
    async with database.reading() as tx:
        rows = await tx.fetch_all("SELECT id FROM pack WHERE state = 'pending' ORDER BY id LIMIT %s", (limit,))
    return [bytes(pack_id).hex() for (pack_id,) in rows]


def _needs_copy(row: _Row) -> bool:
    return row.is_damaged or row.state == "pending"


async def _lock(tx: Transaction, digests: Sequence[Digest]) -> dict[Digest, _Row]:
    """The rows there are, locked in order of digest."""
    found: dict[Digest, _Row] = {}
    for start in range(0, len(digests), _PER_STATEMENT):
        part = digest_list(digests[start : start + _PER_STATEMENT])
        rows = await tx.fetch_all(
            "SELECT b.digest, b.id, b.state, v.outcome FROM `blob` b FORCE INDEX (digest)"
            " LEFT JOIN verification v ON v.blob_id = b.id"
            f" WHERE b.digest IN ({part}) ORDER BY b.digest FOR UPDATE"
        )
        for digest, blob_id, state, outcome in rows:
            found[Digest(bytes(digest))] = _Row(blob_id, state, outcome not in {None, "good"})
    return found


async def _insert(tx: Transaction, blobs: Sequence[Blob]) -> dict[Digest, int]:
    """New rows, live at once; digest → id. Values are of our own making: hex digits, ints and checked words."""
    ids: dict[Digest, int] = {}
    at = clock.to_db(clock.now())
    for start in range(0, len(blobs), _PER_STATEMENT):
        rows = ",".join(
            [
                f"(x'{b.digest.raw.hex()}',{b.size_bytes:d},{b.stored_bytes:d},{b.crc32:d},'{b.encoding}','{b.location}'"
                f",'live','{at}','{at}')"
                for b in blobs[start : start + _PER_STATEMENT]
            ]
        )
        try:
            made = await tx.fetch_all(
                "INSERT INTO `blob` (digest, size_bytes, stored_bytes, crc32, encoding, location, state, created_at,"
                f" touched_at) VALUES {rows} RETURNING id, digest"
            )
        except DuplicateKey as e:
            # Another batch inserted one of them after we looked; the next try finds its row.
            raise Retry(str(e)) from e
        ids.update((Digest(bytes(digest)), blob_id) for blob_id, digest in made)
    return ids


async def _touch(tx: Transaction, blob_ids: Sequence[int]) -> None:
    """Live, whatever the sweep was about to do, and seen just now."""
    if blob_ids:
        await tx.execute(
            f"UPDATE `blob` SET state = 'live', touched_at = UTC_TIMESTAMP(6) WHERE id IN ({id_list(blob_ids)})"
        )


async def _heal(tx: Transaction, copies: Sequence[tuple[int, Blob]]) -> None:
    if not copies:
        return
    ids = id_list(blob_id for blob_id, _ in copies)
    for columns in await tx.fetch_all(f"SELECT {BLOB_COLUMNS} FROM `blob` b WHERE b.id IN ({ids})"):
        await leave_pack(tx, blob_of(*columns))
    for blob_id, blob in copies:
        await tx.execute(
            "UPDATE `blob` SET stored_bytes = %s, encoding = %s, location = %s WHERE id = %s",
            (blob.stored_bytes, str(blob.encoding), blob.location, blob_id),
        )
    await tx.execute(f"DELETE FROM verification WHERE blob_id IN ({ids}) AND outcome <> 'good'")
