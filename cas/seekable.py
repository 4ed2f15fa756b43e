"""The zstd seekable format: independent frames of 1 MiB, then a skippable frame that says where each one lies.

Source: https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
Any zstd tool decodes such a file from front to back; a reader that knows the table decodes only the frames it needs.
Each frame carries its content size and a checksum of its plain bytes (XXH64, 32 bits), which zstd checks. Some bits of
a frame mean nothing to the decoder, so a second skippable frame before the table keeps the CRC-32 of each frame as
stored: with it, no flipped bit of the file goes unseen. Both together take 12 bytes per MiB.
"""

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import zstandard
from isal import isal_zlib

FRAME_BYTES: Final = 1 << 20
LEVEL: Final = 3
_CHECKS_MAGIC: Final = 0x184D2A50
_TABLE_MAGIC: Final = 0x184D2A5E
_SEEKABLE_MAGIC: Final = 0x8F92EAB1
_HEADER: Final = struct.Struct("<II")
_CHECK: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<II")
_FOOTER: Final = struct.Struct("<IBI")
_NO_ENTRY_CHECKSUMS: Final = 0


class BadSeekable(ValueError):
    """The bytes are not a file of this format, as `FrameEncoder` writes it."""


def checks_bytes(frames: int) -> int:
    """The size of the skippable frame of checks for so many frames."""
    return _HEADER.size + frames * _CHECK.size


def table_bytes(frames: int) -> int:
    """The size of the seek table for so many frames."""
    return _HEADER.size + frames * _ENTRY.size + _FOOTER.size


class FrameEncoder:
    """Compresses one frame at a time and remembers what the end of the file must say."""

    def __init__(self, level: int = LEVEL) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        self._checks = bytearray()
        self._entries = bytearray()
        self.frame_ends = array("Q", [0])

    def encode(self, plain: bytes | bytearray | memoryview) -> bytes:
        """The frame for 1 to `FRAME_BYTES` bytes; all but the last must be full."""
        frame = self._compressor.compress(plain)
        self._checks += _CHECK.pack(isal_zlib.crc32(frame))
        self._entries += _ENTRY.pack(len(frame), len(plain))
        self.frame_ends.append(self.frame_ends[-1] + len(frame))
        return frame

    def tail(self) -> bytes:
        """The two skippable frames that end the file: the checks and the seek table."""
        frames = len(self.frame_ends) - 1
        checks = _HEADER.pack(_CHECKS_MAGIC, len(self._checks)) + self._checks
        table = _HEADER.pack(_TABLE_MAGIC, table_bytes(frames) - _HEADER.size) + self._entries
        return checks + table + _FOOTER.pack(frames, _NO_ENTRY_CHECKSUMS, _SEEKABLE_MAGIC)

    def seek_table(self, size_bytes: int) -> "SeekTable":
        """What `read_table` will read, for reading back before the file is whole."""
        return SeekTable(size_bytes, self.frame_ends, bytes(self._checks))


@dataclass(frozen=True, slots=True)
class SeekTable:
    """Where each frame ends in the stored file. Frame `i` holds the plain bytes from `i * FRAME_BYTES` on."""

    size_bytes: int
    frame_ends: "array[int]"
    checks: bytes

    @property
    def frames(self) -> int:
        return len(self.frame_ends) - 1

    def frame_of(self, offset: int) -> int:
        """The frame that holds the plain byte at `offset`."""
        return offset // FRAME_BYTES

    def plain_bytes(self, frame: int) -> int:
        """How many plain bytes a frame holds."""
        return min(FRAME_BYTES, self.size_bytes - frame * FRAME_BYTES)

    def decode(self, frame: int, stored: bytes | memoryview) -> bytes:
        """The plain bytes of a frame, both checksums checked. Raises `BadSeekable`."""
        if isal_zlib.crc32(stored) != _CHECK.unpack_from(self.checks, frame * _CHECK.size)[0]:
            raise BadSeekable(f"frame {frame} is not as it was stored")
        try:
            parameters = zstandard.get_frame_parameters(stored)
            if parameters.content_size != self.plain_bytes(frame):
                raise BadSeekable(f"frame {frame} has another size than the table says")
            return zstandard.ZstdDecompressor().decompress(stored)
        except zstandard.ZstdError as error:
            raise BadSeekable(f"frame {frame}: {error}") from error


def read_table(read_at: Callable[[int, int], bytes], stored_bytes: int, size_bytes: int) -> SeekTable:
    """The table at the end of a file of `stored_bytes` that must hold `size_bytes` plain bytes. Raises
    `BadSeekable`."""
    frames = -(-size_bytes // FRAME_BYTES)
    length = checks_bytes(frames) + table_bytes(frames)
    if stored_bytes < length:
        raise BadSeekable("shorter than its table")
    tail = read_at(stored_bytes - length, length)
    if len(tail) != length:
        raise BadSeekable("truncated")
    checks = _parsed_checks(tail[: checks_bytes(frames)])
    ends = _parsed_ends(tail[checks_bytes(frames) :], frames, size_bytes)
    if ends[-1] + length != stored_bytes:
        raise BadSeekable("the frames do not fill the file")
    return SeekTable(size_bytes, ends, checks)


def plain_size(read_at: Callable[[int, int], bytes], stored_bytes: int) -> int:
    """How many plain bytes a file of `stored_bytes` says that it holds, for those who know nothing of the blob but its
    file; `read_table` then proves the rest. Raises `BadSeekable`."""
    if stored_bytes < _FOOTER.size:
        raise BadSeekable("shorter than its table")
    frames, _, magic = _FOOTER.unpack(read_at(stored_bytes - _FOOTER.size, _FOOTER.size))
    if magic != _SEEKABLE_MAGIC or stored_bytes < checks_bytes(frames) + table_bytes(frames):
        raise BadSeekable("no table where it must end")
    if frames == 0:
        return 0
    last = read_at(stored_bytes - _FOOTER.size - _ENTRY.size, _ENTRY.size)
    return int((frames - 1) * FRAME_BYTES + _ENTRY.unpack(last)[1])


def _parsed_checks(data: bytes) -> bytes:
    if _HEADER.unpack_from(data) != (_CHECKS_MAGIC, len(data) - _HEADER.size):
        raise BadSeekable("no checks where they must begin")
    return data[_HEADER.size :]


def _parsed_ends(table: bytes, frames: int, size_bytes: int) -> "array[int]":
    if _HEADER.unpack_from(table) != (_TABLE_MAGIC, len(table) - _HEADER.size):
        raise BadSeekable("no table where it must begin")
    if _FOOTER.unpack_from(table, len(table) - _FOOTER.size) != (frames, _NO_ENTRY_CHECKSUMS, _SEEKABLE_MAGIC):
        raise BadSeekable("no table where it must end")
    ends = array("Q", [0])
    entries = memoryview(table)[_HEADER.size : len(table) - _FOOTER.size]
    for frame, (stored, plain) in enumerate(_ENTRY.iter_unpack(entries)):
        if plain != min(FRAME_BYTES, size_bytes - frame * FRAME_BYTES):
            raise BadSeekable(f"frame {frame} has another size than the blob needs")
        ends.append(ends[-1] + stored)
    return ends
