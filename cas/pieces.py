"""Piece digests: the BLAKE3 of each 4 MiB of a large identity blob, so that a range can be checked without the
whole.

The seal behind them is a BLAKE3 of the list, keyed with the blob's own digest: a list with a valid seal is the one that
was made of this blob's bytes, bit for bit. `docs/decisions/0003-layout-and-encoding.md` says why.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from blake3 import blake3

from cas.backend import Backend, Data
from cas.blob import Blob
from cas.digest import DIGEST_BYTES, Digest
from cas.errors import BlobMissing, BlobUnreadable, PiecesDamaged
from cas.layout import PIECE_BYTES, pieces_key

SEAL_BYTES: Final = 32
STEP_BYTES: Final = 1 << 20


def list_bytes(size_bytes: int) -> int:
    """The size of the `.pieces` file of a blob of this size, without the seal."""
    return -(-size_bytes // PIECE_BYTES) * DIGEST_BYTES


class PieceHasher:
    """Hashes a stream piece by piece. The result takes 32 bytes for each 4 MiB (8 MiB for 1 TiB)."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._hasher = blake3()
        self._filled = 0

    def update(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            part = rest[: PIECE_BYTES - self._filled]
            self._hasher.update(part)
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == PIECE_BYTES:
                self._end_piece()

    def copy(self) -> "PieceHasher":
        """Another that goes on from here by itself."""
        other = PieceHasher()
        other._digests, other._hasher, other._filled = self._digests[:], self._hasher.copy(), self._filled
        return other

    def finish(self, whole: Digest) -> bytes:
        """The content of the `.pieces` file: raw digests in order, and the seal. `whole`: the digest of the same
        stream. The hasher is spent then."""
        if self._filled:
            self._end_piece()
        return bytes(self._digests + _seal(whole).update(self._digests).digest())

    def _end_piece(self) -> None:
        self._digests += self._hasher.digest()
        self._hasher.reset()
        self._filled = 0


class PieceList:
    """The open `.pieces` file of a blob, whose seal was checked when this was made. Raises `PiecesDamaged`, also where
    there is none. `from_medium`: read it for the check from there, where that can be."""

    def __init__(self, backend: Backend, blob: Blob, *, from_medium: bool = False) -> None:
        self._digest = blob.digest
        try:
            self._source = backend.open(pieces_key(blob.digest))
        except BlobMissing as error:
            raise self._damaged("missing") from error
        try:
            self._check_seal(list_bytes(blob.size_bytes), self._source.reread if from_medium else self._source.read_at)
        except BaseException:
            self.close()
            raise

    def digest(self, index: int) -> bytes:
        """The raw digest of the piece at `index`."""
        with self._reading():
            return self._source.read_at(index * DIGEST_BYTES, DIGEST_BYTES)

    def close(self) -> None:
        """Allowed more than once."""
        self._source.close()

    def _check_seal(self, size_bytes: int, read: Callable[[int, int], Data]) -> None:
        if self._source.size_bytes != size_bytes + SEAL_BYTES:
            raise self._damaged("too few or too many, or have no seal")
        seal = _seal(self._digest)
        with self._reading():
            for offset in range(0, size_bytes, STEP_BYTES):
                seal.update(read(offset, min(STEP_BYTES, size_bytes - offset)))
            if seal.digest() != read(size_bytes, SEAL_BYTES):
                raise self._damaged("not those that were sealed")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except BlobUnreadable as error:
            raise PiecesDamaged(str(error), self._digest.hex) from error

    def _damaged(self, how: str) -> PiecesDamaged:
        return PiecesDamaged(f"the piece digests of {self._digest} are {how}", self._digest.hex)


def _seal(whole: Digest) -> blake3:
    return blake3(key=whole.raw)
