"""`otb-cloud upload`: what is asked for, checked and put together; `backup` does the work.

Exit code 0 says that everything looked at is in the backup; 1, that it is but for what was named.
"""

import argparse
import gc
import os
from collections.abc import Sequence
from typing import Any, Optional

from otb_client import config, excludes, mirror, sources
from otb_client.api import Api
from otb_client.cache import Cache
from otb_client.cli import add_common
from otb_client.config import Config
from otb_client.errors import DONE, PARTIAL, BadAnswer, UsageError
from otb_client.history import OURS_UNDER_WAY_MAX, is_ours
from otb_client.lock import DeviceLock
from otb_client.names import backup_path, shown
from otb_client.output import Output
from otb_client.progress import Progress, size_text
from otb_client.rate import RateLimit, parse_rate
from otb_client.scan import Root

GC_OBJECTS = 100_000
"""Files become many small tuples and no cycles: looking for cycles at each 700 of them is in vain."""


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = subparsers.add_parser(
        "upload",
        help="back up this computer's folders, or those given",
        description="Backs up the folders that your device's settings name, or the paths given. Only what is new or"
        " changed is read and sent. Files deleted here stay in the backup unless --mirror is given.",
        epilog="Exit codes: 0 everything is backed up; 1 all but the files named; 2 wrong usage or settings;"
        " 3 not connected or refused; 4 the server or the line failed; 130 interrupted.",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders or files; without any, the device's folders")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="leave out, as in .gitignore")
    parser.add_argument("--exclude-from", action="append", default=[], metavar="FILE", help="patterns, one per line")
    parser.add_argument("--rehash", action="store_true", help="read every file, even if it looks unchanged")
    parser.add_argument("--mirror", action="store_true", help="remove from the backup what is gone here")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be read")
    parser.add_argument("--limit-rate", type=_rate, metavar="RATE", help="send at most so much a second: 500k, 2M")
    add_common(parser)


def _rate(text: str) -> int:
    try:
        return parse_rate(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def run(args: argparse.Namespace) -> int:
    """The whole command; its exit code."""
    gc.set_threshold(GC_OBJECTS)
    settings = config.load_connected()
    output = Output(as_json=args.json)
    lines = excludes.given_lines(args.exclude, args.exclude_from)
    folder = config.cache_folder()
    name = Cache.file_name(settings.server, settings.device)
    with DeviceLock(folder / f"{name}.lock"):
        cache = Cache(
            folder / name, lambda reason: output.warn(f"The cache cannot be used ({reason}): slower, no worse.")
        )
        try:
            return _Upload(args, settings, output, cache, lines).run()
        finally:
            cache.close()


class _Upload:
    """One call of the command."""

    def __init__(
        self, args: argparse.Namespace, settings: Config, output: Output, cache: Cache, lines: list[str]
    ) -> None:
        self._args = args
        self._settings = settings
        self._output = output
        self._cache = cache
        self._lines = lines
        self._progress = Progress(output)
        self._refused = 0
        self._api = Api(
            settings.server, settings.token, retry_seconds=args.retry_minutes * 60, on_wait=self._progress.waiting
        )

    def run(self) -> int:
        try:
            return self._run()
        except BaseException as e:
            self._output.event("failed", error=str(e) or type(e).__name__)
            raise
        finally:
            self._progress.stop()
            self._api.close()

    def _run(self) -> int:
        me = self._api.get_json("/api/v1/me")
        device, usage = me.get("device"), me.get("usage")
        used_bytes = usage.get("used_bytes") if isinstance(usage, dict) else None
        if not isinstance(device, dict) or not isinstance(used_bytes, int):
            raise BadAnswer("The server does not say which device this is. Log in again.")
        if device.get("id") != self._settings.device:
            raise UsageError("The token is another device's. Log in again.")
        roots = self._roots(device)
        if roots:
            if self._args.dry_run:
                self._dry_run(roots)
            else:
                self._back_up(roots, used_bytes)
        return PARTIAL if self._progress.counts.problems or self._refused else DONE

    # -- what is to be backed up ------------------------------------------------------------------------------------

    def _roots(self, device: dict[str, Any]) -> list[Root]:
        if self._args.paths:
            wanted = [sources.local_folder(text) for text in self._args.paths]
        else:
            wanted = sources.sources_of(device)
            if not wanted:
                raise UsageError(
                    "No folder is named in this device's settings. Name some in the portal, or give paths."
                )
            self._settings, refused = sources.ask(self._settings, wanted, self._output)
            self._refused = len(refused)
            wanted = [folder for folder in wanted if folder not in refused]
        return [Root(folder, backup_path(folder)) for folder in outermost(wanted)]

    def _skipped(self) -> list[str]:
        """The client's own files: the cache changes while it is read, and the settings hold the token."""
        return [os.path.abspath(folder) for folder in (config.cache_folder(), config.config_folder())]  # noqa: PTH100

    def _dry_run(self, roots: Sequence[Root]) -> None:
        from otb_client.dry_run import look  # noqa: PLC0415

        would = look(self._cache, self._progress, self._output, roots, self._args.rehash, self._lines, self._skipped())
        counts = self._progress.counts
        self._output.text(
            f"Looked at {counts.files:,} files ({size_text(counts.bytes)}); {counts.unchanged:,} are unchanged."
        )
        self._output.text(f"Would read {would:,} ({size_text(counts.to_read_bytes)}). Nothing was sent.")
        self._output.event("summary", dry_run=True, files=counts.files, would_read=would, bytes=counts.to_read_bytes)

    # -- the backup -------------------------------------------------------------------------------------------------

    def _back_up(self, roots: Sequence[Root], used_bytes: int) -> None:
        from otb_client.backup import Backup  # noqa: PLC0415
        from otb_client.commit import Committer  # noqa: PLC0415
        from otb_client.run import Run  # noqa: PLC0415

        sequence = self._sequence()
        limit = RateLimit(self._args.limit_rate) if self._args.limit_rate else None
        run = Run(self._api, self._cache, self._progress, self._settings.device, used_bytes=used_bytes, limit=limit)
        committer = Committer(run, sequence, may_remove=self._args.mirror)
        run.on_error = committer.wake
        backup = Backup(run, committer, rehash=self._args.rehash, lines=self._lines, skipped=self._skipped())
        self._progress.start()
        try:
            backup.work(list(roots))
            if self._args.mirror:
                self._mirror(run, committer, roots)
        except BaseException:
            self._api.stop.set()
            committer.wake()
            committer.save()
            raise
        finally:
            self._progress.stop()
        if not committer.is_alone:
            self._cache.distrust()  # somebody else changed the device meanwhile: what, the next run finds out
        self._progress.summary(unconfirmed=self._refused)

    def _mirror(self, run: Any, committer: Any, roots: Sequence[Root]) -> None:
        for root in roots:
            if not mirror.may_compare(root):
                self._progress.problem(
                    root.path, "not compared for --mirror: it is empty, missing, or not wholly readable"
                )
                continue
            gone = list(mirror.gone_below(run, root))
            for path in gone:
                self._output.event("removed", path=shown(path))
            committer.remove(gone)

    def _sequence(self) -> int:
        """The device's last manifest. What the cache knows holds only if nobody else has changed the device since."""
        limit = str(OURS_UNDER_WAY_MAX + 1 if self._cache.pending else 1)
        page = self._api.get_json(f"/api/v1/devices/{self._settings.device}/manifests", {"limit": limit})
        manifests = page.get("manifests")
        if not isinstance(manifests, list):
            raise BadAnswer("The server's answer to the device's history cannot be read.")
        sequence = int(manifests[0]["id"]) if manifests else 0
        # Later ones may be ours: of a client that was killed between the answer and the cache.
        if sequence < self._cache.sequence or not is_ours(manifests, self._cache.sequence, self._cache.pending):
            self._cache.distrust()
        return sequence


def outermost(folders: Sequence[str]) -> list[str]:
    """Each once, and none that lies in another."""
    kept: list[str] = []
    for folder in sorted(set(folders), key=lambda text: (len(text), text)):
        above: Optional[str] = next((k for k in kept if folder.startswith(k.rstrip(os.sep) + os.sep)), None)
        if above is None:
            kept.append(folder)
    return sorted(kept)
