"""The zstd seekable format: independent frames of 1 MiB, then a skippable frame that says where each one lies.

Source: https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
Any zstd tool decodes such a file from front to back; a reader that knows the table decodes only the frames it needs.
Each frame carries its content size and a checksum (XXH64, 32 bits), which zstd checks. The table takes 8 bytes per MiB.
"""

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import zstandard

FRAME_BYTES: Final = 1 << 20
LEVEL: Final = 3
_SKIPPABLE_MAGIC: Final = 0x184D2A5E
_SEEKABLE_MAGIC: Final = 0x8F92EAB1
_HEADER: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<II")
_FOOTER: Final = struct.Struct("<IBI")
_NO_ENTRY_CHECKSUMS: Final = 0


class BadSeekable(ValueError):
    """The bytes are not a file of this format, as `FrameEncoder` writes it."""


def table_bytes(frames: int) -> int:
    """The size of the table for so many frames."""
    return _HEADER.size + frames * _ENTRY.size + _FOOTER.size


class FrameEncoder:
    """Compresses one frame at a time and remembers what the table must say."""

    def __init__(self, level: int = LEVEL) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        self._entries = bytearray()
        self.frame_ends = array("Q", [0])

    def encode(self, plain: bytes | bytearray | memoryview) -> bytes:
        """The frame for 1 to `FRAME_BYTES` bytes; all but the last must be full."""
        frame = self._compressor.compress(plain)
        self._entries += _ENTRY.pack(len(frame), len(plain))
        self.frame_ends.append(self.frame_ends[-1] + len(frame))
        return frame

    def table(self) -> bytes:
        """The skippable frame that ends the file."""
        frames = len(self.frame_ends) - 1
        header = _HEADER.pack(_SKIPPABLE_MAGIC, table_bytes(frames) - _HEADER.size)
        return header + self._entries + _FOOTER.pack(frames, _NO_ENTRY_CHECKSUMS, _SEEKABLE_MAGIC)


@dataclass(frozen=True, slots=True)
class SeekTable:
    """Where each frame ends in the stored file. Frame `i` holds the plain bytes from `i * FRAME_BYTES` on."""

    size_bytes: int
    frame_ends: "array[int]"

    @property
    def frames(self) -> int:
        return len(self.frame_ends) - 1

    def frame_of(self, offset: int) -> int:
        """The frame that holds the plain byte at `offset`."""
        return offset // FRAME_BYTES

    def plain_bytes(self, frame: int) -> int:
        """How many plain bytes a frame holds."""
        return min(FRAME_BYTES, self.size_bytes - frame * FRAME_BYTES)

    def decode(self, frame: int, stored: bytes) -> bytes:
        """The plain bytes of a frame, its checksum checked. Raises `BadSeekable`."""
        try:
            parameters = zstandard.get_frame_parameters(stored)
            if parameters.content_size != self.plain_bytes(frame) or not parameters.has_checksum:
                raise BadSeekable(f"frame {frame} has another size than the table says")
            return zstandard.ZstdDecompressor().decompress(stored)
        except zstandard.ZstdError as error:
            raise BadSeekable(f"frame {frame}: {error}") from error


def read_table(read_at: Callable[[int, int], bytes], stored_bytes: int, size_bytes: int) -> SeekTable:
    """The table at the end of a file of `stored_bytes` that must hold `size_bytes` plain bytes. Raises
    `BadSeekable`."""
    frames = -(-size_bytes // FRAME_BYTES)
    length = table_bytes(frames)
    if stored_bytes < length:
        raise BadSeekable("shorter than its table")
    table = read_at(stored_bytes - length, length)
    if len(table) != length:
        raise BadSeekable("truncated")
    return _parsed(table, frames, stored_bytes, size_bytes)


def _parsed(table: bytes, frames: int, stored_bytes: int, size_bytes: int) -> SeekTable:
    if _HEADER.unpack_from(table) != (_SKIPPABLE_MAGIC, len(table) - _HEADER.size):
        raise BadSeekable("no table where it must begin")
    if _FOOTER.unpack_from(table, len(table) - _FOOTER.size) != (frames, _NO_ENTRY_CHECKSUMS, _SEEKABLE_MAGIC):
        raise BadSeekable("no table where it must end")
    ends = array("Q", [0])
    entries = memoryview(table)[_HEADER.size : len(table) - _FOOTER.size]
    for frame, (stored, plain) in enumerate(_ENTRY.iter_unpack(entries)):
        if plain != min(FRAME_BYTES, size_bytes - frame * FRAME_BYTES):
            raise BadSeekable(f"frame {frame} has another size than the blob needs")
        ends.append(ends[-1] + stored)
    if ends[-1] + len(table) != stored_bytes:
        raise BadSeekable("the frames do not fill the file")
    return SeekTable(size_bytes, ends)
