"""`otb-cloud check PATH…`: which files here are safe there, so that they may be deleted here.

What always holds: a file counts as safe only when its bytes, read now, have a digest that the server says is safe; with
`--quick` the digest of a file that has not changed since its backup is taken from the cache instead.
"""

import argparse
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from otb_client import config
from otb_client.api import Api
from otb_client.cache import EMPTY, Cache, FolderRow
from otb_client.cli import add_common
from otb_client.errors import DONE, INTERRUPTED, PARTIAL, BadAnswer, ClientError, UsageError
from otb_client.hashing import UNSURE_INODE, FileChanging, NotAFile, hash_file
from otb_client.lock import DeviceLock
from otb_client.names import backup_path, shown, to_bytes
from otb_client.output import Output
from otb_client.words import printable, size_text

READERS = 4
CHUNK_FILES = 2_000
"""Read, asked about and told of together: at most 10,000 digests fit in one request."""
SHOWN_MAX = 1_000
_WORDS = {
    "unknown": "never sent, or changed since",
    "not_kept": "sent once, but no file in the backup has this content any more",
    "damaged": "the copy there is damaged; back it up again to heal it",
}


class Local(NamedTuple):
    """A file here, and its digest or why there is none."""

    path: str
    size: int
    digest: Optional[bytes]
    fault: str


@dataclass
class Answer:
    """Of one PATH, or of all together. `oldest`: the earliest of the last verifications, RFC 3339."""

    files: int = 0
    bytes: int = 0
    safe: int = 0
    safe_bytes: int = 0
    unverified: int = 0
    links: int = 0
    special: int = 0
    oldest: Optional[str] = None
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def is_safe(self) -> bool:
        return self.safe == self.files and not self.special and not self.reasons

    def note(self, local: Local, status: Optional[dict[str, Any]], reason: str) -> None:
        self.files += 1
        self.bytes += local.size
        if reason:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            return
        self.safe += 1
        self.safe_bytes += local.size
        verified = status.get("verified") if status else None
        if not isinstance(verified, str):
            self.unverified += 1
        elif self.oldest is None or verified < self.oldest:
            self.oldest = verified

    def add(self, other: "Answer") -> None:
        for name in ("files", "bytes", "safe", "safe_bytes", "unverified", "links", "special"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        self.oldest = min(filter(None, (self.oldest, other.oldest)), default=None)

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "files": self.files,
            "bytes": self.bytes,
            "safe": self.safe,
            "safe_bytes": self.safe_bytes,
            "not_safe": self.files - self.safe,
            "not_verified_yet": self.unverified,
            "oldest_verified": self.oldest,
            "links": self.links,
            "special": self.special,
            "all_safe": self.is_safe,
        }


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "check",
        help="say which files here are safe there",
        description="Reads the files and asks whether the same bytes are in the backup, whole. Ends with 0 if all are.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files and folders")
    parser.add_argument(
        "--quick", action="store_true", help="do not read files that are unchanged since they were backed up from here"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Raises `ClientError`."""
    out = Output(as_json=args.json)
    known = config.load_connected()
    for path in args.paths:
        if not os.path.lexists(path):
            raise UsageError(f"There is no {printable(path)} here.")
    api = Api(known.server, known.token, retry_seconds=args.retry_minutes * 60)
    memory = Memory(known) if args.quick else None
    try:
        with ThreadPoolExecutor(READERS, "check") as pool:
            check = Check(api, out, pool, memory)
            total = Answer()
            for path in args.paths:
                answer = check.path(path)
                total.add(answer)
                _tell(out, path, answer)
    except KeyboardInterrupt:
        out.warn("otb-cloud: interrupted. Nothing was changed.")
        return INTERRUPTED
    finally:
        api.close()
        if memory is not None:
            memory.close()
    for line in total_lines(total, only=len(args.paths) == 1):
        out.text(line)
    out.event("summary", **total.fields())
    return DONE if total.is_safe else PARTIAL


class Memory:
    """The cache of this computer's backups, to look into. Empty while a backup runs: that one holds it."""

    def __init__(self, known: config.Config) -> None:
        name = Cache.file_name(known.server, known.device)
        folder = config.cache_folder()
        self._lock: Optional[DeviceLock] = None
        self._cache: Optional[Cache] = None
        self._row: tuple[bytes, FolderRow] = (b"", EMPTY)
        if not (folder / name).exists():
            return
        try:
            self._lock = DeviceLock(folder / f"{name}.lock")
        except ClientError:
            return
        self._cache = Cache(folder / name)

    def close(self) -> None:
        if self._cache is not None:
            self._cache.close()
        if self._lock is not None:
            self._lock.close()

    def digest(self, path: str, st: os.stat_result) -> Optional[bytes]:
        """Of a file that is unchanged since it was read for a backup."""
        if self._cache is None:
            return None
        folder, name = os.path.split(path)
        key = backup_path(folder)
        if self._row[0] != key:
            self._row = (key, self._cache.folder(key))
        record = self._row[1].records.get(name)
        if record is None:
            return None
        size, mtime_ns, inode, ctime_ns, _, digest = record
        is_same = (size, mtime_ns, ctime_ns) == (st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        is_same_file = os.name == "nt" or inode == st.st_ino
        return digest if is_same and is_same_file and inode != UNSURE_INODE else None


class Check:
    """Goes through paths and asks about what is there."""

    def __init__(self, api: Api, out: Output, pool: ThreadPoolExecutor, memory: Optional[Memory]) -> None:
        self._api = api
        self._out = out
        self._pool = pool
        self._memory = memory
        self._shown = 0

    def path(self, path: str) -> Answer:
        """All at or below one path. Links are not followed: they hold nothing of their own."""
        answer = Answer()
        chunk: list[tuple[str, os.stat_result]] = []
        for found in self._walk(os.path.abspath(path), answer):  # noqa: PTH100
            chunk.append(found)
            if len(chunk) >= CHUNK_FILES:
                self._ask(chunk, answer)
                chunk = []
        self._ask(chunk, answer)
        return answer

    def _walk(self, top: str, answer: Answer) -> Iterator[tuple[str, os.stat_result]]:
        pending = [top]
        while pending:
            path = pending.pop()
            try:
                st = os.lstat(path)
                if stat.S_ISREG(st.st_mode):
                    yield path, st
                elif stat.S_ISDIR(st.st_mode):
                    pending += sorted((entry.path for entry in os.scandir(path)), reverse=True)
                elif stat.S_ISLNK(st.st_mode):
                    answer.links += 1
                else:
                    answer.special += 1
                    self._tell_of(path, "special", "not a file; it is never backed up")
            except OSError as e:
                self._unreadable(path, e, answer)

    def _unreadable(self, path: str, error: OSError, answer: Answer) -> None:
        answer.reasons["unreadable"] = answer.reasons.get("unreadable", 0) + 1
        self._tell_of(path, "unreadable", f"it cannot be read here: {error.strerror}")

    def _ask(self, chunk: list[tuple[str, os.stat_result]], answer: Answer) -> None:
        if not chunk:
            return
        known = [self._memory.digest(path, st) if self._memory is not None else None for path, st in chunk]
        files = list(self._pool.map(_read, chunk, known))
        statuses = self._statuses({local.digest for local in files if local.digest is not None})
        for local in files:
            status = None if local.digest is None else statuses[local.digest]
            reason = local.fault or _reason(status)
            answer.note(local, status, reason)
            if reason:
                self._tell_of(local.path, reason, _WORDS.get(reason, reason))

    def _statuses(self, digests: set[bytes]) -> dict[bytes, dict[str, Any]]:
        if not digests:
            return {}
        wanted = {"digests": [digest.hex() for digest in digests]}
        blobs = self._api.post_json("/api/v1/blobs/status", wanted).get("blobs")
        try:
            found = {bytes.fromhex(blob["digest"]): blob for blob in blobs or []}
        except (TypeError, KeyError, ValueError) as e:
            raise BadAnswer("The server's answer about what is safe cannot be read.") from e
        if not digests <= found.keys():
            raise BadAnswer("The server did not say of each file whether it is safe.")
        return found

    def _tell_of(self, path: str, reason: str, words: str) -> None:
        raw = to_bytes(path)
        self._out.event("not_safe", path=shown(raw), reason=reason)
        self._shown += 1
        if self._shown <= SHOWN_MAX:
            self._out.text(f"NOT SAFE  {shown(raw)}: {words}")
        elif self._shown == SHOWN_MAX + 1:
            self._out.text("… and more, which --json lists.")


def _read(found: tuple[str, os.stat_result], known: Optional[bytes]) -> Local:
    path, st = found
    if known is not None:
        return Local(path, st.st_size, known, "")
    try:
        record = hash_file(path)
    except FileChanging:
        return Local(path, st.st_size, None, "it changes while it is read")
    except NotAFile:
        return Local(path, st.st_size, None, "something else stands in its place now")
    except OSError as e:
        return Local(path, st.st_size, None, f"it cannot be read here: {e.strerror}")
    return Local(path, record[0], record[5], "")


def _reason(status: Optional[dict[str, Any]]) -> str:
    if status is not None and status.get("safe") is True:
        return ""
    return str((status or {}).get("reason") or "unknown")


def _tell(out: Output, path: str, answer: Answer) -> None:
    raw = to_bytes(path)
    out.event("checked", path=shown(raw), **answer.fields())
    out.text(f"{shown(raw)}: {answer_words(answer)}")


def answer_words(answer: Answer) -> str:
    """`412 files, 3.1 GB: all safe`."""
    files = "1 file" if answer.files == 1 else f"{answer.files:,} files"
    counted = f"{files}, {size_text(answer.bytes)}"
    if not answer.files and answer.is_safe:
        return "no files."
    if answer.is_safe:
        return f"{counted}: all safe."
    unread = sum(answer.reasons.values()) - (answer.files - answer.safe)
    also = f", and {unread + answer.special:,} that cannot be backed up or read" if unread + answer.special else ""
    return f"{counted}: {answer.safe:,} safe, {answer.files - answer.safe:,} NOT safe{also}."


def total_lines(total: Answer, *, only: bool) -> list[str]:
    """What it comes to: may they be deleted here?"""
    lines = [] if only else [f"Together: {answer_words(total)}"]
    if total.links:
        lines.append(f"{total.links:,} links were not looked into: they have no content of their own.")
    if total.safe and total.oldest is not None:
        lines.append(f"The copies there were last read again and found good on {total.oldest[:10]} or later.")
    if total.unverified:
        lines.append(
            f"{total.unverified:,} of them {'was' if total.unverified == 1 else 'were'} not read again yet since the"
            " backup checked them on arrival."
        )
    if not total.files:
        return lines
    lines.append(
        "You may delete them here." if total.is_safe else "Do NOT delete those marked NOT SAFE. Back up first."
    )
    return lines
