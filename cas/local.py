"""`LocalBackend`: objects as files under one folder. Owns every rename, unlink and fsync of the store.

Everything is reached from a descriptor of the root that is opened once: should the file system be unmounted under a
running server, calls fail, and nothing is ever written to the disk beneath the mount point.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from cas.backend import ObjectInfo, ObjectPart, ObjectReader, ObjectWriter, checked_key
from cas.deadline import Deadline, DeadlinePassed
from cas.errors import BadKey, BlobMissing, BlobUnreadable, ObjectChanged, StoreFailed, StoreNotReady
from cas.faults import FAILING_MEDIUM
from cas.gate import WriteGate
from cas.guard import Guard
from cas.localfiles import LocalReader, LocalWriter, close_quietly
from cas.partfile import LocalPart

FSYNC_SECONDS_MAX: Final = 30.0
NOTE_SECONDS_MAX: Final = 2.0
FOLDER_MODE: Final = 0o700
INCOMING: Final = "incoming"
READ_ONLY: Final = "READ_ONLY"
NOTE_BYTES_MAX: Final = 4096
KNOWN_FOLDERS_MAX: Final = 10_000


def parent_of(path: str) -> str:
    """The folder that holds `path`, `.` for the root."""
    return path.rpartition("/")[0] or "."


class LocalBackend:
    """Files below `root`, which must exist. `fsync_seconds_max` bounds each fsync and rename."""

    def __init__(self, root: Path, fsync_seconds_max: float = FSYNC_SECONDS_MAX) -> None:
        try:
            self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreNotReady(f"the store's folder {root} cannot be opened: {error.strerror}", str(root)) from error
        self.root = root
        self._is_open = True
        self._gate = WriteGate(self._noted, self._note)
        self._guard = Guard(self._gate, Deadline(fsync_seconds_max))
        self._noting = Deadline(NOTE_SECONDS_MAX)
        self._known_folders: set[str] = set()

    # -- the read-only state

    @property
    def read_only_reason(self) -> str | None:
        return self._gate.reason

    def turn_read_only(self, reason: str) -> None:
        self._gate.shut(reason)

    def allow_writes(self) -> None:
        with self._guard.calls("removing the note", READ_ONLY):
            self._gate.reopen()

    def check_writable(self) -> None:
        """Raises `StoreReadOnly` while writes are refused."""
        self._gate.check()

    def _noted(self) -> str | None:
        try:
            fd = os.open(READ_ONLY, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._root_fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{READ_ONLY} cannot be opened: {error.strerror}"
        try:
            return os.read(fd, NOTE_BYTES_MAX).decode("utf-8", "replace").strip() or "no reason given"
        except OSError as error:
            return f"{READ_ONLY} cannot be read: {error.strerror}"
        finally:
            close_quietly(fd)

    def _note(self, reason: str | None) -> None:
        if reason is None:
            self._remove(READ_ONLY)
            return
        # The medium has just failed, so the note may fail too; the flag of the process stands without it.
        with suppress(OSError, DeadlinePassed):
            self._noting.run(partial(self._write_note, reason))

    def _write_note(self, reason: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(READ_ONLY, flags, 0o600, dir_fd=self._root_fd)
        try:
            os.write(fd, reason.encode()[: NOTE_BYTES_MAX - 1] + b"\n")
            os.fsync(fd)
            os.fsync(self._root_fd)
        finally:
            os.close(fd)

    # -- writing

    def prepare(self, folders: Iterable[str]) -> None:
        self._gate.check()
        wanted = [folder for folder in (INCOMING, *folders) if folder not in self._known_folders]
        missing: dict[str, dict[str, None]] = {}
        for folder in wanted:
            parent, _, name = checked_key(folder).rpartition("/")
            while name and name not in missing.setdefault(parent, {}):
                missing[parent][name] = None
                parent, _, name = parent.rpartition("/")
        for parent in sorted(missing):  # a folder before what it holds
            folder = parent or "."
            self._guard.run(partial(self._make_folders, folder, missing[parent]), "making folders in", folder)
        self._remember(wanted)

    def create(self) -> ObjectWriter:
        self._gate.check()
        path = f"{INCOMING}/{secrets.token_hex(16)}"
        return LocalWriter(self._root_fd, path, self._guard, self._sync_file)

    def append(self, name: str, size_bytes: int) -> ObjectPart:
        self._gate.check()
        path = f"{INCOMING}/{checked_key(name)}"
        return LocalPart(self._root_fd, path, size_bytes, self._guard, self._sync_file, self._sync_incoming)

    def publish(self, keys: Mapping[str, str]) -> None:
        targets = {f"{INCOMING}/{checked_key(name)}": self._checked(key) for name, key in keys.items()}
        self._guard.run(partial(self._publish, targets), "publishing", ", ".join(keys.values()))

    def move(self, key: str, new_key: str, only: ObjectReader | None = None) -> None:
        source, target = self._checked(key), self._checked(new_key)
        self._guard.run(partial(self._move, source, target, only), "moving", key)

    def remove(self, key: str) -> None:
        path = self._checked(key)
        self._guard.run(partial(self._remove, path), "removing", key)

    def discard(self, name: str) -> None:
        with self._guard.calls("removing", name), suppress(FileNotFoundError):
            os.unlink(f"{INCOMING}/{checked_key(name)}", dir_fd=self._root_fd)

    # -- reading

    def open(self, key: str) -> ObjectReader:
        path = self._checked(key)
        with self._reading(key), ExitStack() as stack:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._root_fd)
            stack.callback(close_quietly, fd)
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise BlobMissing(f"{key} is no file", key)
            stack.pop_all()
        return LocalReader(fd, key, found.st_size)

    def stat(self, key: str) -> ObjectInfo:
        path = self._checked(key)
        with self._reading(key):
            found = os.stat(path, dir_fd=self._root_fd, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise BlobMissing(f"{key} is no file", key)
        return ObjectInfo(key, found.st_size, found.st_ctime)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix:
            checked_key(prefix.rstrip("/"))
        folder, slash, beginning = prefix.rpartition("/")
        return self._walk(folder or ".", folder + slash, beginning)

    def temporaries(self) -> Iterator[str]:
        return (name for name in self._names(INCOMING) if not name.endswith("/"))

    def temporary_bytes(self, name: str) -> int:
        try:
            return os.stat(f"{INCOMING}/{checked_key(name)}", dir_fd=self._root_fd, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreFailed(f"{name} cannot be looked at: {error.strerror}", name) from error

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._guard.deadline.close()
            self._noting.close()
            close_quietly(self._root_fd)

    # -- single steps, each with its own failure

    def _sync_file(self, fd: int, name: str) -> None:
        with self._guard.calls("syncing", name, syncing=True):
            os.fsync(fd)

    def _sync_folder(self, fd: int, folder: str) -> None:
        with self._guard.calls("syncing the folder", folder, syncing=True):
            os.fsync(fd)

    def _sync_incoming(self) -> None:
        with self._folder(INCOMING) as fd:
            self._sync_folder(fd, INCOMING)

    def _make_folders(self, parent: str, names: Iterable[str]) -> None:
        with self._folder(parent) as fd:
            for name in names:
                with suppress(FileExistsError):
                    os.mkdir(name, FOLDER_MODE, dir_fd=fd)
            # Also if all were there: they may come from a process that was killed before this step.
            self._sync_folder(fd, parent)

    def _publish(self, targets: Mapping[str, str]) -> None:
        with ExitStack() as stack:
            folders = {name: stack.enter_context(self._folder(name)) for name in {*map(parent_of, targets.values())}}
            for source, target in targets.items():
                self._rename(source, target, folders[parent_of(target)])
            for name, fd in folders.items():
                self._sync_folder(fd, name)

    def _rename(self, source: str, target: str, locked_fd: int) -> None:
        with self._exclusive(locked_fd):
            os.rename(source, target, src_dir_fd=self._root_fd, dst_dir_fd=self._root_fd)

    def _move(self, source: str, target: str, only: ObjectReader | None) -> None:
        old, new = parent_of(source), parent_of(target)
        with closing(self.open(source)) as own, self._folder(old) as old_fd, self._folder(new) as new_fd:
            with self._exclusive(old_fd):
                self._check_is(source, only or own)
                self._seize(only or own)
                os.rename(source, target, src_dir_fd=self._root_fd, dst_dir_fd=self._root_fd)
            # The new name first: after a power cut there may be two names, never none.
            self._sync_folder(new_fd, new)
            if old != new:
                self._sync_folder(old_fd, old)

    def _remove(self, path: str) -> None:
        folder = parent_of(path)
        with self._folder(folder) as fd:
            with suppress(FileNotFoundError):
                os.unlink(path, dir_fd=self._root_fd)
            self._sync_folder(fd, folder)

    @staticmethod
    def _seize(reader: ObjectReader) -> None:
        if isinstance(reader, LocalReader):
            reader.seize()

    def _check_is(self, path: str, only: ObjectReader) -> None:
        with self._reading(path):
            found = os.stat(path, dir_fd=self._root_fd, follow_symlinks=False)
        if not isinstance(only, LocalReader) or not only.is_same_file(found):
            raise ObjectChanged(f"{path} is another file by now", path)

    @contextmanager
    def _folder(self, folder: str) -> Iterator[int]:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root_fd)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _exclusive(self, folder_fd: int) -> Iterator[None]:
        """Between threads and processes: a rename into a folder and a conditional move out of it take turns."""
        fcntl.flock(folder_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(folder_fd, fcntl.LOCK_UN)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BlobMissing(f"{key} is not in the store", key) from error
        except OSError as error:
            kind = BlobUnreadable if error.errno in FAILING_MEDIUM else StoreFailed
            raise kind(f"{key} cannot be opened: {error.strerror}", key) from error

    # -- names

    @staticmethod
    def _checked(key: str) -> str:
        if checked_key(key).partition("/")[0] in {INCOMING, READ_ONLY}:
            raise BadKey(f"{key} is a name of the backend's own", key)
        return key

    def _remember(self, folders: Sequence[str]) -> None:
        if len(self._known_folders) + len(folders) > KNOWN_FOLDERS_MAX:
            self._known_folders.clear()
        if len(folders) <= KNOWN_FOLDERS_MAX:
            self._known_folders.update(folders)

    def _names(self, folder: str) -> Sequence[str]:
        """Names in a folder, sub-folders with a slash behind, ordered as the keys they begin."""
        try:
            with self._folder(folder) as fd, os.scandir(fd) as entries:
                return sorted(
                    entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries
                )
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreFailed(f"{folder} cannot be listed: {error.strerror}", folder) from error

    def _walk(self, folder: str, prefix: str, beginning: str = "") -> Iterator[ObjectInfo]:
        for name in self._names(folder):
            key = prefix + name
            if not name.startswith(beginning) or key.rstrip("/") in {INCOMING, READ_ONLY}:
                continue
            if name.endswith("/"):
                yield from self._walk(key.rstrip("/"), key)
            else:
                yield from self._info(key)

    def _info(self, key: str) -> Iterator[ObjectInfo]:
        # What went away meanwhile, and what the store never named so (an editor's backup), is left out.
        with suppress(BlobMissing, BadKey):
            yield self.stat(key)
