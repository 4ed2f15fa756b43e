"""`--limit-rate`: no more than so many bytes a second, all connections together."""

import re
import threading
import time
from collections.abc import Iterator
from typing import Union

RATE_BYTES_MIN = 1024
PIECE_SECONDS = 0.05
"""What is sent at once is what the line may take in this time."""
PIECE_BYTES_MAX = 256 << 10
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?(?:/s)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_rate(text: str) -> int:
    """Bytes a second of `2M`, `500k`, `1.5M`. Raises `ValueError`."""
    match = _RATE.fullmatch(text.strip())
    rate = int(float(match.group(1)) * _UNITS[match.group(2).lower()]) if match else 0
    if not RATE_BYTES_MIN <= rate <= 1 << 40:
        raise ValueError(f"{text!r} is not a rate; write it like 500k or 2M, at least 1k")
    return rate


class RateLimit:
    """Threads take turns: each piece moves the moment at which the next may go."""

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def pieces(self, data: Union[bytes, bytearray, memoryview]) -> Iterator[memoryview]:
        """The data in pieces, each when its time has come."""
        view = memoryview(data)
        step = max(1, min(PIECE_BYTES_MAX, int(self._rate * PIECE_SECONDS)))
        for start in range(0, len(view), step):
            piece = view[start : start + step]
            self._wait(len(piece))
            yield piece

    def _wait(self, size_bytes: int) -> None:
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._free_at)
            self._free_at = begin + size_bytes / self._rate
        if begin > now:
            time.sleep(begin - now)
