"""The bytes of a pack: a header, the slices, the index, the trailer. Pure: no file is opened here.

Little-endian. The header is magic and pack id; a slice is a blob's stored bytes, each right behind the one before; the
index has a row per slice, in the same order; the trailer says where the index begins and ends in two digests, a version
and a magic. The first digest covers header, index and what the trailer says of them, so that the index can be believed
without reading the slices; the second covers every byte before itself. `docs/decisions/0006-packs.md` has it byte by
byte. Whatever is parsed here may be damaged or made to hurt: nothing is believed that was not compared.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from cas.blob import Blob, Encoding, pack_location
from cas.digest import DIGEST_BYTES, Digest
from cas.layout import PACK_BLOB_BYTES_MAX, PACK_BLOBS_MAX

VERSION: Final = 1
_HEAD_MAGIC: Final = b"OTB-PACK"
_TAIL_MAGIC: Final = b"KCAP-BTO"
_HEADER: Final = struct.Struct("<8s16s")
_ROW: Final = struct.Struct("<32sQIIIB3s")
_PLACE: Final = struct.Struct("<QI")
_ENDING: Final = struct.Struct("<I8s")
_PADDING: Final = b"\0\0\0"
_CODES: Final = {Encoding.IDENTITY: 0, Encoding.ZSTD: 1}
_ENCODINGS: Final = {code: encoding for encoding, code in _CODES.items()}

HEADER_BYTES: Final = _HEADER.size
ROW_BYTES: Final = _ROW.size
TRAILER_BYTES: Final = _PLACE.size + 2 * DIGEST_BYTES + _ENDING.size
UNHASHED_BYTES: Final = DIGEST_BYTES + _ENDING.size
"""The end of a pack that its second digest does not cover: that digest, the version and the magic."""


class BadPack(ValueError):
    """The bytes are not a pack of this format, as `PackWriter` writes it."""


@dataclass(frozen=True, slots=True)
class Trailer:
    """The end of a pack. `place` is as stored, because the index's digest covers it."""

    index_offset: int
    blob_count: int
    place: bytes
    index_digest: bytes
    pack_digest: bytes

    @property
    def index_bytes(self) -> int:
        return self.blob_count * ROW_BYTES


def header(pack_id: str) -> bytes:
    """The first bytes of a pack."""
    return _HEADER.pack(_HEAD_MAGIC, bytes.fromhex(pack_id))


def index_rows(blobs: Sequence[Blob]) -> bytes:
    """The index of blobs that lie one behind the other, the first right behind the header."""
    rows = bytearray()
    offset = HEADER_BYTES
    for blob in blobs:
        code = _CODES[blob.encoding]
        rows += _ROW.pack(blob.digest.raw, offset, blob.stored_bytes, blob.size_bytes, blob.crc32, code, _PADDING)
        offset += blob.stored_bytes
    return bytes(rows)


def trailer_start(head: bytes, index: bytes, index_offset: int, blob_count: int) -> bytes:
    """The trailer up to the digest of the whole pack."""
    place = _PLACE.pack(index_offset, blob_count)
    return place + _index_digest(head, index, place)


def trailer_end(pack_digest: bytes) -> bytes:
    """The rest of the trailer."""
    return pack_digest + _ENDING.pack(VERSION, _TAIL_MAGIC)


def parsed_trailer(data: bytes, pack_bytes: int) -> Trailer:
    """The trailer of a pack of `pack_bytes`, from its last `TRAILER_BYTES`. Raises `BadPack`."""
    if len(data) != TRAILER_BYTES:
        raise BadPack("shorter than any pack")
    version, magic = _ENDING.unpack_from(data, TRAILER_BYTES - _ENDING.size)
    if magic != _TAIL_MAGIC:
        raise BadPack("no trailer where it must end")
    if version != VERSION:
        raise BadPack(f"of version {version}, which is not known here")
    place = data[: _PLACE.size]
    index_offset, blob_count = _PLACE.unpack(place)
    if not 1 <= blob_count <= PACK_BLOBS_MAX:
        raise BadPack(f"it claims to hold {blob_count} blobs")
    digests = data[_PLACE.size :]
    found = Trailer(index_offset, blob_count, place, digests[:DIGEST_BYTES], digests[DIGEST_BYTES : 2 * DIGEST_BYTES])
    if index_offset < HEADER_BYTES or index_offset + found.index_bytes + TRAILER_BYTES != pack_bytes:
        raise BadPack("the index does not lie where the trailer says")
    return found


def parsed_index(head: bytes, index: bytes, trailer: Trailer, pack_id: str) -> tuple[Blob, ...]:
    """Every blob of the pack, in order. Raises `BadPack` for anything but what `PackWriter` writes for this id."""
    if head != header(pack_id):
        raise BadPack("its header is another pack's, or none")
    if len(index) != trailer.index_bytes or _index_digest(head, index, trailer.place) != trailer.index_digest:
        raise BadPack("the index does not match its digest")
    blobs = tuple(_parsed_rows(index, pack_id))
    if HEADER_BYTES + sum(blob.stored_bytes for blob in blobs) != trailer.index_offset:
        raise BadPack("the slices do not fill the pack")
    if len({blob.digest for blob in blobs}) != len(blobs):
        raise BadPack("the index names a digest twice")
    return blobs


def _parsed_rows(index: bytes, pack_id: str) -> Iterator[Blob]:
    offset = HEADER_BYTES
    for digest, start, stored_bytes, size_bytes, crc32, code, padding in _ROW.iter_unpack(index):
        if start != offset or padding != _PADDING or code not in _ENCODINGS:
            raise BadPack(f"the index is not one of version {VERSION}")
        if stored_bytes > size_bytes or size_bytes > PACK_BLOB_BYTES_MAX:
            raise BadPack(f"a slice of {stored_bytes} bytes claims to hold {size_bytes}")
        yield Blob(Digest(digest), size_bytes, stored_bytes, crc32, _ENCODINGS[code], pack_location(pack_id, offset))
        offset += stored_bytes


def _index_digest(head: bytes, index: bytes, place: bytes) -> bytes:
    return blake3(head).update(index).update(place).digest()
