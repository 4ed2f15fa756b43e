"""Blob rows: claiming them before bytes are placed, and answering which digests a tenant has yet to send.

A row's states are pending, live, condemned, deleting, then gone; its id is its incarnation (DESIGN.md, the sweep).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from cas.blob import OWN_FILE, Blob, Encoding, Location
from cas.digest import Digest
from catalog import clock
from catalog.database import DuplicateKey, Retry, Transaction
from catalog.errors import ClaimLost, QuotaExceeded, TooMany
from catalog.scope import Scope
from catalog.values import Claim, Claimable

DIGESTS_PER_REQUEST_MAX: Final = 10_000
DELETING_WAIT_SECONDS: Final = 0.2
DELETING_WAITS_MAX: Final = 25
EMPTY: Final = Digest.of(b"")

BLOB_COLUMNS: Final = "b.digest, b.size_bytes, b.stored_bytes, b.crc32, b.encoding, b.location"


def blob_of(
    digest: bytes, size_bytes: int, stored_bytes: int, crc32: int, encoding: str, location: str
) -> Blob:  # fmt: skip
    """The value of a row's `BLOB_COLUMNS`."""
    return Blob(Digest(bytes(digest)), size_bytes, stored_bytes, crc32, Encoding(encoding), Location(location))


def digest_list(digests: Sequence[Digest]) -> str:
    """Digests as hex literals for `IN (…)`: safe for this type alone, and twice as fast as bound parameters."""
    return ",".join(f"x'{digest.hex}'" for digest in digests)


class Blobs:
    """What this tenant may know and claim of the blobs."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def check_room(self, wanted_bytes: int) -> None:
        """Raise `QuotaExceeded` if `wanted_bytes` more would not fit now. The commit checks again."""
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one("SELECT used_bytes FROM ledger WHERE tenant_id = %s", (self._scope.tenant.id,))
        used = row[0] if row else 0
        if used + wanted_bytes > self._scope.tenant.quota_bytes:
            raise QuotaExceeded(self._scope.tenant.quota_bytes, used, wanted_bytes)

    async def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        """Which of these the tenant has yet to send: what it does not possess, or what is damaged."""
        if len(digests) > DIGESTS_PER_REQUEST_MAX:
            raise TooMany(DIGESTS_PER_REQUEST_MAX, "digests")
        async with self._scope.database.reading() as tx:
            known = await possessed(tx, self._scope.tenant.id, digests)
        return [digest for digest in dict.fromkeys(digests) if digest not in known]

    async def claim(self, staged: Sequence[Claimable]) -> list[Claim]:
        """Claim a row for each, in digest order, before the bytes are placed. Answers in the order given.

        Waits while the sweep deletes one of them. Raises `ClaimLost` when that takes too long.
        """
        for _ in range(DELETING_WAITS_MAX):
            claims = await self._scope.database.run(lambda tx: self._claim(tx, staged))
            if claims is not None:
                return claims
            await asyncio.sleep(DELETING_WAIT_SECONDS)
        raise ClaimLost

    async def _claim(self, tx: Transaction, staged: Sequence[Claimable]) -> list[Claim] | None:
        by_digest = {facts.digest: facts for facts in staged}
        ids: dict[Digest, int] = {}
        for digest in sorted(by_digest):
            blob_id = await _claim_one(tx, by_digest[digest])
            if blob_id is None:
                return None
            ids[digest] = blob_id
        owned = await possessed(tx, self._scope.tenant.id, list(by_digest))
        return [Claim(ids[facts.digest], facts.digest, facts.digest in owned) for facts in staged]


async def possessed(tx: Transaction, tenant_id: int, digests: Sequence[Digest]) -> dict[Digest, tuple[int, int]]:
    """digest → (blob id, size in bytes) of those that the tenant possesses, live and not known to be damaged.

    The empty blob is everyone's: it is permanent, and tells nothing.
    """
    known: dict[Digest, tuple[int, int]] = {}
    for start in range(0, len(digests), 1_000):
        part = digest_list(digests[start : start + 1_000])
        rows = await tx.fetch_all(
            "SELECT b.digest, b.id, b.size_bytes FROM `blob` b"
            " LEFT JOIN possession p ON p.tenant_id = %s AND p.blob_id = b.id"
            " LEFT JOIN verification v ON v.blob_id = b.id AND v.outcome <> 'good'"
            f" WHERE b.digest IN ({part}) AND b.state IN ('live', 'condemned') AND v.blob_id IS NULL"
            " AND (p.tenant_id IS NOT NULL OR b.size_bytes = 0)",
            (tenant_id,),
        )
        known.update({Digest(bytes(digest)): (blob_id, size) for digest, blob_id, size in rows})
    return known


async def _claim_one(tx: Transaction, facts: Claimable) -> int | None:
    """The id of the row, inserted as pending or touched; None while the sweep deletes it."""
    now = clock.to_db(clock.now())
    row = await tx.fetch_one("SELECT id, state FROM `blob` WHERE digest = %s FOR UPDATE", (facts.digest.raw,))
    if row is None:
        try:
            return await tx.insert(
                "INSERT INTO `blob` (digest, size_bytes, stored_bytes, crc32, encoding, location, state, created_at,"
                " touched_at) VALUES (%s, %s, %s, %s, %s, %s, 'pending', %s, %s)",
                (facts.digest.raw, facts.size_bytes, facts.stored_bytes, facts.crc32, str(facts.encoding), OWN_FILE,
                 now, now),
            )  # fmt: skip
        except DuplicateKey as e:
            # Someone else claimed it between the two statements; the next try finds the row.
            raise Retry(str(e)) from e
    blob_id, state = row
    if state == "deleting":
        return None
    await tx.execute(
        "UPDATE `blob` SET state = IF(state = 'condemned', 'live', state), touched_at = %s WHERE id = %s",
        (now, blob_id),
    )
    return int(blob_id)


async def confirm(tx: Transaction, blob_id: int, blob: Blob) -> None:
    """The placed blob becomes live, where the claimed row still stands. Raises `ClaimLost` where it does not.

    A row that was live keeps its own facts, unless its bytes were known to be damaged: then the new copy heals it.
    """
    row = await tx.fetch_one(
        "SELECT b.state, v.outcome FROM `blob` b LEFT JOIN verification v ON v.blob_id = b.id"
        " WHERE b.id = %s AND b.digest = %s FOR UPDATE",
        (blob_id, blob.digest.raw),
    )
    if row is None or row[0] == "deleting":
        raise ClaimLost
    state, outcome = row
    if state == "live" and outcome in (None, "good"):
        return
    await tx.execute(
        "UPDATE `blob` SET state = 'live', stored_bytes = %s, encoding = %s, location = %s WHERE id = %s",
        (blob.stored_bytes, str(blob.encoding), blob.location, blob_id),
    )
    await tx.execute("DELETE FROM verification WHERE blob_id = %s AND outcome <> 'good'", (blob_id,))


async def possess(tx: Transaction, tenant_id: int, blob_ids: Sequence[int]) -> None:
    """The tenant possesses these blobs from now on."""
    now = clock.to_db(clock.now())
    await tx.execute_many(
        "INSERT INTO possession (tenant_id, blob_id, created_at) VALUES (%s, %s, %s)"
        " ON DUPLICATE KEY UPDATE blob_id = blob_id",
        [(tenant_id, blob_id, now) for blob_id in sorted(set(blob_ids))],
    )
