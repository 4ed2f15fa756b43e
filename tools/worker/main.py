"""`python -m tools.worker`: makes thumbnails, previews and what customers ask for, until it is told to end."""

import argparse
import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cas.errors import CasError
from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.errors import CatalogError, DatabaseUnavailable
from catalog.logs import begin_logging
from catalog.settings import BadSettings, Settings, load_settings
from tools.worker.errors import SandboxBroken
from tools.worker.slot import Tools
from tools.worker.worker import Worker

DATABASE_WAIT_SECONDS: Final = 30
_PAUSE_SECONDS: Final = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 it was told to end (or, with --until-idle, all is done), 2 it cannot run (the reason is on
    stderr)."""
    args = _parser().parse_args(argv)
    os.umask(0o077)
    try:
        settings = load_settings()
        begin_logging(settings.log_format)
        asyncio.run(_run(settings, until_idle=args.until_idle))
    except (BadSettings, CasError, CatalogError) as error:
        print(f"tools/worker: {error}", file=sys.stderr)
        return 2
    except SandboxBroken as error:
        print(
            f"tools/worker: {error}\nbubblewrap shuts untrusted files in; docs/derived.md says what it needs, and what"
            " WORKER_SANDBOX=limits gives up.",
            file=sys.stderr,
        )
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/worker", description=__doc__)
    parser.add_argument("--until-idle", action="store_true", help="end when nothing waits")
    return parser


async def _run(settings: Settings, *, until_idle: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    backend = LocalBackend(settings.storage_root)
    store = BlobStore.open(backend)
    slots = settings.worker_slots + settings.worker_heavy_slots
    catalog = await _open_catalog(settings, Journal(backend), store.store_id, slots + 4)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    try:
        with StoreLock(settings.storage_root) as lock, tempfile.TemporaryDirectory(prefix="otb-worker-") as scratch:
            # As every process that writes: while it runs, nobody takes what lies in `incoming/` for leftovers.
            lock.share(lambda: None)
            await Worker(Tools(settings, catalog, store), name, Path(scratch)).run(stop, until_idle=until_idle)
    finally:
        await catalog.close()
        backend.close()


async def _open_catalog(settings: Settings, journal: Journal, store_id: str, connections: int) -> Catalog:
    """Tried again for a while, since after a power cut everything starts at once."""
    give_up = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            return await Catalog.open(settings, journal, store_id, connections)
        except DatabaseUnavailable:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
