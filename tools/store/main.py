"""Makes the store named by STORAGE_ROOT, shows its state, and lets it be written again after a failure was mended.

What always holds: an existing store is never made anew, and after `writable` a trial write was durable.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from cas.errors import CasError, StoreFailed, StoreNotReady
from cas.local import FOLDER_MODE, LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog.settings import BadSettings, load_settings

DONE: Final = 0
READ_ONLY: Final = 1
FAILED: Final = 2
TRIAL_BYTES: Final = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done (status: takes writes), 1 the store is read-only, 2 it could not be done (reason on stderr)."""
    arguments = _parser().parse_args(argv)
    command: Callable[[Path], int] = arguments.command
    try:
        return command(arguments.root or load_settings().storage_root)
    except (BadSettings, CasError) as error:
        print(f"tools/store: {error}", file=sys.stderr)
        return FAILED


def init(root: Path) -> int:
    """Make the folder, if its parent is there, and the store in it."""
    _make_root(root)
    with StoreLock(root) as lock, closing(LocalBackend(root)) as backend:
        if not lock.try_alone():
            raise StoreNotReady("another process is using this store")
        print(f"store {BlobStore.initialise(backend)} made in {root}")
    return DONE


def status(root: Path) -> int:
    """Print what the store is and whether it takes writes."""
    with closing(LocalBackend(root)) as backend:
        store = BlobStore.open(backend)
        space = os.statvfs(root)
        print(f"store      {store.store_id}")
        print(f"root       {root}")
        print(f"free       {space.f_bavail * space.f_frsize} bytes of {space.f_blocks * space.f_frsize}")
        print(f"incoming   {sum(1 for _ in backend.temporaries())} files under way or left over")
        print(f"writable   {'yes' if store.read_only_reason is None else f'no: {store.read_only_reason}'}")
        return DONE if store.read_only_reason is None else READ_ONLY


def writable(root: Path) -> int:
    """Take the read-only note away and try a durable write; a failure puts the note back."""
    with StoreLock(root) as lock, closing(LocalBackend(root)) as backend:
        BlobStore.open(backend)
        lock.share(lambda: None)
        reason = backend.read_only_reason
        backend.allow_writes()
        _try_write(backend)
        if reason is None:
            print("the store was writable")
        else:
            print(f"the store is writable again; it was read-only: {reason}")
            print("restart the servers that met the failure: they stay read-only until then")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/store", description=__doc__)
    parser.add_argument("--root", type=Path, help="the store's folder (default: the setting STORAGE_ROOT)")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in (init, status, writable):
        found = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        found.set_defaults(command=command)
    return parser


def _make_root(root: Path) -> None:
    """The parent must exist, so that an unmounted disk is noticed and not replaced by a folder of the same name."""
    try:
        root.mkdir(FOLDER_MODE, exist_ok=True)
        parent = os.open(root.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError as error:
        raise StoreFailed(f"{root} cannot be made: {error.strerror} (its parent folder must exist)") from error


def _try_write(backend: LocalBackend) -> None:
    trial = backend.create()
    try:
        trial.write(bytes(TRIAL_BYTES))
        trial.seal()
    finally:
        trial.discard()
