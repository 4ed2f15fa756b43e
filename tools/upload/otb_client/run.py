"""What the parts of one backup share: the counters, the items on their way, and the first error that ends it."""

import threading
import time
from collections.abc import Iterable
from typing import Callable, Optional

from blake3 import blake3

from otb_client.api import Api
from otb_client.cache import Cache, Record
from otb_client.progress import Progress
from otb_client.rate import RateLimit
from otb_client.scan import Folder, Item

EMPTY_DIGEST: bytes = blake3(b"").digest()
SAVE_SECONDS = 10.0
"""A folder that is not done yet is written so often: a kill in a huge one costs little hashing again."""


class Run:
    """One backup under way. `lock` guards `acknowledged`, `waiting`, the folders and `_finished`."""

    def __init__(
        self, api: Api, cache: Cache, progress: Progress, device: str, *, used_bytes: int, limit: Optional[RateLimit]
    ) -> None:
        self.api = api
        self.cache = cache
        self.progress = progress
        self.device = device
        self.used_bytes = used_bytes
        """What the account held when the run began: no file that is larger is among it."""
        self.is_fresh = used_bytes == 0
        """There is nothing to ask for."""
        self.limit = limit
        self.lock = threading.Lock()
        self.acknowledged: set[bytes] = {EMPTY_DIGEST}
        """Digests that the server said it has, in this run. The empty blob is always there."""
        self.waiting: dict[bytes, list[Item]] = {}
        """Digests on their way, each with the names that want it."""
        self.error: Optional[BaseException] = None
        self.on_error: Callable[[], None] = lambda: None
        self._finished: list[Folder] = []

    def fail(self, error: BaseException) -> None:
        """The first error ends the run; those that follow from it are not told."""
        with self.lock:
            if self.error is not None:
                return
            self.error = error
        self.api.stop.set()
        self.on_error()

    def must_send(self, item: Item) -> Optional[bool]:
        """True: these bytes must go, False: they are there, None: they are on their way for another name."""
        digest = item.record[5]
        with self.lock:
            if digest in self.acknowledged:
                return False
            others = self.waiting.get(digest)
            if others is not None:
                others.append(item)
                return None
            self.waiting[digest] = [item]
            return True

    def acknowledge(self, digests: Iterable[bytes]) -> list[Item]:
        """The server has them; returns the names that waited for them."""
        items: list[Item] = []
        with self.lock:
            for digest in digests:
                items += self.waiting.pop(digest, ())
                self.acknowledged.add(digest)
        return items

    def give_up(self, digest: bytes) -> list[Item]:
        """These bytes could not be sent; returns the names that waited for them."""
        with self.lock:
            return self.waiting.pop(digest, [])

    # -- folders ----------------------------------------------------------------------------------------------------

    def failed(self, folder: Folder, name: Optional[str], reason: str) -> None:
        """A name that will not be in the backup."""
        self.progress.problem(folder.path if name is None else folder.path_of(name), reason)
        self.settled([(folder, 1)])

    def settled(self, folders: Iterable[tuple[Folder, int]]) -> None:
        """So many names of each folder need nothing more."""
        with self.lock:
            for folder, count in folders:
                folder.left -= count
                if folder.left == 0 and folder.is_scanned:
                    self._finished.append(folder)

    def scanned(self, folder: Folder) -> None:
        """After scanning: it may be done already."""
        with self.lock:
            if folder.left == 0:
                self._finished.append(folder)

    def to_save(self, touched: Iterable[Folder] = ()) -> list[Folder]:
        """Folders whose rows should be written now: those done, and of those touched the ones long not saved."""
        now = time.monotonic()
        with self.lock:
            done, self._finished = self._finished, []
            folders = {id(folder): folder for folder in done if folder.is_changed or not folder.is_committed}
            for folder in touched:
                if folder.left and now - folder.saved_at > SAVE_SECONDS:
                    folder.saved_at = now
                    folders[id(folder)] = folder
        return list(folders.values())


def is_committed(folder: Folder, name: str, record: Record) -> bool:
    """Whether the backup has just this: then only the cache learns something."""
    before = folder.known.get(name) if folder.is_committed else None
    if before is None or before[5] != record[5] or before[1] != record[1] or before[4] != record[4]:
        return False
    folder.records[name] = record
    folder.is_changed = folder.is_changed or before != record
    return True
