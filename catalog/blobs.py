"""Blob rows: claiming them before bytes are placed, and answering which digests a tenant has yet to send.

A row's states are pending, live, condemned, deleting, then gone; its id is its incarnation (DESIGN.md, the sweep).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from cas.blob import OWN_FILE, Blob, parsed_pack_location
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of
from catalog.database import Database, DuplicateKey, Retry, Transaction
from catalog.errors import ClaimLost, QuotaExceeded, TooMany
from catalog.ledger import lock_ledger
from catalog.packs import NewPack, begin_pack, drop_pack, is_pack_kept, leave_pack, receive_pack
from catalog.possession import Possessed, drop_expired, lease, possessed
from catalog.scope import Scope
from catalog.values import Claim, Claimable

T = TypeVar("T")

DIGESTS_PER_REQUEST_MAX: Final = 10_000
DELETING_WAIT_SECONDS: Final = 0.2
DELETING_WAITS_MAX: Final = 25

EMPTY: Final = Digest.of(b"")


class Blobs:
    """What this tenant may know and claim of the blobs."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def check_room(self, wanted_bytes: int) -> None:
        """Raise `QuotaExceeded` if `wanted_bytes` more would not fit now. The commit checks again."""
        self._scope.require_customer("upload")
        if await self._counted() + wanted_bytes > self._scope.tenant.quota_bytes:
            await self.drop_expired()
            counted = await self._counted()
            if counted + wanted_bytes > self._scope.tenant.quota_bytes:
                raise QuotaExceeded(self._scope.tenant.quota_bytes, counted, wanted_bytes)

    async def _counted(self) -> int:
        """What counts in the quota, in bytes."""
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT used_bytes + leased_bytes + (SELECT COALESCE(SUM(reserved_bytes), 0) FROM upload u"
                " WHERE u.tenant_id = l.tenant_id AND u.finished_at IS NULL) FROM ledger l WHERE l.tenant_id = %s",
                (self._scope.tenant.id,),
            )
        return int(row[0]) if row else 0

    async def drop_expired(self) -> int:
        """Leases that ran out are gone; a bounded number at once. Returns how many."""
        self._scope.require_customer("upload")
        return await self._scope.database.run(self._drop_expired)

    async def _drop_expired(self, tx: Transaction) -> int:
        ledger = await lock_ledger(tx, self._scope.tenant)
        dropped = await drop_expired(tx, ledger)
        await ledger.store(tx)
        return dropped

    async def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        """Which of these the tenant has yet to send: what it does not possess, or what is damaged."""
        self._scope.require_customer("upload")
        if len(digests) > DIGESTS_PER_REQUEST_MAX:
            raise TooMany(DIGESTS_PER_REQUEST_MAX, "digests")
        async with self._scope.database.reading() as tx:
            known = await possessed(tx, self._scope.tenant.id, digests)
        return [digest for digest in dict.fromkeys(digests) if digest not in known]

    async def claim(self, staged: Sequence[Claimable]) -> list[Claim]:
        """Claim a row for each, in digest order, before the bytes are placed. Answers in the order given.

        Waits while the sweep deletes one of them. Raises `ClaimLost` when that takes too long.
        """
        self._scope.require_customer("upload")
        return await unless_deleting(self._scope.database, lambda tx: self._claim(tx, staged))

    async def lease(self, received: Sequence[tuple[int, Blob]]) -> None:
        """Placed blobs (claimed row's id, blob) that no manifest names yet: the tenant possesses them for
        `LEASE_HOURS`. Raises `QuotaExceeded`, `ClaimLost`."""
        self._scope.require_customer("upload")

        async def work(tx: Transaction) -> None:
            ledger = await lock_ledger(tx, self._scope.tenant)
            for blob_id, blob in sorted(received, key=lambda pair: pair[1].digest):
                await confirm(tx, blob_id, blob)
            await lease(tx, ledger, {blob_id: blob.size_bytes for blob_id, blob in received})
            await ledger.store(tx)

        await self._scope.database.run(work)

    async def begin_pack(self, pack_id: str) -> None:
        """The row of a pack that is being written; before `BlobStore.place_pack`."""
        self._scope.require_customer("upload")
        await begin_pack(self._scope.database, pack_id)

    async def drop_pack(self, pack_id: str) -> None:
        """A pack that was begun came to nothing."""
        self._scope.require_customer("upload")
        await drop_pack(self._scope.database, pack_id)

    async def receive(self, pack: NewPack) -> dict[Digest, Claim]:
        """A placed pack's blobs: live, and the tenant possesses them for `LEASE_HOURS` or as long as entries do.

        Raises `QuotaExceeded`, `ClaimLost` (as `claim`), `DatabaseUnavailable`.
        """
        self._scope.require_customer("upload")
        return await unless_deleting(self._scope.database, lambda tx: self._receive(tx, pack))

    async def _receive(self, tx: Transaction, pack: NewPack) -> dict[Digest, Claim] | None:
        ledger = await lock_ledger(tx, self._scope.tenant)
        received = await receive_pack(tx, pack)
        if received is None:
            return None
        sizes = {received.ids[blob.digest]: blob.size_bytes for blob in pack.blobs}
        had = await lease(tx, ledger, sizes, received.new) - received.healed
        await ledger.store(tx)
        return {digest: Claim(blob_id, digest, blob_id in had) for digest, blob_id in received.ids.items()}

    async def _claim(self, tx: Transaction, staged: Sequence[Claimable]) -> list[Claim] | None:
        by_digest = {facts.digest: facts for facts in staged}
        rows: dict[Digest, tuple[int, Blob | None]] = {}
        for digest in sorted(by_digest):
            row = await _claim_one(tx, by_digest[digest])
            if row is None:
                return None
            rows[digest] = row
        owned = await possessed(tx, self._scope.tenant.id, list(by_digest))
        return [
            Claim(rows[facts.digest][0], facts.digest, facts.digest in owned, rows[facts.digest][1]) for facts in staged
        ]


async def unless_deleting(
    database: Database,
    work: Callable[[Transaction], Awaitable[T | None]],
    was_committed: Callable[[], Awaitable[T | None]] | None = None,
) -> T:
    """Run the transaction, again while the sweep deletes one of its blobs. Raises `ClaimLost` when tired of it."""
    for _ in range(DELETING_WAITS_MAX):
        done = await database.run(work, was_committed)
        if done is not None:
            return done
        await asyncio.sleep(DELETING_WAIT_SECONDS)
    raise ClaimLost


async def _claim_one(tx: Transaction, facts: Claimable) -> tuple[int, Blob | None] | None:
    """The row's id, inserted as pending or touched, and the copy that lies in a pack, if a healthy one does; None while
    the sweep deletes the row."""
    now = clock.to_db(clock.now())
    row = await tx.fetch_one(
        f"SELECT b.id, b.state, v.outcome, {BLOB_COLUMNS} FROM `blob` b"
        " LEFT JOIN verification v ON v.blob_id = b.id WHERE b.digest = %s FOR UPDATE",
        (facts.digest.raw,),
    )
    if row is None:
        try:
            blob_id = await tx.insert(
                "INSERT INTO `blob` (digest, size_bytes, stored_bytes, crc32, encoding, location, state, created_at,"
                " touched_at) VALUES (%s, %s, %s, %s, %s, %s, 'pending', %s, %s)",
                (facts.digest.raw, facts.size_bytes, facts.stored_bytes, facts.crc32, str(facts.encoding), OWN_FILE,
                 now, now),
            )  # fmt: skip
        except DuplicateKey as e:
            # Someone else claimed it between the two statements; the next try finds the row.
            raise Retry(str(e)) from e
        return blob_id, None
    blob_id, state, outcome, *columns = row
    if state == "deleting":
        return None
    await tx.execute(
        "UPDATE `blob` SET state = IF(state = 'condemned', 'live', state), touched_at = %s WHERE id = %s",
        (now, blob_id),
    )
    there = blob_of(*columns)
    is_packed = state != "pending" and outcome in (None, "good") and there.location != OWN_FILE
    return int(blob_id), there if is_packed else None


async def confirm(tx: Transaction, blob_id: int, blob: Blob) -> Possessed:
    """The placed blob becomes live, where the claimed row still stands; returns the row's facts. Raises `ClaimLost`
    where it does not.

    A row that was live keeps its own facts, unless its bytes were known to be damaged: then the new copy heals it.
    """
    row = await tx.fetch_one(
        f"SELECT b.state, v.outcome, b.media_type, {BLOB_COLUMNS} FROM `blob` b"
        " LEFT JOIN verification v ON v.blob_id = b.id WHERE b.id = %s AND b.digest = %s FOR UPDATE",
        (blob_id, blob.digest.raw),
    )
    if row is None or row[0] == "deleting":
        raise ClaimLost
    state, outcome, media_type, *columns = row
    if state in {"live", "condemned"} and outcome in (None, "good"):
        if state == "condemned":
            await tx.execute("UPDATE `blob` SET state = 'live' WHERE id = %s", (blob_id,))
        return Possessed(blob_id, blob_of(*columns), media_type, is_leased=False)
    if blob.location != OWN_FILE and blob_of(*columns).location == blob.location:
        raise ClaimLost  # the packed copy that the claim found whole was found damaged since: the bytes must come again
    place = parsed_pack_location(blob.location)
    if place is not None and not await is_pack_kept(tx, place[0]):
        raise ClaimLost  # the pack was rewritten since, and goes
    await tx.execute(
        "UPDATE `blob` SET state = 'live', stored_bytes = %s, encoding = %s, location = %s WHERE id = %s",
        (blob.stored_bytes, str(blob.encoding), blob.location, blob_id),
    )
    await leave_pack(tx, blob_of(*columns))
    await tx.execute("DELETE FROM verification WHERE blob_id = %s AND outcome <> 'good'", (blob_id,))
    return Possessed(blob_id, blob, media_type, is_leased=False)
