"""`Source`: a file of the scaffold, read as it was found or not at all."""

import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final

from tools.importing.walk import Found, reason

BLOCK_BYTES: Final = 1 << 20
_CHANGED: Final = "changed while it was read; import again"


class SourceFailed(Exception):
    """The file cannot be read, or is not what was found. Its text says why, in words."""


class Source:
    """An open file. `between` is called before each block, and may raise."""

    def __init__(self, found: Found, status: os.stat_result, between: Callable[[], object]) -> None:
        self._found = found
        self._facts = _facts(status)
        self._between = between
        self._fd = -1

    def __enter__(self) -> "Source":
        try:
            self._fd = self._found.open()
        except OSError as error:
            raise SourceFailed(reason(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def read(self) -> bytes:
        """All of it; for small files. Raises `SourceFailed`."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """All of it. Raises `SourceFailed`, before the end where it is not what was found."""
        left_bytes = self._facts[1]
        try:
            while block := os.read(self._fd, min(BLOCK_BYTES, left_bytes + 1)):
                left_bytes -= len(block)
                if left_bytes < 0:
                    break
                yield block
                self._between()
            is_same = left_bytes == 0 and _facts(os.fstat(self._fd)) == self._facts
        except OSError as error:
            raise SourceFailed(reason(error)) from error
        if not is_same:
            raise SourceFailed(_CHANGED)


def _facts(status: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file does: its type, its size in bytes, its time, and which file it is."""
    return stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns, status.st_ino
