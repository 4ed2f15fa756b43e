"""`otb-cloud restore`: a device or folder, now or as it was at a moment, into a folder here."""

import argparse
import os
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from blake3 import blake3

from otb_client import config
from otb_client.api import Api
from otb_client.cli import add_common
from otb_client.conflicts import Asker, Policy
from otb_client.errors import DONE, INTERRUPTED, PARTIAL, ApiError, BadAnswer, UsageError
from otb_client.lock import AlreadyRunning, DeviceLock
from otb_client.names import IS_WINDOWS, backup_path, shown, to_bytes
from otb_client.output import Output
from otb_client.place import Place
from otb_client.rate import RateLimit, parse_rate
from otb_client.restore_report import Report
from otb_client.restoring import CONNECTIONS, Restore
from otb_client.times import parse_time
from otb_client.tree import Tree
from otb_client.words import printable


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "restore",
        help="bring files back, as they are or as they were",
        description="Brings a folder of the backup back, or all of it, as it is now or as it was at any moment."
        " Every byte is checked. Run the same command again to go on after an interruption.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        default="",
        metavar="FOLDER",
        help="the folder, or file, as it was called on the computer (/home/ann/Pictures); all, where it is left out",
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="the folder here that the content comes into")
    parser.add_argument(
        "--device", metavar="NAME|ID", help="the device to restore; this computer's, where it is left out"
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="as it was then: 2026-05-03 (at the end of that day), '2026-05-03 14:00', or RFC 3339",
    )
    parser.add_argument("--area", choices=("originals", "derived"), default="originals")
    conflicts = parser.add_mutually_exclusive_group()
    for policy, text in (
        (Policy.OVERWRITE, "replace files here that differ"),
        (Policy.SKIP, "keep files here that differ"),
        (Policy.RENAME, "keep both: the restored one as “name (restored)”"),
    ):
        conflicts.add_argument(
            f"--{policy.value}", dest="policy", action="store_const", const=policy, default=None, help=text
        )
    parser.add_argument(
        "--verify", action="store_true", help="read files that are here already, and compare the content"
    )
    parser.add_argument("--special-bits", action="store_true", help="restore setuid, setgid and sticky bits too")
    parser.add_argument("--limit-rate", type=_rate, metavar="RATE", help="at most so many bytes a second: 500k, 2M")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_common(parser)


def _rate(text: str) -> int:
    try:
        return parse_rate(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def run(args: argparse.Namespace) -> int:
    """Raises `ClientError`."""
    out = Output(as_json=args.json)
    at = None if args.at is None else parse_at(args.at)
    known = config.load_connected()
    report = Report(out)
    api = Api(
        known.server,
        known.token,
        connections=CONNECTIONS,
        retry_seconds=args.retry_minutes * 60,
        on_wait=report.waiting,
    )
    try:
        device = known.device if args.device is None else find_device(api, args.device)
        folder = folder_path(args.folder)
        place = _open_place(args.to, is_dry=args.dry_run)
        lock_name = f"restore-{blake3(to_bytes(place.top)).hexdigest()[:32]}.lock"
        with _locked(config.cache_folder() / lock_name, place):
            return _restore(args, out, api, report, place, device, folder, at)
    except KeyboardInterrupt:
        out.warn("otb-cloud: interrupted. Run the same command again to go on from here.")
        return INTERRUPTED
    finally:
        api.close()


def _locked(file: Path, place: Place) -> DeviceLock:
    """Two restores into one folder would write each other's temporaries."""
    try:
        return DeviceLock(file)
    except AlreadyRunning as e:
        raise UsageError(f"Another restore into {printable(place.top)} is running. This one ends.") from e


def _restore(
    args: argparse.Namespace,
    out: Output,
    api: Api,
    report: Report,
    place: Place,
    device: str,
    folder: bytes,
    at: Optional[str],
) -> int:
    tree = _fetch_tree(api, device, folder, args.area, at)
    limit = RateLimit(args.limit_rate) if args.limit_rate else None
    policy = args.policy or (Policy.ASK if _can_ask(out) else Policy.REFUSE)
    restore = Restore(
        api, report, place, Asker(policy, report), limit,
        verify=args.verify, special=args.special_bits, is_dry=args.dry_run,
    )  # fmt: skip
    try:
        restore.work(tree)
    finally:
        report.stop()
        tree.close()
        place.close()
    report.summary(to=shown(to_bytes(place.top)), at=at, device=device, dry_run=args.dry_run)
    return PARTIAL if report.counts.problems else DONE


def _fetch_tree(api: Api, device: str, folder: bytes, area: str, at: Optional[str]) -> Tree:
    try:
        return Tree.fetch(api, device, folder, area, at)
    except ApiError as e:
        if e.status != 404:
            raise
        tree = _single(api, device, folder, area, at)
        if tree is not None:
            return tree
        when = f" at {at}" if at else ""
        what = f"no {shown(folder)}" if folder else "nothing of this device"
        raise UsageError(f"There is {what} in the backup{when}. {e}") from e


def _single(api: Api, device: str, path: bytes, area: str, at: Optional[str]) -> Optional[Tree]:
    """The file at a path that is no folder, if there is one."""
    try:
        return Tree.fetch_single(api, device, path, area, at) if path else None
    except ApiError as e:
        if e.status != 404:
            raise
        return None


def _open_place(to: str, *, is_dry: bool) -> Place:
    try:
        if not is_dry:
            os.makedirs(to, exist_ok=True)  # noqa: PTH103 - the name may be any bytes
        elif os.path.exists(to) and not os.path.isdir(to):  # noqa: PTH110, PTH112
            raise NotADirectoryError
    except OSError as e:
        raise UsageError(f"{printable(to)} cannot be restored to: {e.strerror or 'it is not a folder'}.") from e
    return Place(to)


def _can_ask(out: Output) -> bool:
    return not out.as_json and sys.stdin.isatty() and sys.stderr.isatty()


def folder_path(text: str) -> bytes:
    """The path in the backup of a folder as it is called here, or as the portal shows it (without the first slash)."""
    is_absolute = os.path.isabs(text) or (IS_WINDOWS and text[1:2] == ":")  # noqa: PTH117 - the name may be any bytes
    plain = os.path.normpath(text) if text else ""
    path = backup_path(plain) if is_absolute else to_bytes(plain.replace(os.sep, "/")).strip(b"/")
    path = b"" if path == b"." else path
    if b".." in path.split(b"/"):
        raise UsageError(f"{printable(text)} leads out of the backup. Give the folder's full path.")
    return path


def parse_at(text: str) -> str:
    """RFC 3339 in UTC of a moment; a day alone means its end, by this computer's clock. Raises `UsageError`."""
    given = text.strip()
    try:
        microseconds = parse_time(given) // 1_000
    except BadAnswer:  # no RFC 3339: then by this computer's clock
        microseconds = _local_microseconds(given)
    seconds, fraction = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:06d}Z"


def _local_microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise UsageError(f"{printable(text)!r} is not a time. Write 2026-05-03, or '2026-05-03 14:00'.") from e
    if len(text) == len("2026-05-03"):
        moment += timedelta(days=1, microseconds=-1)
    moment = moment.astimezone()
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def find_device(api: Api, wanted: str) -> str:
    """The id of a device by its id or name. Raises `UsageError`."""
    devices = api.get_json("/api/v1/devices").get("devices", [])
    ids = [device["id"] for device in devices if wanted in {device["id"], device["name"]}]
    if ids:
        return str(ids[0])
    names = ", ".join(printable(device["name"]) for device in devices) or "none"
    raise UsageError(
        f"This computer reaches no device called {printable(wanted)} (but: {names}). To restore another device, connect"
        " this computer as that device: otb-cloud login."
    )
