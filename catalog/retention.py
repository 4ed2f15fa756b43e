"""The owner's rule for versions that were replaced: how many, and for how long, they are kept. Default: for ever."""

from typing import Final

from catalog import audit, clock, records
from catalog.chains import journal_tenant
from catalog.database import Transaction
from catalog.errors import BadRequest
from catalog.ledger import lock_ledger
from catalog.scope import Scope
from catalog.values import Retention

VERSIONS_KEPT_MAX: Final = 1_000_000
DAYS_KEPT_MAX: Final = 36_500


class Retentions:
    """The tenant's rule. Changing it needs a signed-in person: a shorter one deletes for good."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self) -> Retention:
        async with self._scope.database.reading() as tx:
            return await self._read(tx)

    async def set(self, rule: Retention) -> Retention:
        """Keep by this rule from now on; the next sweep applies it. Raises `BadRequest`."""
        self._scope.require_person("change how long versions are kept")
        _check(rule.versions_kept, VERSIONS_KEPT_MAX, "versions")
        _check(rule.days_kept, DAYS_KEPT_MAX, "days")

        async def work(tx: Transaction) -> None:
            await lock_ledger(tx, self._scope.tenant)
            if await self._read(tx) != rule:
                await self._store(tx, rule)

        await self._scope.database.run(work)
        return rule

    async def _read(self, tx: Transaction) -> Retention:
        row = await tx.fetch_one(
            "SELECT versions_kept, days_kept FROM retention WHERE tenant_id = %s", (self._scope.tenant.id,)
        )
        return Retention(*row) if row else Retention()

    async def _store(self, tx: Transaction, rule: Retention) -> None:
        tenant, at = self._scope.tenant, clock.now()
        await tx.execute(
            "REPLACE INTO retention (tenant_id, versions_kept, days_kept, changed_at) VALUES (%s, %s, %s, %s)",
            (tenant.id, rule.versions_kept, rule.days_kept, clock.to_db(at)),
        )
        detail: dict[str, object] = {"versions": rule.versions_kept, "days": rule.days_kept}
        await audit.append(tx, tenant.id, self._scope.actor, "retention.change", "old versions", detail, at=at)
        line = records.RetentionLine(rule.versions_kept, rule.days_kept, at)
        await journal_tenant(tx, self._scope.journal, tenant.id, tenant.uuid, [line])


def _check(value: int | None, most: int, what: str) -> None:
    if value is not None and not 0 <= value <= most:
        raise BadRequest(f"The number of {what} to keep is 0 to {most:,}, or none for all.")
