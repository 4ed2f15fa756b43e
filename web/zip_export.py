"""The bytes of an export's zips, from any byte on, streamed in constant memory.

A zip has four sections: the members (headers and content), the list of their digests, the central directory, and its
end. Each is made from pages of the plan, beginning at the member that holds the first byte wanted, so that going on
after a break costs what is left and not what came before. A damaged or missing blob raises, and what has been sent
then is visibly no whole zip.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

from cas.blob import Blob
from catalog.values import Member, PlannedPart
from web.ranges import ByteRange
from web.threads import Workers, in_thread_ahead
from web.zip_layout import central_part, ending, list_line, list_local, local_part

ReadBlob = Callable[[Blob, ByteRange | None], Iterator[bytes]]
"""Gives a blob's bytes, or a range of them, checked as they flow. Raises `ContentDamaged`."""


class Plan(Protocol):
    """A part's members, in order."""

    def members(self, section: str, at: int) -> AsyncIterator[Sequence[Member]]:
        """Pages of members, from the one on that holds this byte of a section."""


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
        for length, section in self._sections():
            if start < min(length, end):
                async with aclosing(section(ByteRange(start, min(length, end) - start))) as pieces:
                    async for piece in pieces:
                        yield piece
            start, end = max(0, start - length), end - length
            if end <= 0:
                return

    def _sections(self) -> list[tuple[int, Callable[[ByteRange], AsyncGenerator[bytes, None]]]]:
        part, head, tail = self.part, list_local(self.part, self.zone), ending(self.part, self.zone)
        return [
            (part.local_bytes, self._members),
            (len(head), _fixed(head)),
            (part.list_bytes, self._list),
            (part.central_bytes, self._directory),
            (len(tail), _fixed(tail)),
        ]

    def _members(self, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
        return self._paged("offset", wanted, self._local_bytes)

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
        left = wanted.offset, wanted.offset + wanted.length
        at = wanted.offset
        async for page in self.plan.members(section, wanted.offset):
            if at >= left[1]:
                return
            chunks = make(page, ByteRange(at, left[1] - at))
            async with aclosing(in_thread_ahead(chunks, self.workers)) as pieces:
                async for piece in pieces:
                    at += len(piece)
                    yield piece

    def _local_bytes(self, page: Sequence[Member], wanted: ByteRange) -> Generator[bytes, None, None]:
        """Headers and content of some members, as far as they lie in the range."""
        end = wanted.offset + wanted.length
        for member in page:
            if member.offset >= end:
                return
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


def _fixed(data: bytes) -> Callable[[ByteRange], AsyncGenerator[bytes, None]]:
    async def piece(wanted: ByteRange) -> AsyncGenerator[bytes, None]:
        yield data[wanted.offset : wanted.offset + wanted.length]

    return piece
