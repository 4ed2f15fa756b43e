"""`--rehash` on all cores: small files that the backup has are read and hashed by processes beside this one, a part of
a folder at a time. One Python process hashes small files on one core alone.

What always holds: a helper only reads. What it cannot say for certain at once, or does not answer, is read by the
backup itself, as if nobody had tried.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO, Callable, Optional

from blake3 import blake3

from otb_client.cache import Record
from otb_client.hashing import OPEN_FLAGS, SMALL_BYTES_MAX, is_hot, is_same, read_into, record_of
from otb_client.scan import Folder

PART_NAMES = 250
HELPERS_MAX = 3
HELPED_FROM_NAMES = 2_000
"""Fewer are read before a helper has started."""
ANSWER_SECONDS = 0.5

Records = list[Optional[Record]]
_Part = tuple[Folder, list[str]]


class Reread:
    """Takes folders with `add`; `step` hands each part's records to `on_read`, in the thread that calls it."""

    def __init__(self, on_read: Callable[[Folder, list[str], Records], None]) -> None:
        self._on_read = on_read
        self._waiting: queue.SimpleQueue[Optional[_Part]] = queue.SimpleQueue()
        self._read: queue.SimpleQueue[tuple[_Part, Records]] = queue.SimpleQueue()
        self._given = 0
        self._under_way = 0
        self._helpers: list[tuple[subprocess.Popen[bytes], threading.Thread]] = []

    def add(self, folder: Folder, names: list[str]) -> int:
        """Have these small files of the folder read; returns in how many parts."""
        parts = [names[start : start + PART_NAMES] for start in range(0, len(names), PART_NAMES)]
        for part in parts:
            self._waiting.put((folder, part))
        self._under_way += len(parts)
        self._given += len(names)
        if self._given >= HELPED_FROM_NAMES and not self._helpers:
            self._start()
        return len(parts)

    def step(self) -> bool:
        """Take what a helper read, or read a part here; False when there is nothing more."""
        if not self._under_way:
            return False
        (folder, names), records = self._next()
        self._under_way -= 1
        self._on_read(folder, names, records)
        return True

    def close(self) -> None:
        """End the helpers."""
        for helper, thread in self._helpers:
            self._waiting.put(None)
            helper.kill()
            thread.join()
            with suppress(OSError), helper:  # a part that it was not given any more
                pass

    def _next(self) -> tuple[_Part, Records]:
        while True:
            try:
                return self._read.get_nowait()
            except queue.Empty:
                pass
            try:
                part = self._waiting.get_nowait()
            except queue.Empty:
                try:
                    return self._read.get(timeout=ANSWER_SECONDS)
                except queue.Empty:
                    continue
            if part is not None:
                return part, read_records(part[0].prefix, part[1])

    def _start(self) -> None:
        for _ in range(min((os.cpu_count() or 1) - 1, HELPERS_MAX) if sys.executable else 0):
            try:
                helper = _helper()
            except OSError:
                return  # no more processes here: this one reads all of it
            thread = threading.Thread(target=self._serve, args=(helper,), name="reread", daemon=True)
            thread.start()
            self._helpers.append((helper, thread))

    def _serve(self, helper: "subprocess.Popen[bytes]") -> None:
        """A thread: hand part after part to one helper."""
        assert helper.stdin is not None
        assert helper.stdout is not None
        is_well = True
        while is_well and (part := self._waiting.get()) is not None:
            folder, names = part
            records: Records = [None] * len(names)
            try:
                pickle.dump((folder.prefix, names), helper.stdin)
                helper.stdin.flush()
                records = pickle.load(helper.stdout)  # noqa: S301  # our own process
            except (OSError, EOFError, pickle.UnpicklingError):
                is_well = False
            self._read.put((part, records))


def read_records(prefix: str, names: list[str]) -> Records:
    """Each file's record; None for one that is not a small file, cannot be read, or may be changing."""
    view = memoryview(bytearray(SMALL_BYTES_MAX + 1))
    now_ns = time.time_ns()
    return [_record(prefix + name, view, now_ns) for name in names]


def _record(path: str, view: memoryview, now_ns: int) -> Optional[Record]:
    try:
        fd = os.open(path, OPEN_FLAGS)
    except OSError:
        return None
    try:
        before = os.fstat(fd)
        size = before.st_size
        if before.st_mode & 0o170000 != 0o100000 or size > SMALL_BYTES_MAX:
            return None
        count = read_into(fd, view[: size + 1])
        after = os.fstat(fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    if count != size or not is_same(before, after) or is_hot(after, now_ns, None):
        return None
    return record_of(after, blake3(view[:size]).digest(), now_ns)


def _helper() -> "subprocess.Popen[bytes]":
    """Another Python with this one's modules. It ends with its input, so with this process too."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from otb_client.reread import main; main()"
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def help_out(source: BinaryIO, target: BinaryIO) -> None:
    """Prefix and names come in, records go out, until the input ends."""
    while True:
        try:
            prefix, names = pickle.load(source)  # noqa: S301  # our own process
        except EOFError:
            return
        pickle.dump(read_records(prefix, names), target)
        target.flush()


def main() -> None:
    """A helper's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both; this one ends with its input
    help_out(sys.stdin.buffer, sys.stdout.buffer)
