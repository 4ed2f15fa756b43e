"""Names in the folder that is restored to: made so that nothing is ever written outside of it.

What always holds: a folder is entered name by name from the top, and a link in the way is not followed; content is
written under a temporary name in the folder where it belongs, and gets its own name only by a rename; what stands there
already is replaced only when the caller says so.
"""
# ruff: noqa: PTH102, PTH105, PTH116, PTH118, PTH211
# Names are looked up in open folders, which pathlib cannot do.

import ctypes
import os
import stat
import sys
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Optional

from blake3 import blake3

from otb_client.names import IS_WINDOWS, to_text

Parts = tuple[str, ...]
"""A local path below the top, name by name; the top itself is the empty one."""

OPEN_FOLDERS_MAX = 128
TEMPORARY_PREFIX = ".otb-restore-"
NEW_FOLDER_MODE = 0o700
"""Until its content is there: then it gets its own."""
PLAIN_BITS = 0o777
SPECIAL_BITS = 0o7000
_TIME_UNITS_NS = (100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""What file systems round times down to: NTFS, others, FAT."""
_HAS_FDS = not IS_WINDOWS and {os.open, os.stat, os.mkdir, os.rename, os.symlink, os.unlink} <= os.supports_dir_fd
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{name}{n}" for name in ("COM", "LPT") for n in "123456789")})
_FORBIDDEN = frozenset('<>:"\\|?*')


def _syncfs() -> Any:
    """syncfs(2), where there is one: a thousand small files cost one wait instead of a thousand."""
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None


_SYNCFS = _syncfs()
SYNC_TOGETHER_MIN = 8


class Obstructed(Exception):
    """Something stands where a folder is needed. Its text is a reason."""


class _Folder:
    """An open folder: a descriptor, or where the system has no such thing, a path that was checked."""

    def __init__(self, fd: Optional[int], path: str) -> None:
        self.fd = fd
        self.path = path

    def __del__(self) -> None:
        if self.fd is not None:
            os.close(self.fd)

    def name(self, name: str) -> str:
        """What to give to the system for a name in it, together with `at`."""
        return name if self.fd is not None else os.path.join(self.path, name)

    @property
    def at(self) -> dict[str, Any]:
        return {} if self.fd is None else {"dir_fd": self.fd}

    @property
    def from_and_to(self) -> dict[str, Any]:
        return {} if self.fd is None else {"src_dir_fd": self.fd, "dst_dir_fd": self.fd}


class Place:
    """The folder `top` and all below it. May be used from several threads."""

    def __init__(self, top: str, *, with_fds: bool = _HAS_FDS) -> None:
        self.top = os.path.realpath(top)
        self._with_fds = with_fds
        self._lock = threading.Lock()
        self._open: OrderedDict[Parts, _Folder] = OrderedDict()
        self._umask = os.umask(0)
        os.umask(self._umask)

    def close(self) -> None:
        """Let go of what is open."""
        with self._lock:
            self._open.clear()

    # -- looking ----------------------------------------------------------------------------------------------------

    def look(self, folder: Parts, name: str) -> Optional[os.stat_result]:
        """What stands there, links not followed; None for nothing. Raises `Obstructed`, `OSError`."""
        try:
            opened = self._folder(folder)
            return os.stat(opened.name(name), follow_symlinks=False, **opened.at)
        except FileNotFoundError:
            return None

    def link_target(self, folder: Parts, name: str) -> str:
        """Raises `OSError`."""
        opened = self._folder(folder)
        return os.readlink(opened.name(name), **opened.at)

    def open_to_read(self, folder: Parts, name: str) -> int:
        """A descriptor of a regular file. Raises `OSError`."""
        opened = self._folder(folder)
        return os.open(opened.name(name), os.O_RDONLY | _FILE_FLAGS, **opened.at)

    # -- making -----------------------------------------------------------------------------------------------------

    def make_folder(self, folder: Parts, name: str) -> bool:
        """It is there afterwards, and can be written to; whether it is new. Raises `Obstructed`, `OSError`."""
        opened = self._folder(folder)
        try:
            os.mkdir(opened.name(name), NEW_FOLDER_MODE, **opened.at)
        except FileExistsError:
            inner = self._folder((*folder, name))
            if inner.fd is not None:
                mode = os.fstat(inner.fd).st_mode
                if mode & 0o300 != 0o300:
                    os.fchmod(inner.fd, stat.S_IMODE(mode) | 0o700)
            return False
        return True

    def create(self, folder: Parts, name: str) -> int:
        """A new, empty temporary, to write to; one that an earlier run left is gone. Raises `OSError`, `Obstructed`."""
        opened = self._folder(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE_FLAGS
        try:
            return os.open(opened.name(name), flags, 0o600, **opened.at)
        except FileExistsError:
            os.unlink(opened.name(name), **opened.at)
            return os.open(opened.name(name), flags, 0o600, **opened.at)

    def reopen(self, folder: Parts, name: str) -> Optional[int]:
        """A temporary that an earlier run left, if there is one and it is a plain file of nobody else's."""
        opened = self._folder(folder)
        try:
            fd = os.open(opened.name(name), os.O_RDWR | _FILE_FLAGS, **opened.at)
        except OSError:
            return None
        st = os.fstat(fd)
        is_own = IS_WINDOWS or st.st_uid == os.geteuid()
        if stat.S_ISREG(st.st_mode) and st.st_nlink == 1 and is_own:
            return fd
        os.close(fd)
        return None

    def drop(self, folder: Parts, name: str) -> None:
        """Remove a temporary; what is not there is no error."""
        opened = self._folder(folder)
        with suppress(FileNotFoundError):
            os.unlink(opened.name(name), **opened.at)

    def make_link(self, folder: Parts, name: str, target: str, mtime_ns: int) -> None:
        """A symbolic link under a temporary name. Raises `OSError`."""
        opened = self._folder(folder)
        self.drop(folder, name)
        os.symlink(target, opened.name(name), **opened.at)
        if os.utime in os.supports_follow_symlinks:
            os.utime(opened.name(name), ns=(mtime_ns, mtime_ns), follow_symlinks=False, **opened.at)

    def put(self, folder: Parts, temporary: str, name: str, *, replace: bool) -> None:
        """Give a temporary its name. Raises `FileExistsError` where something stands there and `replace` is not set."""
        opened = self._folder(folder)
        if not replace and self.look(folder, name) is not None:
            raise FileExistsError(name)
        os.replace(opened.name(temporary), opened.name(name), **opened.from_and_to)

    # -- facts ------------------------------------------------------------------------------------------------------

    def set_facts(self, fd: int, mode: Optional[int], mtime_ns: int, *, special: bool) -> None:
        """Permissions and time of an open file; permissions unknown become those of a new file. Raises `OSError`."""
        if IS_WINDOWS:
            return
        os.fchmod(fd, self._mode(mode, 0o666, special=special))
        os.utime(fd, ns=(mtime_ns, mtime_ns))

    def set_time(self, folder: Parts, name: str, mtime_ns: int) -> None:
        """Of a closed file, where `set_facts` could not. Raises `OSError`."""
        opened = self._folder(folder)
        os.utime(opened.name(name), ns=(mtime_ns, mtime_ns), **opened.at)

    def set_folder_facts(self, folder: Parts, mode: Optional[int], mtime_ns: int, *, special: bool) -> None:
        """After its content. Raises `OSError`, `Obstructed`."""
        with self._lock:
            self._open.pop(folder, None)
        opened = self._folder(folder)
        if opened.fd is None:
            os.utime(opened.path, ns=(mtime_ns, mtime_ns))
            return
        os.fchmod(opened.fd, self._mode(mode, 0o777, special=special))
        os.utime(opened.fd, ns=(mtime_ns, mtime_ns))

    def _mode(self, mode: Optional[int], default: int, *, special: bool) -> int:
        if mode is None:
            return default & ~self._umask
        return mode & (PLAIN_BITS | SPECIAL_BITS if special else PLAIN_BITS)

    def sync(self, names: Sequence[tuple[Parts, str]]) -> None:
        """These files are durable when this returns. Raises `OSError`."""
        if _SYNCFS is not None and self._with_fds and len(names) >= SYNC_TOGETHER_MIN:
            by_device: dict[int, _Folder] = {}
            for folder in {folder for folder, _ in names}:
                opened = self._folder(folder)
                by_device[os.fstat(_fd(opened)).st_dev] = opened
            for opened in by_device.values():
                if _SYNCFS(_fd(opened)) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code))
            return
        for folder, name in names:
            opened = self._folder(folder)
            fd = os.open(opened.name(name), (os.O_RDWR if IS_WINDOWS else os.O_RDONLY) | _FILE_FLAGS, **opened.at)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    # -- folders ----------------------------------------------------------------------------------------------------

    def _folder(self, parts: Parts) -> _Folder:
        """Raises `Obstructed`, `FileNotFoundError`, `OSError`."""
        with self._lock:
            found = self._open.get(parts)
            if found is not None:
                self._open.move_to_end(parts)
                return found
        opened = self._enter(self._folder(parts[:-1]), parts) if parts else self._top()
        with self._lock:
            self._open[parts] = opened
            while len(self._open) > OPEN_FOLDERS_MAX:
                self._open.popitem(last=False)
        return opened

    def _top(self) -> _Folder:
        fd = os.open(self.top, _FOLDER_FLAGS) if self._with_fds else None
        return _Folder(fd, self.top)

    def _enter(self, parent: _Folder, parts: Parts) -> _Folder:
        name = parent.name(parts[-1])
        path = os.path.join(parent.path, parts[-1])
        if parent.fd is None:
            if not _is_folder(os.stat(name, follow_symlinks=False)):
                raise Obstructed(_in_the_way(path))
            return _Folder(None, path)
        try:
            return _Folder(os.open(name, _FOLDER_FLAGS, dir_fd=parent.fd), path)
        except FileNotFoundError:
            raise
        except OSError as e:
            if not _is_folder(os.stat(name, follow_symlinks=False, dir_fd=parent.fd)):
                raise Obstructed(_in_the_way(path)) from e
            raise


def _fd(folder: _Folder) -> int:
    assert folder.fd is not None
    return folder.fd


def _is_folder(st: os.stat_result) -> bool:
    """Not a link to one, nor on Windows a junction or another reparse point."""
    attributes = getattr(st, "st_file_attributes", 0)
    return stat.S_ISDIR(st.st_mode) and not attributes & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400)


def _in_the_way(path: str) -> str:
    return f"a link or a file stands where the folder {path} is needed; it is not followed or replaced"


def temporary_name(name: str, digest: bytes) -> str:
    """Of one file with one content: the same in the next run, so that it goes on there and nothing is left behind."""
    mark = blake3(digest + name.encode("utf-8", "surrogatepass" if IS_WINDOWS else "surrogateescape")).hexdigest()
    return f"{TEMPORARY_PREFIX}{mark[:24]}"


def is_same_time(here_ns: int, wanted_ns: int) -> bool:
    """Equal, or as equal as this file system can keep it."""
    return here_ns == wanted_ns or any(
        here_ns % unit == 0 and wanted_ns - wanted_ns % unit == here_ns for unit in _TIME_UNITS_NS
    )


# -- names ----------------------------------------------------------------------------------------------------------


class Rules(NamedTuple):
    """What this system's file names can be."""

    windows: bool
    utf8_only: bool
    ignores_case: bool


def rules_of(platform: str) -> Rules:
    """Of `sys.platform`."""
    windows, macos = platform == "win32", platform == "darwin"
    return Rules(windows=windows, utf8_only=macos, ignores_case=windows or macos)


class Namer:
    """Local names for the backup's: the same, where the system can have them, else changed in a way that is always the
    same. Paths must come parents first, and each folder's names in one order."""

    def __init__(self, rules: Optional[Rules] = None) -> None:
        self._rules = rules or rules_of(sys.platform)
        self._changed: dict[bytes, str] = {}
        """Folders that had to get another name, and on systems that ignore case, all that could clash with others."""
        self._taken: dict[bytes, dict[str, bytes]] = {}

    def parts(self, path: bytes) -> tuple[Parts, str, bool]:
        """(folder, name, whether the name was changed)."""
        above, _, raw = path.rpartition(b"/")
        wanted = self._possible(raw)
        name = self._free(above, raw, wanted) if self._rules.ignores_case else wanted
        is_changed = name != to_text(raw, windows=self._rules.windows)
        if is_changed:
            self._changed[path] = name
        return self._folder(above), name, is_changed

    def folder(self, path: bytes) -> Parts:
        """A folder that `parts` has named before."""
        return self._folder(path)

    def _folder(self, path: bytes) -> Parts:
        if not path:
            return ()
        if not self._changed:
            return tuple([to_text(raw, windows=self._rules.windows) for raw in path.split(b"/")])
        names, at = [], 0
        for raw in path.split(b"/"):
            at += len(raw) + 1
            names.append(self._changed.get(path[: at - 1]) or self._possible(raw))
        return tuple(names)

    def _possible(self, raw: bytes) -> str:
        if self._rules.utf8_only and not _is_utf8(raw):
            return "".join(chr(byte) if byte < 0x80 and byte != 0x25 else f"%{byte:02X}" for byte in raw)
        if not self._rules.windows:
            return to_text(raw, windows=False)
        text = to_text(raw, windows=True)
        text = "".join(f"%{ord(c):02X}" if c in _FORBIDDEN or c < " " else c for c in text)
        if text[-1:] in {".", " "}:
            text = f"{text[:-1]}%{ord(text[-1]):02X}"
        stem = text.partition(".")[0].rstrip(" ").upper()
        return f"_{text}" if stem in _RESERVED else text

    def _free(self, above: bytes, raw: bytes, wanted: str) -> str:
        """The first of `a`, `a (2)`, … that no other name of the folder has, case aside."""
        taken = self._taken.setdefault(above, {})
        for other in list(self._taken):
            if other != above and not above.startswith(other + b"/") and other:
                del self._taken[other]
        name, count = wanted, 1
        while taken.setdefault(unicodedata.normalize("NFC", name).casefold(), raw) != raw:
            count += 1
            name = numbered(wanted, f" ({count})")
        return name


def numbered(name: str, mark: str) -> str:
    """`photo (2).jpg`."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}{mark}.{ending}" if dot and stem else name + mark


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
