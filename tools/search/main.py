"""Looks at the search indexes, and makes them again from the database. Servers may run meanwhile.

An index needs neither: a server makes what is missing or damaged, and keeps it up. Tenants are named by their billing
client.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence

from cas.errors import CasError
from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.errors import CatalogError
from catalog.settings import BadSettings, load_settings
from catalog.values import Tenant


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 an index is behind or missing (`status`), 2 it could not be done (why is on stderr)."""
    args = _parser().parse_args(argv)
    try:
        return asyncio.run(_run(args))
    except (BadSettings, CasError, CatalogError, OSError) as e:
        print(f"tools/search: {e}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/search", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("status", "what each tenant's files hold, and how many manifests they are behind"),
        ("rebuild", "read everything again and write new files"),
    ):
        commands.add_parser(name, help=text).add_argument("client", nargs="?", help="the billing client; all, if none")
    return parser


async def _run(args: argparse.Namespace) -> int:
    settings = load_settings()
    backend = LocalBackend(settings.storage_root)
    catalog = await Catalog.open(settings, Journal(backend), BlobStore.open(backend).store_id, connections_max=2)
    try:
        behind = 0
        async for tenant in _tenants(catalog, args.client):
            if args.command == "rebuild":
                await _rebuild(catalog, tenant)
            else:
                behind += await _show(catalog, tenant)
        return min(behind, 1)
    finally:
        await catalog.close()


async def _tenants(catalog: Catalog, client: str | None) -> AsyncIterator[Tenant]:
    if client is not None:
        yield await catalog.system.tenant_by_client(client)
        return
    after = 0
    while page := await catalog.system.tenants(after):
        for tenant in page:
            yield tenant
        after = page[-1].id


async def _rebuild(catalog: Catalog, tenant: Tenant) -> None:
    began = time.monotonic()
    count = await catalog.searches.rebuild(tenant)
    print(f"{tenant.billing_client:<24} {count:>12,} entries in {time.monotonic() - began:.1f} s")


async def _show(catalog: Catalog, tenant: Tenant) -> bool:
    """One line; whether the index is behind. One of few entries has no files: each server reads them when it starts."""
    status = await catalog.searches.status(tenant)
    print(
        f"{tenant.billing_client:<24} {status.entries:>12,} entries {status.segments:>5} segments"
        f" {status.size_bytes:>15,} bytes {status.changes_behind:>9,} changes behind"
    )
    return status.changes_behind > status.may_be_behind
