"""`PartWriter`: a blob that comes in several goes, into a part that outlives the process. Resumable uploads use it.

What always holds: a part holds the plain bytes, so that finishing is a rename; each byte is hashed as it comes, where
the hashes know all that lies before it; after a restart they do not, and `rehash` reads that again, beside the
writing, until it has caught up. `docs/decisions/0007-resumable-uploads.md` says why.
"""

import threading
from types import TracebackType
from typing import Final

from blake3 import blake3
from isal import isal_zlib

from cas.backend import Backend, Data
from cas.blob import Encoding
from cas.digest import Digest
from cas.errors import BlobMissing, CasError, DigestMismatch, SizeMismatch
from cas.layout import has_pieces
from cas.pieces import PieceHasher
from cas.sinks import SealedParts
from cas.staged import Staged
from cas.writer import STEP_BYTES, steps

CATCH_UP_BYTES: Final = 8 << 20
"""A writer that is no further ahead of the hashes than this waits for them, so that they go on with the bytes."""


class PartHash:
    """The hashes of a part's beginning, up to `size_bytes`. Belongs to one writer at a time."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.crc32 = 0
        self._hasher = blake3()
        self._pieces = PieceHasher()

    @property
    def digest(self) -> Digest:
        return Digest(self._hasher.digest())

    def update(self, data: Data) -> None:
        """Go on with the bytes that follow."""
        self._hasher.update(data)
        self.crc32 = isal_zlib.crc32(data, self.crc32)
        self._pieces.update(memoryview(data))
        self.size_bytes += len(data)

    def copy(self) -> "PartHash":
        """Another that goes on from here by itself."""
        other = PartHash()
        other.size_bytes, other.crc32 = self.size_bytes, self.crc32
        other._hasher, other._pieces = self._hasher.copy(), self._pieces.copy()
        return other

    def pieces(self) -> bytes:
        """The content of the `.pieces` file. The hashes are spent then."""
        return self._pieces.finish(self.digest)


class PartWriter:
    """Goes on with a part, by one thread at a time; `sync` and `rehash` may run beside it.

    `close` keeps the part, `discard` drops it; as a context manager it is closed. After an error only these two.
    """

    def __init__(self, backend: Backend, name: str, size_bytes: int, hashes: PartHash | None) -> None:
        self.name = name
        self.size_bytes = size_bytes
        # Hashes that are ahead of the part are of bytes that were cut off.
        self.hashes = hashes if hashes is not None and hashes.size_bytes <= size_bytes else PartHash()
        self._backend = backend
        self._part = backend.append(name, size_bytes)
        self._lock = threading.Lock()
        self._is_open = True

    @property
    def is_hashed(self) -> bool:
        """Whether the hashes know every byte."""
        return self.hashes.size_bytes == self.size_bytes

    def write(self, data: Data) -> None:
        """Append a block of any size, hashed while it is written. Raises `StoreFull`, `StoreReadOnly`,
        `StoreFailed`."""
        with self._lock:
            if not self._is_open:
                raise CasError("this writer has ended")
        self._part.start(data)
        try:
            for step in steps(data):
                self._hash(step)
        finally:
            self._part.wait()
        if not self.is_hashed and self.size_bytes - self.hashes.size_bytes <= CATCH_UP_BYTES:
            self._part.settle()
            self.rehash(CATCH_UP_BYTES)

    def settle(self) -> None:
        """Hand everything to the system and let go of the buffers. Raises as `write`."""
        self._part.settle()

    def sync(self) -> int:
        """How many bytes are durable now: all but what is still in buffers. Any thread may call it beside the writing.
        Raises `StoreReadOnly`, `StoreFull`."""
        return self._part.sync()

    def rehash(self, bytes_max: int) -> bool:
        """Read and hash up to so many bytes that the hashes do not know. True while there is more to do now; False when
        they have caught up with what can be read, or the writer has ended. Raises `StoreFailed`, `StoreReadOnly`."""
        for _ in range(0, bytes_max, STEP_BYTES):
            if not self._rehash_step():
                return False
        return not self.is_hashed

    def finish(self, expect_digest: Digest | None = None, expect_size_bytes: int | None = None) -> Staged:
        """Hash what is not hashed, compare with what the sender claimed, and make it a staged blob. Raises
        `DigestMismatch`, `SizeMismatch`, `BlobMissing`, and as `write`; the part is still there then."""
        if expect_size_bytes is not None and self.size_bytes != expect_size_bytes:
            raise SizeMismatch(f"{self.size_bytes} bytes came instead of {expect_size_bytes}")
        self._part.settle()
        while self.rehash(self.size_bytes):
            pass
        if not self.is_hashed:
            raise BlobMissing(f"{self.name} has lost bytes that were written", self.name)
        digest = self.hashes.digest
        if expect_digest is not None and digest != expect_digest:
            raise DigestMismatch(f"the bytes hash to {digest}, not to {expect_digest}", expect_digest.hex)
        return Staged(digest, self.size_bytes, self.size_bytes, self.hashes.crc32, Encoding.IDENTITY, self._sealed())

    def close(self) -> None:
        """Keep the part for another time; what was not synced may be lost. Allowed more than once."""
        with self._lock:  # `rehash` reads no file that is closed
            self._is_open = False
            self._part.close()

    def discard(self) -> None:
        """Drop the part. Allowed more than once."""
        with self._lock:
            self._is_open = False
            self._part.discard()

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hash(self, data: memoryview) -> None:
        with self._lock:
            if self.is_hashed:
                self.hashes.update(data)
            self.size_bytes += len(data)

    def _rehash_step(self) -> bool:
        with self._lock:
            if not self._is_open:
                return False
            start = self.hashes.size_bytes
            length = max(0, min(STEP_BYTES, self._part.written_bytes - start))
            data = self._part.read_at(start, length)
            if data:
                self.hashes.update(data)
            return bool(data)

    def _sealed(self) -> SealedParts:
        pieces = None
        try:
            if has_pieces(Encoding.IDENTITY, self.size_bytes):
                pieces = self._backend.create()
                pieces.write(self.hashes.pieces())
                pieces.seal()
            with self._lock:
                self._is_open = False
                self._part.seal()
        except BaseException:
            if pieces is not None:
                pieces.discard()
            raise
        return SealedParts(self._part, pieces, self.size_bytes)
