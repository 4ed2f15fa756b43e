"""The bytes of a zip's headers (PKWARE APPNOTE 6.3.10): every member STORED, its CRC-32 and size known before its
content.

What always holds: a header's length follows from its name, size, offset and time alone, so that any byte of a zip can
be made without those before it. Names are UTF-8 (general purpose bit 11). tests/web/test_zip.py holds them to what
stream-zip writes.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

LIMIT_16: Final = 0xFFFF
LIMIT_32: Final = 0xFFFF_FFFF
"""These values themselves mean “see the zip64 field”."""

LOCAL_BYTES: Final = 30
CENTRAL_BYTES: Final = 46
ZIP64_LOCAL_BYTES: Final = 20
ZIP64_CENTRAL_BYTES: Final = 28
TIMESTAMP_BYTES: Final = 9

_LOCAL: Final = Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = Struct("<4sHHHHIIH")
_END_64: Final = Struct("<4sQHHIIQQQQ")
_LOCATOR_64: Final = Struct("<4sIQI")
_ZIP64_LOCAL: Final = Struct("<HHQQ")
_ZIP64_CENTRAL: Final = Struct("<HHQQQ")
_TIMESTAMP: Final = Struct("<HHBi")

_VERSION: Final = 20
_VERSION_64: Final = 45
_MADE_ON_UNIX: Final = 3 << 8
_UTF8_NAMES: Final = 0x0800
_IS_FOLDER: Final = 0x10
"""MS-DOS's attribute, beside the Unix mode in the upper half."""
_TIMESTAMP_MTIME: Final = 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP_MAX: Final = 2**31 - 1
_YEAR_MIN, _YEAR_MAX = 1980, 2107
_STAMPS_REMEMBERED: Final = 4096
"""Each is needed three times at least, and what was copied or unpacked together often has one time."""


def zip_time(mtime_ns: int, zone: tzinfo) -> datetime:
    """The time as a zip can hold it: whole seconds, 1980 to 2107 on the zone's clock."""
    try:
        moment = (_EPOCH + timedelta(seconds=mtime_ns // 1_000_000_000)).astimezone(zone)
    except OverflowError:
        moment = datetime(_YEAR_MIN if mtime_ns < 0 else _YEAR_MAX, 1, 1, tzinfo=zone)
    if moment.year < _YEAR_MIN:
        return datetime(_YEAR_MIN, 1, 1, tzinfo=zone)
    if moment.year > _YEAR_MAX:
        return datetime(_YEAR_MAX, 12, 31, 23, 59, 58, tzinfo=zone)
    return moment


class Stamp(NamedTuple):
    """A time in headers: MS-DOS's, and `extra`, the extended time stamp, where its 32 bits of seconds can hold it."""

    time: int
    date: int
    extra: bytes


def zip_stamp(mtime_ns: int, zone: tzinfo) -> Stamp:
    """The time as headers show it on the zone's clock."""
    return _stamp(mtime_ns // 1_000_000_000, zone)


@lru_cache(maxsize=_STAMPS_REMEMBERED)
def _stamp(seconds: int, zone: tzinfo) -> Stamp:
    moment = zip_time(seconds * 1_000_000_000, zone)
    time = moment.second // 2 | moment.minute << 5 | moment.hour << 11
    date = moment.day | moment.month << 5 | (moment.year - _YEAR_MIN) << 9
    shown = int(moment.timestamp())
    extra = b"" if shown > _TIMESTAMP_MAX else _TIMESTAMP.pack(0x5455, 5, _TIMESTAMP_MTIME, shown)
    return Stamp(time, date, extra)


def is_zip64(size_bytes: int, offset: int) -> bool:
    """Whether the member's size or place needs 64 bits."""
    return size_bytes >= LIMIT_32 or offset >= LIMIT_32


def local_bytes(name_bytes: int, *, zip64: bool, timestamp: bool) -> int:
    """The length of `local_header`."""
    return LOCAL_BYTES + name_bytes + (ZIP64_LOCAL_BYTES if zip64 else 0) + (TIMESTAMP_BYTES if timestamp else 0)


def central_bytes(name_bytes: int, *, zip64: bool, timestamp: bool) -> int:
    """The length of `central_header`."""
    return CENTRAL_BYTES + name_bytes + (ZIP64_CENTRAL_BYTES if zip64 else 0) + (TIMESTAMP_BYTES if timestamp else 0)


def local_header(name: bytes, stamp: Stamp, size_bytes: int, crc32: int, *, zip64: bool) -> bytes:
    """What stands before a member's content."""
    extra = (_ZIP64_LOCAL.pack(1, 16, size_bytes, size_bytes) if zip64 else b"") + stamp.extra
    shown = LIMIT_32 if zip64 else size_bytes
    head = _LOCAL.pack(
        b"PK\3\4", _VERSION_64 if zip64 else _VERSION, _UTF8_NAMES, 0, stamp.time, stamp.date, crc32, shown, shown,
        len(name), len(extra),
    )  # fmt: skip
    return head + name + extra


def central_header(
    name: bytes, stamp: Stamp, size_bytes: int, crc32: int, mode: int, offset: int, *, zip64: bool
) -> bytes:
    """The member in the central directory. `mode`: Unix, with the file's type."""
    extra = (_ZIP64_CENTRAL.pack(1, 24, size_bytes, size_bytes, offset) if zip64 else b"") + stamp.extra
    shown, place = (LIMIT_32, LIMIT_32) if zip64 else (size_bytes, offset)
    version = _VERSION_64 if zip64 else _VERSION
    attributes = mode << 16 | (_IS_FOLDER if name.endswith(b"/") else 0)
    head = _CENTRAL.pack(
        b"PK\1\2", _MADE_ON_UNIX | version, version, _UTF8_NAMES, 0, stamp.time, stamp.date, crc32, shown, shown,
        len(name), len(extra), 0, 0, 0, attributes, place,
    )  # fmt: skip
    return head + name + extra


def end_of_directory(count: int, size_bytes: int, offset: int) -> bytes:
    """What stands after a central directory of so many members and bytes that begins at `offset`."""
    end = _END.pack(
        b"PK\5\6", 0, 0, min(count, LIMIT_16), min(count, LIMIT_16), min(size_bytes, LIMIT_32), min(offset, LIMIT_32), 0
    )
    if count < LIMIT_16 and size_bytes < LIMIT_32 and offset < LIMIT_32:
        return end
    record = _END_64.pack(
        b"PK\6\6", 44, _VERSION_64, _VERSION_64, 0, 0, count, count, size_bytes, offset
    )  # fmt: skip
    return record + _LOCATOR_64.pack(b"PK\6\7", 0, offset + size_bytes, 1) + end
