"""Brings the originals of the earlier scaffold into the store: each `DEVICE/originals/` below a folder becomes a device
of one tenant. Nothing in the folder is changed. Done twice, the second time changes nothing; interrupted, the next run
goes on.
"""

import argparse
import asyncio
import getpass
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from threading import Event
from typing import Final

from cas.errors import CasError
from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.errors import CatalogError
from catalog.settings import BadSettings, Settings, load_settings
from catalog.tenant import TenantScope
from catalog.values import Actor, DeviceKind
from tools.importing.device import DeviceImport, Interrupted
from tools.importing.report import COULD_NOT_RUN, INTERRUPTED, Report
from tools.verify.progress import ProgressLine

ORIGINALS: Final = "originals"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all originals are in the store, 1 some were left out (each is listed), 2 it could not run or go on
    (the reason is on stderr), 130 interrupted."""
    arguments = _parser().parse_args(argv)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        return asyncio.run(_run(load_settings(), arguments, stop.is_set))
    except (BadSettings, CasError, CatalogError, OSError) as error:
        print(f"tools/import: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    except Interrupted:
        print("tools/import: interrupted; the next run goes on from here", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/import", description=__doc__)
    parser.add_argument("folder", type=Path, help="the scaffold's folder of one customer")
    parser.add_argument("client", help="the customer's billing client, who has signed in once")
    parser.add_argument(
        "--device", type=_pair, action="append", default=[], metavar="FOLDER=NAME",
        help="the device that a folder becomes, if not one of the folder's name; may be given more than once",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--progress", action="store_true", help="say on stderr how far it is")
    return parser


def _pair(text: str) -> tuple[str, str]:
    folder, equals, name = text.partition("=")
    if not (folder and equals and name):
        raise argparse.ArgumentTypeError("give FOLDER=NAME, e.g. old-laptop=laptop")
    return folder, name


async def _run(settings: Settings, arguments: argparse.Namespace, stopped: Callable[[], bool]) -> int:
    names = _devices(arguments.folder, dict(arguments.device))
    async with AsyncExitStack() as stack:
        backend = stack.enter_context(closing(LocalBackend(settings.storage_root)))
        store = BlobStore.open(backend)
        # As every process that writes: while it runs, nobody takes what lies in `incoming/` for leftovers.
        stack.enter_context(StoreLock(settings.storage_root)).share(lambda: None)
        catalog = await Catalog.open(settings, Journal(backend), store.store_id, connections_max=2)
        stack.push_async_callback(catalog.close)
        tenant = await catalog.system.tenant_by_client(arguments.client)
        scope = catalog.tenant(tenant, Actor("operator", getpass.getuser()))
        report = Report(arguments.dry_run)
        progress = ProgressLine(lambda _: report.text(), arguments.progress)
        try:
            for folder, name in names.items():
                device_id = await _device_id(scope, name, dry_run=arguments.dry_run)
                device = DeviceImport(scope, store, name, device_id, report, stopped, progress.show)
                await device.run(arguments.folder / folder / ORIGINALS)
        finally:
            print(report.text())
    return report.exit_code


def _devices(folder: Path, renamed: dict[str, str]) -> dict[str, str]:
    """Folder → the device's name. Raises `OSError`, with a sentence, where there is nothing to import."""
    found = sorted(
        inner.name for inner in folder.iterdir()
        if not inner.is_symlink() and (inner / ORIGINALS).is_dir() and not (inner / ORIGINALS).is_symlink()
    )  # fmt: skip
    if not found:
        raise OSError(f"There is no DEVICE/originals/ below {folder}. Name the folder that the devices lie in.")
    if unknown := sorted(renamed.keys() - set(found)):
        raise OSError(f"There is no {unknown[0]}/originals/ below {folder}, which --device names.")
    names = {name: renamed.get(name, name) for name in found}
    if len(set(names.values())) < len(names):
        raise OSError("Two folders would become one device. Give each another name with --device.")
    return names


async def _device_id(scope: TenantScope, name: str, *, dry_run: bool) -> int | None:
    """The device of this name, made if it is not there; None in a dry run."""
    for device in await scope.devices.all():
        if device.name == name:
            return device.id
    if dry_run:
        return None
    kinds = [kind for kind in DeviceKind if kind == name.lower()]
    return (await scope.devices.create(name, kinds[0] if kinds else DeviceKind.OTHER)).id
