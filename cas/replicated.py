"""The note `REPLICATED` in a store's root: when its second copy was last whole, and when the database was last dumped
beside it. Written by tools/replicate, read by whoever watches over both."""

from datetime import datetime
from typing import Final

import msgspec

from cas.backend import Backend
from cas.errors import BlobMissing, BlobUnreadable

REPLICATED_KEY: Final = "REPLICATED"
_BYTES_MAX: Final = 4_096


class Replicated(msgspec.Struct, frozen=True):
    """Aware moments; None: never."""

    whole_at: datetime | None = None
    dumped_at: datetime | None = None


def read_replicated(backend: Backend) -> Replicated:
    """The note of a store. One that is not there, or cannot be read, says never."""
    try:
        reader = backend.open(REPLICATED_KEY)
        try:
            return msgspec.json.decode(reader.read_at(0, _BYTES_MAX), type=Replicated)
        finally:
            reader.close()
    except (BlobMissing, BlobUnreadable, msgspec.DecodeError):
        return Replicated()


def note_replicated(backend: Backend, **moments: datetime) -> None:
    """Set one or both, durably. Only by the one program that replicates this store. Raises as the backend."""
    note = msgspec.structs.replace(read_replicated(backend), **moments)
    writer = backend.create()
    try:
        writer.write(msgspec.json.encode(note))
        writer.seal()
        backend.publish({writer.name: REPLICATED_KEY})
    finally:
        writer.discard()
