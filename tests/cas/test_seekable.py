"""The packed file is what the format's description says, read here by other code than ours; a bad one is refused."""

import struct
from collections.abc import Callable

import pytest
import zstandard
from isal import isal_zlib

from cas.seekable import FRAME_BYTES, BadSeekable, FrameEncoder, SeekTable, checks_bytes, read_table, table_bytes
from tests.cas.samples import MIB, prose


def packed(data: bytes) -> bytes:
    encoder = FrameEncoder()
    frames = [encoder.encode(data[start : start + FRAME_BYTES]) for start in range(0, len(data), FRAME_BYTES)]
    return b"".join(frames) + encoder.tail()


def table_of(stored: bytes, size_bytes: int) -> SeekTable:
    def read_at(offset: int, length: int) -> bytes:
        return stored[offset : offset + length]

    return read_table(read_at, len(stored), size_bytes)


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_the_seek_table_is_as_the_format_describes(size: int) -> None:
    data = prose(size)
    stored = packed(data)
    frames, descriptor, magic = struct.unpack("<IBI", stored[-9:])
    assert (frames, descriptor, magic) == (-(-size // MIB), 0, 0x8F92EAB1)
    start = len(stored) - 9 - 8 * frames
    assert struct.unpack("<II", stored[start - 8 : start]) == (0x184D2A5E, 8 * frames + 9)
    at, plain = 0, b""
    for stored_bytes, plain_bytes in struct.iter_unpack("<II", stored[start:-9]):
        frame = zstandard.ZstdDecompressor().decompress(stored[at : at + stored_bytes])
        assert len(frame) == plain_bytes
        plain += frame
        at += stored_bytes
    assert plain == data
    assert at == start - 8 - (8 + 4 * frames)


def test_every_frame_decodes_alone() -> None:
    data = prose(3 * MIB + 5)
    stored = packed(data)
    table = table_of(stored, len(data))
    assert table.frames == 4
    for frame in (3, 1, 0, 2):
        start, end = table.frame_ends[frame], table.frame_ends[frame + 1]
        assert table.decode(frame, stored[start:end]) == data[frame * MIB : (frame + 1) * MIB]


def replaced(stored: bytes, at: int, value: bytes) -> bytes:
    at %= len(stored)
    return stored[:at] + value + stored[at + len(value) :]


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[1:],
        lambda stored: b"\0" + stored,
        lambda stored: b"",
        lambda stored: stored[-10:],
        lambda stored: replaced(stored, -1, b"\0"),
        lambda stored: replaced(stored, -9, b"\3"),
        lambda stored: replaced(stored, -5, b"\x80"),
        lambda stored: replaced(stored, -9 - 16, struct.pack("<I", 2**32 - 1)),
        lambda stored: replaced(stored, -9 - 4, struct.pack("<I", 2**32 - 1)),
        lambda stored: replaced(stored, -table_bytes(2), b"\0"),
        lambda stored: replaced(stored, -table_bytes(2) - checks_bytes(2), b"\1"),
    ],
)
def test_a_wrong_table_is_refused(change: Callable[[bytes], bytes]) -> None:
    data = prose(MIB + 5)
    with pytest.raises(BadSeekable):
        table_of(change(packed(data)), len(data))


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 4, MIB + 6, 3 * MIB])
def test_a_table_for_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadSeekable):
        table_of(packed(prose(MIB + 5)), size)


def test_a_frame_that_claims_to_be_huge_is_refused_before_memory_is_taken() -> None:
    bomb = bytearray(zstandard.ZstdCompressor(write_content_size=True).compress(prose(5000)))
    assert bomb[4] >> 6 == 1  # a content size of two bytes; make it eight
    bomb[4] |= 0xC0
    bomb[5:7] = struct.pack("<Q", 1 << 60)
    stored = bytes(bomb)
    table = SeekTable(5000, table_of(packed(prose(5000)), 5000).frame_ends, struct.pack("<I", isal_zlib.crc32(stored)))
    with pytest.raises(BadSeekable, match="another size"):
        table.decode(0, stored)
