"""Reading files and their digests. What is read is one moment of the file: its stat is compared before and after.

Files are opened without following links and without waiting (a pipe put in a file's place must not hold the backup).
"""

import mmap
import os
import stat
import time
from typing import Any, Optional

from blake3 import blake3

from otb_client.cache import Record

SMALL_BYTES_MAX = 1 << 20
"""Larger files go one by one."""
BLOCK_BYTES = 8 << 20
"""BLAKE3's own threads pay only on pieces of many MiB."""
ATTEMPTS = 3
"""A file that changes while it is read is read again so often."""
OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
UNSURE_INODE = (1 << 64) - 1
"""In a record: the file was changed so shortly before it was read that a later change may have left the same stat."""
_IS_NT = os.name == "nt"
MODE_MASK = 0o170000 if _IS_NT else 0o177777
"""Windows makes up permissions, and differently for a path and for an open file."""
_UNSURE_NS = 50_000_000
"""Longer than the tick in which Linux counts a file's times (4 to 10 ms)."""
PAUSE_SECONDS = 0.06
"""Before a file is read again: longer than `_UNSURE_NS`."""
_UNSURE_COARSE_NS = 2_100_000_000
"""For file systems that keep whole seconds (FAT: two)."""


class FileChanging(Exception):
    """The file changed while it was read, each time."""


class NotAFile(Exception):
    """Something else stands in the file's place now."""


def record_of(st: os.stat_result, digest: bytes, now_ns: int) -> Record:
    """What to remember. `now_ns`: not later than the beginning of the reading."""
    changed = st.st_mtime_ns if _IS_NT else st.st_ctime_ns
    inode = UNSURE_INODE
    if changed + (_UNSURE_NS if changed % 1_000_000_000 else _UNSURE_COARSE_NS) < now_ns:
        inode = 0 if _IS_NT else st.st_ino  # Windows tells none while a folder is listed
    return (st.st_size, st.st_mtime_ns, inode, st.st_ctime_ns, st.st_mode & MODE_MASK, digest)


def is_hot(st: os.stat_result, now_ns: int, before: Optional[os.stat_result]) -> bool:
    """Whether it was written to so shortly before the reading that a write during it would not show in its times.

    `before`: how it was at the last attempt. One that is as it was then is not being written to.
    """
    if (st.st_mtime_ns if _IS_NT else st.st_ctime_ns) + _UNSURE_NS < now_ns:  # nobody can set a ctime
        return False
    return before is None or not is_same(before, st)


def is_same(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether the file was left alone between the two."""
    return (
        before.st_mtime_ns == after.st_mtime_ns
        and before.st_size == after.st_size
        and before.st_ctime_ns == after.st_ctime_ns
    )


def page_buffer(size_bytes: int) -> memoryview:
    """Memory that begins with a page. A large bytearray begins 16 bytes behind one, where some processors (AMD's with
    `fsrm`) take four times as long to copy a file's pages."""
    return memoryview(mmap.mmap(-1, size_bytes))


def open_file(path: str) -> int:
    """A descriptor. Raises `OSError`."""
    return os.open(path, OPEN_FLAGS)


def hash_file(path: str, *, on_bytes: Any = None, is_stopped: Any = None) -> Record:
    """The record of a file of any size, read in blocks. Raises `OSError`, `FileChanging`, `NotAFile`.

    `on_bytes(count)` is told of each block; `is_stopped()` true ends it with `FileChanging`.
    """
    last: Optional[os.stat_result] = None
    for _ in range(ATTEMPTS):
        now_ns = time.time_ns()
        fd = open_file(path)
        with os.fdopen(fd, "rb", buffering=0) as file:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise NotAFile(path)
            hasher, count = blake3(max_threads=blake3.AUTO), 0
            view = page_buffer(min(BLOCK_BYTES, max(before.st_size, 1)))
            while True:
                size = file.readinto(view) or 0
                if not size:
                    break
                hasher.update(view[:size])
                count += size
                if on_bytes is not None:
                    on_bytes(size)
                if count > before.st_size or (is_stopped is not None and is_stopped()):
                    break
            after = os.fstat(fd)
        if count == before.st_size and is_same(before, after) and not is_hot(after, now_ns, last):
            return record_of(after, hasher.digest(), now_ns)
        last = after
        time.sleep(PAUSE_SECONDS)
        if is_stopped is not None and is_stopped():
            break
    raise FileChanging(path)


def read_small(path: str) -> tuple[Record, bytes]:
    """A file of at most `SMALL_BYTES_MAX` and its record. Raises `OSError`, `FileChanging`, `NotAFile`."""
    last: Optional[os.stat_result] = None
    for _ in range(ATTEMPTS):
        now_ns = time.time_ns()
        fd = open_file(path)
        with os.fdopen(fd, "rb", buffering=0) as file:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode) or before.st_size > SMALL_BYTES_MAX:
                raise NotAFile(path)
            data = file.read(before.st_size + 1)
            after = os.fstat(fd)
        if len(data) == before.st_size and is_same(before, after) and not is_hot(after, now_ns, last):
            return record_of(after, blake3(data).digest(), now_ns), data
        last = after
        time.sleep(PAUSE_SECONDS)
    raise FileChanging(path)
