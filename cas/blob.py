"""`Blob`: what writing returns and reading takes. `cas` keeps no index, so the caller keeps this value."""

import re
from enum import StrEnum
from typing import Final, NewType

import msgspec

from cas.digest import Digest

Location = NewType("Location", str)
"""Where the stored bytes lie. Opaque outside `cas`; at most 128 ASCII characters."""

OWN_FILE: Final = Location("file")
"""The blob lies in a file of its own under `blobs/`."""


_PACK_LOCATION: Final = re.compile(r"pack:([0-9a-f]{32}):(0|[1-9][0-9]{0,17})", re.ASCII)


def pack_location(pack_id: str, offset: int) -> Location:
    """`pack:<32 hex digits>:<offset>`: the blob's stored bytes begin there in that pack."""
    return Location(f"pack:{pack_id}:{offset}")


def parsed_pack_location(location: Location) -> tuple[str, int] | None:
    """Pack id and offset, or None for any other location."""
    match = _PACK_LOCATION.fullmatch(location)
    return (match[1], int(match[2])) if match else None


class Encoding(StrEnum):
    """How the stored bytes relate to the blob's own."""

    IDENTITY = "identity"
    ZSTD = "zstd"


class Blob(msgspec.Struct, frozen=True):
    """A durable blob: `size_bytes` before encoding, `stored_bytes` on disk, CRC-32 (zip's) of the plain bytes."""

    digest: Digest
    size_bytes: int
    stored_bytes: int
    crc32: int
    encoding: Encoding
    location: Location


EMPTY_BLOB: Final = Blob(Digest.of(b""), 0, 0, 0, Encoding.IDENTITY, OWN_FILE)
"""The blob of no bytes. Every store holds it from its beginning and for ever."""
