"""`GrowingFile`: appending to an open file, small ones simply, large ones past the page cache.

A copy through the page cache costs a second pass over memory and leaves all the waiting to the fsync at the end. So
from `DIRECT_AFTER_BYTES` on, a thread of the file's own writes with O_DIRECT: whole pages from where the caller has
them, while the caller does something else with them, and all else from aligned buffers while the caller fills the next.
Where O_DIRECT is refused (tmpfs, ZFS before 2.3), the same thread writes plainly and starts write-back at
once. `docs/decisions/0003-layout-and-encoding.md` has the measurement.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from cas.deadline import DeadlinePassed

DIRECT_AFTER_BYTES: Final = 8 << 20
BUFFER_BYTES: Final = 2 << 20
BUFFERS: Final = 3
PAGE_BYTES: Final = 4096


class _Refused(OSError):
    """A write was refused as invalid (EINVAL) after `written` bytes."""

    def __init__(self, written: int) -> None:
        super().__init__(errno.EINVAL, os.strerror(errno.EINVAL))
        self.written = written


def write_all(fd: int, data: memoryview) -> None:
    """Write all of `data`, however many calls that takes. Raises OSError."""
    written = 0
    while written < len(data):
        try:
            written += os.write(fd, data[written:])
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise _Refused(written) from error
            raise


def set_direct(fd: int, wanted: bool) -> bool:
    """Turn O_DIRECT on or off; False where the file system refuses it."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def is_aligned(data: memoryview) -> bool:
    """Whether O_DIRECT can write from here. Of memory that is not writable nothing is known."""
    return not data.readonly and ctypes.addressof(ctypes.c_char.from_buffer(data)) % PAGE_BYTES == 0


class _Pipeline:
    """A thread that writes in order. The file's offset is a multiple of 4096 when it starts.

    Each block comes with the queue that it goes to when it is written: that of the free buffers, or of the blocks that
    the caller lent.
    """

    def __init__(self, fd: int, seconds_max: float) -> None:
        self.written_bytes = 0
        self._fd = fd
        self._seconds_max = seconds_max
        self._direct = set_direct(fd, True)
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._returned: SimpleQueue[memoryview] = SimpleQueue()
        self._full: SimpleQueue[tuple[memoryview, SimpleQueue[memoryview]] | None] = SimpleQueue()
        self._error: OSError | None = None
        self._buffers_left = BUFFERS
        self._buffer: memoryview | None = None
        self._filled = 0
        self._is_lent = False
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="cas-pipeline", daemon=True).start()

    def start(self, data: memoryview) -> None:
        """Hand over whole pages where they can be written from; copy in all else, waiting only while all buffers are on
        their way. Raises OSError, `DeadlinePassed`."""
        page_bytes = len(data) - len(data) % PAGE_BYTES
        if page_bytes and not self._filled and is_aligned(data):
            self._full.put((data[:page_bytes], self._returned))
            self._is_lent = True
            data = data[page_bytes:]
        while data:
            buffer = self._buffer = self._buffer or self._free_buffer()
            part = data[: BUFFER_BYTES - self._filled]
            buffer[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            data = data[len(part) :]
            if self._filled == BUFFER_BYTES:
                self._full.put((buffer, self._free))
                self._buffer, self._filled = None, 0

    def wait(self) -> None:
        """Until what was handed over is written. Raises OSError, `DeadlinePassed`."""
        if self._is_lent:
            self._is_lent = False
            self._taken(self._returned)

    def finish(self) -> None:
        """Write what is left, the unaligned rest without O_DIRECT, and end the thread. Raises OSError,
        `DeadlinePassed`."""
        self.end()
        if self._error is not None:
            raise self._error
        if self._direct:
            set_direct(self._fd, False)
        if self._buffer is not None:
            write_all(self._fd, self._buffer[: self._filled])
            self.written_bytes += self._filled

    def end(self) -> None:
        """End the thread, after the buffers on their way. Raises `DeadlinePassed`."""
        self._full.put(None)
        if not self._ended.wait(self._seconds_max * BUFFERS):
            raise DeadlinePassed(f"no answer to a write within {self._seconds_max * BUFFERS:g} s")

    def _free_buffer(self) -> memoryview:
        if self._buffers_left:
            self._buffers_left -= 1
            return memoryview(mmap.mmap(-1, BUFFER_BYTES))
        return self._taken(self._free)

    def _taken(self, queue: SimpleQueue[memoryview]) -> memoryview:
        try:
            block = queue.get(timeout=self._seconds_max)
        except Empty:
            raise DeadlinePassed(f"no answer to a write within {self._seconds_max:g} s") from None
        if self._error is not None:
            raise self._error
        return block

    def _run(self) -> None:
        while (work := self._full.get()) is not None:
            block, done = work
            if self._error is None:
                try:
                    self._put(block)
                except OSError as error:
                    self._error = error  # raised in the caller's thread at its next step
            done.put(block)
            del block, work  # an idle thread keeps no memory of the caller's
        self._ended.set()

    def _put(self, block: memoryview) -> None:
        try:
            write_all(self._fd, block)
        except _Refused as refused:
            # Some file systems take the flag and refuse the first write.
            self._direct = False
            set_direct(self._fd, False)
            write_all(self._fd, block[refused.written :])
        self.written_bytes += len(block)
        if not self._direct:
            start_write_back(self._fd, len(block))


def start_write_back(fd: int, last_bytes: int) -> None:
    """Ask the kernel to begin writing what was written last, so that the fsync at the end finds little left."""
    end = os.lseek(fd, 0, os.SEEK_CUR)
    with suppress(OSError):  # advice only: refused, it costs time and nothing else
        os.posix_fadvise(fd, end - last_bytes, last_bytes, os.POSIX_FADV_DONTNEED)


class GrowingFile:
    """Appends to `fd`, which stays the caller's and stands at `start_bytes`. One thread at a time; errors are OSError
    and `DeadlinePassed`."""

    def __init__(self, fd: int, seconds_max: float, start_bytes: int = 0) -> None:
        self._fd = fd
        self._seconds_max = seconds_max
        self._pipeline: _Pipeline | None = None
        # Wherever the file stands, the pipeline begins at a multiple of a page.
        self._plain_bytes_max = DIRECT_AFTER_BYTES + -start_bytes % PAGE_BYTES
        self._plain_bytes = 0
        self._settled = False

    @property
    def written_bytes(self) -> int:
        """What the kernel has taken so far; the rest is in buffers of ours. Any thread may ask."""
        # In this order: `settle` lets go of the pipeline before it counts its bytes as plain ones.
        plain_bytes, pipeline = self._plain_bytes, self._pipeline
        return plain_bytes + (pipeline.written_bytes if pipeline is not None else 0)

    def start(self, data: memoryview) -> None:
        """Begin to append `data`, which stays as it is until `wait` returns."""
        room = len(data) if self._settled else self._plain_bytes_max - self._plain_bytes
        if room:
            write_all(self._fd, data[:room])
            self._plain_bytes += min(room, len(data))
        if len(data) > room:
            self._started().start(data[room:])

    def wait(self) -> None:
        """Until what was started needs its `data` no more."""
        if self._pipeline is not None:
            self._pipeline.wait()

    def settle(self) -> None:
        """Hand everything to the kernel. Later writes are plain."""
        self._settled = True
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.finish()
            self._plain_bytes += pipeline.written_bytes

    def drop(self) -> None:
        """Stop writing; what is under way ends first. Raises `DeadlinePassed`."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.end()

    def _started(self) -> _Pipeline:
        if self._pipeline is None:
            self._pipeline = _Pipeline(self._fd, self._seconds_max)
        return self._pipeline
