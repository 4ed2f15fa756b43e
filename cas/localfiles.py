"""`LocalWriter` and `LocalReader`: one file of the local backend, while it is written and when it is read."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from cas.backend import Data
from cas.deadline import DeadlinePassed
from cas.errors import BlobUnreadable, CasError, ObjectHeld, StoreReadOnly
from cas.growing import GrowingFile
from cas.guard import Guard
from cas.window import Window

WRITING_MODE: Final = 0o600
SEALED_MODE: Final = 0o400
Sync = Callable[[int, str], None]
"""fsync of a file: descriptor and name. Raises errors of `cas`."""


def read_fully(fd: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, or fewer at the end of the file. Raises OSError."""
    data = os.pread(fd, length, offset)
    while 0 < len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
        data += more
    return data


def close_quietly(fd: int) -> None:
    """Close what was only read: an error of it can lose nothing, and the descriptor is free even then."""
    with suppress(OSError):
        os.close(fd)


class LocalWriter:
    """A file in `incoming/`, owned by whoever made it until it is published."""

    def __init__(self, root_fd: int, path: str, guard: Guard, sync: Sync) -> None:
        self.name = path.rpartition("/")[2]
        self._root_fd = root_fd
        self._path = path
        self._guard = guard
        self._sync = sync
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with guard.calls("making", path):
            self._fd = os.open(path, flags, WRITING_MODE, dir_fd=root_fd)
        self._file = GrowingFile(self._fd, guard.deadline.seconds_max)
        self._is_open = True
        self._is_hung = False

    def write(self, data: Data) -> None:
        self.start(data)
        self.wait()

    def start(self, data: Data) -> None:
        with self._calls("writing"):
            self._file.start(memoryview(data))

    def wait(self) -> None:
        with self._calls("writing"):
            self._file.wait()

    def read_at(self, offset: int, length: int) -> bytes:
        with self._calls("reading back"):
            self._file.settle()
            return read_fully(self._fd, offset, length)

    def seal(self) -> None:
        with self._calls("writing"):
            self._file.settle()
        with self._calls("sealing"):
            self._guard.deadline.run(self._make_durable)
        with self._calls("closing"):
            self._close()

    def discard(self) -> None:
        if self._is_hung:
            return  # a call that never returned still uses the file; the next start clears it
        try:
            self._file.drop()
            self._close()
            os.unlink(self._path, dir_fd=self._root_fd)
        except (DeadlinePassed, OSError, CasError):
            # Whoever discards is on the way out with an error of its own, or does not care; the next start clears the
            # rest.
            return

    def _make_durable(self) -> None:
        os.fchmod(self._fd, SEALED_MODE)
        self._sync(self._fd, self.name)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._fd)

    @contextmanager
    def _calls(self, doing: str) -> Iterator[None]:
        try:
            with self._guard.calls(doing, self._path):
                yield
        except StoreReadOnly as error:
            self._is_hung = isinstance(error.__cause__, DeadlinePassed)
            raise


class LocalReader:
    """An open file. It keeps its bytes even if its name is given to another."""

    def __init__(self, fd: int, key: str, size_bytes: int) -> None:
        self._fd = fd
        self._key = key
        self._window: Window | None = None
        self._is_open = True
        self.size_bytes = size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        with self._reading():
            return read_fully(self._fd, offset, length)

    def reread(self, offset: int, length: int) -> memoryview:
        if not Window.fits(offset, length):
            return memoryview(self.read_at(offset, length))
        if self._window is None:
            self._window = Window(self._fd, self.size_bytes)
        with self._reading():
            return self._window.view(offset, length)

    def forget_cached(self) -> None:
        with suppress(OSError):  # advice only: refused, the cache is read
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def hold(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def seize(self) -> None:
        """Take the file for a move. Raises `ObjectHeld` while another reader holds it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ObjectHeld(f"{self._key} is being re-read", self._key) from error

    def is_same_file(self, other: os.stat_result) -> bool:
        """Whether `other` describes this very file. While it is open, its inode number is given to no other."""
        own = os.fstat(self._fd)
        return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            close_quietly(self._fd)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BlobUnreadable(f"{self._key} cannot be read: {error.strerror}", self._key) from error
