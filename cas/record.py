"""A journal record's file: zstd of one header line of canonical JSON and the body behind it.

The header names the chain, the place in it, the predecessor and a salted digest of the body; the digest of the header
line is the record's own. So a body can be erased later (what a customer purges must really go) while the chain still
proves itself, and the salt keeps an erased body from being guessed. `docs/decisions/0005-journal-records.md`.
"""

import json
import re
import secrets
from dataclasses import dataclass
from typing import Final

import zstandard
from blake3 import blake3

from cas.digest import Digest
from cas.errors import BadDigest, BadKey, JournalBroken

RECORD_VERSION: Final = 1
SALT_BYTES: Final = 16
RECORD_BYTES_MAX: Final = 1 << 30
CHAIN_BYTES_MAX: Final = 128
SEQUENCE_MAX: Final = 10**16 - 1
RECORDS_PER_FOLDER: Final = 256
_LEVEL: Final = 3
_CHAIN: Final = re.compile(r"(?!\d{10}(?:/|$))[0-9a-z-]+(?:/(?!\d{10}(?:/|$))[0-9a-z-]+){0,3}")
HEADERS_NAME: Final = "headers.zst"
"""In each folder of a chain: the headers of records whose bodies were erased."""

PARTS_MAX: Final = 10_000
_NAME: Final = re.compile(r"(\d{16})-([0-9a-f]{64})\.zst")
_PART_NAME: Final = re.compile(r"(\d{16})-part-(\d{4})-([0-9a-f]{64})\.zst")


def checked_chain(chain: str) -> str:
    """`chain` itself: one to four segments of `0-9a-z-`, none of exactly ten digits (folders are). Raises `BadKey`."""
    if len(chain) > CHAIN_BYTES_MAX or not _CHAIN.fullmatch(chain):
        raise BadKey(f"not a journal chain: {chain!r}", chain)
    return chain


def folder_name(sequence: int) -> str:
    """The folder of a record within its chain. Raises ValueError for a sequence outside of 0 to 10^16 - 1."""
    if not 0 <= sequence <= SEQUENCE_MAX:
        raise ValueError(f"no sequence: {sequence}")
    return f"{sequence // RECORDS_PER_FOLDER:010d}"


def record_name(sequence: int, digest: Digest) -> str:
    """The file name of a record."""
    return f"{sequence:016d}-{digest.hex}.zst"


def parsed_name(name: str) -> tuple[int, Digest] | None:
    """Sequence and digest of a record's file name, or None for any other name (an abandoned record, say)."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), Digest.from_hex(match[2])) if match else None


def part_name(through: int, number: int, digest: Digest) -> str:
    """The file name of a checkpoint's part. Raises ValueError for a number that no part has."""
    if not 0 <= number < PARTS_MAX:
        raise ValueError(f"no part of a checkpoint: {number}")
    return f"{through:016d}-part-{number:04d}-{digest.hex}.zst"


def is_part_name(name: str) -> bool:
    """Whether a file of a chain is a checkpoint's part."""
    return _PART_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Record:
    """One link of a chain. `previous` is None for the first, `body` where it was erased."""

    sequence: int
    digest: Digest
    previous: Digest | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Header:
    """What stays of a record for ever."""

    chain: str
    sequence: int
    previous: Digest | None
    salt: bytes
    body_digest: Digest

    @classmethod
    def of(cls, chain: str, sequence: int, previous: Digest | None, body: bytes) -> "Header":
        """The header for a new record, with a salt of its own."""
        salt = secrets.token_bytes(SALT_BYTES)
        return cls(chain, sequence, previous, salt, salted_digest(salt, body))

    def line(self) -> bytes:
        """Canonical: keys in order, no blanks, ASCII, no line end."""
        fields = {
            "body_digest": self.body_digest.hex,
            "chain": self.chain,
            "previous": self.previous.hex if self.previous else None,
            "salt": self.salt.hex(),
            "sequence": self.sequence,
            "version": RECORD_VERSION,
        }
        return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def parse(cls, line: bytes) -> "Header":
        """Raises `JournalBroken` for anything but a canonical line of this version."""
        try:
            fields = json.loads(line)
            previous = Digest.from_hex(fields["previous"]) if fields["previous"] is not None else None
            salt, body_digest = bytes.fromhex(fields["salt"]), Digest.from_hex(fields["body_digest"])
            header = cls(fields["chain"], fields["sequence"], previous, salt, body_digest)
        except (ValueError, KeyError, TypeError, BadDigest) as error:
            raise JournalBroken("a record's header cannot be understood") from error
        if header.line() != line:
            raise JournalBroken("a record's header is not canonical, or of another version")
        return header


def salted_digest(salt: bytes, body: bytes) -> Digest:
    """BLAKE3 of salt and body."""
    return Digest(blake3(salt).update(body).digest())


def encode_record(header: Header, body: bytes) -> bytes:
    """The file's bytes. Raises ValueError beyond `RECORD_BYTES_MAX`."""
    plain = header.line() + b"\n" + body
    if len(plain) > RECORD_BYTES_MAX:
        raise ValueError(f"a journal record of {len(plain)} bytes is too large")
    return encode_lines(plain)


def encode_lines(lines: bytes) -> bytes:
    """A headers file, or a checkpoint's part: zstd of what is given."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True).compress(lines)


def decode_lines(data: bytes) -> bytes:
    """What `encode_lines` was given. Raises `JournalBroken`."""
    try:
        if zstandard.get_frame_parameters(data).content_size > RECORD_BYTES_MAX:
            raise JournalBroken("it claims to be larger than any may be")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise JournalBroken(f"it cannot be decoded: {error}") from error


def decode_record(data: bytes) -> tuple[Header, bytes]:
    """Header and body of a file's bytes; the body matches the header's digest. Raises `JournalBroken`."""
    line, separator, body = decode_lines(data).partition(b"\n")
    header = Header.parse(line)
    if not separator or salted_digest(header.salt, body) != header.body_digest:
        raise JournalBroken("a record's body does not match its header")
    return header, body
