"""`Window`: a file's bytes from the medium, a few MiB at a time, in one buffer.

What is re-read through the page cache is copied once more, and drives out what customers read. With O_DIRECT the medium
writes into the buffer itself. Where the file system refuses that (tmpfs, some versions of ZFS), the same reads go
through the cache, out of which the caller has asked the file to go.
"""

import errno
import mmap
import os
from typing import Final

from cas.growing import PAGE_BYTES, set_direct

WINDOW_BYTES: Final = 4 << 20


class Window:
    """Over `fd`, which stays the caller's; between calls it is not set to O_DIRECT. One thread at a time."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self._size_bytes = size_bytes
        self._buffer = memoryview(mmap.mmap(-1, min(WINDOW_BYTES, max(size_bytes, 1) + -size_bytes % PAGE_BYTES)))
        self._start = 0
        self._filled = 0
        self._is_direct = True

    @staticmethod
    def fits(offset: int, length: int) -> bool:
        """Whether so much can be viewed at once, wherever else it is tried."""
        return offset % PAGE_BYTES + length <= WINDOW_BYTES

    def view(self, offset: int, length: int) -> memoryview:
        """Bytes of the file that fit, fewer at its end; they stay as they are until the next call. Raises OSError."""
        if offset < self._start or offset + length > self._start + self._filled:
            self._fill(offset - offset % PAGE_BYTES)
        at = offset - self._start
        return self._buffer[at : min(at + length, self._filled)]

    def _fill(self, start: int) -> None:
        self._start, self._filled = start, 0
        wanted = min(len(self._buffer), self._size_bytes - start)
        self._is_direct = self._is_direct and set_direct(self._fd, True)
        try:
            while self._filled < wanted and (count := self._read()):
                self._filled += count
        finally:
            if self._is_direct:
                set_direct(self._fd, False)

    def _read(self) -> int:
        where = self._start + self._filled
        try:
            return os.preadv(self._fd, [self._buffer[self._filled :]], where)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._is_direct:
                raise
        # Some file systems take the flag and refuse the first read.
        self._is_direct = False
        set_direct(self._fd, False)
        return os.preadv(self._fd, [self._buffer[self._filled :]], where)
