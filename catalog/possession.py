"""Possession: which blobs a tenant may name. By an entry, or for a while by a lease: bytes sent that no manifest names.

What always holds: a lease counts in the quota (`ledger.leased_bytes`) from the moment the bytes are received until a
manifest names them or it expires; whoever changes a lease holds the tenant's ledger locked.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from cas.digest import Digest
from catalog import clock
from catalog.database import Transaction
from catalog.ledger import Ledger

LEASE_HOURS: Final = 24
LEASES_DROPPED_AT_ONCE: Final = 2_000
_PER_STATEMENT: Final = 1_000


class Possessed(NamedTuple):
    """A blob that the tenant may name. `is_leased`: no entry has named it yet."""

    blob_id: int
    size_bytes: int
    is_leased: bool


def digest_list(digests: Iterable[Digest]) -> str:
    """Digests as hex literals for `IN (…)`: safe for this type alone, and twice as fast as bound parameters."""
    return ",".join(f"x'{digest.hex}'" for digest in digests)


def id_list(ids: Iterable[int]) -> str:
    """Ids as literals for `IN (…)`; ints alone."""
    return ",".join(map(str, map(int, ids)))


async def possessed(tx: Transaction, tenant_id: int, digests: Sequence[Digest]) -> dict[Digest, Possessed]:
    """Those of the digests that the tenant possesses, live and not known to be damaged.

    The empty blob is everyone's: it is permanent, and tells nothing. A lease that has expired is none.
    """
    known: dict[Digest, Possessed] = {}
    for start in range(0, len(digests), _PER_STATEMENT):
        part = digest_list(digests[start : start + _PER_STATEMENT])
        rows = await tx.fetch_all(
            "SELECT b.digest, b.id, b.size_bytes, p.leased_until IS NOT NULL FROM `blob` b"
            f" LEFT JOIN possession p ON p.tenant_id = {int(tenant_id)} AND p.blob_id = b.id"
            " LEFT JOIN verification v ON v.blob_id = b.id AND v.outcome <> 'good'"
            f" WHERE b.digest IN ({part}) AND b.state IN ('live', 'condemned') AND v.blob_id IS NULL"
            " AND (b.size_bytes = 0 OR p.tenant_id IS NOT NULL"
            " AND (p.leased_until IS NULL OR p.leased_until > UTC_TIMESTAMP(6)))"
        )
        for digest, blob_id, size_bytes, is_leased in rows:
            known[Digest(bytes(digest))] = Possessed(blob_id, size_bytes, bool(is_leased))
    return known


async def lease(tx: Transaction, ledger: Ledger, received: Mapping[int, int]) -> None:
    """The tenant possesses these blobs (id → size in bytes) for a while. Raises `QuotaExceeded`."""
    await drop_expired(tx, ledger)
    ids = sorted(received)
    had = await _among(tx, ledger.tenant.id, ids)
    fresh = [blob_id for blob_id in ids if blob_id not in had]
    ledger.charge_lease(sum(received[blob_id] for blob_id in fresh))
    now = clock.now()
    until, at = (clock.to_db(moment) for moment in (now + timedelta(hours=LEASE_HOURS), now))
    for part in _parts(fresh):
        rows = ",".join(f"({ledger.tenant.id:d},{blob_id:d},'{until}','{at}')" for blob_id in part)
        await tx.execute(f"INSERT INTO possession (tenant_id, blob_id, leased_until, created_at) VALUES {rows}")
    for part in _parts([blob_id for blob_id in ids if blob_id in had]):
        await tx.execute(
            f"UPDATE possession SET leased_until = '{until}' WHERE tenant_id = {ledger.tenant.id:d}"
            f" AND blob_id IN ({id_list(part)}) AND leased_until IS NOT NULL"
        )


async def refer(tx: Transaction, ledger: Ledger, named: Mapping[int, int]) -> None:
    """Entries name these blobs (id → size in bytes) from now on: possessed for good, and no lease is counted."""
    ids = sorted(named)
    had = await _among(tx, ledger.tenant.id, ids)
    leased = [blob_id for blob_id in ids if had.get(blob_id)]
    ledger.leased_bytes = max(0, ledger.leased_bytes - sum(named[blob_id] for blob_id in leased))
    for part in _parts(leased):
        await tx.execute(
            f"UPDATE possession SET leased_until = NULL WHERE tenant_id = {ledger.tenant.id:d}"
            f" AND blob_id IN ({id_list(part)})"
        )
    at = clock.to_db(clock.now())
    for part in _parts([blob_id for blob_id in ids if blob_id not in had]):
        rows = ",".join(f"({ledger.tenant.id:d},{blob_id:d},'{at}')" for blob_id in part)
        await tx.execute(f"INSERT INTO possession (tenant_id, blob_id, created_at) VALUES {rows}")


async def drop_expired(tx: Transaction, ledger: Ledger) -> int:
    """Leases that ran out are gone, and count no more; a bounded number at once. Returns how many."""
    rows = await tx.fetch_all(
        "SELECT p.blob_id, b.size_bytes FROM possession p JOIN `blob` b ON b.id = p.blob_id"
        " WHERE p.tenant_id = %s AND p.leased_until <= UTC_TIMESTAMP(6) LIMIT %s",
        (ledger.tenant.id, LEASES_DROPPED_AT_ONCE),
    )
    for part in _parts([blob_id for blob_id, _ in rows]):
        await tx.execute(
            f"DELETE FROM possession WHERE tenant_id = {ledger.tenant.id:d} AND blob_id IN ({id_list(part)})"
        )
    ledger.leased_bytes = max(0, ledger.leased_bytes - sum(size for _, size in rows))
    return len(rows)


async def _among(tx: Transaction, tenant_id: int, ids: Sequence[int]) -> dict[int, bool]:
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
