"""`LocalPart`: a file in `incoming/` that outlives the process that writes it, and is written on by the next.

An exclusive flock says who writes it, so two processes never do. What lies beyond the size that the opener gives was
never acknowledged and is cut off.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from cas.backend import Data
from cas.deadline import DeadlinePassed
from cas.errors import BlobMissing, CasError, StoreFailed, StoreReadOnly
from cas.growing import GrowingFile
from cas.guard import Guard
from cas.localfiles import SEALED_MODE, WRITING_MODE, Sync, close_quietly, read_fully


class LocalPart:
    """One part, open for appending; see `cas.backend.ObjectPart`."""

    def __init__(
        self, root_fd: int, path: str, size_bytes: int, guard: Guard, sync: Sync, sync_folder: Callable[[], None]
    ) -> None:
        self.name = path.rpartition("/")[2]
        self._root_fd = root_fd
        self._path = path
        self._guard = guard
        self._sync = sync
        self._sync_folder = sync_folder
        self._is_named = size_bytes > 0  # acknowledged bytes are under a durable name
        with guard.calls("opening", path), ExitStack() as stack:
            self._fd = self._opened(size_bytes)
            stack.callback(os.close, self._fd)
            # The pipeline may set O_DIRECT on the other one, which reads could not keep to.
            self._reading_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root_fd)
            stack.pop_all()
        self._growing = GrowingFile(self._fd, guard.deadline.seconds_max, size_bytes), size_bytes
        self._is_open = True
        self._is_hung = False

    @property
    def written_bytes(self) -> int:
        file, start_bytes = self._growing  # one value, which `settle` replaces in one step
        return start_bytes + file.written_bytes

    def write(self, data: Data) -> None:
        self.start(data)
        self.wait()

    def start(self, data: Data) -> None:
        with self._calls("writing"):
            self._growing[0].start(memoryview(data))

    def wait(self) -> None:
        with self._calls("writing"):
            self._growing[0].wait()

    def read_at(self, offset: int, length: int) -> bytes:
        with self._calls("reading back"):
            return read_fully(self._reading_fd, offset, length)

    def settle(self) -> None:
        with self._calls("writing"):
            self._growing[0].settle()
        written_bytes = self.written_bytes
        self._growing = GrowingFile(self._fd, self._guard.deadline.seconds_max, written_bytes), written_bytes

    def sync(self) -> int:
        durable_bytes = self.written_bytes
        with self._calls("syncing"):
            self._guard.gate.check()
            self._guard.deadline.run(lambda: self._make_durable(named=self._is_named))
        self._is_named = True
        return durable_bytes

    def seal(self) -> None:
        self.settle()
        with self._calls("sealing"):
            os.fchmod(self._fd, SEALED_MODE)
            self._guard.deadline.run(lambda: self._make_durable(named=True))
        self.close()

    def discard(self) -> None:
        if self._is_hung:
            return  # a call that never returned still uses the file; the next start clears it
        with suppress(OSError):
            os.unlink(self._path, dir_fd=self._root_fd)
        self.close()

    def close(self) -> None:
        if not self._is_open or self._is_hung:
            return
        self._is_open = False
        # What is still on its way was not synced, so nobody was told of it.
        with suppress(DeadlinePassed, CasError):
            self._growing[0].drop()
        close_quietly(self._reading_fd)
        close_quietly(self._fd)

    def _opened(self, size_bytes: int) -> int:
        """The file, locked and cut."""
        with suppress(FileNotFoundError):
            os.chmod(self._path, WRITING_MODE, dir_fd=self._root_fd)  # it was sealed by a finish that failed later
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if size_bytes else os.O_CREAT)
        try:
            fd = os.open(self._path, flags, WRITING_MODE, dir_fd=self._root_fd)
        except FileNotFoundError as error:
            raise BlobMissing(f"{self.name} is not in incoming", self.name) from error
        try:
            self._lock(fd)
            found_bytes = os.fstat(fd).st_size
            if found_bytes < size_bytes:
                raise BlobMissing(f"{self.name} has {found_bytes} bytes instead of {size_bytes}", self.name)
            if found_bytes > size_bytes:
                os.ftruncate(fd, size_bytes)
            os.lseek(fd, size_bytes, os.SEEK_SET)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreFailed(f"{self.name} is being written by another", self.name) from error

    def _make_durable(self, *, named: bool) -> None:
        self._sync(self._fd, self.name)
        if not named:
            self._sync_folder()

    @contextmanager
    def _calls(self, doing: str) -> Iterator[None]:
        try:
            with self._guard.calls(doing, self._path):
                yield
        except StoreReadOnly as error:
            self._is_hung = isinstance(error.__cause__, DeadlinePassed)
            raise
