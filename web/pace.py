"""`Pace`: whether a client sends fast enough.

What always holds: only time spent waiting for the client counts, so our own slowness is not held against it; what came
is judged over the last seconds, so a client that was fast once may not drip ever after.
"""

from collections.abc import Sequence
from typing import Final

from web.errors import TooSlow
from web.limits import Rate

_MARKS: Final = 12
"""Of a window; it is as exact as the time between two."""


class Pace:
    """One body's, held against every one of some rates."""

    __slots__ = ("_windows",)

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._windows = [_Window(rate) for rate in rates]

    @property
    def seconds_left(self) -> float:
        """Until it is too slow, if nothing comes."""
        return max(0.0, min(window.seconds_left for window in self._windows))

    def note(self, waited_seconds: float, received_bytes: int) -> None:
        """Count what came. Raises `TooSlow`."""
        for window in self._windows:
            window.note(waited_seconds, received_bytes)
            if window.seconds_left <= 0:
                raise TooSlow(window.rate)


class _Window:
    """The end of a body: so much of it that it has to be as fast as `rate`. There is one for each slow client, so it is
    small."""

    __slots__ = ("_marks", "_needed_bytes", "_received_bytes", "_waited_seconds", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._needed_bytes = rate.bytes_per_second * rate.seconds
        self._waited_seconds = 0.0
        self._received_bytes = 0
        self._marks = [(0.0, 0)]
        """Seconds waited, and bytes that had come by then. At least what is needed came since the first, not since the
        second."""

    @property
    def seconds_left(self) -> float:
        return self._marks[0][0] + self.rate.seconds - self._waited_seconds

    def note(self, waited_seconds: float, received_bytes: int) -> None:
        self._waited_seconds += waited_seconds
        if self._waited_seconds - self._marks[-1][0] >= self.rate.seconds / _MARKS:
            self._marks.append((self._waited_seconds, self._received_bytes))
        self._received_bytes += received_bytes
        while len(self._marks) > 1 and self._received_bytes - self._marks[1][1] >= self._needed_bytes:
            del self._marks[0]
