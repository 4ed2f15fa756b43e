"""One backup of a device at a time on this computer: a locked file, which the system unlocks when its process ends."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Optional

from otb_client.errors import ClientError, UsageError


class AlreadyRunning(ClientError):
    """Another process holds the lock."""

    def __init__(self, pid: str) -> None:
        who = f" (process {pid})" if pid.isdigit() else ""
        super().__init__(
            f"A backup of this device is running already{who}. This one ends without having done anything."
        )


class DeviceLock:
    """Held from its making until `close`. Raises `AlreadyRunning`, `UsageError`."""

    def __init__(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as e:
            raise UsageError(f"The lock file {file} cannot be opened: {e.strerror}.") from e
        try:
            _lock(self._fd)
        except OSError as e:
            pid = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip() if hasattr(os, "pread") else ""
            os.close(self._fd)
            raise AlreadyRunning(pid) from e
        if hasattr(os, "pwrite"):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def __enter__(self) -> "DeviceLock":
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the next one in."""
        os.close(self._fd)


def _lock(fd: int) -> None:
    """Raises `OSError` when it is held."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
