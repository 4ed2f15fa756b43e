"""`Replication`: one store made equal to another, object by object, so that the copy is never half a store.

What always holds: an object has its name in the replica only once its bytes were checked; a record of the journal is
there only after every blob that was durable before it; what the source no longer has goes to the replica's own trash
and waits out a grace there; too much of that at once is taken for a mistake, and refused.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from cas.backend import Backend, ObjectInfo
from cas.errors import BlobMissing, BlobUnreadable, CasError, StoreNotReady
from cas.format import FORMAT_BYTES_MAX, StoreFormat
from cas.layout import BLOBS, FORMAT_KEY, JOURNAL, PACKS, TRASH, trash_folder
from cas.record import HEADERS_NAME
from tools.replicate.checking import WrongAtSource, copy_checked

PREFIXES: Final = (f"{BLOBS}/", f"{PACKS}/", f"{JOURNAL}/")
FREE_DELETES: Final = 1_000
DELETED_SHARE_MAX: Final = 0.1
FAULTS_LISTED_MAX: Final = 1_000
STATE_KEY: Final = "REPLICA"


class TooManyDeletes(CasError):
    """So much is missing at the source that it may be the wrong one, or damaged."""


@dataclass(slots=True)
class Counts:
    """What a run did. `faults`: objects that are wrong or unreadable at the source."""

    copied: int = 0
    copied_bytes: int = 0
    same: int = 0
    trashed: int = 0
    emptied: int = 0
    faults: list[str] = field(default_factory=list)


class Replication:
    """`source` to `target`. `counted` hears of every step of bytes, and may wait or raise."""

    def __init__(self, source: Backend, target: Backend, counted: Callable[[int], object]) -> None:
        self._source = source
        self._target = target
        self._counted = counted
        self._folders: set[str] = set()
        self.counts = Counts()

    def run(self, today: date, grace_days: int, *, allow_many_deletes: bool = False) -> Counts:
        """All of it. May be stopped anywhere and run again. Raises StoreNotReady, TooManyDeletes, and what the backends
        raise; a fault of one object stops nothing."""
        store_id = self._bind()
        self._target.prepare([])  # where temporaries lie: a new replica is an empty folder
        for name in list(self._target.temporaries()):  # what a killed run had on its way; one runs at a time
            self._target.discard(name)
        journal = list(self._source.list(f"{JOURNAL}/"))  # before the blobs, so that every record in it finds its blobs
        gone = [*self._copy_below(f"{BLOBS}/"), *self._copy_below(f"{PACKS}/")]
        gone += self._copy_all(iter(journal), self._target.list(f"{JOURNAL}/"))
        self._copy(FORMAT_KEY) if not _is_there(self._target, FORMAT_KEY) else None
        self._trash(gone, today, allow_many_deletes)
        self._empty_trash(today, grace_days)
        put_bytes(self._target, STATE_KEY, f"{store_id}\n{datetime.now(UTC).isoformat(timespec='seconds')}\n".encode())
        return self.counts

    def _bind(self) -> str:
        """The source's store id. Raises `StoreNotReady` where the replica is another store's."""
        store_id = read_store_id(self._source)
        with suppress(BlobMissing):
            there = read_store_id(self._target)
            if there != store_id:
                raise StoreNotReady(f"the replica is one of store {there}, and this is store {store_id}", there)
        return store_id

    def _copy_below(self, prefix: str) -> list[str]:
        return self._copy_all(self._source.list(prefix), self._target.list(prefix))

    def _copy_all(self, wanted: Iterator[ObjectInfo], there: Iterator[ObjectInfo]) -> list[str]:
        """Copy what the target lacks; returns the keys that the source lacks. Both come in order of their keys."""
        gone: list[str] = []
        old = next(there, None)
        for info in wanted:
            while old is not None and old.key < info.key:
                gone.append(old.key)
                old = next(there, None)
            is_there = old is not None and old.key == info.key
            if is_there and old is not None and self._is_same(info, old):
                self.counts.same += 1
            else:
                self._copy(info.key)
            if is_there:
                old = next(there, None)
        while old is not None:
            gone.append(old.key)
            old = next(there, None)
        return gone

    def _is_same(self, info: ObjectInfo, old: ObjectInfo) -> bool:
        """Names say the content; only a file of headers changes under its name."""
        if info.size_bytes != old.size_bytes:
            return False
        if not info.key.endswith(f"/{HEADERS_NAME}"):
            return True
        return read_bytes(self._source, info.key) == read_bytes(self._target, info.key)

    def _copy(self, key: str) -> None:
        try:
            with closing(self._source.open(key)) as reader:
                writer = self._target.create()
                try:
                    copy_checked(key, reader, writer, self._counted)
                    writer.seal()
                    self._prepare(key.rpartition("/")[0])
                    self._target.publish({writer.name: key})
                finally:
                    writer.discard()
                self.counts.copied_bytes += reader.size_bytes
        except BlobMissing:
            return  # it left the source meanwhile
        except (WrongAtSource, BlobUnreadable) as error:
            if len(self.counts.faults) < FAULTS_LISTED_MAX:
                self.counts.faults.append(str(error))
            return
        self.counts.copied += 1

    def _trash(self, gone: list[str], today: date, allow_many_deletes: bool) -> None:
        total = self.counts.same + self.counts.copied + len(gone)
        if len(gone) > max(FREE_DELETES, total * DELETED_SHARE_MAX) and not allow_many_deletes:
            raise TooManyDeletes(
                f"{len(gone):,} of {total:,} objects are no longer at the source."
                " If that is right, say --allow-many-deletes."
            )
        for key in gone:
            target = f"{trash_folder(today)}/{key}"
            self._prepare(target.rpartition("/")[0])
            with suppress(BlobMissing):
                self._target.move(key, target)
                self.counts.trashed += 1

    def _empty_trash(self, today: date, grace_days: int) -> None:
        last = today - timedelta(days=grace_days)
        for info in list(self._target.list(f"{TRASH}/")):
            day = info.key.split("/")[1]
            with suppress(ValueError):  # a name that is no day is nothing of ours
                if date.fromisoformat(day) < last:
                    self._target.remove(info.key)
                    self.counts.emptied += 1

    def _prepare(self, folder: str) -> None:
        if folder and folder not in self._folders:
            self._target.prepare([folder])
            self._folders.add(folder)


def read_store_id(backend: Backend) -> str:
    """Raises `BlobMissing` if there is no store, `StoreNotReady` for one of another format."""
    return StoreFormat.decode(read_bytes(backend, FORMAT_KEY, FORMAT_BYTES_MAX)).store_id


def read_bytes(backend: Backend, key: str, bytes_max: int | None = None) -> bytes:
    """A small object's bytes."""
    with closing(backend.open(key)) as reader:
        return reader.read_at(0, reader.size_bytes if bytes_max is None else bytes_max)


def put_bytes(backend: Backend, key: str, data: bytes) -> None:
    """Make a small object, or make it anew."""
    writer = backend.create()
    try:
        writer.write(data)
        writer.seal()
        backend.publish({writer.name: key})
    finally:
        writer.discard()


def _is_there(backend: Backend, key: str) -> bool:
    try:
        backend.stat(key)
    except BlobMissing:
        return False
    return True
