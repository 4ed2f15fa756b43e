"""`BlobWriter`: bytes in, hashed and checked on the way; a `Staged` out. The only way into the store.

Memory is bounded whatever the size: one sample of 1 MiB, one frame, a few buffers of the file, and a few bytes per MiB.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Final

from blake3 import blake3
from isal import isal_zlib

from cas.backend import Backend, Data
from cas.digest import Digest
from cas.errors import BlobDamaged, CasError, DigestMismatch, SizeMismatch
from cas.seekable import BadSeekable
from cas.sinks import IdentitySink, Sink, ZstdSink
from cas.staged import Staged
from cas.trial import SAMPLE_BYTES, has_paid, is_worth_trying

STEP_BYTES: Final = 1 << 20
"""Blocks are taken in steps of this size, so that hashing and writing find the bytes still in the processor's cache."""


def steps(data: Data) -> Iterator[memoryview]:
    """A block in steps of at most `STEP_BYTES`."""
    rest = memoryview(data).cast("B")
    while rest:
        yield rest[:STEP_BYTES]
        rest = rest[STEP_BYTES:]


class BlobWriter:
    """Takes one blob from start to end, by one thread at a time.

    Any error ends it and drops what it wrote. As a context manager it does so too unless `finish` was reached.
    """

    def __init__(self, backend: Backend, size_bytes_max: int | None = None) -> None:
        self.size_bytes = 0
        self._backend = backend
        self._size_bytes_max = size_bytes_max
        self._hasher = blake3()
        self._crc32 = 0
        self._sample = bytearray()
        self._sink: Sink | None = None
        self._is_open = True

    def write(self, data: Data) -> None:
        """Append a block of any size, hashed while it is written. Raises `SizeMismatch` beyond the limit, `StoreFull`,
        `StoreReadOnly`, `StoreFailed`."""
        self._check_open()
        rest = memoryview(data).cast("B")
        try:
            while rest:
                part = rest[: STEP_BYTES if self._sink is None else len(rest)]
                self._take(part)
                rest = rest[len(part) :]
        except BaseException:
            self.abort()
            raise

    def finish(self, expect_digest: Digest | None = None, expect_size_bytes: int | None = None) -> Staged:
        """Compare with what the sender claimed and make the bytes durable. Raises `DigestMismatch`, `SizeMismatch`,
        and as `write`."""
        self._check_open()
        try:
            digest = Digest(self._hasher.digest())
            self._compare(digest, expect_digest, expect_size_bytes)
            staged = self._sealed(digest)
        except BaseException:
            self.abort()
            raise
        self._is_open = False
        return staged

    def abort(self) -> None:
        """Drop everything. Does nothing after `finish` or a second time."""
        if self._is_open:
            self._is_open = False
            self._sample.clear()
            if self._sink is not None:
                self._sink.discard()

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _check_open(self) -> None:
        if not self._is_open:
            raise CasError("this writer has ended")

    def _take(self, part: memoryview) -> None:
        self.size_bytes += len(part)
        if self._size_bytes_max is not None and self.size_bytes > self._size_bytes_max:
            raise SizeMismatch(f"more than {self._size_bytes_max} bytes came")
        if self._sink is None:
            self._hash(part)
            self._try_out(part)
        else:
            self._sink.start(part)
            self._hash(part)
            self._sink.wait()

    def _hash(self, part: memoryview) -> None:
        for step in steps(part):
            self._hasher.update(step)
            self._crc32 = isal_zlib.crc32(step, self._crc32)

    def _try_out(self, part: memoryview) -> None:
        """Collect the sample; choose when it is full."""
        if not self._sample and len(part) == SAMPLE_BYTES:
            _give(self._choose(part), part)
            return
        room = SAMPLE_BYTES - len(self._sample)
        self._sample += part[:room]
        if len(self._sample) == SAMPLE_BYTES:
            _give(self._release_sample(), part[room:])

    def _release_sample(self) -> Sink:
        sample, self._sample = self._sample, bytearray()
        sink = self._choose(sample)
        _give(sink, memoryview(sample))
        return sink

    def _choose(self, sample: bytearray | memoryview) -> Sink:
        kind = ZstdSink if is_worth_trying(sample) else IdentitySink
        self._sink = kind(self._backend)
        return self._sink

    def _compare(self, digest: Digest, expect_digest: Digest | None, expect_size_bytes: int | None) -> None:
        if expect_size_bytes is not None and self.size_bytes != expect_size_bytes:
            raise SizeMismatch(f"{self.size_bytes} bytes came instead of {expect_size_bytes}")
        if expect_digest is not None and digest != expect_digest:
            raise DigestMismatch(f"the bytes hash to {digest}, not to {expect_digest}", expect_digest.hex)

    def _sealed(self, digest: Digest) -> Staged:
        sink = self._sink or self._release_sample()
        if isinstance(sink, ZstdSink) and not has_paid(sink.end_frames(), self.size_bytes):
            sink = self._rewritten(sink, digest)
        parts = sink.finish(digest)
        return Staged(digest, self.size_bytes, parts.stored_bytes, self._crc32, sink.encoding, parts)

    def _rewritten(self, packed: ZstdSink, digest: Digest) -> IdentitySink:
        """The same bytes as they came, read back and hashed again."""
        plain = IdentitySink(self._backend)
        self._sink = plain
        hasher = blake3()
        try:
            for data in packed.plain_frames():
                hasher.update(data)
                _give(plain, memoryview(data))
        except BadSeekable as error:
            raise BlobDamaged(f"what was just written reads back wrong: {error}", digest.hex) from error
        finally:
            packed.discard()
        if hasher.digest() != digest.raw:
            raise BlobDamaged("what was just written reads back wrong", digest.hex)
        return plain


def _give(sink: Sink, plain: memoryview) -> None:
    sink.start(plain)
    sink.wait()
