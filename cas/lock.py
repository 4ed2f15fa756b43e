"""`StoreLock`: who writes to a store, across processes. flock on `<root>/lock`; the kernel frees it when a process
dies.

Every process that writes holds it shared. Who gets it exclusively is alone, so that all of `incoming/` is leftovers.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from cas.errors import StoreFailed, StoreNotReady

LOCK_NAME = "lock"
VERIFY_LOCK_NAME = "verify.lock"
"""Held alone by the one scrub that runs."""

SWEEP_LOCK_NAME = "sweep.lock"
"""Held alone by the one sweep that runs."""


class StoreLock:
    """The lock of the store at `root`, not yet taken. As a context manager it is released at the end.

    Another `name` is another lock, for those who must be alone among their own kind.
    """

    def __init__(self, root: Path, name: str = LOCK_NAME) -> None:
        try:
            self._fd = os.open(root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreNotReady(f"the lock of the store in {root} cannot be opened: {error.strerror}") from error
        self._is_open = True

    def share(self, when_alone: Callable[[], object]) -> bool:
        """Take the lock as a writer. If nobody else holds it, call `when_alone` first, alone; True then.

        Waits while another process is alone. Turning exclusive into shared may let another in between, which is
        harmless: nothing was written by this process yet.
        """
        was_alone = self.try_alone()
        if was_alone:
            when_alone()
        self._flock(fcntl.LOCK_SH)
        return was_alone

    def try_alone(self) -> bool:
        """Take the lock exclusively if nobody holds it; False, at once, if somebody does."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreFailed(f"the store cannot be locked: {error.strerror}") from error
        return True

    def release(self) -> None:
        """Give the lock back. Allowed more than once."""
        if self._is_open:
            self._is_open = False
            os.close(self._fd)

    def __enter__(self) -> "StoreLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _flock(self, how: int) -> None:
        try:
            fcntl.flock(self._fd, how)
        except OSError as error:
            raise StoreFailed(f"the store cannot be locked: {error.strerror}") from error
