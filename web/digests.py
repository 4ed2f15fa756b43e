"""Digests in headers: `Repr-Digest` (RFC 9530) and `ETag`.

`Repr-Digest: blake3=:BASE64:` and `sha-256=:BASE64:` are checked; other algorithms are ignored, as the RFC has it.
`blake3` is not registered with IANA, so a plain `X-OTB-Digest: HEX` (BLAKE3) is taken as well.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cas.digest import DIGEST_BYTES, Digest
from catalog.errors import BadRequest

REPR_DIGEST: Final = "repr-digest"
PLAIN_DIGEST: Final = "x-otb-digest"

_MEMBER: Final = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?:;[^,]*)?", re.ASCII)
_HEADER_CHARACTERS_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender says of the bytes; None where he does not."""

    blake3: Digest | None = None
    sha256: bytes | None = None

    def sha256_hasher(self) -> "hashlib._Hash | None":
        """A hasher, if there is something to compare it with."""
        return None if self.sha256 is None else hashlib.sha256()


def announced_digests(headers: Mapping[str, str]) -> Announced:
    """The digests in a request's headers. Raises `BadRequest`, `BadDigest`."""
    members = _members(headers.get(REPR_DIGEST, ""))
    raw = _decoded(members, "blake3")
    plain = headers.get(PLAIN_DIGEST)
    blake3 = Digest.from_hex(plain) if plain is not None else None if raw is None else Digest(raw)
    return Announced(blake3, _decoded(members, "sha-256"))


def _members(header: str) -> dict[str, str]:
    if len(header) > _HEADER_CHARACTERS_MAX:
        raise BadRequest(f"Repr-Digest has at most {_HEADER_CHARACTERS_MAX:,} characters.")
    found = {}
    for part in filter(None, (part.strip() for part in header.split(","))):
        match = _MEMBER.fullmatch(part)
        if match is None:
            raise BadRequest("Repr-Digest must look like sha-256=:BASE64: (RFC 9530).")
        found[match[1]] = match[2]
    return found


def _decoded(members: Mapping[str, str], algorithm: str) -> bytes | None:
    text = members.get(algorithm)
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as e:
        raise BadRequest(f"The {algorithm} digest in Repr-Digest is not base64.") from e
    if len(raw) != DIGEST_BYTES:
        raise BadRequest(f"A {algorithm} digest has {DIGEST_BYTES} bytes, not {len(raw)}.")
    return raw


def etag(digest: Digest) -> str:
    """The strong entity tag of a blob's bytes."""
    return f'"{digest.hex}"'
