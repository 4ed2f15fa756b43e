"""Closing an account: everything purged, nothing personal left in the tables, a tombstone in the journal.

What always holds: every step may be repeated, and an interruption leaves a suspended account that is closed by the next
try. The audit stays, as it outlives what it tells of. A rebuild and a replica find the tombstone and honour it.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from catalog import audit, clock, records
from catalog.candidates import let_go
from catalog.chains import TENANT_CHAIN, advance, chain_name, later, lock_head
from catalog.database import Transaction
from catalog.errors import NotFound
from catalog.ledger import lock_ledger
from catalog.purging import DOOMED_COLUMNS, Act, Doomed, Purging, doomed_of
from catalog.records import JournalKeeper
from catalog.replay import read_chain
from catalog.scope import Scope

CLOSED: Final = "closed"
ENTRIES_AT_ONCE: Final = 5_000
_ALL: Final = 10**16 - 1
"""Beyond the last sequence that a chain may reach."""

_KEPT_TABLES: Final = ("tenant", "ledger", "journal_head")
"""Of these one row stays, with nothing personal in it. What the application may not delete (the audit, and who was let
in) stays whole: it is the record of what was done."""


class Closing:
    """Closes one suspended account, in the scope of an operator."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._database = scope.database
        self._journal = scope.journal
        self._tenant = scope.tenant
        self._actor = scope.actor

    async def run(self) -> int:
        """All of it; returns how many entries were purged. Raises `DatabaseUnavailable`, and what the journal does."""
        purged = 0
        for device_id in await self._devices():
            while count := await self._purge_some(device_id):
                purged += count
        await self._database.run(self._finish)
        await self._scope.searches.remove(self._tenant)
        return purged

    async def _devices(self) -> list[int]:
        async with self._database.reading() as tx:
            rows = await tx.fetch_all("SELECT id FROM device WHERE tenant_id = %s ORDER BY id", (self._tenant.id,))
        return [device_id for (device_id,) in rows]

    async def _purge_some(self, device_id: int) -> int:
        act = Act("tenant.close", self._tenant.billing_client)

        async def choose(tx: Transaction) -> Sequence[Doomed]:
            # What folders hold goes before them.
            for what in ("kind <> 'directory'", f"kind = 'directory' AND NOT EXISTS ({_INSIDE})"):
                rows = await tx.fetch_all(
                    f"SELECT {DOOMED_COLUMNS} FROM entry e"
                    f" WHERE tenant_id = %s AND device_id = %s AND {what} LIMIT {ENTRIES_AT_ONCE}",
                    (self._tenant.id, device_id),
                )
                if rows:
                    return [doomed_of(row) for row in rows]
            return []

        return (await Purging(self._scope, device_id, act).run(choose)).entries

    async def _finish(self, tx: Transaction) -> None:
        """Leases let go, every other row of the tenant dropped, the account's row made nobody's, the tombstone laid."""
        tenant_id = self._tenant.id
        await lock_ledger(tx, self._tenant)
        head = await lock_head(tx, tenant_id, TENANT_CHAIN)
        if head is None:
            raise NotFound("account")
        leased = await tx.fetch_all("SELECT blob_id FROM possession WHERE tenant_id = %s", (tenant_id,))
        await let_go(tx, tenant_id, [blob_id for (blob_id,) in leased])
        await tx.execute("SET SESSION foreign_key_checks = 0")
        try:
            for table in await self._tables(tx):
                await tx.execute(f"DELETE FROM `{table}` WHERE tenant_id = {tenant_id:d}")
        finally:
            await tx.execute("SET SESSION foreign_key_checks = 1")
        await tx.execute("DELETE FROM journal_head WHERE tenant_id = %s AND device_id > 0", (tenant_id,))
        await tx.execute("UPDATE ledger SET used_bytes = 0, leased_bytes = 0 WHERE tenant_id = %s", (tenant_id,))
        await tx.execute(
            "UPDATE tenant SET status = 'closed', billing_client = %s, label = 'closed' WHERE id = %s",
            (f"closed:{self._tenant.uuid}", tenant_id),
        )
        await audit.append(tx, tenant_id, self._actor, "tenant.close", self._tenant.uuid)
        tombstone: list[records.Line] = [
            records.CheckpointLine(head.sequence, [], 1),
            records.TenantLine(f"closed:{self._tenant.uuid}", "closed", CLOSED, None, self._tenant.time_zone),
        ]
        at = later(head, clock.now())
        await advance(tx, self._journal, head, self._tenant.uuid, records.encode(tombstone), at, manifests=0)

    async def _tables(self, tx: Transaction) -> list[str]:
        rows = await tx.fetch_all(
            "SELECT c.TABLE_NAME FROM information_schema.COLUMNS c JOIN information_schema.TABLES t"
            " ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME AND t.TABLE_TYPE = 'BASE TABLE'"
            " JOIN information_schema.TABLE_PRIVILEGES p ON p.TABLE_SCHEMA = c.TABLE_SCHEMA"
            " AND p.TABLE_NAME = c.TABLE_NAME AND p.PRIVILEGE_TYPE = 'DELETE'"
            " WHERE c.TABLE_SCHEMA = DATABASE() AND c.COLUMN_NAME = 'tenant_id'"
        )
        return sorted({name for (name,) in rows} - set(_KEPT_TABLES))


async def erase_closed(journal: JournalKeeper, uuid: str, names: Sequence[str]) -> int:
    """Erase every body of a closed account's chains but the tombstone; returns how many files went. May be repeated."""
    own, files = chain_name(uuid, TENANT_CHAIN), 0
    for name in names:
        through = (await asyncio.to_thread(read_chain, journal, name)).through if name == own else _ALL
        files += await asyncio.to_thread(journal.erase, name, through, ())
    return files


_INSIDE: Final = "SELECT 1 FROM entry c WHERE c.tenant_id = e.tenant_id AND c.parent_id = e.node_id"
