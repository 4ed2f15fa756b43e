"""Piece digests: the BLAKE3 of each 4 MiB of a large identity blob, so that a range can be checked without the
whole."""

from blake3 import blake3

from cas.digest import DIGEST_BYTES
from cas.layout import PIECE_BYTES


def piece_count(size_bytes: int) -> int:
    """How many pieces a blob of this size has."""
    return -(-size_bytes // PIECE_BYTES)


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

    def finish(self) -> bytes:
        """The content of the `.pieces` file: raw digests in order. The hasher is spent then."""
        if self._filled:
            self._end_piece()
        return bytes(self._digests)

    def _end_piece(self) -> None:
        self._digests += self._hasher.digest()
        self._hasher.reset()
        self._filled = 0


def piece_digest(digests: bytes, index: int) -> bytes:
    """The raw digest at `index` of a run of digests."""
    return digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
