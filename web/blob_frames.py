"""`application/vnd.otb.blobs`: many small blobs in one body. Repeated: a digest (32 bytes), a length (8 bytes,
big-endian), the blob's bytes.

What always holds: of a body that is being read no more than one blob and one block are in memory; what is announced too
large is passed over and named, never held.
"""

import struct
from typing import Final

from cas.digest import DIGEST_BYTES, Digest
from cas.errors import DigestMismatch
from cas.layout import PACK_BLOB_BYTES_MAX
from cas.packwriter import PackWriter
from catalog.errors import BadRequest, TooMany
from web.limits import BATCH_BLOBS_MAX

BLOBS_TYPE: Final = "application/vnd.otb.blobs"

_HEAD: Final = struct.Struct(f">{DIGEST_BYTES}sQ")


def frame_head(digest: Digest, size_bytes: int) -> bytes:
    """What stands before a blob's bytes."""
    return _HEAD.pack(digest.raw, size_bytes)


class BatchReader:
    """Takes a body in blocks of any size and adds its blobs to a pack; by one thread at a time."""

    def __init__(self, pack: PackWriter) -> None:
        self.rejected: dict[Digest, str] = {}
        self.has_empty = False
        self._pack = pack
        self._count = 0
        self._rest = b""
        self._passing_over_bytes = 0

    def feed(self, block: bytes | bytearray) -> None:
        """Raises `TooMany`, and as `PackWriter.add`."""
        data = memoryview(self._rest + block if self._rest else block)
        at = min(self._passing_over_bytes, len(data))
        self._passing_over_bytes -= at
        while len(data) - at >= _HEAD.size:
            raw, size_bytes = _HEAD.unpack_from(data, at)
            start = at + _HEAD.size
            if size_bytes > PACK_BLOB_BYTES_MAX:
                self._reject_large(Digest(raw), size_bytes)
                at = min(start + size_bytes, len(data))
                self._passing_over_bytes = start + size_bytes - at
                continue
            end = start + size_bytes
            if end > len(data):
                break
            self._add(Digest(raw), data[start:end])
            at = end
        self._rest = bytes(data[at:])

    def finish(self) -> None:
        """Raises `BadRequest` if the body ends within a blob."""
        if self._rest or self._passing_over_bytes:
            raise BadRequest("The body ends in the middle of a blob; nothing of it is kept. Send it again, whole.")

    def _add(self, digest: Digest, data: memoryview) -> None:
        self._check_count()
        if not data and digest == Digest.of(b""):
            self.has_empty = True  # permanent, and everyone's
            return
        try:
            self._pack.add(data, digest)
        except DigestMismatch:
            self.rejected[digest] = "The bytes that came hash to another digest. Read the file again and send it again."

    def _reject_large(self, digest: Digest, size_bytes: int) -> None:
        self._check_count()
        self.rejected[digest] = (
            f"{size_bytes:,} bytes are too many for a batch, which takes {PACK_BLOB_BYTES_MAX:,} each."
            " Send this one to /api/v1/uploads."
        )

    def _check_count(self) -> None:
        self._count += 1
        if self._count > BATCH_BLOBS_MAX:
            raise TooMany(BATCH_BLOBS_MAX, "blobs")
