"""What this computer remembers of its last runs: per folder, which file was which digest and is in the backup.

Only an optimisation: deleting or corrupting it loses nothing and costs a look at every file. One SQLite file per
server and device. A folder is one row: names joined by NUL, fixed-size records, and a checksum over both, so that a
damaged row is no row. A row counts as in the backup only while its `epoch` is the cache's: `distrust` begins a new
epoch, after which old rows still save the hashing, but every name is committed again.
"""

import sqlite3
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from blake3 import blake3

from otb_client.names import to_bytes, to_text

FORMAT = 1
Record = tuple[int, int, int, int, int, bytes]
"""size, mtime_ns, inode, ctime_ns, mode (with the file type), digest (zeros for a link)."""
_RECORD = struct.Struct("<QqQqI32s")
_SUM_BYTES = 16
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE folder (path BLOB PRIMARY KEY, epoch INTEGER NOT NULL, mtime_ns INTEGER, mode INTEGER,
    is_mount INTEGER NOT NULL, names BLOB NOT NULL, records BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE large (path BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE upload (digest BLOB PRIMARY KEY, url TEXT NOT NULL) WITHOUT ROWID;
"""


class FolderRow(NamedTuple):
    """`mtime_ns` and `mode` of the folder itself as committed, None if never; `records` by local name."""

    is_committed: bool
    mtime_ns: Optional[int]
    mode: Optional[int]
    is_mount: bool
    records: dict[str, Record]


EMPTY = FolderRow(is_committed=False, mtime_ns=None, mode=None, is_mount=False, records={})


class Cache:
    """May be used from several threads. After a failure it goes on empty, writes nothing, and tells `on_failure`."""

    def __init__(self, file: Path, on_failure: Callable[[str], None] = lambda _reason: None) -> None:
        self._file = file
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._db: Optional[sqlite3.Connection] = None
        self.epoch = 1
        self.sequence = 0
        """The device's manifest up to which the rows of this epoch are true."""
        self.pending = 0
        """The highest that a manifest under way can have become when the last run ended, or 0."""
        self._open()

    @staticmethod
    def file_name(server: str, device: str) -> str:
        """Bound to both by its name."""
        return f"{blake3(f'{server} {device}'.encode()).hexdigest()[:32]}.sqlite"

    def close(self) -> None:
        """Harmless when it failed."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    # -- reading ----------------------------------------------------------------------------------------------------

    def folder(self, path: bytes) -> FolderRow:
        """What is known of a folder; `EMPTY` if nothing is, or its row is damaged."""
        row = self._one(
            "SELECT epoch, mtime_ns, mode, is_mount, names, records, checksum FROM folder WHERE path = ?", path
        )
        if row is None:
            return EMPTY
        epoch, mtime_ns, mode, is_mount, names, records, checksum = row
        if _sum(path, names, records) != checksum:
            return EMPTY
        by_name = dict(zip(to_text(names).split("\0"), _RECORD.iter_unpack(records))) if records else {}
        return FolderRow(epoch == self.epoch, mtime_ns, mode, bool(is_mount), by_name)

    def large(self, path: bytes) -> Optional[Record]:
        """The record of a large file that was hashed, whether or not it was sent."""
        row = self._one("SELECT record FROM large WHERE path = ?", path)
        return _RECORD.unpack(row[0]) if row is not None and len(row[0]) == _RECORD.size else None

    def upload_url(self, digest: bytes) -> Optional[str]:
        """Where an upload of these bytes was begun."""
        row = self._one("SELECT url FROM upload WHERE digest = ?", digest)
        return None if row is None else str(row[0])

    # -- writing ----------------------------------------------------------------------------------------------------

    def distrust(self) -> None:
        """What is committed is not known any more; digests still are."""
        self.epoch += 1
        self.set_state(0, 0)

    def set_state(self, sequence: int, pending: int) -> None:
        """See `sequence` and `pending`."""
        self.sequence, self.pending = sequence, pending
        self._write(self._put_state)

    def save(self, folders: Iterable[tuple[bytes, FolderRow]]) -> None:
        """Folders as they are now committed; in one transaction."""
        rows = [(path, *self._row(path, row)) for path, row in folders]
        self._write(lambda db: db.executemany("REPLACE INTO folder VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows))

    def forget_below(self, path: bytes) -> None:
        """Before a path is removed from the backup: nothing at or below it counts as committed any more."""
        below = (path + b"/", path + b"0")  # "0" follows "/"
        parent, _, name = path.rpartition(b"/")
        row = self.folder(parent)
        row.records.pop(to_text(name), None)
        kept = [(parent, *self._row(parent, row))] if row.is_committed else []

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM folder WHERE path = ? OR (path >= ? AND path < ?)", (path, *below))
            db.executemany("REPLACE INTO folder VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept)

        self._write(work)

    def put_large(self, path: bytes, record: Record) -> None:
        """A large file was hashed."""
        self._write(lambda db: db.execute("REPLACE INTO large VALUES (?, ?)", (path, _RECORD.pack(*record))))

    def put_upload(self, digest: bytes, url: str) -> None:
        """An upload was begun."""
        self._write(lambda db: db.execute("REPLACE INTO upload VALUES (?, ?)", (digest, url)))

    def drop_upload(self, digest: bytes) -> None:
        """It ended, or is not there any more."""
        self._write(lambda db: db.execute("DELETE FROM upload WHERE digest = ?", (digest,)))

    def drop_large(self, paths: Iterable[bytes]) -> None:
        """They are committed: their folders' rows know them."""
        keys = [(path,) for path in paths]
        if keys:
            self._write(lambda db: db.executemany("DELETE FROM large WHERE path = ?", keys))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _row(self, path: bytes, row: FolderRow) -> tuple[int, Optional[int], Optional[int], bool, bytes, bytes, bytes]:
        names = to_bytes("\0".join(row.records))
        records = b"".join([_RECORD.pack(*record) for record in row.records.values()])
        return self.epoch, row.mtime_ns, row.mode, row.is_mount, names, records, _sum(path, names, records)

    def _put_state(self, db: sqlite3.Connection) -> None:
        state = {"epoch": self.epoch, "sequence": self.sequence, "pending": self.pending}
        db.executemany("REPLACE INTO meta VALUES (?, ?)", list(state.items()))

    def _open(self) -> None:
        for is_last in (False, True):
            try:
                self._db = self._opened()
                return
            except (sqlite3.Error, OSError, OverflowError) as e:  # noqa: PERF203
                if is_last or not self._remove():
                    self._on_failure(str(e))
                    return

    def _opened(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        db = sqlite3.connect(self._file, check_same_thread=False, isolation_level=None, timeout=5)
        try:
            # Nobody else opens it (the lock file), and what a power failure tears, the checksums find.
            for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = OFF"):
                db.execute(f"PRAGMA {setting}")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, FORMAT}:
                raise sqlite3.DatabaseError("the cache is of another version")
            if version == 0:
                db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
            state = dict(db.execute("SELECT name, value FROM meta"))
            self.epoch = int(state.get("epoch", 1))
            self.sequence = int(state.get("sequence", 0))
            self.pending = int(state.get("pending", 0))
        except BaseException:
            db.close()
            raise
        return db

    def _remove(self) -> bool:
        """To begin with an empty one; False if that cannot be."""
        try:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _one(self, statement: str, key: bytes) -> Optional[tuple]:  # type: ignore[type-arg]
        with self._lock:
            if self._db is None:
                return None
            try:
                row: Optional[tuple] = self._db.execute(statement, (key,)).fetchone()  # type: ignore[type-arg]
            except sqlite3.Error as e:
                self._fail(e)
                return None
            return row

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        with self._lock:
            if self._db is None:
                return
            try:
                self._db.execute("BEGIN")
                work(self._db)
                self._db.execute("COMMIT")
            except sqlite3.Error as e:
                self._fail(e)

    def _fail(self, error: sqlite3.Error) -> None:
        """It is of no more use. A damaged one is removed; one without room on the disk stays as it was."""
        assert self._db is not None
        self._db.close()
        self._db = None
        if not isinstance(error, sqlite3.OperationalError):
            self._remove()
        self._on_failure(str(error))


def _sum(path: bytes, names: bytes, records: bytes) -> bytes:
    head = struct.pack("<II", len(path), len(names))
    return blake3(b"".join((head, path, names, records))).digest(_SUM_BYTES)
