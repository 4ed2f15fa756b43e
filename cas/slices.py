"""Slices: one blob's stored bytes inside a pack, as they came or as one zstd frame, by trial on the bytes.

A zstd slice is one frame with content size and checksum, and behind it a skippable frame with the CRC-32 of the frame
as stored: zstd ignores some bits of a frame, and with the CRC no flipped bit goes unseen (see `cas.seekable`).
"""

import struct
from typing import Final

import zstandard
from isal import isal_zlib

from cas.backend import Data, DataT
from cas.blob import Encoding
from cas.layout import PACK_BLOB_BYTES_MAX

LEVEL: Final = 1
IDENTITY_BELOW_BYTES: Final = 4096
SAMPLE_BYTES: Final = 2048
FAILURES_MAX: Final = 8
"""After so many trials in a row that failed, only every `RETRY_EVERY`th blob is tried, until one succeeds."""

RETRY_EVERY: Final = 4
_TRIAL_LEVEL: Final = -5
_TRIAL_SAVES_PERCENT: Final = 5
_SAVES_PERCENT: Final = 10
_CHECK_MAGIC: Final = 0x184D2A50
_CHECK: Final = struct.Struct("<III")
_CHECK_BODY_BYTES: Final = 4


class BadSlice(ValueError):
    """The stored bytes are no slice of the size and encoding that they should be."""


class SliceEncoder:
    """Chooses and encodes. For one thread at a time: its compressors are used again for each blob."""

    def __init__(self) -> None:
        self._trial = zstandard.ZstdCompressor(level=_TRIAL_LEVEL, write_checksum=False, write_content_size=False)
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)

        self._failures = 0

    def packed(self, plain: Data) -> bytes | None:
        """The zstd slice, or None where it does not save 10 %, or was not tried. Blobs that arrive together are often
        of one kind, so where trials keep failing most are left out: bytes that do not compress cost next to nothing."""
        if len(plain) < IDENTITY_BELOW_BYTES:
            return None
        self._failures += 1
        if self._failures > FAILURES_MAX and self._failures % RETRY_EVERY:
            return None
        stored = self._compressed(plain) if self._is_worth_trying(plain) else None
        if stored is not None:
            self._failures = 0
        return stored

    def _is_worth_trying(self, plain: Data) -> bool:
        """By a sample from the middle: files of media begin with headers that compress."""
        middle = (len(plain) - SAMPLE_BYTES) // 2
        sample = self._trial.compress(plain[middle : middle + SAMPLE_BYTES])
        return len(sample) * 100 <= SAMPLE_BYTES * (100 - _TRIAL_SAVES_PERCENT)

    def _compressed(self, plain: Data) -> bytes | None:
        size_bytes = len(plain)
        frame = self._compressor.compress(plain)
        if (len(frame) + _CHECK.size) * 100 > size_bytes * (100 - _SAVES_PERCENT):
            return None
        return frame + _CHECK.pack(_CHECK_MAGIC, _CHECK_BODY_BYTES, isal_zlib.crc32(frame))


def decode_slice(stored: DataT, encoding: Encoding, size_bytes: int) -> DataT | bytes:
    """The plain bytes, `size_bytes` of them and never more than `PACK_BLOB_BYTES_MAX`. Raises `BadSlice`."""
    if size_bytes > PACK_BLOB_BYTES_MAX:
        raise BadSlice(f"{size_bytes} bytes are more than a pack keeps of one blob")
    if encoding is Encoding.IDENTITY:
        if len(stored) != size_bytes:
            raise BadSlice(f"it has {len(stored)} bytes instead of {size_bytes}")
        return stored
    frame, check = stored[: -_CHECK.size], stored[-_CHECK.size :]
    if check != _CHECK.pack(_CHECK_MAGIC, _CHECK_BODY_BYTES, isal_zlib.crc32(frame)):
        raise BadSlice("the frame is not as it was stored")
    return _decompressed(frame, size_bytes)


def _decompressed(frame: bytes | memoryview, size_bytes: int) -> bytes:
    try:
        if zstandard.get_frame_parameters(frame).content_size != size_bytes:
            raise BadSlice("the frame has another size than the blob")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BadSlice(f"the frame cannot be decoded: {error}") from error
