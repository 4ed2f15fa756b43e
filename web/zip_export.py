"""The bytes of an export's zip, streamed in constant memory.

stream-zip writes the members; it would keep the whole central directory in memory (300 bytes a member), so it
is given some members at a time, and the central headers it makes wait in an unnamed temporary file until the
end. Each blob is checked as it is read; a damaged or missing one raises, and what has been sent then is
visibly no whole zip.
"""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import aclosing
from datetime import tzinfo
from typing import IO, Final

from stream_zip import NO_COMPRESSION_32, NO_COMPRESSION_64, MemberFile, Method, stream_zip

from cas.blob import Blob
from cas.errors import BlobMissing
from catalog.values import EntryKind, Member
from web.limits import MIB, PIECE_BYTES
from web.threads import Workers, in_thread
from web.zip_layout import CONTENT_32, ZipLayout, ZipMember

ReadBlob = Callable[[Blob], Iterator[bytes]]
"""Gives a blob's bytes, checked as they flow. Raises `BlobDamaged` or `BlobMissing`."""

Pages = AsyncIterator[list[Member]]

_DIRECTORY_IN_MEMORY_BYTES: Final = MIB


async def plan_zip(pages: Pages, zone: tzinfo, workers: Workers) -> ZipLayout:
    """Go through all members for the zip's exact length."""
    layout = ZipLayout(zone)
    async for page in pages:
        await workers.run(layout.add_all, page)
    return layout


async def zip_pieces(pages: Pages, zone: tzinfo, read: ReadBlob, workers: Workers) -> AsyncGenerator[bytes, None]:
    """The zip in pieces of about 1 MiB. Close it (`aclosing`) to let go of what is open."""
    layout = ZipLayout(zone)
    with tempfile.SpooledTemporaryFile(_DIRECTORY_IN_MEMORY_BYTES) as directory:
        async for page in pages:
            for members in _segments(await workers.run(layout.add_all, page)):
                async with aclosing(in_thread(_local_part(members, read, directory), workers)) as pieces:
                    async for piece in pieces:
                        yield piece
        directory.seek(0)
        async with aclosing(in_thread(_whole(directory), workers)) as pieces:
            async for piece in pieces:
                yield piece
    yield layout.end()


def _segments(members: Iterable[ZipMember]) -> Iterator[list[ZipMember]]:
    """Runs of members that one call of stream-zip can write: alike in time stamps, and under 4 GiB together."""
    segment: list[ZipMember] = []
    size_bytes = 0
    for member in members:
        if segment and (
            size_bytes + member.local_bytes > CONTENT_32 or member.has_timestamp != segment[0].has_timestamp
        ):
            yield segment
            segment, size_bytes = [], 0
        segment.append(member)
        size_bytes += member.local_bytes
    if segment:
        yield segment


def _local_part(members: list[ZipMember], read: ReadBlob, directory: IO[bytes]) -> Generator[bytes, None, None]:
    """Headers and content of some members; their central headers go to `directory`, with offsets in the whole
    zip.
    """
    local_left = sum(member.local_bytes for member in members)
    central = bytearray()
    files: Iterator[MemberFile] = (
        (member.name, member.modified, member.mode, _method(member), _content(member, read)) for member in members
    )
    for chunk in stream_zip(files, chunk_size=PIECE_BYTES, extended_timestamps=members[0].has_timestamp):
        if local_left:
            yield chunk[:local_left]
        central += chunk[local_left:]
        local_left = max(0, local_left - len(chunk))
    directory.write(_placed(central, members))


def _method(member: ZipMember) -> Method:
    method = NO_COMPRESSION_64 if member.is_zip64 else NO_COMPRESSION_32
    return method(member.size_bytes, member.crc32)


def _content(member: ZipMember, read: ReadBlob) -> Iterable[bytes]:
    if member.source.kind is EntryKind.DIRECTORY:
        return ()
    if member.source.blob is None:
        raise BlobMissing("A file of this export is not kept any more.")
    return read(member.source.blob)


def _placed(central: bytearray, members: list[ZipMember]) -> bytes:
    at = 0
    for member in members:
        header = central[at : at + member.central_bytes]
        member.place_central(header)
        central[at : at + member.central_bytes] = header
        at += member.central_bytes
    return bytes(central[:at])


def _whole(file: IO[bytes]) -> Generator[bytes, None, None]:
    while piece := file.read(PIECE_BYTES):
        yield piece
