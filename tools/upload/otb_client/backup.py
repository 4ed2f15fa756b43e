"""One backup: looking, reading, hashing, sending and committing, side by side.

The calling thread looks at folders and reads small files into batches: per file a few system calls and one hash, and no
hand-over between threads. Four threads send batches, with the names in them, and large files; one looks at large files
ahead of them (`large`), one commits what goes without bytes. While all batches are on their way the calling thread
looks ahead, so that the time left is soon known.
"""

import os
import queue
import threading
import time
from collections import deque
from typing import Optional, Union

from blake3 import blake3

from otb_client.cache import Record
from otb_client.commit import Committer, reason_of
from otb_client.errors import Stopped
from otb_client.hashing import (
    ATTEMPTS,
    OPEN_FLAGS,
    PAUSE_SECONDS,
    SMALL_BYTES_MAX,
    FileChanging,
    NotAFile,
    is_hot,
    is_same,
    record_of,
)
from otb_client.large import LargeFiles, Work
from otb_client.run import Run, is_committed
from otb_client.scan import Folder, Found, Item, Root, Scanned, Scanner
from otb_client.send import (
    BATCH_BYTES,
    BATCH_BYTES_FIRST,
    BATCH_BYTES_MIN,
    BATCH_ITEMS_MAX,
    HEAD,
    Batch,
    keep_missing,
    send_blobs,
)

CONNECTIONS = 4
BUFFERS = 4
"""Batches being filled, waiting and on their way: 12 MiB each."""
QUICK_SECONDS = 2.0
SLOW_SECONDS = 20.0
WAIT_SECONDS = 0.5

_open, _fstat, _close = os.open, os.fstat, os.close
"""Looked up once: they run five times for every small file."""

_Task = Union[Batch, Work, None]


class Backup:
    """Runs once: `add roots, work()`. The scanner's findings come to its methods."""

    def __init__(self, run: Run, committer: Committer, *, rehash: bool, lines: list[str], skipped: list[str]) -> None:
        self._run = run
        self._progress = run.progress
        self._committer = committer
        found = Found(folder=self._found_folder, problem=run.progress.problem, special=run.progress.note_special)
        self._scanner = Scanner(run.cache, found, rehash=rehash, lines=lines, skipped=skipped)
        self._to_read: deque[Folder] = deque()
        self._buffers: queue.Queue[Batch] = queue.Queue()
        self._buffers_made = 0
        self._tasks: queue.Queue[_Task] = queue.Queue()
        self._large_files = LargeFiles(run, committer, rehash=rehash, hand_on=self._hand_on)
        self._batch: Optional[Batch] = None
        self._batch_bytes = BATCH_BYTES_FIRST
        """Of the next batch: as many as the line takes in some seconds, so that little is lost with it."""
        self._senders: list[threading.Thread] = []
        self._hasher: Optional[threading.Thread] = None

    def work(self, roots: list[Root]) -> None:
        """All of it. Raises what ended it early."""
        for root in roots:
            self._scanner.add_root(root)
        scanning = True
        while scanning or self._to_read:
            self._check()
            if self._to_read and (self._batch is not None or self._take_buffer(wait=not scanning)):
                self._read_folder(self._to_read[0])
                if not self._to_read[0].small:
                    self._to_read.popleft()
            elif scanning:
                scanning = self._scanner.step()
        self._progress.is_scanned = True
        self._flush()
        self._end()
        self._committer.finish()
        self._check()
        self._committer.save()

    # -- what the scanner finds -------------------------------------------------------------------------------------

    def _found_folder(self, scanned: Scanned) -> None:
        folder, known = scanned.folder, [item for item in scanned.items if item.name and not item.target]
        count = len(folder.small) + len(scanned.large)
        size_bytes = scanned.small_bytes + sum(size for _, size in scanned.large)
        known_bytes = sum(item.record[0] for item in known)
        self._progress.add(
            files=count + scanned.unchanged + len(known),
            bytes=size_bytes + scanned.unchanged_bytes + known_bytes,
            unchanged=scanned.unchanged + len(known),
            unchanged_bytes=scanned.unchanged_bytes + known_bytes,
            to_read=count,
            to_read_bytes=size_bytes,
        )
        self._run.scanned(folder)
        if folder.small:
            folder.items = scanned.items
            self._to_read.append(folder)
        else:
            self._committer.add(scanned.items)
        for name, _ in scanned.large:
            self._hash_later(folder, name)

    def _hash_later(self, folder: Folder, name: str) -> None:
        if self._hasher is None:
            self._hasher = self._start(self._large_files.work, "hash")
        self._large_files.add(folder, name)

    # -- small files ------------------------------------------------------------------------------------------------

    def _take_buffer(self, *, wait: bool) -> bool:
        """Have a batch to fill; False when all are on their way and it is better to look ahead."""
        while self._batch is None:
            self._check()
            may_make = self._buffers_made < BUFFERS
            try:
                self._batch = self._buffers.get(wait and not may_make, WAIT_SECONDS)
            except queue.Empty:
                if may_make:
                    self._buffers_made += 1
                    self._batch = Batch()
                elif not wait:
                    return False
        self._batch.room = self._batch_bytes
        return True

    def _flush(self) -> None:
        """The batch goes; names without bytes go by themselves."""
        batch, self._batch = self._batch, None
        if batch is not None and not batch.digests:
            self._committer.add(batch.items)
            batch.clear()
        if batch is not None and batch.digests:
            self._hand_on(batch)
        elif batch is not None:
            self._buffers.put(batch)

    def _read_folder(self, folder: Folder) -> None:
        """Read the folder's small files into batches, as many as there is room for."""
        names = folder.small
        now_ns = time.time_ns()
        read = read_bytes = unchanged = there = there_bytes = 0
        if self._batch is not None:
            self._batch.items += folder.items
            folder.items = []
        while names and self._batch is not None:
            name = names[-1]
            try:
                record = self._read(self._batch, folder.prefix + name, now_ns)
            except (OSError, FileChanging, NotAFile) as e:
                names.pop()
                self._run.failed(folder, name, reason_of(e))
                continue
            if record is None:
                self._flush()
                self._take_buffer(wait=False)
                continue
            names.pop()
            if record[0] > SMALL_BYTES_MAX:  # it has grown since it was looked at
                self._hash_later(folder, name)
                continue
            read += 1
            read_bytes += record[0]
            if is_committed(folder, name, record):
                unchanged += 1
            elif not self._offer(Item(folder, name, record), self._batch):
                there += 1
                there_bytes += record[0]
        self._progress.add(
            settled=read,
            settled_bytes=read_bytes,
            unchanged=unchanged,
            deduplicated=there,
            deduplicated_bytes=there_bytes,
        )
        if unchanged:
            self._run.settled([(folder, unchanged)])

    def _offer(self, item: Item, batch: Batch) -> bool:
        """The item's bytes stand behind the batch's: they stay if they must go. False where the account has them."""
        must = self._run.must_send(item)
        if must:
            size, digest = item.record[0], item.record[5]
            HEAD.pack_into(batch.buffer, batch.used, digest, size)
            batch.used += HEAD.size + size
            batch.digests.append(digest)
            batch.ends.append(batch.used)
        if must is not None:
            batch.items.append(item)
        return must is not False

    def _read(self, batch: Batch, path: str, now_ns: int) -> Optional[Record]:
        """The file's record, its bytes behind the batch's. None: no room. One that is large now is not read."""
        start = batch.used + HEAD.size
        last: Optional[os.stat_result] = None
        for _ in range(ATTEMPTS):
            fd = _open(path, OPEN_FLAGS)
            try:
                before = _fstat(fd)
                size = before.st_size
                if before.st_mode & 0o170000 != 0o100000:
                    raise NotAFile(path)
                if size > SMALL_BYTES_MAX:
                    return record_of(before, b"", now_ns)
                if (start + size >= batch.room and batch.used) or len(batch.items) >= BATCH_ITEMS_MAX:
                    return None
                count = _read_into(fd, batch, start, size + 1)
                after = _fstat(fd)
            finally:
                _close(fd)
            if count == size and is_same(before, after) and not is_hot(after, now_ns, last):
                return record_of(after, blake3(batch.view[start : start + size]).digest(), now_ns)
            last = after
            time.sleep(PAUSE_SECONDS)
            now_ns = time.time_ns()
        raise FileChanging(path)

    # -- sending ----------------------------------------------------------------------------------------------------

    def _hand_on(self, task: Union[Batch, Work]) -> None:
        """Give it to a sender."""
        with self._run.lock:
            is_short = len(self._senders) < CONNECTIONS
            if is_short:
                self._senders.append(self._start(self._send, "send"))
        self._tasks.put(task)

    def _send(self) -> None:
        """A thread: send batches and large files as they come."""
        while True:
            task = self._tasks.get()
            if task is None:
                return
            self._stop_if_asked()
            if isinstance(task, Batch):
                self._send_batch(task)
            else:
                self._large_files.send(task)

    def _send_batch(self, batch: Batch) -> None:
        """Bytes and names in one step; where the server refuses that, in two, so that it can say what is wrong."""
        began = time.monotonic()
        known = keep_missing(self._run, batch)
        digests, names = batch.digests, batch.items
        result = self._committer.bundle(batch)
        if result is None:
            send_blobs(self._run, batch, known)
            result, left = known, names
        else:
            result.digests += known.digests
            left = []
        self._pace(time.monotonic() - began)
        batch.clear()
        self._buffers.put(batch)
        own = set(map(id, names))
        items = self._run.acknowledge(result.digests)
        self._progress.add(
            sent=result.sent,
            sent_bytes=result.sent_bytes,
            deduplicated=len(items) - result.sent,
            deduplicated_bytes=sum([item.record[0] for item in items]) - result.sent_bytes,
        )
        for digest in set(digests).difference(result.digests):
            items += self._run.give_up(digest)  # damaged on the way: the commit finds it missing and mends it
        self._committer.add(left + [item for item in items if id(item) not in own])

    def _pace(self, seconds: float) -> None:
        """Larger batches while they are quick, smaller ones where a lost line would cost much."""
        if seconds < QUICK_SECONDS:
            self._batch_bytes = min(self._batch_bytes * 2, BATCH_BYTES)
        elif seconds > SLOW_SECONDS:
            self._batch_bytes = max(self._batch_bytes // 2, BATCH_BYTES_MIN)

    # -- threads ----------------------------------------------------------------------------------------------------

    def _start(self, work: "object", name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                work()  # type: ignore[operator]
            except BaseException as e:  # noqa: BLE001  # told by the main thread
                self._run.fail(e)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _end(self) -> None:
        """Everything was handed on: wait until it is through."""
        if self._hasher is not None:
            self._large_files.end()
            self._join(self._hasher)
        for _ in self._senders:
            self._tasks.put(None)
        for sender in self._senders:
            self._join(sender)

    def _join(self, thread: threading.Thread) -> None:
        while thread.is_alive():
            thread.join(WAIT_SECONDS)
            self._check()

    def _check(self) -> None:
        """Raise what ended the run in another thread."""
        if self._run.error is not None:
            raise self._run.error

    def _stop_if_asked(self) -> None:
        if self._run.api.stop.is_set():
            raise Stopped("Interrupted.")


def _read_with_copy(fd: int, batch: Batch, start: int, size_bytes: int) -> int:
    """For Windows."""
    data = os.read(fd, size_bytes)
    batch.buffer[start : start + len(data)] = data
    return len(data)


def _read_in_place(fd: int, batch: Batch, start: int, size_bytes: int) -> int:
    return os.readv(fd, [batch.view[start : start + size_bytes]])


_read_into = _read_in_place if hasattr(os, "readv") else _read_with_copy
