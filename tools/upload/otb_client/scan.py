"""Looking at folders: what is there, and what of it differs from what the cache knows. Nothing is opened here.

One folder at a time, parents first. Each `Folder` then carries what is still to be done in it, until all of it is in
the backup or has failed; then its row is written and it is forgotten, so that memory does not grow with the number of
files.
"""

import os
import stat
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from otb_client import excludes
from otb_client.cache import Cache, FolderRow, Record
from otb_client.errors import UsageError
from otb_client.hashing import MODE_MASK, SMALL_BYTES_MAX
from otb_client.names import IS_WINDOWS, to_bytes

if TYPE_CHECKING:
    from otb_client.excludes import Rules

NO_DIGEST = bytes(32)
_FILE, _FOLDER, _LINK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
_TYPE_BITS = 0o170000
_MOUNT_POINT_TAG = 0xA0000003
"""IO_REPARSE_TAG_MOUNT_POINT: a junction, Windows' link between folders."""
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4096
PATH_LEVELS_MAX = 64
"""The server's limits on names."""


class Root:
    """A folder that was asked for. `is_whole`: all of it could be listed."""

    __slots__ = ("is_empty", "is_whole", "local", "path")

    def __init__(self, local: str, path: bytes) -> None:
        self.local = local
        self.path = path
        self.is_whole = True
        self.is_empty = False


class Own:
    """A folder itself, while anything below it is in work. `is_there`: the backup has it with these times and mode, or
    it is none of our business; `meta`: mtime_ns and mode."""

    __slots__ = ("above", "is_there", "meta", "path")

    def __init__(self, path: bytes, meta: tuple[int, int], above: Optional["Own"]) -> None:
        self.path = path
        self.meta = meta
        self.above = above
        self.is_there = True


class Folder:
    """One folder in work. `records` become its row: what is in the backup, by local name.

    `left` counts what is neither committed nor failed; the run's lock guards it and `records` once scanning is done.
    """

    __slots__ = (
        "committed_meta", "device", "is_changed", "is_committed", "is_mount", "is_scanned", "items", "json_prefix",
        "known", "left", "meta", "own", "path", "prefix", "records", "root", "rules", "saved_at", "small",
    )  # fmt: skip

    def __init__(self, prefix: str, path: bytes, root: Root) -> None:
        self.prefix = prefix
        """The local path with a separator at its end."""
        self.path = path
        """In the backup."""
        self.root = root
        self.json_prefix = _json_prefix(path)
        self.rules: Optional[Rules] = None
        self.meta: tuple[int, int] = (0, 0)
        """mtime_ns and mode."""
        self.device = 0
        self.is_mount = False
        self.known: dict[str, Record] = {}
        self.is_committed = False
        """Whether `known` is what is in the backup, and not only digests."""
        self.committed_meta: Optional[tuple[int, int]] = None
        self.records: dict[str, Record] = {}
        self.own = Own(path, self.meta, None)
        self.items: list[Item] = []
        """Names that are complete and go with the folder's first small files."""
        self.small: list[str] = []
        """Names of files up to 1 MiB that must be read."""
        self.left = 0
        self.is_changed = False
        self.is_scanned = False
        self.saved_at = 0.0

    def path_of(self, name: str) -> bytes:
        """In the backup, of a name in this folder."""
        raw = to_bytes(name)
        return self.path + b"/" + raw if self.path else raw

    def row(self) -> FolderRow:
        mtime_ns, mode = self.committed_meta or (None, None)
        return FolderRow(True, mtime_ns, mode, self.is_mount, dict(self.records))


class Item(NamedTuple):
    """A name to commit: `name` None is the folder itself. `target` only of a link."""

    folder: Folder
    name: Optional[str]
    record: Record
    target: Optional[bytes] = None


class Scanned(NamedTuple):
    """What one folder's scan found. The folder's `left` counts `items`, `large` and its own small files already."""

    folder: Folder
    items: list[Item]
    """Names whose record is complete: links, the folder itself, files whose digest the cache knows."""
    large: list[tuple[str, int]]
    """Files over `SMALL_BYTES_MAX` that must be read: name and size."""
    small_bytes: int
    """Of the folder's small files that must be read."""
    unchanged: int
    unchanged_bytes: int


class Found(NamedTuple):
    """Who is told what scanning finds; all in the scanning thread."""

    folder: Callable[[Scanned], None]
    problem: Callable[[bytes, str], None]
    special: Callable[[bytes, str], None]


class Scanner:
    """Scans one folder with each `step`."""

    def __init__(self, cache: Cache, found: Found, *, rehash: bool, lines: list[str], skipped: Iterable[str]) -> None:
        self._cache = cache
        self._found = found
        self._rehash = rehash
        self._lines = lines
        self._skipped = frozenset(skipped)
        """Local paths that are never backed up: the client's own cache and settings."""
        self._waiting: list[Folder] = []
        self._items: list[Item] = []
        self._large: list[tuple[str, int]] = []
        self._small_bytes = 0

    def add_root(self, root: Root) -> None:
        """A folder, followed if it is a link; or a single file. What is missing is a problem, and nothing else."""
        try:
            st = os.stat(root.local)  # noqa: PTH116
        except OSError as e:
            root.is_whole = False
            self._found.problem(root.path, _reason(e))
            return
        if stat.S_ISDIR(st.st_mode):
            self._push(root.local, root.path, root, None, st)
        else:
            self._single(root)

    def step(self) -> bool:
        """Scan the next folder; False when there is none."""
        if not self._waiting:
            return False
        folder = self._waiting.pop()
        self._scan(folder)
        return True

    # -- one folder -------------------------------------------------------------------------------------------------

    def _push(self, local: str, path: bytes, root: Root, above: Optional[Folder], st: os.stat_result) -> None:
        folder = Folder(local if local.endswith(os.sep) else local + os.sep, path, root)
        folder.meta = (st.st_mtime_ns, stat.S_IMODE(st.st_mode))
        folder.own = Own(path, folder.meta, None if above is None else above.own)
        folder.device = st.st_dev
        folder.is_mount = above is not None and above.device != st.st_dev and not IS_WINDOWS
        if above is None:
            folder.rules = excludes.rules_of(folder.prefix, self._lines)
        else:
            folder.rules = above.rules
        self._waiting.append(folder)

    def _single(self, root: Root) -> None:
        """A file that was named itself: its folder's other names are left alone."""
        parent, name = os.path.split(root.local)
        folder = Folder(parent if parent.endswith(os.sep) else parent + os.sep, root.path.rpartition(b"/")[0], root)
        self._load(folder)
        folder.records = dict(folder.known) if folder.is_committed else {}
        try:
            self._look(folder, name, os.lstat(root.local))
        except OSError as e:
            self._found.problem(root.path, _reason(e))
        self._finish(folder, 0, 0)

    def _load(self, folder: Folder) -> None:
        row = self._cache.folder(folder.path)
        folder.known, folder.is_committed = row.records, row.is_committed
        if row.is_committed and row.mtime_ns is not None and row.mode is not None:
            folder.committed_meta = (row.mtime_ns, row.mode)
        if row.is_mount and not folder.is_mount:
            # What was mounted here is not: its files are not gone, only out of sight.
            folder.root.is_whole = False

    def _scan(self, folder: Folder) -> None:
        self._load(folder)
        try:
            with os.scandir(folder.prefix) as listing:
                entries = list(listing)
        except OSError as e:
            folder.root.is_whole = False
            self._found.problem(folder.path, _reason(e))
            return
        if folder.path == folder.root.path:
            folder.root.is_empty = not entries
        if any(entry.name == excludes.IGNORE_FILE for entry in entries) and not self._read_rules(folder):
            return
        if folder.path and (folder.committed_meta != folder.meta):
            folder.own.is_there = False
            self._items.append(Item(folder, None, (0, folder.meta[0], 0, 0, _FOLDER | folder.meta[1], NO_DIGEST)))
        count, size_bytes = self._entries(folder, entries)
        if folder.is_committed and len(folder.records) != len(folder.known):
            folder.is_changed = True
        self._finish(folder, count, size_bytes)

    def _read_rules(self, folder: Folder) -> bool:
        """Where the rules cannot be read the folder is not backed up: it may hold what must not be sent."""
        file = folder.prefix + excludes.IGNORE_FILE
        try:
            if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116  # opening a pipe would wait for ever
                raise UsageError("it is not a file")
            folder.rules = excludes.rules_of_folder(folder.prefix, file, folder.rules)
        except (OSError, UsageError) as e:
            folder.root.is_whole = False
            self._found.problem(folder.path_of(excludes.IGNORE_FILE), str(e))
            return False
        return True

    def _finish(self, folder: Folder, unchanged: int, unchanged_bytes: int) -> None:
        """Only now others learn of the folder: until here its counters are this thread's alone."""
        scanned = Scanned(folder, self._items, self._large, self._small_bytes, unchanged, unchanged_bytes)
        self._items, self._large, self._small_bytes = [], [], 0
        folder.left = len(scanned.items) + len(scanned.large) + len(folder.small)
        folder.is_scanned = True
        self._found.folder(scanned)

    def _entries(self, folder: Folder, entries: list["os.DirEntry[str]"]) -> tuple[int, int]:
        """Look at each name; returns how many files are unchanged, and their bytes."""
        known = {} if self._rehash else folder.known
        is_committed, records, rules = folder.is_committed, folder.records, folder.rules
        fits = _plain_name_max(folder.path)
        count = size_bytes = 0
        for entry in entries:
            name = entry.name
            try:
                st = entry.stat(follow_symlinks=False)
            except OSError as e:
                self._found.problem(folder.path_of(name), _reason(e))
                continue
            mode = st.st_mode & MODE_MASK
            if rules is not None and rules.excludes(entry.path, is_folder=mode & _TYPE_BITS == _FOLDER):
                continue
            record = known.get(name)
            if (
                record is not None
                and is_committed
                and record[1] == st.st_mtime_ns
                and record[0] == st.st_size
                and record[2] == st.st_ino
                and record[3] == st.st_ctime_ns
                and record[4] == mode
            ):
                records[name] = record
                if mode & _TYPE_BITS == _FILE:
                    count += 1
                    size_bytes += record[0]
                continue
            if record is None and mode & _TYPE_BITS == _FILE and len(name) <= fits and st.st_size <= SMALL_BYTES_MAX:
                folder.small.append(name)  # as `_look` would: the first backup has hundreds of thousands of these
                self._small_bytes += st.st_size
            else:
                self._look(folder, name, st)
        return count, size_bytes

    # -- one name that is new or changed ----------------------------------------------------------------------------

    def _look(self, folder: Folder, name: str, st: os.stat_result) -> None:
        kind = st.st_mode & _TYPE_BITS
        if kind == _FOLDER:
            self._subfolder(folder, name, st)
            return
        path = folder.path_of(name)
        if not _fits(path):
            self._found.problem(path, "its name or path is longer than the server keeps")
        elif kind == _FILE:
            self._file(folder, name, st)
        elif kind == _LINK:
            self._link(folder, name, st)
        else:
            self._found.special(path, _KINDS.get(kind, "special file"))

    def _subfolder(self, folder: Folder, name: str, st: os.stat_result) -> None:
        local, path = folder.prefix + name, folder.path_of(name)
        if local in self._skipped:
            return
        if getattr(st, "st_reparse_tag", 0) == _MOUNT_POINT_TAG:
            self._found.special(path, "link between folders")
        elif not _fits(path):
            folder.root.is_whole = False
            self._found.problem(path, "its name or path is longer than the server keeps")
        else:
            self._push(local, path, folder.root, folder, st)

    def _file(self, folder: Folder, name: str, st: os.stat_result) -> None:
        record = None if self._rehash else folder.known.get(name)
        if record is not None and _is_of(record, st):
            # Hashed and once committed, but what is in the backup is not known any more.
            self._items.append(Item(folder, name, record))
        elif st.st_size > SMALL_BYTES_MAX:
            self._large.append((name, st.st_size))
        else:
            folder.small.append(name)
            self._small_bytes += st.st_size

    def _link(self, folder: Folder, name: str, st: os.stat_result) -> None:
        try:
            target = to_bytes(os.readlink(folder.prefix + name))  # noqa: PTH115
        except OSError as e:
            self._found.problem(folder.path_of(name), _reason(e))
            return
        record = (st.st_size, st.st_mtime_ns, st.st_ino, st.st_ctime_ns, st.st_mode & MODE_MASK, NO_DIGEST)
        self._items.append(Item(folder, name, record, target))


_KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


def _is_of(record: Record, st: os.stat_result) -> bool:
    return record[:5] == (st.st_size, st.st_mtime_ns, st.st_ino, st.st_ctime_ns, st.st_mode & MODE_MASK)


def _fits(path: bytes) -> bool:
    return (
        len(path) < PATH_BYTES_MAX
        and path.count(b"/") < PATH_LEVELS_MAX
        and len(path) - path.rfind(b"/") - 1 <= NAME_BYTES_MAX
    )


def _json_prefix(path: bytes) -> str:
    """How the JSON of a path in this folder begins: `"path":"home/ann/`; empty where the path is not plain text."""
    text = path.decode("utf-8", "surrogateescape")
    if not text.isprintable():  # lone surrogates are not
        return ""
    return f'"path":{encode_basestring_ascii(text + "/" if text else "")[:-1]}'


def _plain_name_max(folder: bytes) -> int:
    """Names of so many characters fit surely, whatever their bytes; longer ones are measured."""
    if folder.count(b"/") + 2 > PATH_LEVELS_MAX:
        return 0
    return min(NAME_BYTES_MAX, PATH_BYTES_MAX - len(folder) - 2) // 4


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
