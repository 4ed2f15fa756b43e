"""Lapses: devices that back themselves up and have not been heard of for days.

What always holds: a device counts only while it has a token that works, since nothing backs itself up without one; it
is heard of when it sends a file, and when its token is used, so that one on which nothing changes does not lapse.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from catalog import clock
from catalog.database import Database, Transaction

OWNERS_MAX: Final = 20
"""So many of an account are told."""
AGAIN_DAYS: Final = 7
"""Of a lapse that goes on, its owners are told so often."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """`owners`: the addresses of the account's owners, as OTB Billing gave them."""

    tenant_id: int
    device_id: int
    device_name: str
    time_zone: str
    heard_at: datetime
    owners: list[str]


class Lapses:
    """Of all tenants that are not suspended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, days: int, after: tuple[int, int] = (0, 0), limit: int = 500) -> list[Lapse]:
        """Lapses of so many days whose owners are to be told now, after a tenant's device, in order of both ids."""
        now = clock.now()
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT d.tenant_id, d.id, d.name, t.time_zone, GREATEST(COALESCE(d.last_upload_at, d.created_at),"
                " MAX(COALESCE(k.last_used_at, k.created_at))) AS heard_at FROM device d"
                " JOIN tenant t ON t.id = d.tenant_id AND t.status = 'active'"
                " JOIN device_token k ON k.tenant_id = d.tenant_id AND k.device_id = d.id AND k.revoked_at IS NULL"
                " WHERE d.removed_key = 0 AND (d.tenant_id > %s OR d.tenant_id = %s AND d.id > %s)"
                " GROUP BY d.tenant_id, d.id HAVING heard_at < %s AND (MAX(d.lapse_mailed_at) IS NULL"
                " OR MAX(d.lapse_mailed_at) < heard_at OR MAX(d.lapse_mailed_at) <= %s)"
                " ORDER BY d.tenant_id, d.id LIMIT %s",
                (after[0], *after, clock.to_db(now - timedelta(days=days)),
                 clock.to_db(now - timedelta(days=AGAIN_DAYS)), limit),
            )  # fmt: skip
            return [
                Lapse(tenant_id, device_id, name, zone, clock.from_db(heard_at), await self._owners(tx, tenant_id))
                for tenant_id, device_id, name, zone, heard_at in rows
            ]

    async def mailed(self, lapse: Lapse) -> None:
        """The owners were told just now."""
        async with self._database.reading() as tx:
            await tx.execute(
                "UPDATE device SET lapse_mailed_at = %s WHERE tenant_id = %s AND id = %s",
                (clock.to_db(clock.now()), lapse.tenant_id, lapse.device_id),
            )

    async def _owners(self, tx: Transaction, tenant_id: int) -> list[str]:
        rows = await tx.fetch_all(
            "SELECT DISTINCT email FROM user WHERE tenant_id = %s AND role = 'owner' ORDER BY email LIMIT %s",
            (tenant_id, OWNERS_MAX),
        )
        return [str(email) for (email,) in rows]
