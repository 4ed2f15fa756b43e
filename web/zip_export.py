"""The bytes of an export's zips, from any byte on, streamed in constant memory.

A zip has four sections: the members (headers and content), the list of their digests, the central directory, and its
end. Each is made from pages of the plan, beginning at the member that holds the first byte wanted, so that going on
after a break costs what is left and not what came before. A damaged or missing blob raises, and what has been sent
then is visibly no whole zip.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import Final, Protocol

from cas.backend import Data
from cas.blob import Blob
from catalog.values import Member, PlannedPart
from web.limits import PIECE_BYTES
from web.ranges import ByteRange
from web.threads import Workers, in_thread_ahead
from web.zip_layout import central_part, ending, list_line, list_local, local_part

PASSING_BYTES_MAX: Final = 8 << 20
"""The list and the directory of some 40,000 members."""

ReadBlob = Callable[[Blob, ByteRange | None], Iterator[bytes]]
"""Gives a blob's bytes, or a range of them, checked as they flow. Raises `ContentDamaged`."""


class Plan(Protocol):
    """A part's members, in order."""

    def members(self, section: str, at: int) -> AsyncGenerator[Sequence[Member], None]:
        """Pages of members, from the one on that holds this byte of a section."""


class _Passing:
    """What stands behind the members, made while they go by: the plan is then read once, not three times."""

    def __init__(self) -> None:
        self.listed = bytearray()
        self.central = bytearray()


@dataclass(frozen=True, slots=True)
class ZipPart:
    """One zip: its plan, the zone whose clock it shows, and how blobs are read."""

    part: PlannedPart
    plan: Plan
    zone: tzinfo
    read: ReadBlob
    workers: Workers

    async def pieces(self, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
        """The wanted bytes, in pieces of about 1 MiB. Close it (`aclosing`) to let go of what is open."""
        start, end = wanted.offset, wanted.offset + wanted.length
        for length, section in self._sections(self._passing(wanted)):
            if start < min(length, end):
                async with aclosing(section(ByteRange(start, min(length, end) - start))) as pieces:
                    async for piece in pieces:
                        yield piece
            start, end = max(0, start - length), end - length
            if end <= 0:
                return

    def _passing(self, wanted: ByteRange) -> _Passing | None:
        """Only where every member goes by, and what is made of them is little."""
        little = self.part.list_bytes + self.part.central_bytes <= PASSING_BYTES_MAX
        return _Passing() if wanted.offset == 0 and little else None

    def _sections(
        self, passing: _Passing | None
    ) -> list[tuple[int, Callable[[ByteRange], AsyncGenerator[bytes, None]]]]:
        part, head, tail = self.part, list_local(self.part, self.zone), ending(self.part, self.zone)
        return [
            (part.local_bytes, partial(self._members, passing)),
            (len(head), partial(_fixed, head)),
            (part.list_bytes, self._list if passing is None else partial(_fixed, passing.listed)),
            (part.central_bytes, self._directory if passing is None else partial(_fixed, passing.central)),
            (len(tail), partial(_fixed, tail)),
        ]

    def _members(self, passing: _Passing | None, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
        return self._paged("offset", wanted, partial(self._local_bytes, passing))

    def _list(self, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
        return self._paged("listed_at", wanted, lambda page, part: _short(page, part, "listed_at", list_line))

    def _directory(self, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
        def header(member: Member) -> bytes:
            return central_part(member, self.zone)

        return self._paged("central_at", wanted, lambda page, part: _short(page, part, "central_at", header))

    async def _paged(
        self,
        section: str,
        wanted: ByteRange,
        make: Callable[[Sequence[Member], ByteRange], Generator[bytes, None, None]],
    ) -> AsyncGenerator[bytes, None]:
        at, end = wanted.offset, wanted.offset + wanted.length
        async with aclosing(self.plan.members(section, at)) as pages:
            async for page in pages:
                async with aclosing(in_thread_ahead(make(page, ByteRange(at, end - at)), self.workers)) as pieces:
                    async for piece in pieces:
                        at += len(piece)
                        yield piece
                if at >= end:
                    return

    def _local_bytes(
        self, passing: _Passing | None, page: Sequence[Member], wanted: ByteRange
    ) -> Generator[bytes, None, None]:
        """Headers and content of some members, as far as they lie in the range."""
        end = wanted.offset + wanted.length
        for member in page:
            if member.offset >= end:
                return
            if passing is not None:
                passing.listed += list_line(member)
                passing.central += central_part(member, self.zone)
            header = local_part(member, self.zone)
            yield _cut(header, member.offset, wanted)
            blob = member.chosen.blob
            if blob is not None and blob.size_bytes:
                yield from self._content(blob, member.offset + len(header), wanted)

    def _content(self, blob: Blob, at: int, wanted: ByteRange) -> Iterator[bytes]:
        first = max(wanted.offset - at, 0)
        last = min(wanted.offset + wanted.length - at, blob.size_bytes)
        if first == 0 and last == blob.size_bytes:
            yield from self.read(blob, None)
        elif first < last:
            yield from self.read(blob, ByteRange(first, last - first))


def _short(
    page: Sequence[Member], wanted: ByteRange, section: str, make: Callable[[Member], bytes]
) -> Generator[bytes, None, None]:
    """What each member has in a section where it has little."""
    end = wanted.offset + wanted.length
    for member in page:
        at: int = getattr(member, section)
        if at >= end:
            return
        yield _cut(make(member), at, wanted)


def _cut(data: bytes, at: int, wanted: ByteRange) -> bytes:
    """What of `data`, which lies at `at`, is wanted."""
    first, last = wanted.offset - at, wanted.offset + wanted.length - at
    if first <= 0 and last >= len(data):
        return data
    return data[max(first, 0) : max(last, 0)]


async def _fixed(data: Data, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
    end = wanted.offset + wanted.length
    for start in range(wanted.offset, end, PIECE_BYTES):
        yield bytes(data[start : min(start + PIECE_BYTES, end)])
