"""`IdentitySink` and `ZstdSink`: plain bytes in, sealed temporaries out. One of them receives each blob."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from cas.backend import Backend, ObjectWriter
from cas.blob import Encoding
from cas.digest import Digest
from cas.layout import has_pieces
from cas.pieces import PieceHasher
from cas.seekable import FRAME_BYTES, FrameEncoder


@dataclass(frozen=True, slots=True)
class SealedParts:
    """Durable temporaries of one blob: `pieces` only beside a large identity blob."""

    blob: ObjectWriter
    pieces: ObjectWriter | None
    stored_bytes: int


class Sink(Protocol):
    """Takes a blob's bytes in order; `finish` or `discard` ends it."""

    encoding: Encoding

    def start(self, plain: memoryview) -> None:
        """Begin to take `plain`, which stays as it is until `wait` returns."""

    def wait(self) -> None: ...

    def finish(self, digest: Digest) -> SealedParts:
        """Seal. `digest`: of all the bytes."""

    def discard(self) -> None: ...


class IdentitySink:
    """Keeps the bytes as they come."""

    encoding = Encoding.IDENTITY

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._blob = backend.create()
        self._pieces: ObjectWriter | None = None
        self._hasher = PieceHasher()
        self._size_bytes = 0

    def start(self, plain: memoryview) -> None:
        self._blob.start(plain)
        self._hasher.update(plain)
        self._size_bytes += len(plain)

    def wait(self) -> None:
        self._blob.wait()

    def finish(self, digest: Digest) -> SealedParts:
        if has_pieces(self.encoding, self._size_bytes):
            self._pieces = self._backend.create()
            self._pieces.write(self._hasher.finish(digest))
            self._pieces.seal()
        self._blob.seal()
        return SealedParts(self._blob, self._pieces, self._size_bytes)

    def discard(self) -> None:
        self._blob.discard()
        if self._pieces is not None:
            self._pieces.discard()


class ZstdSink:
    """Compresses frame by frame, and can hand the plain bytes back if it did not pay."""

    encoding = Encoding.ZSTD

    def __init__(self, backend: Backend) -> None:
        self._blob = backend.create()
        self._frames = FrameEncoder()
        self._held = bytearray()
        self._size_bytes = 0
        self._stored_bytes = 0

    def start(self, plain: memoryview) -> None:
        self._size_bytes += len(plain)
        while plain:
            if not self._held and len(plain) >= FRAME_BYTES:
                self._put(plain[:FRAME_BYTES])
                plain = plain[FRAME_BYTES:]
                continue
            room = FRAME_BYTES - len(self._held)
            self._held += plain[:room]
            plain = plain[room:]
            if len(self._held) == FRAME_BYTES:
                self._flush()

    def wait(self) -> None:
        """`start` took it all."""

    def end_frames(self) -> int:
        """Write the last frame and the tail. Returns the stored size, not yet durable."""
        self._flush()
        tail = self._frames.tail()
        self._blob.write(tail)
        self._stored_bytes = self._frames.frame_ends[-1] + len(tail)
        return self._stored_bytes

    def plain_frames(self) -> Iterator[bytes]:
        """The plain bytes again, read back from what was written, after `end_frames`."""
        table = self._frames.seek_table(self._size_bytes)
        for frame in range(table.frames):
            start, end = table.frame_ends[frame], table.frame_ends[frame + 1]
            yield table.decode(frame, self._blob.read_at(start, end - start))

    def finish(self, _digest: Digest) -> SealedParts:
        """Seal, after `end_frames`."""
        self._blob.seal()
        return SealedParts(self._blob, None, self._stored_bytes)

    def discard(self) -> None:
        self._blob.discard()

    def _flush(self) -> None:
        if self._held:
            self._put(self._held)
            self._held = bytearray()

    def _put(self, plain: bytearray | memoryview) -> None:
        self._blob.write(self._frames.encode(plain))
