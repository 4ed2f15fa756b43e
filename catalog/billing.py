"""What OTB Billing decides of an account: a report of its status, applied once."""

from catalog import audit, records
from catalog.chains import journal_tenant
from catalog.database import Database, DuplicateKey, Transaction
from catalog.errors import HandoffReplayed, NotFound
from catalog.ledger import lock_ledger
from catalog.records import JournalWriter
from catalog.sessions import TENANT_COLUMNS, spend, tenant_of
from catalog.settings import Settings
from catalog.values import Actor, BillingReport, BillingStatus, Tenant

_BILLING = "OTB Billing"


class Billing:
    """Reports of OTB Billing."""

    def __init__(self, database: Database, settings: Settings, journal: JournalWriter) -> None:
        self._database = database
        self._settings = settings
        self._journal = journal

    async def apply(self, report: BillingReport, address: str | None) -> Tenant:
        """The account as it is from now on. A suspended one is refused with its next request; its files are kept. One
        that was closed stays closed. Raises `NotFound` where the customer has no account, `HandoffReplayed`.
        """

        async def work(tx: Transaction) -> Tenant:
            await spend(tx, report.jti, report.expires_at)
            tenant = await self._tenant(tx, report.billing_client)
            await lock_ledger(tx, tenant)
            tenant = await self._tenant(tx, report.billing_client)
            status = "active" if report.status is BillingStatus.ACTIVE else "suspended"
            if tenant.status in {status, "closed"}:
                return tenant
            await tx.execute("UPDATE tenant SET status = %s WHERE id = %s", (status, tenant.id))
            action = "tenant.resume" if status == "active" else "tenant.suspend"
            actor = Actor("system", _BILLING, None, address)
            await audit.append(tx, tenant.id, actor, action, tenant.label, {"reported": str(report.status)})
            line = await tenant_line(tx, tenant.id)
            await journal_tenant(tx, self._journal, tenant.id, tenant.uuid, [line])
            return await self._tenant(tx, report.billing_client)

        try:
            return await self._database.run(work)
        except DuplicateKey as e:
            raise HandoffReplayed from e

    async def _tenant(self, tx: Transaction, billing_client: str) -> Tenant:
        row = await tx.fetch_one(
            f"SELECT {TENANT_COLUMNS} FROM tenant t JOIN ledger l ON l.tenant_id = t.id WHERE t.billing_client = %s",
            (billing_client,),
        )
        if row is None:
            raise NotFound("account")
        return tenant_of(row, self._settings.quota_default_bytes)


async def tenant_line(tx: Transaction, tenant_id: int) -> records.TenantLine:
    """The account as it is now, for its chain. Raises `NotFound`."""
    row = await tx.fetch_one(
        "SELECT billing_client, label, status, quota_bytes, time_zone FROM tenant WHERE id = %s", (tenant_id,)
    )
    if row is None:
        raise NotFound("tenant")
    return records.TenantLine(*row)
