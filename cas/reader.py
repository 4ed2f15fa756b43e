"""`BlobReader`: a blob's bytes out, checked against its digest before the last of them is handed over; and
`FileReader`, for blobs in files of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from blake3 import blake3

from cas.backend import Backend, Data, DataT
from cas.blob import OWN_FILE, Blob, Encoding
from cas.errors import BlobDamaged, BlobMissing
from cas.layout import PIECE_BYTES, blob_key, has_pieces
from cas.pieces import PieceHasher, PieceList
from cas.seekable import FRAME_BYTES, BadSeekable, SeekTable, read_table

CHUNK_BYTES: Final = 1 << 20
REREAD_BYTES: Final = 4 << 20

Progress = Callable[[int], None]
"""Told how many stored bytes were read since the last call. May wait, or raise to stop."""


def checked_range(blob: Blob, offset: int, length: int) -> None:
    """Raises ValueError unless the range lies inside the blob."""
    if offset < 0 or length < 0 or offset + length > blob.size_bytes:
        raise ValueError(f"{offset}+{length} lies outside of {blob.size_bytes} bytes")


class BlobReader(ABC):
    """One open blob. Not for two threads at once. Raises `BlobMissing` when made; `BlobDamaged` as soon as it shows."""

    blob: Blob

    @abstractmethod
    def check_size(self) -> None:
        """Raises `BlobDamaged` if the sizes alone tell that the blob is not whole."""

    @abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """The whole blob in order, about 1 MiB at a time. The last chunk comes only after the digest of all matched."""

    @abstractmethod
    def range(self, offset: int, length: int) -> Iterator[bytes]:
        """Bytes `offset` to `offset + length`, which must lie inside; each is handed out only after the piece that
        holds it was checked. Raises ValueError for a range outside."""

    @abstractmethod
    def verify(self, progress: Progress | None = None) -> None:
        """Re-read and re-hash everything, from the medium where that can be. Raises `BlobDamaged`, at last
        `PiecesDamaged`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is open. Allowed more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileReader(BlobReader):
    """A blob in a file of its own."""

    def __init__(self, backend: Backend, blob: Blob) -> None:
        if blob.location != OWN_FILE:
            raise BlobMissing(f"no such place as {blob.location!r} is known here", blob.digest.hex)
        self.blob = blob
        self._backend = backend
        self.object = backend.open(blob_key(blob.digest, blob.encoding))
        self._pieces: PieceList | None = None
        self._table: SeekTable | None = None

    def chunks(self) -> Iterator[bytes]:
        self.check_size()
        hasher = blake3()
        last = b""
        for chunk in self._plain():
            if last:
                yield last
            hasher.update(chunk)
            last = chunk
        if hasher.digest() != self.blob.digest.raw:
            raise self._damaged("its bytes hash to another digest")
        if last:
            yield last

    def range(self, offset: int, length: int) -> Iterator[bytes]:
        checked_range(self.blob, offset, length)
        return self._range(offset, offset + length)

    def verify(self, progress: Progress | None = None) -> None:
        self.object.hold()
        self.check_size()
        self.object.forget_cached()
        self._rehash(progress)
        if has_pieces(self.blob.encoding, self.blob.size_bytes):
            PieceList(self._backend, self.blob, from_medium=True).close()

    def pieces(self) -> bytes:
        """The content of the `.pieces` file, made again from bytes whose digest matches. Raises `BlobDamaged`."""
        pieces = PieceHasher()
        for chunk in self.chunks():
            pieces.update(chunk)
        return pieces.finish(self.blob.digest)

    def check_size(self) -> None:
        if self.object.size_bytes != self.blob.stored_bytes:
            raise self._damaged(f"it takes {self.object.size_bytes} bytes instead of {self.blob.stored_bytes}")

    def close(self) -> None:
        self.object.close()
        if self._pieces is not None:
            self._pieces.close()

    # -- the whole

    def _plain(self) -> Iterator[bytes]:
        if self.blob.encoding is Encoding.IDENTITY:
            return self._identity_chunks()
        table = self._seek_table()
        return (self._frame(table, frame) for frame in range(table.frames))

    def _identity_chunks(self) -> Iterator[bytes]:
        for offset in range(0, self.blob.size_bytes, CHUNK_BYTES):
            yield self._exactly(offset, min(CHUNK_BYTES, self.blob.size_bytes - offset))

    def _rehash(self, progress: Progress | None) -> None:
        hasher = blake3()
        for plain, stored_bytes in self._reread():
            hasher.update(plain)
            if progress is not None:
                progress(stored_bytes)
        if hasher.digest() != self.blob.digest.raw:
            raise self._damaged("its bytes hash to another digest")

    def _reread(self) -> Iterator[tuple[Data, int]]:
        """The plain bytes from the medium, each with the number of stored bytes that it came of."""
        if self.blob.encoding is Encoding.IDENTITY:
            for offset in range(0, self.blob.size_bytes, REREAD_BYTES):
                length = min(REREAD_BYTES, self.blob.size_bytes - offset)
                yield self._whole(self.object.reread(offset, length), length), length
            return
        table = self._seek_table()
        for frame in range(table.frames):
            start, length = table.frame_ends[frame], table.frame_ends[frame + 1] - table.frame_ends[frame]
            yield self._decoded(table, frame, self._whole(self.object.reread(start, length), length)), length

    # -- ranges

    def _range(self, start: int, end: int) -> Iterator[bytes]:
        self.check_size()
        if start == end:
            return
        step = self._step_bytes()
        for index in range(start // step, -(-end // step)):
            piece = self._checked_piece(index)
            first = max(start - index * step, 0)
            last = min(end - index * step, len(piece))
            for at in range(first, last, CHUNK_BYTES):
                yield piece[at : min(at + CHUNK_BYTES, last)]

    def _step_bytes(self) -> int:
        return FRAME_BYTES if self.blob.encoding is Encoding.ZSTD else PIECE_BYTES

    def _checked_piece(self, index: int) -> bytes:
        if self.blob.encoding is Encoding.ZSTD:
            return self._frame(self._seek_table(), index)
        length = min(PIECE_BYTES, self.blob.size_bytes - index * PIECE_BYTES)
        piece = self._exactly(index * PIECE_BYTES, length)
        if blake3(piece).digest() != self._piece_digest(index):
            raise self._damaged(f"piece {index} does not match its digest")
        return piece

    def _piece_digest(self, index: int) -> bytes:
        if not has_pieces(self.blob.encoding, self.blob.size_bytes):
            return self.blob.digest.raw
        if self._pieces is None:
            self._pieces = PieceList(self._backend, self.blob)
        return self._pieces.digest(index)

    # -- the parts on the medium

    def _seek_table(self) -> SeekTable:
        if self._table is None:
            try:
                self._table = read_table(self.object.read_at, self.blob.stored_bytes, self.blob.size_bytes)
            except BadSeekable as error:
                raise self._damaged(f"its seek table is wrong: {error}") from error
        return self._table

    def _frame(self, table: SeekTable, frame: int) -> bytes:
        start, end = table.frame_ends[frame], table.frame_ends[frame + 1]
        return self._decoded(table, frame, self._exactly(start, end - start))

    def _decoded(self, table: SeekTable, frame: int, stored: bytes | memoryview) -> bytes:
        try:
            return table.decode(frame, stored)
        except BadSeekable as error:
            raise self._damaged(str(error)) from error

    def _exactly(self, offset: int, length: int) -> bytes:
        return self._whole(self.object.read_at(offset, length), length)

    def _whole(self, data: DataT, length: int) -> DataT:
        if len(data) != length:
            raise self._damaged("it ends too early")
        return data

    def _damaged(self, how: str) -> BlobDamaged:
        return BlobDamaged(f"blob {self.blob.digest} is damaged: {how}", self.blob.digest.hex)
