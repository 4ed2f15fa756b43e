"""Possession: which blobs a tenant may name. By an entry, or for a while by a lease: bytes sent that no manifest names.

What always holds: a lease counts in the quota (`ledger.leased_bytes`) from the moment the bytes are received until a
manifest names them or it expires; whoever changes a lease holds the tenant's ledger locked.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from cas.blob import Blob
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, digest_list, id_list
from catalog.candidates import let_go
from catalog.database import Transaction
from catalog.ledger import Ledger

LEASE_HOURS: Final = 24
LEASES_DROPPED_AT_ONCE: Final = 2_000
_PER_STATEMENT: Final = 1_000


class Possessed(NamedTuple):
    """A blob that the tenant may name. `is_leased`: no entry has named it yet."""

    blob_id: int
    blob: Blob
    media_type: str | None
    is_leased: bool


async def possessed(tx: Transaction, tenant_id: int, digests: Sequence[Digest]) -> dict[Digest, Possessed]:
    """Those of the digests that the tenant possesses, live and not known to be damaged.

    The empty blob is everyone's: it is permanent, and tells nothing. A lease that has expired is none.
    """
    known: dict[Digest, Possessed] = {}
    for start in range(0, len(digests), _PER_STATEMENT):
        part = digest_list(digests[start : start + _PER_STATEMENT])
        rows = await tx.fetch_all(
            f"SELECT b.id, b.media_type, p.leased_until IS NOT NULL, {BLOB_COLUMNS} FROM `blob` b"
            f" LEFT JOIN possession p ON p.tenant_id = {int(tenant_id)} AND p.blob_id = b.id"
            " LEFT JOIN verification v ON v.blob_id = b.id AND v.outcome <> 'good'"
            f" WHERE b.digest IN ({part}) AND b.state IN ('live', 'condemned') AND v.blob_id IS NULL"
            " AND (b.size_bytes = 0 OR p.tenant_id IS NOT NULL"
            " AND (p.leased_until IS NULL OR p.leased_until > UTC_TIMESTAMP(6)))"
        )
        for blob_id, media_type, is_leased, *columns in rows:
            blob = blob_of(*columns)
            known[blob.digest] = Possessed(blob_id, blob, media_type, bool(is_leased))
    return known


async def lease(tx: Transaction, ledger: Ledger, received: Mapping[int, int], new: Collection[int] = ()) -> set[int]:
    """The tenant possesses these blobs (id → size in bytes) for a while; returns those that it possessed before.

    `new`: rows of this transaction, which nobody can possess yet. Raises `QuotaExceeded`.
    """
    await drop_expired(tx, ledger)
    had = await among(tx, ledger.tenant.id, [blob_id for blob_id in sorted(received) if blob_id not in new])
    fresh = sorted(received.keys() - had.keys())
    ledger.charge_lease(sum(received[blob_id] for blob_id in fresh))
    now = clock.now()
    until, at = (clock.to_db(moment) for moment in (now + timedelta(hours=LEASE_HOURS), now))
    for part in _parts(fresh):
        rows = ",".join(f"({ledger.tenant.id:d},{blob_id:d},'{until}','{at}')" for blob_id in part)
        await tx.execute(f"INSERT INTO possession (tenant_id, blob_id, leased_until, created_at) VALUES {rows}")
    for part in _parts(sorted(blob_id for blob_id, is_leased in had.items() if is_leased)):
        await tx.execute(
            f"UPDATE possession SET leased_until = '{until}' WHERE tenant_id = {ledger.tenant.id:d}"
            f" AND blob_id IN ({id_list(part)}) AND leased_until IS NOT NULL"
        )
    return set(had)


async def refer(
    tx: Transaction,
    ledger: Ledger,
    named: Mapping[int, int],
    known: Mapping[int, bool],
    unowned: Collection[int] = (),
) -> None:
    """Entries name these blobs (id → size in bytes) from now on: possessed for good, and no lease is counted.

    Of some the caller has read already that the tenant has a row (`known`: id → whether it is a lease), or that it has
    none (`unowned`).
    """
    ids = sorted(named)
    unsure = [blob_id for blob_id in ids if blob_id not in known and blob_id not in unowned]
    had = {**known, **await among(tx, ledger.tenant.id, unsure)}
    leased = [blob_id for blob_id in ids if had.get(blob_id)]
    ledger.leased_bytes = max(0, ledger.leased_bytes - sum(named[blob_id] for blob_id in leased))
    for part in _parts(leased):
        await tx.execute(
            f"UPDATE possession SET leased_until = NULL WHERE tenant_id = {ledger.tenant.id:d}"
            f" AND blob_id IN ({id_list(part)})"
        )
    await own(tx, ledger.tenant.id, [blob_id for blob_id in ids if blob_id not in had])


async def own(tx: Transaction, tenant_id: int, blob_ids: Collection[int]) -> None:
    """The tenant possesses these blobs, of which it has no row, for good: entries of the same transaction name them.

    Of rows that this transaction has made, nobody else can know: for them it need not hold the ledger.
    """
    at = clock.to_db(clock.now())
    for part in _parts(sorted(blob_ids)):
        rows = ",".join([f"({tenant_id:d},{blob_id:d},'{at}')" for blob_id in part])
        await tx.execute(f"INSERT INTO possession (tenant_id, blob_id, created_at) VALUES {rows}")


async def drop_expired(tx: Transaction, ledger: Ledger) -> int:
    """Leases that ran out are gone, and count no more; a bounded number at once. Returns how many."""
    rows = await tx.fetch_all(
        "SELECT p.blob_id, b.size_bytes FROM possession p JOIN `blob` b ON b.id = p.blob_id"
        " WHERE p.tenant_id = %s AND p.leased_until <= UTC_TIMESTAMP(6) LIMIT %s",
        (ledger.tenant.id, LEASES_DROPPED_AT_ONCE),
    )
    for part in _parts([blob_id for blob_id, _ in rows]):
        await let_go(tx, ledger.tenant.id, part)
        await tx.execute(
            f"DELETE FROM possession WHERE tenant_id = {ledger.tenant.id:d} AND blob_id IN ({id_list(part)})"
        )
    ledger.leased_bytes = max(0, ledger.leased_bytes - sum(size for _, size in rows))
    return len(rows)


async def blob_rows(tx: Transaction, blob_ids: Collection[int]) -> dict[int, Possessed]:
    """The facts of these blobs, whoever possesses them; none is taken for leased."""
    found: dict[int, Possessed] = {}
    ids = sorted(blob_ids)
    for start in range(0, len(ids), _PER_STATEMENT):
        part = id_list(ids[start : start + _PER_STATEMENT])
        rows = await tx.fetch_all(f"SELECT b.id, b.media_type, {BLOB_COLUMNS} FROM `blob` b WHERE b.id IN ({part})")
        for blob_id, media_type, *columns in rows:
            found[blob_id] = Possessed(blob_id, blob_of(*columns), media_type, is_leased=False)
    return found


async def among(tx: Transaction, tenant_id: int, ids: Sequence[int]) -> dict[int, bool]:
    """Which of these blobs the tenant has a row for → whether it is a lease."""
    found: dict[int, bool] = {}
    for part in _parts(ids):
        rows = await tx.fetch_all(
            "SELECT blob_id, leased_until IS NOT NULL FROM possession"
            f" WHERE tenant_id = {tenant_id:d} AND blob_id IN ({id_list(part)})"
        )
        found.update((blob_id, bool(is_leased)) for blob_id, is_leased in rows)
    return found


def _parts(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _PER_STATEMENT] for start in range(0, len(ids), _PER_STATEMENT)]
