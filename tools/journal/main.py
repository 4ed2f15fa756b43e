"""How the journal's chains stand, and checkpoints: the state of a chain in a few files, so that what was purged really
goes from the bodies before it, and a rebuild need not replay everything. Run `checkpoint` daily; the service goes on.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, closing
from typing import Final

from cas.errors import CasError, StoreNotReady
from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.errors import CatalogError
from catalog.settings import BadSettings, Settings, load_settings
from catalog.values import Tenant

DONE: Final = 0
FAILED: Final = 2
LOCK_NAME: Final = "journal.lock"
"""Held alone by the one program that makes checkpoints."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 it could not be done (reason on stderr; what was done before stays)."""
    arguments = _parser().parse_args(argv)
    try:
        asyncio.run(_run(load_settings(), arguments))
    except (BadSettings, CasError, CatalogError, OSError) as error:
        print(f"tools/journal: {error}", file=sys.stderr)
        return FAILED
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/journal", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="of each account: chains, records, and how many bodies were erased")
    checkpoint = commands.add_parser("checkpoint", help="make those that are due, and erase what they replace")
    checkpoint.add_argument("--all", action="store_true", help="of every chain with anything new, due or not")
    checkpoint.add_argument("--client", help="of one account alone, named by its billing client")
    return parser


async def _run(settings: Settings, arguments: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        backend = stack.enter_context(closing(LocalBackend(settings.storage_root)))
        store = BlobStore.open(backend)
        journal = Journal(backend)
        catalog = await Catalog.open(settings, journal, store.store_id, connections_max=2)
        stack.push_async_callback(catalog.close)
        if arguments.command == "status":
            await _status(catalog, journal)
            return
        if not stack.enter_context(StoreLock(settings.storage_root, LOCK_NAME)).try_alone():
            raise StoreNotReady("another tools/journal is making checkpoints")
        stack.enter_context(StoreLock(settings.storage_root)).share(lambda: None)
        await _checkpoint(catalog, journal, arguments)


async def _status(catalog: Catalog, journal: Journal) -> None:
    print(f"{'client':<24} {'chains':>8} {'records':>12} {'erased':>12}")
    async for tenant in _tenants(catalog):
        names = _chains_of(journal, tenant)
        records = erased = 0
        for name in names:
            for record in journal.records(name):
                records += 1
                erased += record.body is None
        print(f"{tenant.billing_client:<24} {len(names):>8,} {records:>12,} {erased:>12,}")


async def _checkpoint(catalog: Catalog, journal: Journal, arguments: argparse.Namespace) -> None:
    found = catalog.system.checkpoints(journal)
    count = 0
    async for tenant in _tenants(catalog):
        if arguments.client in {None, tenant.billing_client}:
            for made in await found.tenant(tenant, _chains_of(journal, tenant), even_if_not_due=arguments.all):
                count += 1
                print(f"{made.chain}: stands for records up to {made.through} in {made.parts} parts,"
                      f" {made.erased_files} files erased")  # fmt: skip
    print(f"{count} checkpoints")


async def _tenants(catalog: Catalog) -> AsyncIterator[Tenant]:
    after = 0
    while page := await catalog.system.tenants(after):
        for tenant in page:
            yield tenant
        after = page[-1].id


def _chains_of(journal: Journal, tenant: Tenant) -> list[str]:
    return [name for name in journal.chains() if name.startswith(f"{tenant.uuid}/")]
