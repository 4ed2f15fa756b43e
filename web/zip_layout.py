"""Where the bytes of an export's zips lie: every member's name, part and place, worked out once, when the export is
made.

All members are STORED and their CRC-32 known, so the whole length is known before the first byte, and any byte can be
made without those before it. A part is a zip of its own: members, then a list of digests as `b3sum --check` reads it,
then the central directory. Names are unique over all parts, so that all unpack into one folder.
"""

import stat
from collections.abc import Sequence
from datetime import tzinfo
from typing import Final

from isal import isal_zlib

from catalog.values import Chosen, EntryKind, Member, PlannedPart
from web import zip_format
from web.threads import Workers
from web.zip_names import ZipNames

ZIP_VERSION: Final = 2
"""Part of an export's entity tag: count it up when the same members no longer give the same bytes. A migration must
then drop the exports that were made before, whose lengths and places are stored."""

LIST_NAME: Final = b"B3SUMS"
_FOLDER_MODE: Final = stat.S_IFDIR | 0o755
_FILE_MODE: Final = 0o644
_LIST_MODE: Final = stat.S_IFREG | 0o444


class ZipPlanner:
    """Lays members out one after the other, in constant memory but for what `ZipNames` keeps.

    `part_bytes_max`: a part ends before it would be longer, unless a single member is.
    """

    def __init__(self, zone: tzinfo, workers: Workers, part_bytes_max: int | None = None) -> None:
        self._layout = ZipLayout(zone, part_bytes_max)
        self._workers = workers

    async def place(self, chosen: Sequence[Chosen]) -> list[Member]:
        """The next members with their places; those that have none are left out."""
        return await self._workers.run(self._layout.add_all, chosen)

    def finish(self) -> list[PlannedPart]:
        """The parts, at least one."""
        return self._layout.finish()


class _Part:
    """A part that is being laid out."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.member_count = 0
        self.local_bytes = 0
        self.central_bytes = 0
        self.list_bytes = 0
        self.list_crc32 = 0
        self.newest_mtime_ns = 0
        """The list is as old as the newest of what it is of, so that the same selection gives the same bytes."""


class ZipLayout:
    """`ZipPlanner`, without the thread."""

    def __init__(self, zone: tzinfo, part_bytes_max: int | None = None) -> None:
        self._zone = zone
        self._part_bytes_max = part_bytes_max
        self._names = ZipNames()
        self._part = _Part(1)
        self._done: list[PlannedPart] = []

    def add_all(self, chosen: Sequence[Chosen]) -> list[Member]:
        """The places of those that have one."""
        return [member for member in map(self.add, chosen) if member is not None]

    def add(self, chosen: Chosen) -> Member | None:
        """The next member's place; None for one that has none of its own."""
        name = self._name(chosen)
        if name is None:
            return None
        size_bytes = chosen.blob.size_bytes if chosen.blob else 0
        timestamp = bool(zip_format.zip_stamp(chosen.mtime_ns, self._zone).extra)
        if self._must_end(len(name), size_bytes):
            self._end_part()
        part = self._part
        zip64 = zip_format.is_zip64(size_bytes, part.local_bytes)
        placed = Member(
            position=-1,
            part=part.number,
            name=name,
            offset=part.local_bytes,
            listed_at=part.list_bytes,
            central_at=part.central_bytes,
            chosen=chosen,
        )
        part.member_count += 1
        part.local_bytes += zip_format.local_bytes(len(name), zip64=zip64, timestamp=timestamp) + size_bytes
        part.central_bytes += zip_format.central_bytes(len(name), zip64=zip64, timestamp=timestamp)
        line = list_line(placed)
        part.list_bytes += len(line)
        part.list_crc32 = isal_zlib.crc32(line, part.list_crc32)
        part.newest_mtime_ns = max(part.newest_mtime_ns, chosen.mtime_ns)
        return placed

    def finish(self) -> list[PlannedPart]:
        self._end_part()
        return self._done

    def _name(self, chosen: Chosen) -> bytes | None:
        """Links are left out: unpacked, a link could lead out of the folder."""
        if chosen.kind is EntryKind.LINK:
            return None
        name = self._names.name(chosen.path, is_directory=chosen.kind is EntryKind.DIRECTORY)
        return None if name is None else name.encode()

    def _must_end(self, name_bytes: int, size_bytes: int) -> bool:
        """Whether the part would become too long with one more member."""
        part, most = self._part, self._part_bytes_max
        if most is None or not part.member_count:
            return False
        headers = zip_format.local_bytes(name_bytes, zip64=True, timestamp=True) + zip_format.central_bytes(
            name_bytes, zip64=True, timestamp=True
        )
        around = _around_bytes() + len(_LINE_START) + 2 + name_bytes
        return part.local_bytes + part.central_bytes + part.list_bytes + headers + size_bytes + around > most

    def _end_part(self) -> None:
        part = self._part
        planned = PlannedPart(
            number=part.number,
            member_count=part.member_count,
            local_bytes=part.local_bytes,
            central_bytes=part.central_bytes,
            list_name=self._names.own(LIST_NAME.decode()).encode() if part.list_bytes else b"",
            list_bytes=part.list_bytes,
            list_crc32=part.list_crc32,
            list_mtime_ns=part.newest_mtime_ns,
            size_bytes=0,
        )
        self._done.append(with_size(planned, self._zone))
        self._part = _Part(part.number + 1)


_LINE_START: Final = b"0" * 64


def _around_bytes() -> int:
    """What a part has besides its members, at most: the list's own headers, and what stands after the directory."""
    name_bytes = len(LIST_NAME) + 8
    return (
        zip_format.local_bytes(name_bytes, zip64=True, timestamp=True)
        + zip_format.central_bytes(name_bytes, zip64=True, timestamp=True)
        + len(zip_format.end_of_directory(zip_format.LIMIT_16, 0, 0))
    )


def list_line(member: Member) -> bytes:
    """The member in the list of digests; nothing for a folder. Names in a zip hold neither `\\` nor line feeds."""
    blob = member.chosen.blob
    return b"" if blob is None else b"%s  %s\n" % (blob.digest.hex.encode(), member.name)


def local_part(member: Member, zone: tzinfo) -> bytes:
    """The member's local header."""
    chosen = member.chosen
    stamp = zip_format.zip_stamp(chosen.mtime_ns, zone)
    size_bytes, crc32 = (chosen.blob.size_bytes, chosen.blob.crc32) if chosen.blob else (0, 0)
    zip64 = zip_format.is_zip64(size_bytes, member.offset)
    return zip_format.local_header(member.name, stamp, size_bytes, crc32, zip64=zip64)


def central_part(member: Member, zone: tzinfo) -> bytes:
    """The member's central header."""
    chosen = member.chosen
    stamp = zip_format.zip_stamp(chosen.mtime_ns, zone)
    size_bytes, crc32 = (chosen.blob.size_bytes, chosen.blob.crc32) if chosen.blob else (0, 0)
    zip64 = zip_format.is_zip64(size_bytes, member.offset)
    return zip_format.central_header(
        member.name, stamp, size_bytes, crc32, _mode(chosen), member.offset, zip64=zip64
    )  # fmt: skip


def list_local(part: PlannedPart, zone: tzinfo) -> bytes:
    """The local header of the list of digests; nothing where there is none."""
    if not part.list_name:
        return b""
    stamp = zip_format.zip_stamp(part.list_mtime_ns, zone)
    zip64 = zip_format.is_zip64(part.list_bytes, part.local_bytes)
    return zip_format.local_header(part.list_name, stamp, part.list_bytes, part.list_crc32, zip64=zip64)


def ending(part: PlannedPart, zone: tzinfo) -> bytes:
    """What stands after the members' central headers: the list's own, and the end of the directory."""
    central = b""
    if part.list_name:
        stamp = zip_format.zip_stamp(part.list_mtime_ns, zone)
        zip64 = zip_format.is_zip64(part.list_bytes, part.local_bytes)
        central = zip_format.central_header(
            part.list_name, stamp, part.list_bytes, part.list_crc32, _LIST_MODE, part.local_bytes, zip64=zip64
        )
    count = part.member_count + bool(part.list_name)
    offset = part.local_bytes + len(list_local(part, zone)) + part.list_bytes
    return central + zip_format.end_of_directory(count, part.central_bytes + len(central), offset)


def with_size(part: PlannedPart, zone: tzinfo) -> PlannedPart:
    """The part with the length of its zip."""
    size_bytes = (
        part.local_bytes + len(list_local(part, zone)) + part.list_bytes + part.central_bytes + len(ending(part, zone))
    )
    return part.sized(size_bytes)


def _mode(chosen: Chosen) -> int:
    """Unix mode for the zip: never set-uid, never unreadable for who unpacks it."""
    if chosen.kind is EntryKind.DIRECTORY:
        return _FOLDER_MODE
    return stat.S_IFREG | (_FILE_MODE if chosen.mode is None else chosen.mode & 0o777 | 0o600)
