"""What accounts use, for billing: `record` writes today's row of every account (run it at least once a day, best every
hour: the most of the day counts), `feed` prints a day as signed JSON lines."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import date

from cas.errors import CasError
from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.errors import CatalogError
from catalog.settings import BadSettings, Settings, load_settings
from tools.usage.feed import feed_key, feed_lines


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 it could not be done (the reason is on stderr)."""
    args = _parser().parse_args(argv)
    try:
        asyncio.run(_run(args))
    except (BadSettings, CasError, CatalogError) as e:
        print(f"tools/usage: {e}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/usage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record", help="write down what every account uses now")
    feed = commands.add_parser("feed", help="print what every account used on a day, signed")
    feed.add_argument("--day", type=date.fromisoformat, required=True, help="in UTC, e.g. 2026-11-28")
    return parser


async def _run(args: argparse.Namespace) -> None:
    settings = load_settings()
    backend = LocalBackend(settings.storage_root)
    catalog = await Catalog.open(settings, Journal(backend), BlobStore.open(backend).store_id, connections_max=1)
    try:
        if args.command == "record":
            await _record(catalog)
        else:
            await _feed(catalog, settings, args.day)
    finally:
        await catalog.close()
        backend.close()


async def _record(catalog: Catalog) -> None:
    accounts, after = 0, 0
    while page := await catalog.system.tenants(after):
        for tenant in page:
            await catalog.system.usage.record(tenant)
        accounts, after = accounts + len(page), page[-1].id
    print(f"recorded {accounts:,} accounts")


async def _feed(catalog: Catalog, settings: Settings, day: date) -> None:
    async for line in feed_lines(catalog.system.usage, day, feed_key(settings.otb_portal_shared_secret)):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
