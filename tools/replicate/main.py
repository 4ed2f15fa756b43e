"""A second copy of the store, its journal and the database: in a folder (another disk, or another host's, mounted) or
in S3-compatible storage, as REPLICA says. Incremental, checked on the way, and safe to stop and start again.

`restore` makes a store from it; `drill` a whole service, in a folder of its own, and proves that it works.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from cas.backend import Backend
from cas.errors import BlobMissing, CasError, StoreNotReady, StoreReadOnly
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.replicated import note_replicated
from catalog.settings import BadSettings, Settings, load_settings
from tools.replicate.drill import Drill, restore
from tools.replicate.dumps import add_dump, newest_dump
from tools.replicate.places import opened_replica
from tools.replicate.replica import STATE_KEY, Counts, Replication, read_bytes
from tools.sizes import parse_size
from tools.verify.pace import Pace, Stopped

DONE: Final = 0
FAULTS: Final = 1
FAILED: Final = 2
INTERRUPTED: Final = 130
LOCK_NAME: Final = "replicate.lock"
"""Held alone by the one program that replicates this store."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 objects are wrong at the source, 2 it could not be done (reason on stderr), 130 stopped."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(load_settings(), arguments)
    except (BadSettings, CasError, OSError) as error:
        print(f"tools/replicate: {error}", file=sys.stderr)
        return FAILED
    except (Stopped, KeyboardInterrupt):
        print("tools/replicate: interrupted; the next run goes on from here", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/replicate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="bring the replica up to date")
    run.add_argument("--no-dump", action="store_true", help="leave the database out")
    run.add_argument("--allow-many-deletes", action="store_true", help="also if much is missing at the source")
    commands.add_parser("status", help="when the replica was last whole, and its newest dump")
    for name, text in (
        ("restore", "make a store in an empty folder from the replica"),
        ("drill", "make a service in an empty folder from the replica alone, and prove that it works"),
    ):
        commands.add_parser(name, help=text).add_argument("folder", type=Path)
    for command in commands.choices.values():
        command.add_argument("--rate-limit", type=parse_size, metavar="SIZE", help="at most so much a second, e.g. 50M")
    return parser


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    pace = Pace(arguments.rate_limit or None)
    _stop_on_signals(pace)
    with opened_replica(settings) as replica:
        match arguments.command:
            case "run":
                return _replicate(settings, replica, pace, arguments)
            case "status":
                return _status(replica)
            case "restore":
                counts = restore(replica, arguments.folder, pace.read).counts
                return _say(counts)
        Drill(replica, arguments.folder.resolve(), lambda text: print(text, flush=True)).run(pace.read)
        print("the drill passed")
        return DONE


def _replicate(settings: Settings, replica: Backend, pace: Pace, arguments: argparse.Namespace) -> int:
    with closing(LocalBackend(settings.storage_root)) as store, StoreLock(settings.storage_root, LOCK_NAME) as lock:
        if not lock.try_alone():
            raise StoreNotReady("another tools/replicate is running on this store")
        if not arguments.no_dump:  # first: all that it speaks of is in the journal and the blobs that follow
            print(f"dumped the database to {add_dump(settings, replica)}")
            _note(store, dumped_at=datetime.now(UTC))
        copying = Replication(store, replica, pace.read)
        today = datetime.now(UTC).date()
        counts = copying.run(today, settings.replica_grace_days, allow_many_deletes=arguments.allow_many_deletes)
        _note(store, whole_at=datetime.now(UTC))
        return _say(counts)


def _note(store: Backend, **moments: datetime) -> None:
    with suppress(StoreReadOnly):  # then the note grows old, which is told as well
        note_replicated(store, **moments)


def _status(replica: Backend) -> int:
    try:
        store_id, finished = read_bytes(replica, STATE_KEY).decode().split()
    except BlobMissing as error:
        raise StoreNotReady("nothing was ever replicated there to its end") from error
    print(f"store      {store_id}\nwhole at   {finished}\nnewest dump {newest_dump(replica) or 'none'}")
    return DONE


def _say(counts: Counts) -> int:
    for fault in counts.faults:
        print(f"fault: {fault}")
    print(
        f"copied {counts.copied:,} objects ({counts.copied_bytes:,} bytes), {counts.same:,} were there,"
        f" {counts.trashed:,} to the trash, {counts.emptied:,} out of it, {len(counts.faults):,} faults"
    )
    return FAULTS if counts.faults else DONE


def _stop_on_signals(pace: Pace) -> None:
    """The first signal ends the run between two steps; a second one at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        pace.stop()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
