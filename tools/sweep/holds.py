"""What ends by itself: holds of deleted files, versions that the owner's rule no longer keeps, leases."""

from collections.abc import AsyncIterator

from catalog.catalog import Catalog
from catalog.tenant import TenantScope
from catalog.values import Actor
from tools.sweep.report import Report

_ACTIVE = "active"
_TENANTS_AT_ONCE = 200


async def end_holds(catalog: Catalog, report: Report) -> None:
    """For every active account; a suspended one keeps all until it is open again. Bounded transactions, many of
    them."""
    async for scope in _accounts(catalog):
        while (done := await scope.purge.expired()).entries:
            report.purged_files += done.files
            report.freed_quota_bytes += done.freed_bytes
        rule = await scope.retention.get()
        while (done := await scope.purge.outdated(rule)).entries:
            report.freed_quota_bytes += done.freed_bytes
        while dropped := await scope.blobs.drop_expired():
            report.leases_dropped += dropped


async def _accounts(catalog: Catalog) -> AsyncIterator[TenantScope]:
    after = 0
    while tenants := await catalog.system.tenants(after, _TENANTS_AT_ONCE):
        for tenant in tenants:
            if tenant.status == _ACTIVE:
                yield catalog.tenant(tenant, Actor("system", "sweep"))
        after = tenants[-1].id
