"""The ledger: the row that every change of a tenant locks first, with its counted bytes and its next free id."""

from dataclasses import dataclass

from catalog.database import Transaction
from catalog.errors import NotFound, QuotaExceeded
from catalog.values import Tenant


@dataclass(slots=True)
class Ledger:
    """The locked row; changes gather here and `store` writes them once.

    `used_bytes`: live, held and versions. `leased_bytes`: sent, and named by no entry yet.
    """

    tenant: Tenant
    used_bytes: int
    leased_bytes: int
    next_id: int

    def take_id(self) -> int:
        """A number of this tenant's that was never used before."""
        self.next_id += 1
        return self.next_id - 1

    def charge(self, delta_bytes: int) -> None:
        """Count `delta_bytes` more (or fewer). Raises `QuotaExceeded` when more would not fit."""
        self._check(delta_bytes)
        self.used_bytes += delta_bytes

    def charge_lease(self, delta_bytes: int) -> None:
        """Count `delta_bytes` more as leased. Raises `QuotaExceeded`."""
        self._check(delta_bytes)
        self.leased_bytes += delta_bytes

    def _check(self, delta_bytes: int) -> None:
        counted = self.used_bytes + self.leased_bytes
        if delta_bytes > 0 and counted + delta_bytes > self.tenant.quota_bytes:
            raise QuotaExceeded(self.tenant.quota_bytes, counted, delta_bytes)

    async def store(self, tx: Transaction) -> None:
        await tx.execute(
            "UPDATE ledger SET used_bytes = %s, leased_bytes = %s, next_id = %s WHERE tenant_id = %s",
            (self.used_bytes, self.leased_bytes, self.next_id, self.tenant.id),
        )


async def lock_ledger(tx: Transaction, tenant: Tenant) -> Ledger:
    """Lock the tenant's row until the transaction ends: from here on, this tenant changes nowhere else. Raises
    `NotFound` for an account that was closed, also since the request was let in: its tombstone is the last word."""
    row = await tx.fetch_one(
        "SELECT used_bytes, leased_bytes, next_id FROM ledger WHERE tenant_id = %s FOR UPDATE",
        (tenant.id,),
    )
    closed = await tx.fetch_one("SELECT 1 FROM tenant WHERE id = %s AND status = 'closed'", (tenant.id,))
    if row is None or closed is not None:
        raise NotFound("account")
    return Ledger(tenant, *row)
