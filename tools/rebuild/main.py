"""Brings the catalog back from the store alone, into an empty database (after tools/migrate); or, with `compare`, holds
an existing catalog against the store's journal and names each difference.

A rebuild that was interrupted goes on when it is started again. A broken chain stops it before that account is touched;
`--until-gap` takes each chain as far as it proves itself. Afterwards tools/verify re-reads the bytes.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from typing import Final, TypeAlias

from cas.errors import CasError, JournalBroken, StoreNotReady
from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog import schema
from catalog.audit_chain import AUDIT_CHAINS, AuditChains
from catalog.compare import Comparison
from catalog.database import Database
from catalog.errors import CatalogError, JournalIncomplete
from catalog.found import Found
from catalog.opening import connect_options
from catalog.rebuild import Rebuild
from catalog.replay import TenantChains, TenantState, read_tenant
from catalog.settings import BadSettings, Settings, load_settings
from tools.rebuild.audited import events_known
from tools.rebuild.files import find_files
from tools.rebuild.report import FAILED, Report
from tools.rebuild.untilgap import UntilGap

CONNECTIONS_MAX: Final = 4
Reader: TypeAlias = Journal | UntilGap


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all is well, 1 faults or differences were found, 2 it could not be done (reason on stderr)."""
    arguments = _parser().parse_args(argv)
    try:
        asked = Report(shows_progress=arguments.progress or sys.stderr.isatty())
        options = {"until_gap": arguments.until_gap, "may_be_older": getattr(arguments, "may_be_older", False)}
        return asyncio.run(run(load_settings(), asked, arguments.command or "rebuild", **options))
    except (BadSettings, CasError, CatalogError, OSError) as error:
        print(f"tools/rebuild: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/rebuild", description=__doc__)
    parser.add_argument("--until-gap", action="store_true", help="take broken chains as far as they prove themselves")
    parser.add_argument("--progress", action="store_true", help="write progress to stderr, also without a terminal")
    commands = parser.add_subparsers(dest="command", metavar="command")
    compare = commands.add_parser("compare", help="change nothing: hold the catalog against the journal")
    compare.add_argument(
        "--may-be-older", action="store_true", help="what came since an old dump was made is no difference"
    )
    return parser


async def run(
    settings: Settings, report: Report, command: str, *, until_gap: bool = False, may_be_older: bool = False
) -> int:
    """`command`: rebuild or compare. Returns the exit code. Raises CasError, CatalogError."""
    async with AsyncExitStack() as stack:
        backend = stack.enter_context(closing(LocalBackend(settings.storage_root)))
        store = BlobStore.open(backend)
        database = await Database.open(connect=connect_options(settings), connections_max=CONNECTIONS_MAX)
        stack.push_async_callback(database.close)
        await schema.check(database, store.store_id)
        journal = Journal(backend)
        if command == "compare":
            await _compare(database, journal, journal, report, may_be_older=may_be_older)
            report.say("compared")
            return report.exit_code
        if not stack.enter_context(StoreLock(settings.storage_root)).try_alone():
            raise StoreNotReady("a server or another program writes to this store; stop it first")
        reader = UntilGap(journal, report) if until_gap else journal
        await _rebuild(database, journal, reader, store, backend, report)
        return report.exit_code


async def _rebuild(
    database: Database, journal: Journal, reader: Reader, store: BlobStore, backend: LocalBackend, report: Report
) -> None:
    rebuild, found = Rebuild(database), Found(database)
    await rebuild.begin()
    files, packs, faults = await find_files(found, backend, store)
    report.notes.append(f"{files:,} files of blobs and {packs:,} packs found")
    for fault in faults:
        report.fault(fault)
    is_whole = True
    for uuid, names in _by_tenant(journal).items():
        is_whole = await _rebuild_tenant(rebuild, journal, reader, uuid, names, report) and is_whole
    for digest in dict.fromkeys(rebuild.missing):
        report.fault(f"blob {digest}: entries name it, and no file holds it")
    if not is_whole:
        report.say("left unfinished, and closed to the server")
        return
    unnamed = await found.finish()
    report.notes.append(f"{unnamed:,} blobs in the store are named by no entry")
    await rebuild.finish()
    report.say("rebuilt")
    check = Report(shows_progress=report.shows_progress)
    await _compare(database, journal, reader, check)
    check.say("compared")
    report.fault_count += check.fault_count


async def _rebuild_tenant(
    rebuild: Rebuild, journal: Journal, reader: Reader, uuid: str, names: Sequence[str], report: Report
) -> bool:
    """One account; False, and nothing of it written, if its chains do not prove themselves."""
    if await rebuild.is_done(uuid):
        report.notes.append(f"{uuid} was rebuilt by an earlier run")
        return True
    chains = await _read(journal, reader, uuid, names, report)
    if chains is None:
        return False
    report.notes += chains.uncommitted
    state = await asyncio.to_thread(TenantState.of, chains.tenant)
    if state.is_closed:
        report.notes.append(f"{uuid} was closed, and stays so")
        return True
    await rebuild.tenant(state, chains, report.counted)
    report.tenants += 1
    return True


async def _compare(
    database: Database, journal: Journal, reader: Reader, report: Report, *, may_be_older: bool = False
) -> None:
    # Before the catalog is read: what the journal knows by then, a catalog that is not older has.
    audited = await asyncio.to_thread(events_known, journal, await AuditChains(database).checkpoints_under())
    comparison = Comparison(database, report.counted, audited, may_be_older=may_be_older)
    accounts = _by_tenant(journal)
    for uuid, names in accounts.items():
        chains = await _read(journal, reader, uuid, names, report)
        if chains is not None:
            report.tenants += 1
            report.notes += chains.uncommitted
            async for difference in comparison.tenant(uuid, chains):
                report.fault(f"{difference.where}: {difference.what}")
    async for difference in comparison.tenants(list(accounts)):
        report.fault(f"{difference.where}: {difference.what}")
    report.notes += comparison.beyond


async def _read(
    journal: Journal, reader: Reader, uuid: str, names: Sequence[str], report: Report
) -> TenantChains | None:
    """The account's chains, or None with every fault of them told."""
    try:
        return await asyncio.to_thread(read_tenant, reader, uuid, names)
    except JournalIncomplete as error:
        report.fault(str(error))
    except JournalBroken:
        for name in names:
            for fault in await asyncio.to_thread(journal.faults, name):
                report.fault(fault)
    return None


def _by_tenant(journal: Journal) -> dict[str, list[str]]:
    """The chains of each account, by its UUID."""
    found: dict[str, list[str]] = {}
    for name in journal.chains():
        if not name.startswith(AUDIT_CHAINS):
            found.setdefault(name.partition("/")[0], []).append(name)
    return found
