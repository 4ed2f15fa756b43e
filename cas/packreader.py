"""`OpenPack` and `PackedReader`: reading out of packs. A slice is at most 1 MiB, so it is always read and checked whole
before a byte of it is handed over; memory is bounded by that, or by the index (1.8 MiB) where it is read."""

from collections.abc import Iterator
from types import TracebackType

from blake3 import blake3
from isal import isal_zlib

from cas.backend import Backend, DataT
from cas.blob import Blob, Location, parsed_pack_location
from cas.errors import BlobDamaged, BlobMissing, PackDamaged
from cas.layout import PACK_BLOB_BYTES_MAX, pack_key
from cas.packformat import (
    HEADER_BYTES,
    TRAILER_BYTES,
    UNHASHED_BYTES,
    BadPack,
    Trailer,
    parsed_index,
    parsed_trailer,
)
from cas.reader import CHUNK_BYTES, BlobReader, Progress, checked_range
from cas.slices import BadSlice, decode_slice


def offset_in(pack_id: str, location: Location) -> int:
    """Where in that pack the location points. Raises `BlobMissing` if it points elsewhere."""
    place = parsed_pack_location(location)
    if place is None or place[0] != pack_id:
        raise BlobMissing(f"{location!r} is no place in pack {pack_id}", pack_id)
    return place[1]


class OpenPack:
    """One open pack: any number of its slices, or all of it. Not for two threads at once. Raises `BlobMissing` at once
    if there is no such pack."""

    def __init__(self, backend: Backend, pack_id: str) -> None:
        self.pack_id = pack_id
        self._object = backend.open(pack_key(pack_id))

    def check_place(self, blob: Blob) -> int:
        """The slice's offset. Raises `BlobDamaged` if it cannot lie in this pack."""
        offset = offset_in(self.pack_id, blob.location)
        end = offset + blob.stored_bytes
        if offset < HEADER_BYTES or end > self._object.size_bytes - TRAILER_BYTES:
            raise _damaged(blob, f"bytes {offset} to {end} do not lie in pack {self.pack_id}")
        if blob.stored_bytes > blob.size_bytes or blob.size_bytes > PACK_BLOB_BYTES_MAX:
            raise _damaged(blob, f"{blob.stored_bytes} bytes of a pack cannot hold {blob.size_bytes}")
        return offset

    def stored(self, blob: Blob) -> bytes:
        """The slice as it is on the medium, unchecked. Raises `BlobDamaged`, `BlobUnreadable`."""
        return _whole(blob, self._object.read_at(self.check_place(blob), blob.stored_bytes))

    def rest(self, blob: Blob) -> bytes:
        """What is left of the slice, unchecked: less than there should be if the pack was cut short. Raises
        `BlobUnreadable`."""
        length = min(blob.stored_bytes, PACK_BLOB_BYTES_MAX)
        return self._object.read_at(offset_in(self.pack_id, blob.location), length)

    def plain(self, blob: Blob) -> bytes:
        """The blob's bytes, which match its digest. Raises `BlobDamaged`, `BlobUnreadable`."""
        return _checked(blob, self.stored(blob))

    def check(self, blob: Blob, progress: Progress | None = None) -> None:
        """Read one slice, from the medium where that can be, and hash it. Raises `BlobDamaged`, `BlobUnreadable`."""
        _checked(blob, self._reread(blob))
        if progress is not None:
            progress(blob.stored_bytes)

    def blobs(self) -> tuple[Blob, ...]:
        """What the index names, believed for its digest. Raises `PackDamaged`, `BlobUnreadable`."""
        return self._index()[0]

    def verify(self, progress: Progress | None = None) -> tuple[Blob, ...]:
        """Read all of it once, from the medium where that can be: trailer, index, every slice. Raises `PackDamaged`,
        `BlobUnreadable`."""
        self.forget_cached()
        blobs, trailer = self._index()
        hasher = blake3(self._part(0, HEADER_BYTES))
        for blob in blobs:
            hasher.update(self._checked_slice(blob))
            if progress is not None:
                progress(blob.stored_bytes)
        hasher.update(self._part(trailer.index_offset, trailer.index_bytes + TRAILER_BYTES - UNHASHED_BYTES))
        if hasher.digest() != trailer.pack_digest:
            raise self._broken("its bytes hash to another digest")
        return blobs

    def forget_cached(self) -> None:
        """For re-reading: ask that the next reads come from the medium, and keep the pack here until it is closed."""
        self._object.hold()
        self._object.forget_cached()

    def close(self) -> None:
        self._object.close()

    def __enter__(self) -> "OpenPack":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _index(self) -> tuple[tuple[Blob, ...], Trailer]:
        size_bytes = self._object.size_bytes
        try:
            trailer = parsed_trailer(self._part(max(size_bytes - TRAILER_BYTES, 0), TRAILER_BYTES), size_bytes)
            index = self._part(trailer.index_offset, trailer.index_bytes)
            return parsed_index(self._part(0, HEADER_BYTES), index, trailer, self.pack_id), trailer
        except BadPack as error:
            raise self._broken(str(error)) from error

    def _reread(self, blob: Blob) -> memoryview:
        return _whole(blob, self._object.reread(self.check_place(blob), blob.stored_bytes))

    def _checked_slice(self, blob: Blob) -> memoryview:
        try:
            stored = self._reread(blob)
            if isal_zlib.crc32(_checked(blob, stored)) != blob.crc32:
                raise self._broken(f"the index has a wrong CRC-32 for {blob.digest}")
        except BlobDamaged as error:
            if type(error) is not BlobDamaged:
                raise  # the medium refused: that says nothing about the pack
            raise self._broken(str(error)) from error
        return stored

    def _part(self, offset: int, length: int) -> bytes:
        return self._object.read_at(offset, length)

    def _broken(self, how: str) -> PackDamaged:
        return PackDamaged(f"pack {self.pack_id} is damaged: {how}", self.pack_id)


class PackedReader(BlobReader):
    """One open blob of a pack."""

    def __init__(self, backend: Backend, blob: Blob, pack_id: str) -> None:
        self.blob = blob
        self._pack = OpenPack(backend, pack_id)

    def check_size(self) -> None:
        self._pack.check_place(self.blob)

    def chunks(self) -> Iterator[bytes]:
        if plain := self._pack.plain(self.blob):
            yield plain

    def range(self, offset: int, length: int) -> Iterator[bytes]:
        checked_range(self.blob, offset, length)
        return self._range(offset, offset + length)

    def verify(self, progress: Progress | None = None) -> None:
        self._pack.forget_cached()
        self._pack.check(self.blob, progress)

    def rest(self) -> bytes:
        """What is left of the slice, unchecked: less than there should be if the pack was cut short. Raises
        `BlobUnreadable`."""
        return self._pack.rest(self.blob)

    def close(self) -> None:
        self._pack.close()

    def _range(self, start: int, end: int) -> Iterator[bytes]:
        if start == end:
            return
        plain = self._pack.plain(self.blob)
        for at in range(start, end, CHUNK_BYTES):
            yield plain[at : min(at + CHUNK_BYTES, end)]


def _whole(blob: Blob, stored: DataT) -> DataT:
    if len(stored) != blob.stored_bytes:
        raise _damaged(blob, "it ends too early")
    return stored


def _checked(blob: Blob, stored: DataT) -> DataT | bytes:
    try:
        plain = decode_slice(stored, blob.encoding, blob.size_bytes)
    except BadSlice as error:
        raise _damaged(blob, str(error)) from error
    if blake3(plain).digest() != blob.digest.raw:
        raise _damaged(blob, "its bytes hash to another digest")
    return plain


def _damaged(blob: Blob, how: str) -> BlobDamaged:
    return BlobDamaged(f"blob {blob.digest} is damaged: {how}", blob.digest.hex)
