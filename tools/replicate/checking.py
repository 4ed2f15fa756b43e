"""An object's bytes, checked as they flow from one backend to another: nothing that is wrong at the source gets a name in
the replica."""

from collections.abc import Callable
from typing import Final

import zstandard
from blake3 import blake3

from cas.backend import ObjectReader, ObjectWriter
from cas.digest import Digest
from cas.errors import BadDigest, CasError, JournalBroken
from cas.layout import BLOBS, JOURNAL, pack_of_key
from cas.packformat import UNHASHED_BYTES
from cas.record import HEADERS_NAME, Header, decode_lines, decode_record, is_part_name, parsed_name

STEP_BYTES: Final = 4 << 20
_PIECES: Final = ".pieces"
_ZST: Final = ".zst"
_DIGEST_BYTES: Final = 32

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

    def read(self, length: int = -1) -> bytes:
        """The next bytes, at most `length`; empty at the end."""
        left = self._reader.size_bytes - self._offset
        piece = self._reader.read_at(self._offset, min(left, STEP_BYTES if length < 0 else length))
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
        _check_blob(key, name, tee)
    elif key.startswith(f"{JOURNAL}/"):
        _check_journal(key, name, _all_of(tee))
    else:
        _all_of(tee)


def _check_blob(key: str, name: str, tee: _Tee) -> None:
    try:
        wanted = Digest.from_hex(name.removesuffix(_ZST))
    except BadDigest:
        _all_of(tee)  # a stranger's file: copied as it is
        return
    hasher = blake3()
    if name.endswith(_ZST):
        _hash_decoded(key, tee, hasher)
    while piece := tee.read():
        hasher.update(piece) if not name.endswith(_ZST) else None
    if hasher.digest() != wanted.raw:
        raise WrongAtSource(f"{key}: its bytes hash to another digest", key)


def _hash_decoded(key: str, tee: _Tee, hasher: blake3) -> None:
    try:
        plain = zstandard.ZstdDecompressor().stream_reader(tee, read_size=1 << 20, read_across_frames=True)
        while piece := plain.read(1 << 20):
            hasher.update(piece)
    except zstandard.ZstdError as error:
        raise WrongAtSource(f"{key}: it cannot be decoded: {error}", key) from error


def _check_pack(key: str, tee: _Tee, size_bytes: int) -> None:
    """All but the end of a pack hashes to the digest that stands in its end."""
    hasher, end = blake3(), b""
    while piece := tee.read():
        held = end + piece
        hasher.update(held[:-UNHASHED_BYTES])
        end = held[-UNHASHED_BYTES:]
    if size_bytes < UNHASHED_BYTES or hasher.digest() != end[:_DIGEST_BYTES]:
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
