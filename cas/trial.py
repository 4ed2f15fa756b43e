"""Which encoding pays, tried on the bytes themselves and never guessed from a name. `docs/decisions/` has the
measurement."""

from typing import Final

import zstandard

SAMPLE_BYTES: Final = 1 << 20
IDENTITY_BELOW_BYTES: Final = 4096
TRIAL_LEVEL: Final = 1
_TRIAL_SAVES_PERCENT: Final = 10
_WHOLE_SAVES_PERCENT: Final = 5


def is_worth_trying(sample: bytes | bytearray | memoryview) -> bool:
    """Whether the first bytes of a blob (at most `SAMPLE_BYTES`) shrink by 10 % at the fastest level."""
    if len(sample) < IDENTITY_BELOW_BYTES:
        return False
    packed = len(zstandard.ZstdCompressor(level=TRIAL_LEVEL).compress(sample))
    return packed * 100 <= len(sample) * (100 - _TRIAL_SAVES_PERCENT)


def has_paid(stored_bytes: int, size_bytes: int) -> bool:
    """Whether the whole blob shrank by 5 %, so that decoding it for every reader is worth it."""
    return stored_bytes * 100 <= size_bytes * (100 - _WHOLE_SAVES_PERCENT)
