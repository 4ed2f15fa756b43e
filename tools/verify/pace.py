"""`Pace`: how fast verify reads, and whether it still may. Shared by all reading threads."""

import threading
import time
from typing import Final

BURST_SECONDS: Final = 0.5


class Stopped(Exception):
    """The operator asked to stop; what was being read does not count as read."""


class Pace:
    """Counts bytes, keeps them under `bytes_per_second` (None: no limit), and ends every reader after `stop`."""

    def __init__(self, bytes_per_second: int | None = None) -> None:
        self.bytes_read = 0
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._due = time.monotonic()

    def stop(self) -> None:
        self._stopping.set()

    def read(self, count: int) -> None:
        """Called after `count` bytes were read: waits as long as the rate demands. Raises `Stopped`."""
        with self._lock:
            self.bytes_read += count
            seconds = self._wait_seconds(count)
        if self._stopping.wait(seconds) if seconds > 0 else self._stopping.is_set():
            raise Stopped

    def _wait_seconds(self, count: int) -> float:
        """Each reading takes its turn on one time line, which never lies more than a moment in the past."""
        if self._rate is None:
            return 0.0
        now = time.monotonic()
        self._due = max(self._due, now - BURST_SECONDS) + count / self._rate
        return self._due - now
