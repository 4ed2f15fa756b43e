"""Re-reads every blob that the catalog names, compares it with its digest, and moves damaged ones to quarantine.

Also reports missing blobs, files that no row names, and faults of the packs' indexes and of the journal. Of a damaged
blob in a pack a copy goes to quarantine. An interrupted run is resumed by the next.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cas.errors import CasError, StoreNotReady
from cas.journal import Journal
from cas.local import INCOMING, LocalBackend
from cas.lock import VERIFY_LOCK_NAME, StoreLock
from cas.store import BlobStore
from cas.trash import Trash
from catalog.audit_signing import AuditKey
from catalog.errors import CatalogError
from catalog.opening import open_database
from catalog.settings import BadSettings, Settings, load_settings
from catalog.system import SystemScope
from tools.sizes import parse_size
from tools.verify.audit_chain import check_audit, say_audit
from tools.verify.derived import DerivedReport, Remaking, say_derived
from tools.verify.history import RUNS_SHOWN, history_lines
from tools.verify.idle import read_idly
from tools.verify.metrics import write_metrics
from tools.verify.orphans import find_strays
from tools.verify.pace import Pace, Stopped
from tools.verify.progress import Progress, ProgressLine
from tools.verify.remake import MadeAgain
from tools.verify.repair import Copy, Source, repair
from tools.verify.report import CLEAN, COULD_NOT_RUN, INTERRUPTED, Report
from tools.verify.rest import look_at_the_rest, looking_at_files
from tools.verify.scrub import CatalogSide, Scrub
from tools.verify.selection import Selection, add_selections
from tools.worker.errors import WorkerError
from tools.worker.maker import Maker
from tools.worker.sandbox import Sandbox

THREADS: Final = 2
THREADS_MAX: Final = 32


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all is well, 1 damage was found, 2 it could not run (reason on stderr), 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.idle:
            read_idly()
        return asyncio.run(_run(load_settings(), arguments))
    except (BadSettings, CasError, CatalogError, WorkerError, OSError) as error:
        print(f"tools/verify: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/verify", description=__doc__)
    parser.add_argument("--rate-limit", type=_rate, metavar="SIZE", help="read at most so much a second, e.g. 50M")
    parser.add_argument("--threads", type=_threads, default=THREADS, help=f"how many read at once (default {THREADS})")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was found, as JSON")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--audit", action="store_true", help="prove the audit's chains, and nothing else")
    instead.add_argument(
        "--derived", action="store_true", help="make derived files again and compare them, and nothing else"
    )
    instead.add_argument("--history", action="store_true", help="list the newest runs, and do nothing else")
    add_selections(parser)
    parser.add_argument("--repair-from", type=Path, metavar="FOLDER", help="heal what is damaged from this copy")
    parser.add_argument(
        "--remake", action="store_true", help="heal derived files, thumbnails and previews by making them again"
    )
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write figures for the node exporter's collector")
    parser.add_argument("--idle", action="store_true", help="read only while nobody else wants the disk")
    parser.add_argument("--fresh", action="store_true", help="begin anew, even if a run was interrupted")
    parser.add_argument("--progress", action="store_true", help="write progress to stderr, also without a terminal")
    return parser


def _rate(text: str) -> int:
    if (size := parse_size(text)) == 0:
        raise argparse.ArgumentTypeError("give a size above 0")
    return size


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= THREADS_MAX:
        raise argparse.ArgumentTypeError(f"give a number from 1 to {THREADS_MAX}")
    return int(text)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[BlobStore, Journal, SystemScope]]:
    """What looking takes that moves nothing."""
    with closing(LocalBackend(settings.storage_root)) as backend:
        store, journal = BlobStore.open(backend), Journal(backend)
        async with _system(settings, journal, store) as system:
            yield store, journal, system


@asynccontextmanager
async def _system(settings: Settings, journal: Journal, store: BlobStore) -> AsyncIterator[SystemScope]:
    database = await open_database(settings, store.store_id, connections_max=2)
    try:
        yield SystemScope(database, settings, journal)
    finally:
        await database.close()


async def _run_audit(settings: Settings) -> int:
    async with _opened(settings) as (_, journal, system):
        report = await check_audit(system.audit, journal, AuditKey.load(settings.audit_key_file))
    say_audit(report)
    return report.exit_code


async def _run_history(settings: Settings) -> int:
    async with _opened(settings) as (_, _, system):
        for line in history_lines(await system.scrubbing.history(RUNS_SHOWN)):
            print(line)
    return CLEAN


async def _run_derived(settings: Settings, is_progress_wanted: bool) -> int:
    report = DerivedReport()
    progress = ProgressLine(report.summary, is_progress_wanted)
    async with _opened(settings) as (store, _, system), AsyncExitStack() as stack:
        remaking = Remaking(system, await _maker(stack, settings, store), report)
        _stop_on_signals(remaking.stop)
        async for _ in remaking.run(system.derived_rows):
            progress.show("making again")
    progress.end()
    if report.interrupted:
        print("tools/verify: interrupted", file=sys.stderr)
    say_derived(report)
    return report.exit_code


async def _maker(stack: AsyncExitStack, settings: Settings, store: BlobStore) -> Maker:
    """Ready to make things, in a sandbox that goes with the stack. Raises `SandboxBroken`."""
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="otb-verify-"))
    sandbox = Sandbox(Path(scratch) / "sandbox", settings.worker_sandbox)
    stack.push_async_callback(sandbox.close)
    await sandbox.start()
    return Maker(settings, store, sandbox)


async def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.audit:
        return await _run_audit(settings)
    if arguments.history:
        return await _run_history(settings)
    if arguments.derived:
        return await _run_derived(settings, arguments.progress)
    async with AsyncExitStack() as stack:
        backend = stack.enter_context(closing(LocalBackend(settings.storage_root)))
        store = BlobStore.open(backend)
        if not stack.enter_context(StoreLock(settings.storage_root, VERIFY_LOCK_NAME)).try_alone():
            raise StoreNotReady("another tools/verify is running on this store")
        lock = stack.enter_context(StoreLock(settings.storage_root))
        is_alone = lock.try_alone()
        system = await stack.enter_async_context(_system(settings, Journal(backend), store))
        cleared = 0
        if is_alone:  # what a killed server left, but for the parts of uploads that can be resumed
            cleared = await asyncio.to_thread(store.clear_incoming, await system.uploads.parts())
        # Mending writes, so this counts as a writer: nobody may clear incoming/ beside it.
        lock.share(lambda: None)
        selection = await Selection.chosen(system, arguments)
        sources: list[Source] = []
        if arguments.repair_from is not None:
            copy = stack.enter_context(closing(LocalBackend(arguments.repair_from)))
            sources.append(Copy(store, BlobStore(copy, store.store_id)))
        if arguments.remake:
            sources.append(MadeAgain(system, store, await _maker(stack, settings, store)))
        report = await _verify(system, store, backend, arguments, selection)
        report.cleared = cleared
        if selection is None:
            before = datetime.now(UTC) - timedelta(hours=settings.sweep_grace_hours)
            find_strays(settings.storage_root, await system.uploads.parts(), before, report)
        if sources and not report.interrupted:
            await repair(system, store, Trash(backend), sources, report)
        await _hand_over(system, report, arguments)
    _say(report)
    return report.exit_code


async def _hand_over(system: SystemScope, report: Report, arguments: argparse.Namespace) -> None:
    if arguments.report is not None:
        report.write(arguments.report)
    if arguments.metrics is not None:
        write_metrics(arguments.metrics, report, await system.scrubbing.freshness())


async def _verify(
    side: SystemScope,
    store: BlobStore,
    backend: LocalBackend,
    arguments: argparse.Namespace,
    selection: Selection | None,
) -> Report:
    report, last_blob_id = await _begun(side, store, arguments.fresh, selection)
    pace = Pace(arguments.rate_limit)
    progress = Progress(report, pace, arguments.progress)
    _stop_on_signals(pace.stop)
    started = time.monotonic()
    try:
        scrub = Scrub(side, store, pace, report, progress)
        if selection is None:
            async with looking_at_files(side, backend.root, pace, report) as files:
                await scrub.run(last_blob_id, arguments.threads)
                progress.show("looking for files that no row names")
                await files
            await look_at_the_rest(side, store, backend, pace, progress, report)
        else:
            await scrub.run_selected(selection.pages(), arguments.threads)
        await side.finish_scrub(report.run)
        report.complete = True
    except Stopped:
        report.interrupted = True
        print("tools/verify: interrupted; the next run goes on from here", file=sys.stderr)
    finally:
        report.finished = _now()
        report.bytes_read, report.seconds = pace.bytes_read, round(time.monotonic() - started, 3)
        progress.end()
    return report


async def _begun(side: CatalogSide, store: BlobStore, fresh: bool, selection: Selection | None) -> tuple[Report, int]:
    """A new run, or the interrupted one with what it has counted; and the blob it stands at."""
    if selection is not None:
        return Report(store.store_id, await side.start_scrub(selection.words), _now(), selection.words), 0
    earlier = None if fresh else await side.unfinished_scrub()
    if earlier is None:
        return Report(store.store_id, await side.start_scrub(), _now()), 0
    started = earlier.started_at.astimezone(UTC).isoformat(timespec="seconds")
    counts = dict(earlier.counts)
    return Report(store.store_id, earlier.id, started, resumed=True, counts=counts), earlier.last_blob_id


def _stop_on_signals(end: Callable[[], None]) -> None:
    """The first signal ends the run cleanly; a second one ends it at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        end()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _say(report: Report) -> None:
    """A summary for people, on stdout."""
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(report.counts.items())) or "none"
    print(f"blobs: {counts}")
    for problem in report.problems:
        where = ", now in quarantine" if problem.quarantined else ""
        print(f"{problem.outcome}: blob {problem.digest}{where}: {problem.detail}")
    print(f"files that no row names: {report.orphan_count} ({report.orphan_bytes} bytes)")
    for orphan in report.orphans:
        if orphan.key.startswith(f"{INCOMING}/"):
            print(f"left over: {orphan.key} ({orphan.size_bytes} bytes) goes with the next run beside nobody else")
    if report.cleared:
        print(f"files of killed writers that were dropped from {INCOMING}/: {report.cleared}")
    print(f"packs: {report.packs}")
    for fault in report.pack_faults:
        print(f"pack fault: {fault}")
    print(f"journal: {report.journal_chains} chains, {report.journal_records} records")
    for fault in report.journal_faults:
        print(f"journal fault: {fault}")
    for fault in report.row_faults:
        print(f"rows disagree: {fault}")
    for fault in report.permission_faults:
        print(f"wrong permissions: {fault}")
    for how, number in sorted(report.repaired.items()):
        print(f"{how}: {number}")
