"""`Catalog`: opened once by whoever needs it; gives scopes."""

from typing import Final

from catalog.audit_checkpoints import AuditCheckpoints
from catalog.audit_signing import AuditKey
from catalog.closing import Closing
from catalog.condition import Condition, read_condition
from catalog.database import POOL_CONNECTIONS_MAX, Database
from catalog.errors import TenantSuspended
from catalog.opening import open_database
from catalog.records import JournalWriter
from catalog.scope import Scope
from catalog.search_indexes import SearchIndexes
from catalog.settings import Settings
from catalog.system import SystemScope
from catalog.tenant import TenantScope
from catalog.values import Actor, Tenant, UsedGrant

ACTIVE: Final = "active"


class Catalog:
    """The catalog of one store."""

    def __init__(self, database: Database, journal: JournalWriter, settings: Settings) -> None:
        self._database = database
        self._journal = journal
        self._settings = settings
        self.searches = SearchIndexes(database, settings.search_dir)
        self.system = SystemScope(database, settings, journal)
        self.audit_checkpoints = AuditCheckpoints(database, journal, AuditKey.load(settings.audit_key_file))

    @classmethod
    async def open(
        cls, settings: Settings, journal: JournalWriter, store_id: str, connections_max: int = POOL_CONNECTIONS_MAX
    ) -> "Catalog":
        """Connect and check. Raises DatabaseUnavailable, SchemaMismatch."""
        return cls(await open_database(settings, store_id, connections_max), journal, settings)

    async def close(self) -> None:
        await self.searches.close()
        await self._database.close()

    async def condition(self) -> Condition:
        """How the service is, as the catalog knows it. Raises `DatabaseUnavailable`."""
        return await read_condition(self._database)

    async def ready(self) -> None:
        """Raises `DatabaseUnavailable` unless the database answers."""
        await self._database.ping()

    def tenant(
        self, tenant: Tenant, actor: Actor, token_device: int | None = None, grant: UsedGrant | None = None
    ) -> TenantScope:
        """The scope of a tenant that a session or a token was found for. Raises `TenantSuspended`."""
        if tenant.status != ACTIVE:
            raise TenantSuspended
        return TenantScope(self._scope(tenant, actor, token_device, grant))

    def closing(self, tenant: Tenant, actor: Actor) -> Closing:
        """What an operator closes an account with for good, once it is suspended."""
        return Closing(self._scope(tenant, actor, None, None))

    def _scope(self, tenant: Tenant, actor: Actor, token_device: int | None, grant: UsedGrant | None) -> Scope:
        return Scope(
            self._database,
            self._journal,
            self.searches,
            tenant,
            actor,
            token_device,
            self._settings.hold_days,
            grant,
        )
