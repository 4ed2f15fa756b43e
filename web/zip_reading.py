"""`MemberReads`: the bytes of one blob after the other, for a zip: packs stay open while their slices are read in turn.

What always holds: bytes leave only after they matched the blob's digest (of a large file: the last piece of it), and
the CRC-32 that stands in the zip's headers; a range of a blob is checked piece by piece.
"""

from collections import OrderedDict
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from isal import isal_zlib

from cas.blob import Blob, parsed_pack_location
from cas.errors import BlobDamaged, BlobMissing
from cas.packreader import OpenPack
from cas.store import BlobStore
from web.downloads import read_blob
from web.errors import ContentDamaged
from web.ranges import ByteRange

_PACKS_OPEN: Final = 8


class MemberReads:
    """For one stream, one thread at a time. Close it to give back what is open."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._packs: OrderedDict[str, OpenPack] = OrderedDict()

    def read(self, blob: Blob, part: ByteRange | None = None) -> Iterator[bytes]:
        """The blob's bytes, or a range of them. Raises `ContentDamaged`."""
        if parsed_pack_location(blob.location) is not None:
            yield from self._slice(blob, part)
        elif part is not None:
            yield from read_blob(self._store, blob, part)
        else:
            yield from _crc_checked(blob, read_blob(self._store, blob))

    def _slice(self, blob: Blob, part: ByteRange | None) -> Iterator[bytes]:
        plain = self._plain(blob)
        if isal_zlib.crc32(plain) != blob.crc32:
            raise ContentDamaged(blob) from _wrong_crc(blob)
        yield plain if part is None else plain[part.offset : part.offset + part.length]

    def _plain(self, blob: Blob) -> bytes:
        place = parsed_pack_location(blob.location)
        try:
            return self._pack(place[0] if place else "").plain(blob)
        except (BlobDamaged, BlobMissing):
            # Perhaps it was moved meanwhile: whoever reads single files knows where to look, and says what is wrong.
            return b"".join(read_blob(self._store, blob))

    def _pack(self, pack_id: str) -> OpenPack:
        pack = self._packs.get(pack_id)
        if pack is None:
            pack = self._packs[pack_id] = self._store.open_pack(pack_id)
            if len(self._packs) > _PACKS_OPEN:
                self._packs.popitem(last=False)[1].close()
        self._packs.move_to_end(pack_id)
        return pack

    def close(self) -> None:
        """Close every pack."""
        while self._packs:
            self._packs.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _crc_checked(blob: Blob, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The last chunk comes only after the CRC-32 of all matched."""
    last, crc = b"", 0
    for chunk in chunks:
        if last:
            yield last
        crc = isal_zlib.crc32(chunk, crc)
        last = chunk
    if crc != blob.crc32:
        raise ContentDamaged(blob) from _wrong_crc(blob)
    if last:
        yield last


def _wrong_crc(blob: Blob) -> BlobDamaged:
    return BlobDamaged(f"blob {blob.digest} has another CRC-32 than the catalog says", blob.digest.hex)
