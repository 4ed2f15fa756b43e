"""Where things lie in the store. Every key is made here, from values that cannot escape (digests, checked chain
names)."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest

FORMAT_KEY: Final = "FORMAT"
BLOBS: Final = "blobs"
JOURNAL: Final = "journal"
PACKS: Final = "packs"
QUARANTINE: Final = "quarantine"
TRASH: Final = "trash"

PIECE_BYTES: Final = 4 << 20
"""An identity blob larger than this has a `.pieces` file: the raw BLAKE3 of each piece of this size, in order, and a
seal (`cas/pieces.py`)."""

PACK_ID_BYTES: Final = 16
PACK_BLOB_BYTES_MAX: Final = 1 << 20
"""A larger blob is not packed."""

PACK_BLOBS_MAX: Final = 1 << 15
PACK_BYTES_MAX: Final = 1 << 30
"""A pack's slices end before this. Both limits keep rewriting a pack, and reading its index, a small matter."""

_PACK_NAME: Final = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{30})\.pack")
_SUFFIX: Final = {Encoding.IDENTITY: "", Encoding.ZSTD: ".zst"}
_BYTE_NAMES: Final = tuple(f"{value:02x}" for value in range(256))


def blob_key(digest: Digest, encoding: Encoding) -> str:
    """`blobs/ab/cd/<hex>` or `blobs/ab/cd/<hex>.zst`."""
    return f"{BLOBS}/{digest.hex[:2]}/{digest.hex[2:4]}/{digest.hex}{_SUFFIX[encoding]}"


def pieces_key(digest: Digest) -> str:
    """`blobs/ab/cd/<hex>.pieces`."""
    return f"{blob_key(digest, Encoding.IDENTITY)}.pieces"


def has_pieces(encoding: Encoding, size_bytes: int) -> bool:
    """Whether a blob so stored has a file of piece digests beside it."""
    return encoding is Encoding.IDENTITY and size_bytes > PIECE_BYTES


def pack_key(pack_id: str) -> str:
    """`packs/ab/<32 hex digits>.pack`."""
    return f"{PACKS}/{pack_id[:2]}/{pack_id}.pack"


def pack_of_key(key: str) -> str | None:
    """The id of the pack under this key, or None if no pack has such a key."""
    match = _PACK_NAME.fullmatch(key)
    return match[2] if match else None


def pack_folders() -> Iterator[str]:
    """The folders that packs lie in."""
    return (f"{PACKS}/{name}" for name in _BYTE_NAMES)


def object_keys(blob: Blob) -> list[str]:
    """Every key that belongs to the blob alone, its bytes first: none for a blob in a pack."""
    if blob.location != OWN_FILE:
        return []
    keys = [blob_key(blob.digest, blob.encoding)]
    if has_pieces(blob.encoding, blob.size_bytes):
        keys.append(pieces_key(blob.digest))
    return keys


def slice_quarantine_key(blob: Blob, pack_id: str, offset: int) -> str:
    """Where the copy of a damaged slice waits: one for each slice, however often it is found damaged."""
    return quarantine_key(blob_key(blob.digest, blob.encoding), f"{pack_id}-{offset}")


def quarantine_key(key: str, mark: str) -> str:
    """Where a damaged object waits: its own name, and a mark that keeps it apart from other copies of the same blob."""
    return f"{QUARANTINE}/{key.rpartition('/')[2]}.{mark}"


def trash_folder(day: date) -> str:
    """Where what left the store on that day waits."""
    return f"{TRASH}/{day.isoformat()}"


def store_folders() -> Iterator[str]:
    """The folders that a store has from its beginning on: 65,536 shards for blobs and 256 for packs, so that no upload
    ever makes one."""
    yield from (JOURNAL, PACKS, QUARANTINE, TRASH)
    yield from pack_folders()
    for first in _BYTE_NAMES:
        for second in _BYTE_NAMES:
            yield f"{BLOBS}/{first}/{second}"
