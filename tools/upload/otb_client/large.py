"""The large files of a backup: one thread hashes them ahead, asks for them together, and hands on what must be sent.

A file of a size that the account cannot have yet is handed on unhashed, to be hashed while it is sent: reading it
twice would only make the backup longer. Files of the same size wait for it before they are asked for, so that equal
bytes go once.
"""

import os
import queue
import threading
from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional, Union

from otb_client.cache import Record
from otb_client.commit import Committer, reason_of
from otb_client.errors import Stopped
from otb_client.hashing import ATTEMPTS, FileChanging, NotAFile, hash_file, record_of
from otb_client.run import Run, is_committed
from otb_client.scan import Folder, Item
from otb_client.send import missing
from otb_client.tus import LargeFile, send_unhashed

UNHASHED_BYTES_MIN = 16 << 20
"""Of smaller files one is hashed while others are sent, and a request more would cost as much as is saved."""
AHEAD_MAX = 8
"""Files handed on and not sent: what is hashed long before it is sent may have changed again."""
ASKED_AT_ONCE_MAX = 100
ASKED_BYTES_MAX = 256 << 20
WAIT_SECONDS = 0.5


class Unhashed(NamedTuple):
    """A file to be hashed while it is sent."""

    folder: Folder
    name: str
    size_bytes: int


Work = Union[Item, Unhashed]


class LargeFiles:
    """`work` is a thread's, `send` the senders'. `hand_on` gives one of these something to send."""

    def __init__(self, run: Run, committer: Committer, *, rehash: bool, hand_on: Callable[[Work], None]) -> None:
        self._run = run
        self._progress = run.progress
        self._committer = committer
        self._rehash = rehash
        self._hand_on = hand_on
        self._found: queue.Queue[Optional[tuple[Folder, str]]] = queue.Queue()
        self._slots = threading.Semaphore(AHEAD_MAX)
        self._sizes: set[int] = set()
        """Of the files seen that are large enough to go unhashed."""
        self._unhashed: set[int] = set()
        """Sizes of those that are on their way."""
        self._arrived = threading.Condition()

    def add(self, folder: Folder, name: str) -> None:
        """A file that may have to go."""
        self._found.put((folder, name))

    def end(self) -> None:
        """There are no more."""
        self._found.put(None)

    def work(self) -> None:
        """Hash, ask and hand on until the end."""
        group: list[Item] = []
        is_last = False
        while not is_last:
            try:
                job = self._found.get(block=not group)
            except queue.Empty:
                self._ask(group)
                group = []
                continue
            if job is None:
                is_last = True
            else:
                item = self._looked_at(*job)
                if item is not None:
                    group.append(item)
            if is_last or len(group) >= ASKED_AT_ONCE_MAX or sum(i.record[0] for i in group) > ASKED_BYTES_MAX:
                self._ask(group)
                group = []

    def send(self, work: Work) -> None:
        """Send what was handed on."""
        try:
            if isinstance(work, Unhashed):
                self._send_unhashed(work)
            else:
                self._send_hashed(work)
        finally:
            self._slots.release()

    # -- before they are sent ---------------------------------------------------------------------------------------

    def _looked_at(self, folder: Folder, name: str) -> Optional[Item]:
        """An item whose bytes are to be asked for; None where they need not be, or go unhashed, or cannot be read."""
        path = folder.prefix + name
        try:
            record = self._known(folder, name, path)
            if record is None:
                size_bytes = os.lstat(path).st_size
                if self._is_surely_new(size_bytes):
                    with self._arrived:
                        self._unhashed.add(size_bytes)
                    self._pass_on(Unhashed(folder, name, size_bytes))
                    return None
                record = hash_file(path, is_stopped=self._run.api.stop.is_set)
        except (OSError, FileChanging, NotAFile) as e:
            self._stop_if_asked()
            self._run.failed(folder, name, reason_of(e))
            return None
        if is_committed(folder, name, record):
            self._progress.add(settled=1, settled_bytes=record[0], unchanged=1)
            self._run.settled([(folder, 1)])
            return None
        self._run.cache.put_large(folder.path_of(name), record)
        item = Item(folder, name, record)
        must = self._run.must_send(item)
        if must is False:
            self._there(item)
        return item if must else None

    def _known(self, folder: Folder, name: str, path: str) -> Optional[Record]:
        """What an earlier run hashed and did not get to commit."""
        record = None if self._rehash else self._run.cache.large(folder.path_of(name))
        if record is None:
            return None
        st = os.lstat(path)
        return record if record_of(st, record[5], 1 << 62) == record else None

    def _is_surely_new(self, size_bytes: int) -> bool:
        """Whether the account has no file of this size, and this run none before."""
        if size_bytes < UNHASHED_BYTES_MIN:
            return False
        is_first = size_bytes not in self._sizes
        self._sizes.add(size_bytes)
        return is_first and size_bytes > self._run.used_bytes

    def _ask(self, group: Sequence[Item]) -> None:
        if not group:
            return
        self._wait_for({item.record[0] for item in group})
        with self._run.lock:
            group = [item for item in group if item.record[5] not in self._run.acknowledged]
        wanted = {item.record[5] for item in group}
        if wanted and not self._run.is_fresh:
            wanted = missing(self._run, list(wanted))
        for item in group:
            if item.record[5] in wanted:
                self._pass_on(item)
            else:
                for waiting in self._run.acknowledge([item.record[5]]):
                    self._there(waiting)

    def _wait_for(self, sizes: set[int]) -> None:
        """Until no file of these sizes is on its way whose digest is not known."""
        with self._arrived:
            while not self._unhashed.isdisjoint(sizes):
                self._stop_if_asked()
                self._arrived.wait(WAIT_SECONDS)

    def _pass_on(self, work: Work) -> None:
        while not self._slots.acquire(timeout=WAIT_SECONDS):
            self._stop_if_asked()
        self._hand_on(work)

    def _there(self, item: Item) -> None:
        """Its bytes are in the account already."""
        size = item.record[0]
        self._progress.add(settled=1, settled_bytes=size, deduplicated=1, deduplicated_bytes=size)
        self._committer.add([item])

    # -- sending ----------------------------------------------------------------------------------------------------

    def _send_hashed(self, item: Item) -> None:
        assert item.name is not None
        path, size = item.folder.prefix + item.name, item.record[0]
        try:
            LargeFile(self._run, path, item.record[5], size).send()
        except (OSError, FileChanging) as e:
            self._stop_if_asked()
            self._again(item, e)
            return
        self._sent(self._run.acknowledge([item.record[5]]))

    def _send_unhashed(self, work: Unhashed) -> None:
        folder, name, size_bytes = work
        try:
            record = send_unhashed(self._run, folder.prefix + name)
            self._run.cache.put_large(folder.path_of(name), record)
            self._sent([Item(folder, name, record), *self._run.acknowledge([record[5]])])
        except (OSError, FileChanging, NotAFile) as e:
            self._stop_if_asked()
            self._run.failed(folder, name, reason_of(e))
        finally:
            with self._arrived:
                self._unhashed.discard(size_bytes)
                self._arrived.notify_all()

    def _sent(self, items: list[Item]) -> None:
        """The first was sent, the others have the same bytes."""
        size, others = items[0].record[0], len(items) - 1
        self._progress.add(
            settled=len(items),
            settled_bytes=size * len(items),
            sent=1,
            sent_bytes=size,
            deduplicated=others,
            deduplicated_bytes=size * others,
        )
        self._committer.add(items)

    def _again(self, item: Item, error: Exception) -> None:
        """The file changed after it was hashed: hash and send it as it is now, and the others that wait as they are."""
        for other in self._run.give_up(item.record[5]):
            assert other.name is not None
            path = other.folder.prefix + other.name
            try:
                if not isinstance(error, FileChanging) and other is item:
                    raise error
                for attempt in range(ATTEMPTS):
                    record = hash_file(path, is_stopped=self._run.api.stop.is_set)
                    try:
                        LargeFile(self._run, path, record[5], record[0]).send()
                        break
                    except FileChanging:
                        if attempt == ATTEMPTS - 1:
                            raise
            except (OSError, FileChanging, NotAFile) as e:
                self._stop_if_asked()
                self._run.failed(other.folder, other.name, reason_of(e))
                continue
            self._progress.add(settled=1, settled_bytes=record[0], sent=1, sent_bytes=record[0])
            self._committer.add([other._replace(record=record)])

    def _stop_if_asked(self) -> None:
        if self._run.api.stop.is_set():
            raise Stopped("Interrupted.")
