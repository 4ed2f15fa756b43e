"""What an operator may do to a tenant. Tenants are named by their billing client. Every change is in the audit."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Sequence

from cas.errors import CasError
from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.closing import erase_closed
from catalog.errors import CatalogError
from catalog.settings import BadSettings, load_settings
from catalog.values import Actor, Tenant
from tools.sizes import parse_size


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 it could not be done (the reason is on stderr)."""
    args = _parser().parse_args(argv)
    try:
        asyncio.run(_run(args))
    except (BadSettings, CasError, CatalogError) as e:
        print(f"tools/tenant: {e}", file=sys.stderr)
        return 2
    return 0


def parse_quota(text: str) -> int | None:
    """A size, or `default` → None. Raises argparse's error."""
    return None if text == "default" else parse_size(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/tenant", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all tenants with status, used bytes and quota")
    quota = commands.add_parser("quota", help="set how many logical bytes a tenant may keep")
    quota.add_argument("client", help="the billing client")
    quota.add_argument("size", type=parse_quota, help="e.g. 500G, 2T, or default")
    for name, text in (("suspend", "refuse every request of a tenant; files are kept"), ("resume", "let it in again")):
        commands.add_parser(name, help=text).add_argument("client", help="the billing client")
    close = commands.add_parser("close", help="close an account for good: files, names and journal are erased")
    close.add_argument("client", help="the billing client")
    close.add_argument("--erase-everything", action="store_true", required=True, help="say that you mean it")
    return parser


async def _run(args: argparse.Namespace) -> None:
    settings = load_settings()
    backend = LocalBackend(settings.storage_root)
    catalog = await Catalog.open(settings, Journal(backend), BlobStore.open(backend).store_id, connections_max=1)
    lock = StoreLock(settings.storage_root)
    try:
        if args.command == "list":
            await _list(catalog)
            return
        lock.share(lambda: None)  # what follows writes records: nobody may clear incoming/ beside it
        system, actor = catalog.system, Actor("operator", getpass.getuser())
        tenant = await system.tenant_by_client(args.client)
        match args.command:
            case "quota":
                await system.set_quota(tenant.id, args.size, actor)
            case "close":
                await _close(catalog, Journal(backend), tenant, actor)
                return
            case "suspend":
                await system.suspend(tenant.id, actor)
            case "resume":
                await system.resume(tenant.id, actor)
        _show(await system.tenant_by_client(args.client))
    finally:
        await catalog.close()
        lock.release()


async def _close(catalog: Catalog, journal: Journal, tenant: Tenant, actor: Actor) -> None:
    await catalog.system.suspend(tenant.id, actor)  # nobody adds anything from here on
    purged = await catalog.closing(tenant, actor).run()
    names = [name for name in journal.chains() if name.startswith(f"{tenant.uuid}/")]
    files = await erase_closed(journal, tenant.uuid, names)
    print(f"{tenant.billing_client}: closed; {purged:,} entries purged, {files:,} files of the journal erased")


async def _list(catalog: Catalog) -> None:
    print(f"{'client':<24} {'status':<10} {'used bytes':>20} {'quota bytes':>20}  label")
    after = 0
    while page := await catalog.system.tenants(after):
        for tenant in page:
            _show(tenant)
        after = page[-1].id


def _show(tenant: Tenant) -> None:
    print(
        f"{tenant.billing_client:<24} {tenant.status:<10} {tenant.used_bytes:>20,} {tenant.quota_bytes:>20,}"
        f"  {tenant.label}"
    )
