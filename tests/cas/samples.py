"""Bytes of every kind that the store treats differently."""

import random
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20

BOUNDARY_SIZES: Final = (
    0, 1, 4 * KIB - 1, 4 * KIB, 4 * KIB + 1, MIB - 1, MIB, MIB + 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB + 1,
)  # fmt: skip


def noise(size_bytes: int, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size_bytes)


def prose(size_bytes: int, seed: int = 1) -> bytes:
    """Bytes that compress about fourfold, and that differ from place to place."""
    words = random.Random(seed).choices(
        ["backup", "photo", "2026-11-22", "laptop/", "\n", " of ", "derivative"], k=4096
    )
    line = "".join(words).encode()
    copies = size_bytes // len(line) + 1
    return b"".join(b"%d:%s" % (number, line) for number in range(copies))[:size_bytes]


def mixed(size_bytes: int) -> bytes:
    """A first MiB that compresses, and a rest that does not: the trial is misled."""
    return prose(min(size_bytes, MIB)) + noise(max(size_bytes - MIB, 0))
