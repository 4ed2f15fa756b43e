"""An object's bytes, checked as they flow from one backend to another: nothing that is wrong at the source gets a name
in the replica."""

from collections.abc import Callable
from typing import Final

from blake3 import blake3

from cas.backend import ObjectReader, ObjectWriter
from cas.digest import Digest
from cas.errors import BadDigest, CasError, JournalBroken
from cas.layout import BLOBS, JOURNAL, pack_of_key
from cas.packformat import TRAILER_BYTES, UNHASHED_BYTES, BadPack, parsed_trailer
from cas.record import HEADERS_NAME, Header, decode_lines, decode_record, is_part_name, parsed_name
from cas.seekable import BadSeekable, plain_size, read_table

STEP_BYTES: Final = 4 << 20
_PIECES: Final = ".pieces"
_ZST: Final = ".zst"

Counted = Callable[[int], object]


class WrongAtSource(CasError):
    """The object's bytes are not what its name says. The replica keeps what it has."""


class _Tee:
    """Reads the source from its beginning to its end, and gives every piece to the writer as well."""

    def __init__(self, reader: ObjectReader, writer: ObjectWriter, counted: Counted) -> None:
        self._reader = reader
        self._writer = writer
        self._counted = counted
        self._offset = 0

    def read(self) -> bytes:
        """The next bytes; empty at the end."""
        left = self._reader.size_bytes - self._offset
        piece = self._reader.read_at(self._offset, min(left, STEP_BYTES))
        self._offset += len(piece)
        self._writer.write(piece)
        self._counted(len(piece))
        return piece


def copy_checked(key: str, reader: ObjectReader, writer: ObjectWriter, counted: Counted) -> None:
    """Write all of the source's object. `counted` hears of every step, and may make it wait. Raises `WrongAtSource`,
    and what reading and writing raise."""
    tee = _Tee(reader, writer, counted)
    name = key.rpartition("/")[2]
    if pack_of_key(key) is not None:
        _check_pack(key, tee, reader.size_bytes)
    elif key.startswith(f"{BLOBS}/") and not name.endswith(_PIECES):
        _check_blob(key, name, tee, writer, reader.size_bytes)
    elif key.startswith(f"{JOURNAL}/"):
        _check_journal(key, name, _all_of(tee))
    else:
        _all_of(tee)


def _check_blob(key: str, name: str, tee: _Tee, writer: ObjectWriter, stored_bytes: int) -> None:
    try:
        wanted = Digest.from_hex(name.removesuffix(_ZST))
    except BadDigest:
        _all_of(tee)  # a stranger's file: copied as it is
        return
    hasher = blake3()
    if name.endswith(_ZST):
        while tee.read():
            pass  # decoded from what was written, with its table, in a second pass
        _hash_frames(key, writer, stored_bytes, hasher)
    else:
        while piece := tee.read():
            hasher.update(piece)
    if hasher.digest() != wanted.raw:
        raise WrongAtSource(f"{key}: its bytes hash to another digest", key)


def _hash_frames(key: str, writer: ObjectWriter, stored_bytes: int, hasher: blake3) -> None:
    try:
        table = read_table(writer.read_at, stored_bytes, plain_size(writer.read_at, stored_bytes))
        for frame in range(table.frames):
            start, end = table.frame_ends[frame], table.frame_ends[frame + 1]
            hasher.update(table.decode(frame, writer.read_at(start, end - start)))
    except BadSeekable as error:
        raise WrongAtSource(f"{key}: {error}", key) from error


def _check_pack(key: str, tee: _Tee, size_bytes: int) -> None:
    """All but the end of a pack hashes to the digest that stands in its trailer."""
    hasher, end = blake3(), b""
    while piece := tee.read():
        held = end + piece
        cut = max(len(held) - TRAILER_BYTES, 0)
        hasher.update(held[:cut])
        end = held[cut:]
    try:
        trailer = parsed_trailer(end, size_bytes)
    except BadPack as error:
        raise WrongAtSource(f"{key}: the pack is {error}", key) from error
    if hasher.update(end[:-UNHASHED_BYTES]).digest() != trailer.pack_digest:
        raise WrongAtSource(f"{key}: the pack does not match its own digest", key)


def _check_journal(key: str, name: str, data: bytes) -> None:
    parsed = parsed_name(name)
    try:
        if parsed is not None:
            header, _ = decode_record(data)
            if Digest.of(header.line()) != parsed[1]:
                raise WrongAtSource(f"{key}: the record is not the one its name says", key)
        elif is_part_name(name):
            if Digest.of(decode_lines(data)).hex != name.rpartition("-")[2].removesuffix(_ZST):
                raise WrongAtSource(f"{key}: the part does not match its digest", key)
        elif name == HEADERS_NAME:
            for line in filter(None, decode_lines(data).split(b"\n")):
                Header.parse(line)
    except JournalBroken as error:
        raise WrongAtSource(f"{key}: {error}", key) from error


def _all_of(tee: _Tee) -> bytes:
    pieces = []
    while piece := tee.read():
        pieces.append(piece)
    return b"".join(pieces)
