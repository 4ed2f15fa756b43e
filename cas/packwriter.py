"""`PackWriter`: many small blobs in, one file and one fsync; a `StagedPack` out.

Bytes are collected and written in steps of about 1 MiB, so that a blob costs no system call and no object of the file
system. Memory is bounded: one buffer of 2 MiB, and about 700 bytes for each blob.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from blake3 import blake3
from isal import isal_zlib

from cas.backend import Backend, Data, ObjectWriter
from cas.blob import Blob, Encoding, pack_location
from cas.digest import Digest
from cas.errors import CasError, DigestMismatch, PackFull, SizeMismatch
from cas.layout import PACK_BLOB_BYTES_MAX, PACK_BLOBS_MAX, PACK_BYTES_MAX
from cas.packformat import header, index_rows, trailer_end, trailer_start
from cas.slices import SliceEncoder

STEP_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class StagedPack:
    """A pack that is durable in `incoming/`, still without a name: what `BlobStore.place_pack` takes. Discard it if it
    is not to be placed; as a context manager it does so by itself.

    `blobs` have the locations that hold once it is placed; `stored_bytes` is the size of the whole file.
    """

    pack_id: str
    blobs: tuple[Blob, ...]
    stored_bytes: int
    sealed: ObjectWriter = field(repr=False, compare=False)

    def discard(self) -> None:
        """Drop the temporary if it is still there. Allowed more than once, and after placing; never raises."""
        self.sealed.discard()

    def __enter__(self) -> "StagedPack":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class PackWriter:
    """Takes blobs one by one, by one thread at a time. `pack_id` is new, and known from the start.

    A blob that is refused leaves the writer usable; any other error ends it and drops what it wrote. As a context
    manager it does so too unless `finish` was reached.
    """

    def __init__(self, backend: Backend, pack_id: str) -> None:
        self.pack_id = pack_id
        self._encoder = SliceEncoder()
        self._blobs: dict[bytes, Blob] = {}
        self._hasher = blake3()
        self._buffer = bytearray(STEP_BYTES + PACK_BLOB_BYTES_MAX)
        self._filled = 0
        self._offset = 0
        self._file = backend.create()
        self._is_open = True
        self._append(header(self.pack_id))

    @property
    def blob_count(self) -> int:
        """How many different blobs were added."""
        return len(self._blobs)

    def digests(self) -> Iterable[bytes]:
        """The digests of what was added, raw, each once."""
        return self._blobs.keys()

    def add(self, data: Data, expect_digest: Digest | None = None) -> Blob:
        """Append one blob and return it, with the location it has once the pack is placed; bytes that are in this pack
        already are not stored again. Raises `SizeMismatch` beyond `PACK_BLOB_BYTES_MAX`, `DigestMismatch`, `PackFull`:
        nothing was appended then, and the writer goes on; `StoreFull`, `StoreReadOnly`, `StoreFailed` end it."""
        if not self._is_open:
            raise CasError("this writer has ended")
        plain = data.cast("B") if isinstance(data, memoryview) else data
        if len(plain) > PACK_BLOB_BYTES_MAX:
            raise SizeMismatch(f"more than {PACK_BLOB_BYTES_MAX} bytes came for one blob of a pack")
        raw = blake3(plain).digest()
        if expect_digest is not None and raw != expect_digest.raw:
            raise DigestMismatch(f"the bytes hash to {raw.hex()}, not to {expect_digest}", expect_digest.hex)
        known = self._blobs.get(raw)
        return self._added(expect_digest or Digest(raw), plain) if known is None else known

    def finish(self) -> StagedPack:
        """Write index and trailer and make all of it durable. A pack without a blob is fine: placing it leaves
        nothing. Raises `StoreFull`, `StoreReadOnly`, `StoreFailed`."""
        if not self._is_open:
            raise CasError("this writer has ended")
        blobs = tuple(self._blobs.values())
        try:
            self._end(blobs)
            self._file.seal()
        except BaseException:
            self.abort()
            raise
        self._is_open = False
        return StagedPack(self.pack_id, blobs, self._offset, self._file)

    def abort(self) -> None:
        """Drop everything. Does nothing after `finish` or a second time."""
        if self._is_open:
            self._is_open = False
            self._file.discard()

    def __enter__(self) -> "PackWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _added(self, digest: Digest, plain: Data) -> Blob:
        if len(self._blobs) == PACK_BLOBS_MAX or self._offset + len(plain) > PACK_BYTES_MAX:
            raise PackFull(f"a pack holds at most {PACK_BLOBS_MAX} blobs and {PACK_BYTES_MAX} bytes", self.pack_id)
        packed = self._encoder.packed(plain)
        stored, encoding = (plain, Encoding.IDENTITY) if packed is None else (packed, Encoding.ZSTD)
        location = pack_location(self.pack_id, self._offset)
        blob = Blob(digest, len(plain), len(stored), isal_zlib.crc32(plain), encoding, location)
        try:
            self._append(stored)
        except BaseException:
            self.abort()
            raise
        self._blobs[digest.raw] = blob
        return blob

    def _append(self, data: Data) -> None:
        """Add at most `PACK_BLOB_BYTES_MAX` bytes."""
        end = self._filled + len(data)
        self._buffer[self._filled : end] = data
        self._filled = end
        self._offset += len(data)
        if end >= STEP_BYTES:
            self._flush()

    def _flush(self) -> None:
        with memoryview(self._buffer) as whole, whole[: self._filled] as filled:
            self._hasher.update(filled)
            self._file.write(filled)
        self._filled = 0

    def _end(self, blobs: tuple[Blob, ...]) -> None:
        index, index_offset = index_rows(blobs), self._offset
        start = trailer_start(header(self.pack_id), index, index_offset, len(blobs))
        self._flush()
        for part in (index, start):
            self._hasher.update(part)
            self._file.write(part)
        end = trailer_end(self._hasher.digest())
        self._file.write(end)
        self._offset = index_offset + len(index) + len(start) + len(end)
