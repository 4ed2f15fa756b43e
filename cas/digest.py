"""`Digest`: the BLAKE3-256 hash that names a blob. Parsed once at the edge; a wrong length cannot exist further in."""

from typing import Final

import msgspec
from blake3 import blake3

from cas.errors import BadDigest

DIGEST_BYTES: Final = 32
_HOW_WRITTEN: Final = "a digest is written as 64 lower-case hex digits"


class Digest(msgspec.Struct, frozen=True, order=True):
    """32 bytes of BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs), ordered as bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != DIGEST_BYTES:
            raise BadDigest(f"a digest has {DIGEST_BYTES} bytes, not {len(self.raw)}")

    @classmethod
    def from_hex(cls, text: str) -> "Digest":
        """Parse 64 lower-case hex digits. Raises `BadDigest`."""
        try:
            raw = bytes.fromhex(text)
        except ValueError as error:
            raise BadDigest(_HOW_WRITTEN) from error
        if len(raw) != DIGEST_BYTES or raw.hex() != text:
            raise BadDigest(_HOW_WRITTEN)
        return cls(raw)

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """The digest of `data`."""
        return cls(blake3(data).digest())

    @property
    def hex(self) -> str:
        return self.raw.hex()

    def __str__(self) -> str:
        return self.raw.hex()
