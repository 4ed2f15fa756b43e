"""Moves what nothing names any more to the trash, and empties the trash after some days.

Ends holds, applies the owners' rules for versions and drops leases that ran out; condemns blobs that nothing names, and
a grace later takes them away; rewrites packs that are mostly dead. Runs beside the service; one at a time.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Final

from cas.errors import CasError, StoreNotReady
from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import SWEEP_LOCK_NAME, StoreLock
from cas.store import BlobStore
from cas.trash import Trash
from catalog import clock
from catalog.catalog import Catalog
from catalog.errors import CatalogError
from catalog.settings import BadSettings, Settings, load_settings
from tools.sweep.blobs import BlobSweep
from tools.sweep.holds import end_holds
from tools.sweep.leftovers import Leftovers
from tools.sweep.packs import PackSweep
from tools.sweep.report import COULD_NOT_RUN, INTERRUPTED, Report
from tools.sweep.survey import survey
from tools.sweep.trash import Emptying

Step = tuple[str, Callable[[], Awaitable[None]]]
"""What it does, in words for the progress line, and how."""

_MEBI: Final = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 something was found that must not be (and was mended where it could), 2 it could not run
    (reason on stderr), 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return asyncio.run(_run(load_settings(), arguments))
    except (BadSettings, CasError, CatalogError, OSError) as error:
        print(f"tools/sweep: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("tools/sweep: interrupted; the next run goes on from here", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/sweep", description=__doc__)
    parser.add_argument("--full", action="store_true", help="look at every blob and file, not at the queue alone")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was done, as JSON")
    parser.add_argument("--progress", action="store_true", help="say on stderr what is being done")
    return parser


async def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    _stop_on_signals()
    async with AsyncExitStack() as stack:
        backend = stack.enter_context(closing(LocalBackend(settings.storage_root)))
        store = BlobStore.open(backend)
        if not stack.enter_context(StoreLock(settings.storage_root, SWEEP_LOCK_NAME)).try_alone():
            raise StoreNotReady("another tools/sweep is running on this store")
        stack.enter_context(StoreLock(settings.storage_root)).share(lambda: None)
        catalog = await Catalog.open(settings, Journal(backend), store.store_id, connections_max=2)
        stack.push_async_callback(catalog.close)
        report = Report(store.store_id, dry_run=arguments.dry_run)
        if arguments.dry_run:
            await survey(catalog.system, Trash(backend), settings, report)
        else:
            await _sweep(settings, catalog, store, backend, report, arguments)
    if arguments.report is not None:
        report.write(arguments.report)
    _say(report)
    return report.exit_code


async def _sweep(
    settings: Settings, catalog: Catalog, store: BlobStore, backend: LocalBackend, report: Report,
    arguments: argparse.Namespace,
) -> None:  # fmt: skip
    run_id = await catalog.system.sweep.start()
    try:
        for words, step in steps(settings, catalog, store, backend, report, full=arguments.full):
            if arguments.progress or sys.stderr.isatty():
                print(f"tools/sweep: {words}", file=sys.stderr)
            await step()
        report.complete = True
    finally:
        await asyncio.shield(catalog.system.sweep.finish(run_id, report.counts(), is_complete=report.complete))


def steps(
    settings: Settings, catalog: Catalog, store: BlobStore, backend: LocalBackend, report: Report, *, full: bool
) -> list[Step]:
    """All steps of a sweep in order. Each may be interrupted anywhere, and begun again."""
    grace, now = timedelta(hours=settings.sweep_grace_hours), clock.now
    system = catalog.system
    blobs = BlobSweep(system.sweep, store, grace, now, report)
    leftovers = Leftovers(system, store, backend, grace, now, report)
    packs = PackSweep(system.sweep_packs, system.sweep, store, leftovers, grace, now, report)
    emptying = Emptying(system, Trash(backend), settings.trash_days, now, report)

    async def holds() -> None:
        await end_holds(catalog, report)

    chosen: list[Step] = [("ending holds and leases", holds), ("taking away what was condemned", blobs.doom)]
    chosen += [("moving files to the trash", blobs.remove), ("condemning what nothing names", blobs.condemn_queued)]
    if full:
        chosen += [("looking at every blob", blobs.condemn_all), ("gathering small files", packs.gather)]
    chosen += [("rewriting packs", packs.rewrite), ("moving packs to the trash", packs.remove)]
    if full:
        chosen += [("looking for files that no row names", leftovers.sweep)]
    return [*chosen, ("emptying the trash", emptying.empty)]


def _stop_on_signals() -> None:
    """A signal ends the run between two statements; what was begun is gone on with by the next."""
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("a sweep runs in a task")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _say(report: Report) -> None:
    """A summary for people, on stdout."""
    would = "would be " if report.dry_run else ""
    print(
        f"files whose hold ended: {report.purged_files}; {report.freed_quota_bytes:,} bytes of quota {would}free again"
    )
    print(f"blobs condemned: {report.condemned}")
    print(f"blobs to the trash: {report.trashed} ({_size(report.trashed_bytes)}), slices dead: {report.dead_slices}")
    print(f"packs rewritten: {report.packs_rewritten}, to the trash: {report.packs_trashed}")
    print(f"small files gathered into packs: {report.blobs_gathered}")
    print(f"files that no row names: {report.leftovers} ({_size(report.leftover_bytes)})")
    print(f"came back from the trash: {_size(report.emptied_bytes)} in {report.emptied} files")
    for alarm in report.alarms:
        print(f"ALARM: {alarm}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes" if size_bytes < _MEBI else f"{size_bytes / _MEBI:,.1f} MiB"
