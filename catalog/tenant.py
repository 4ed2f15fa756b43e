"""`TenantScope`: all that may be done in one tenant's name. Handlers hold one, and never a connection."""

from zoneinfo import ZoneInfo

from catalog.audit import Audit
from catalog.blobs import Blobs
from catalog.connections import Approvals
from catalog.damage import Damage
from catalog.derived import DerivedFiles
from catalog.devices import Devices
from catalog.entries import Entries
from catalog.exports import Exports
from catalog.folders import Folders
from catalog.grants import Grants
from catalog.history import History
from catalog.holdings import Holdings
from catalog.jobs import Jobs
from catalog.manifests import Manifests
from catalog.people import People
from catalog.purge import Purge
from catalog.renditions import Renditions
from catalog.restoring import Restoring
from catalog.retention import Retentions
from catalog.safety import Safety
from catalog.scope import Scope
from catalog.search import Search
from catalog.trail import Trail
from catalog.trees import Trees
from catalog.undoing import Undoing
from catalog.uploads import Uploads
from catalog.usage import Usages
from catalog.values import Actor, Tenant, Usage, UsedGrant


class TenantScope:
    """The repositories of one tenant, for one actor."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.approvals = Approvals(scope)
        self.audit = Audit(scope)
        self.blobs = Blobs(scope)
        self.derived = DerivedFiles(scope)
        self.damage = Damage(scope)
        self.devices = Devices(scope)
        self.entries = Entries(scope)
        self.exports = Exports(scope)
        self.folders = Folders(scope)
        self.grants = Grants(scope)
        self.history = History(scope)
        self.holdings = Holdings(scope)
        self.jobs = Jobs(scope)
        self.manifests = Manifests(scope)
        self.people = People(scope)
        self.purge = Purge(scope)
        self.retention = Retentions(scope)
        self.renditions = Renditions(scope)
        self.safety = Safety(scope)
        self.search = Search(scope)
        self.trail = Trail(scope)
        self.trees = Trees(scope)
        self.restoring = Restoring(scope)
        self.undoing = Undoing(scope)
        self.uploads = Uploads(scope)
        self.usages = Usages(scope)

    @property
    def tenant(self) -> Tenant:
        return self._scope.tenant

    @property
    def zone(self) -> ZoneInfo:
        """Whose clock the tenant's pages show."""
        return self._scope.zone

    @property
    def actor(self) -> Actor:
        return self._scope.actor

    @property
    def token_device(self) -> int | None:
        """The device that a device token is bound to; None for a person."""
        return self._scope.token_device

    @property
    def grant(self) -> UsedGrant | None:
        """What lets staff in; None for everybody else."""
        return self._scope.grant

    async def usage(self) -> Usage:
        """What the tenant uses of its quota, in logical bytes: live, held, old versions,
        and what was sent but is named by no file yet. Files and devices: those that this scope reaches. Staff who reach
        some devices alone are told the live bytes of these."""
        tenant_id = self._scope.tenant.id
        async with self._scope.database.reading() as tx:
            used = await tx.fetch_one("SELECT used_bytes + leased_bytes FROM ledger WHERE tenant_id = %s", (tenant_id,))
            live = await tx.fetch_one(
                "SELECT COUNT(*), COALESCE(SUM(file_count), 0), COALESCE(SUM(size_bytes), 0) FROM device"
                f" WHERE tenant_id = %s AND removed_key = 0{self._scope.within('id')}",
                (tenant_id,),
            )
        devices, files, live_bytes = (int(figure) for figure in live or (0, 0, 0))
        is_partial = self._scope.grant is not None and self._scope.devices is not None
        used_bytes = live_bytes if is_partial else int(used[0]) if used else 0
        return Usage(used_bytes, self._scope.tenant.quota_bytes, files, devices)
