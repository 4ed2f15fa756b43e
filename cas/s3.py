"""`S3Backend`: objects in S3-compatible storage, through obstore. Passes the suite that the local folder passes.

Temporaries lie in a local folder, the *spool*, until they are published: S3 has no file that grows, and none that can
be read before it is whole. The bucket's versioning must be on: an open reader is pinned to the version that it opened,
and the move of a very object compares versions. One program at a time writes below a prefix, so what is held is noted
in this process alone.
"""

import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import obstore
from obstore.exceptions import BaseError
from obstore.exceptions import NotFoundError as Missing
from obstore.store import S3Store

from cas.backend import ObjectInfo, ObjectPart, ObjectReader, ObjectWriter, checked_key
from cas.errors import BadKey, BlobMissing, BlobUnreadable, ObjectChanged, ObjectHeld, StoreFailed, StoreNotReady
from cas.local import INCOMING, LocalBackend
from cas.localfiles import SEALED_MODE

if TYPE_CHECKING:
    from obstore import ObjectMeta  # there for type checkers alone

COPY_BYTES_MAX: Final = 5 << 30
"""What S3 copies by itself in one request; larger objects go through here."""

LIST_CHUNK: Final = 1_000
REQUEST_SECONDS_MAX: Final = 120
RETRIES_MAX: Final = 5
RETRYING_SECONDS_MAX: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where the objects are. `endpoint` None: Amazon's own. `prefix` may be empty."""

    bucket: str
    prefix: str
    region: str
    endpoint: str | None
    access_key: str
    secret_key: str

    def open(self) -> S3Store:
        """The client. Nothing is asked of the network yet."""
        settings = {
            "region": self.region,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "checksum_algorithm": "SHA256",
            "virtual_hosted_style_request": self.endpoint is None,
        }
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            config=settings if self.endpoint is None else settings | {"endpoint": self.endpoint},  # type: ignore[arg-type]
            client_options={
                "timeout": timedelta(seconds=REQUEST_SECONDS_MAX),
                "allow_http": _is_loopback(self.endpoint),
            },
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=RETRYING_SECONDS_MAX)},
        )


Holders: TypeAlias = dict[str, set[int]]
"""Key → the readers that hold it."""


class S3Reader:
    """One version of one object."""

    def __init__(self, store: S3Store, holders: "Holders", key: str, found: "ObjectMeta") -> None:
        self._store = store
        self._holders = holders
        self._key = key
        self.size_bytes = found["size"]
        self.changed_at = found["last_modified"].timestamp()
        self.version = found["version"]
        self.e_tag = found["e_tag"]

    def read_at(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size_bytes)
        if offset >= end:
            return b""
        try:
            if self.version is not None:
                found = obstore.get(self._store, self._key, options={"range": (offset, end), "version": self.version})
            else:
                found = obstore.get(self._store, self._key, options={"range": (offset, end), "if_match": self.e_tag})
            data = bytes(found.bytes())
        except BaseError as error:
            raise BlobUnreadable(f"{self._key} cannot be read: {_told(error)}", self._key) from error
        if len(data) != end - offset:
            raise BlobUnreadable(f"{self._key}: {len(data)} bytes came instead of {end - offset}", self._key)
        return data

    def reread(self, offset: int, length: int) -> memoryview:
        return memoryview(self.read_at(offset, length))

    def forget_cached(self) -> None:
        """Nothing is cached here."""

    def hold(self) -> None:
        self._holders.setdefault(self._key, set()).add(id(self))

    def close(self) -> None:
        self._holders.get(self._key, set()).discard(id(self))


class S3Backend:
    """The objects below a prefix of a bucket. `spool`: an existing folder on a local disk, this backend's alone."""

    def __init__(self, store: S3Store, spool: Path) -> None:
        self._store = store
        self._holders: Holders = {}
        self._spool = LocalBackend(spool)
        self._spool.prepare([])  # where temporaries lie, after whatever happened to the folder
        try:
            next(iter(obstore.list(store, chunk_size=1)), None)
        except BaseError as error:
            self._spool.close()
            raise StoreNotReady(f"the bucket cannot be reached: {_told(error)}") from error

    # -- the read-only state, and temporaries: the spool's

    @property
    def read_only_reason(self) -> str | None:
        return self._spool.read_only_reason

    def turn_read_only(self, reason: str) -> None:
        self._spool.turn_read_only(reason)

    def allow_writes(self) -> None:
        self._spool.allow_writes()

    def create(self) -> ObjectWriter:
        return self._spool.create()

    def append(self, name: str, size_bytes: int) -> ObjectPart:
        return self._spool.append(name, size_bytes)

    def temporaries(self) -> Iterator[str]:
        return self._spool.temporaries()

    def temporary_bytes(self, name: str) -> int:
        return self._spool.temporary_bytes(name)

    def discard(self, name: str) -> None:
        self._spool.discard(name)

    # -- writing

    def prepare(self, folders: Iterable[str]) -> None:
        self._check_writable()
        for folder in folders:
            checked_key(folder)  # keys need no folders here

    def publish(self, keys: Mapping[str, str]) -> None:
        for name, key in keys.items():
            self._publish(name, self._checked(key))

    def _publish(self, name: str, key: str) -> None:
        self._check_writable()
        path = self._spool.root / INCOMING / checked_key(name)
        try:
            is_sealed = stat.S_IMODE(path.stat().st_mode) == SEALED_MODE
        except OSError as error:
            raise StoreFailed(f"{name} is no temporary: {error.strerror}", name) from error
        if not is_sealed:
            raise StoreFailed(f"{name} is not sealed", name)
        with self._writing(key), path.open("rb") as file:
            obstore.put(self._store, key, file)
        self._spool.discard(name)

    def move(self, key: str, new_key: str, only: ObjectReader | None = None) -> None:
        source, target = self._checked(key), self._checked(new_key)
        self._check_writable()
        found = self._head(source)
        if only is not None and (not isinstance(only, S3Reader) or not _is_same(only, found)):
            raise ObjectChanged(f"{key} is another object by now", key)
        if self._holders.get(source, set()) - {id(only)}:
            raise ObjectHeld(f"{key} is being re-read", key)
        with self._writing(key):
            if found.size_bytes <= COPY_BYTES_MAX:
                obstore.copy(self._store, source, target)
            else:
                obstore.put(self._store, target, obstore.get(self._store, source))
            obstore.delete(self._store, source)

    def remove(self, key: str) -> None:
        path = self._checked(key)
        self._check_writable()
        with self._writing(key):
            obstore.delete(self._store, path)

    # -- reading

    def open(self, key: str) -> ObjectReader:
        return self._head(self._checked(key))

    def stat(self, key: str) -> ObjectInfo:
        found = self._head(self._checked(key))
        return ObjectInfo(key, found.size_bytes, found.changed_at)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix:
            checked_key(prefix.rstrip("/"))
        folder = prefix.rpartition("/")[0]
        try:
            for chunk in obstore.list(self._store, folder or None, chunk_size=LIST_CHUNK):
                for found in chunk:
                    if found["path"].startswith(prefix):
                        yield ObjectInfo(found["path"], found["size"], found["last_modified"].timestamp())
        except BaseError as error:
            raise StoreFailed(f"{prefix or 'the bucket'} cannot be listed: {_told(error)}", prefix) from error

    def close(self) -> None:
        self._spool.close()

    # -- what they share

    def _head(self, key: str) -> S3Reader:
        try:
            found = obstore.head(self._store, key)
        except (Missing, FileNotFoundError) as error:
            raise BlobMissing(f"{key} is not in the store", key) from error
        except BaseError as error:
            raise BlobUnreadable(f"{key} cannot be opened: {_told(error)}", key) from error
        return S3Reader(self._store, self._holders, key, found)

    def _check_writable(self) -> None:
        self._spool.check_writable()

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        """A refusal says nothing of the medium: requests are repeated by the client, and then given up."""
        try:
            yield
        except (Missing, FileNotFoundError):
            return  # what is removed already is no error, and a move has looked before
        except BaseError as error:
            raise StoreFailed(f"{key} cannot be written: {_told(error)}", key) from error

    @staticmethod
    def _checked(key: str) -> str:
        if checked_key(key).partition("/")[0] == INCOMING:
            raise BadKey(f"{key} is a name of the backend's own", key)
        return key


def _is_same(reader: S3Reader, found: S3Reader) -> bool:
    if reader.version is None or found.version is None:
        return reader.version == found.version and reader.e_tag == found.e_tag
    return reader.version == found.version


def _told(error: Exception) -> str:
    """The first line: the client's errors go on with its own innards."""
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _is_loopback(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]"))
