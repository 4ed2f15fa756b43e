"""Where the bytes of an export's zip lie: sizes of headers and directory, and which members need zip64.

All members are STORED and their CRC-32 known, so the whole length is known before the first byte (APPNOTE
6.3.10). The sizes here are those of what stream-zip writes; tests compare the two.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from struct import Struct
from typing import Final

from catalog.values import EntryKind, Member
from web.zip_names import ZipNames

ZIP_VERSION: Final = 1
"""Part of an export's entity tag: count it up when the same members no longer give the same bytes.

Where their length changes too, a migration must clear `export.size_bytes`.
"""

LIMIT_16: Final = 0xFFFF
LIMIT_32: Final = 0xFFFF_FFFF
"""These values themselves mean “see the zip64 field”."""
CONTENT_32: Final = LIMIT_32 - (1 << 17)
"""The longest content without zip64: a member's headers and content together must fit, as stream-zip wants
it.
"""

_LOCAL_BYTES: Final = 30
_CENTRAL_BYTES: Final = 46
_ZIP64_LOCAL_BYTES: Final = 20
_ZIP64_CENTRAL_BYTES: Final = 28
_TIMESTAMP_BYTES: Final = 9
_OFFSET_32_AT: Final = 42
_OFFSET_64_AT: Final = 20
"""Of the member's offset, in a central header; and from the end of the name, where zip64 holds it."""

_END: Final = Struct("<4sHHHHIIH")
_END_64: Final = Struct("<4sQHHIIQQQQ")
_LOCATOR_64: Final = Struct("<4sIQI")
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP_MAX: Final = 2**31 - 1
_YEAR_MIN, _YEAR_MAX = 1980, 2107
_FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A member with its name made safe and its place known.

    `modified` is in the zone whose clock DOS time shows.
    """

    name: str
    name_bytes: int
    modified: datetime
    mode: int
    size_bytes: int
    crc32: int
    offset: int
    has_timestamp: bool
    source: Member

    @property
    def is_zip64(self) -> bool:
        return self.size_bytes > CONTENT_32 or self.offset >= LIMIT_32

    @property
    def local_bytes(self) -> int:
        """Of the local header and the content."""
        return _LOCAL_BYTES + self._extra_bytes(_ZIP64_LOCAL_BYTES) + self.size_bytes

    @property
    def central_bytes(self) -> int:
        return _CENTRAL_BYTES + self._extra_bytes(_ZIP64_CENTRAL_BYTES)

    def _extra_bytes(self, zip64_bytes: int) -> int:
        timestamp = _TIMESTAMP_BYTES if self.has_timestamp else 0
        return self.name_bytes + timestamp + (zip64_bytes if self.is_zip64 else 0)

    def place_central(self, header: bytearray) -> None:
        """Put the member's offset in the whole zip into its central header."""
        if self.is_zip64:
            _U64.pack_into(header, _CENTRAL_BYTES + self.name_bytes + _OFFSET_64_AT, self.offset)
        else:
            _U32.pack_into(header, _OFFSET_32_AT, self.offset)


class ZipLayout:
    """Lays members out one after the other, in constant memory but for what `ZipNames` keeps."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._names = ZipNames()
        self.member_count = 0
        self.local_bytes = 0
        self.central_bytes = 0

    def add(self, member: Member) -> ZipMember | None:
        """The next member's place; None for one that has none of its own."""
        is_directory = member.kind is EntryKind.DIRECTORY
        name = self._name(member, is_directory=is_directory)
        if name is None:
            return None
        moment = zip_time(member.mtime_ns, self._zone)
        placed = ZipMember(
            name=name,
            name_bytes=len(name.encode()),
            modified=moment,
            mode=_mode(member, is_directory=is_directory),
            size_bytes=member.blob.size_bytes if member.blob else 0,
            crc32=member.blob.crc32 if member.blob else 0,
            offset=self.local_bytes,
            has_timestamp=moment.timestamp() <= _TIMESTAMP_MAX,
            source=member,
        )
        self.member_count += 1
        self.local_bytes += placed.local_bytes
        self.central_bytes += placed.central_bytes
        return placed

    def add_all(self, members: Iterable[Member]) -> list[ZipMember]:
        """The places of those that have one."""
        return [placed for placed in map(self.add, members) if placed is not None]

    def _name(self, member: Member, *, is_directory: bool) -> str | None:
        """Links are left out: unpacked, a link could lead out of the folder."""
        if member.kind is EntryKind.LINK:
            return None
        return self._names.name(member.path, is_directory=is_directory)

    @property
    def size_bytes(self) -> int:
        """Of the whole zip, with the members so far."""
        return self.local_bytes + self.central_bytes + len(self.end())

    def end(self) -> bytes:
        """What stands after the central directory."""
        count, size, offset = self.member_count, self.central_bytes, self.local_bytes
        end = _END.pack(
            b"PK\5\6", 0, 0, min(count, LIMIT_16), min(count, LIMIT_16), min(size, LIMIT_32), min(offset, LIMIT_32), 0
        )
        if count < LIMIT_16 and size < LIMIT_32 and offset < LIMIT_32:
            return end
        record = _END_64.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
        return record + _LOCATOR_64.pack(b"PK\6\7", 0, offset + size, 1) + end


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


def _mode(member: Member, *, is_directory: bool) -> int:
    """Unix mode for the zip: never set-uid, never unreadable for who unpacks it."""
    if is_directory:
        return stat.S_IFDIR | _FOLDER_MODE
    return stat.S_IFREG | (_FILE_MODE if member.mode is None else member.mode & 0o777 | 0o600)
