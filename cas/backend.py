"""`Backend`: what the store needs of a place that keeps named objects. The contract stands in the docstrings.

A backend moves opaque bytes. It hashes, encodes and checks nothing (`BlobStore` above it does, so that no backend can
forget to), and it knows no blob. Every backend passes the suite in `tests/shared/backend_suite.py`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, TypeVar

from cas.errors import BadKey

Data: TypeAlias = bytes | bytearray | memoryview
"""Bytes handed in. Never kept or changed after the call returns, so the caller may use the buffer again."""

DataT = TypeVar("DataT", bytes, memoryview)

KEY_BYTES_MAX: Final = 1024
_KEY: Final = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,254}(?:/[0-9A-Za-z_-][0-9A-Za-z._-]{0,254}){0,15}")


def checked_key(key: str) -> str:
    """`key` itself: names of ASCII letters, digits, `_`, `-` and inner dots, between slashes. Raises `BadKey`."""
    if len(key) > KEY_BYTES_MAX or not _KEY.fullmatch(key):
        raise BadKey(f"not an object key: {key!r}", key)
    return key


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object's key and its size as stored. `changed_at`: when it last got this key, in seconds since 1970 by the
    medium's clock."""

    key: str
    size_bytes: int
    changed_at: float = field(default=0.0, compare=False)


class ObjectWriter(Protocol):
    """A temporary object under a random name, written once from start to end, by one thread at a time.

    Nobody else sees it before `publish`. Whoever makes one ends it with `seal` or `discard`.
    """

    @property
    def name(self) -> str:
        """The name that `publish` and `discard` take. Random: it says nothing about the content."""

    def write(self, data: Data) -> None:
        """Append. Raises `StoreFull`, `StoreReadOnly`, `StoreFailed`; the object is then only good for `discard`."""

    def start(self, data: Data) -> None:
        """Begin to append `data`, which stays as it is until `wait` returns; nothing else is called in between. Raises
        as `write`."""

    def wait(self) -> None:
        """Until what was started needs its `data` no more. Raises as `write`."""

    def read_at(self, offset: int, length: int) -> bytes:
        """What was written, for a second pass over it before `seal`."""

    def seal(self) -> None:
        """Make the bytes durable and immutable (mode 0400 where there are modes). After it, only `publish` or
        `discard`."""

    def discard(self) -> None:
        """Drop the object at once. Allowed at any time before `publish`, and more than once; never raises."""


class ObjectPart(ObjectWriter, Protocol):
    """A temporary that is written in several goes, maybe by several processes, one at a time.

    It grows at its end and stays when it is closed, until it is published or discarded.
    """

    @property
    def written_bytes(self) -> int:
        """How many of its bytes can be read with `read_at`; less than was given to `write` while buffers are on their
        way, and all after `settle`."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes up to `written_bytes`. Other threads may read while one writes."""

    def settle(self) -> None:
        """Hand all buffers to the medium and let go of their memory. Writing may go on."""

    def sync(self) -> int:
        """Make durable what was written when it was called, name and all, and say how many bytes of the object that
        are. Other threads may call it while one writes."""

    def close(self) -> None:
        """Let go of it and keep it; what was not synced may be lost. No other thread may use it any more. Allowed more
        than once, and after `seal` and `discard`."""


class ObjectReader(Protocol):
    """One object as it was when opened: a later `publish`, `move` or `remove` of its key does not change what is
    read."""

    @property
    def size_bytes(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, or fewer at the object's end. Raises `BlobUnreadable` if the medium refuses."""

    def reread(self, offset: int, length: int) -> memoryview:
        """As `read_at`, for those who read in order and are done with the bytes before the next call: they stay as they
        are until then. They come from the medium, not from a cache, where that can be."""

    def forget_cached(self) -> None:
        """Ask that the next reads come from the medium, not from a cache. A hint; does nothing where that cannot be."""

    def hold(self) -> None:
        """Until it is closed, no `move` of any process takes this object away, but one that names this reader."""

    def close(self) -> None:
        """Give the handle back. Allowed more than once."""


class Backend(Protocol):
    """Named immutable objects, and temporaries that become them.

    *Atomic*: under a key there is a whole sealed object or none; `publish` and `move` replace in one step.
    *Durable*: when `seal`, `publish`, `move`, `remove` or `prepare` returns, its effect survives a power cut. What
    raised may have happened or not, and is never half there.
    *Order*: an effect is durable before a later call returns; effects of calls that run at once have no order.
    *Repetition*: `prepare`, `discard` and `remove` may be repeated; what is already so is no error.
    *Missing*: `open`, `stat` and `move` raise `BlobMissing`.
    *Failing*: no room raises `StoreFull`. An error of the medium, or a sync that does not return in time, raises
    `StoreReadOnly`, is never retried, and from then on everything that writes raises `StoreReadOnly` until
    `allow_writes`; reading goes on. Any other refusal of the system raises `StoreFailed`.
    Keys are checked by `checked_key` and never start with `incoming/`. Safe to use from many threads.
    """

    @property
    def read_only_reason(self) -> str | None:
        """Why nothing is written any more, or None."""

    def turn_read_only(self, reason: str) -> None:
        """Refuse writes from now on, in this process and, as far as the medium still takes a note, in every other."""

    def allow_writes(self) -> None:
        """Lift the refusal: an operator's act, after the cause is mended."""

    def prepare(self, folders: Iterable[str]) -> None:
        """Make keys directly below these folders usable (a folder with its parents, where the medium has folders)."""

    def create(self) -> ObjectWriter:
        """A new empty temporary."""

    def append(self, name: str, size_bytes: int) -> ObjectPart:
        """The temporary of this name, cut to `size_bytes`, to be written on; with 0, made if it is not there. Raises
        `BlobMissing` if it is not there or shorter, `StoreFailed` while another has it open."""

    def publish(self, keys: Mapping[str, str]) -> None:
        """Give sealed temporaries their keys (name → key), one after the other in this order, replacing what was there.
        Raises `StoreFailed` if there is no such temporary, or a key's folder was not prepared where there are any."""

    def open(self, key: str) -> ObjectReader:
        """The object's bytes. The caller closes it."""

    def stat(self, key: str) -> ObjectInfo: ...

    def move(self, key: str, new_key: str, only: ObjectReader | None = None) -> None:
        """Rename, replacing what was there. With `only`, an open reader of this backend: move that very object, or
        raise `ObjectChanged` if `key` has meanwhile been given to another. Raises `ObjectHeld` while another reader
        holds it."""

    def remove(self, key: str) -> None:
        """Take the object away for good."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix` (empty, or any beginning of a key), in order. Temporaries
        are left out. What comes or goes meanwhile may be listed or not."""

    def temporaries(self) -> Iterator[str]:
        """Names of temporaries not yet published, in no order: leftovers, if no writer is alive."""

    def temporary_bytes(self, name: str) -> int:
        """The size of a temporary; 0 if it is not there."""

    def discard(self, name: str) -> None:
        """Drop a temporary by its name."""

    def close(self) -> None:
        """Give back what the backend itself holds open. Open readers stay usable."""
