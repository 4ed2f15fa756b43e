"""`Pace` by arithmetic: who is too slow, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.errors import TooSlow
from web.limits import BODY_RATES, Rate
from web.pace import Pace

RATE = Rate(1_000, 12)


def seconds_until_too_slow(pace: Pace, waited: float, came: int, at_most: float = 1_000.0) -> float:
    """How long a client lasts that brings so many bytes after each so many seconds; `at_most` if it goes on."""
    seconds = 0.0
    while seconds < at_most:
        seconds += min(waited, pace.seconds_left)
        try:
            pace.note(min(waited, pace.seconds_left), came if waited <= pace.seconds_left else 0)
        except TooSlow:
            return seconds
    return at_most


def test_silence_ends_with_the_window() -> None:
    assert seconds_until_too_slow(Pace([RATE]), 100, 0) == 12


def test_just_below_and_just_above() -> None:
    assert seconds_until_too_slow(Pace([RATE]), 0.5, 490) == pytest.approx(12, abs=0.6)
    assert seconds_until_too_slow(Pace([RATE]), 0.5, 600) == 1_000


@pytest.mark.parametrize("fast_seconds", [0.5, 11.5, 100.0])
def test_who_was_fast_may_not_drip_ever_after(fast_seconds: float) -> None:
    pace = Pace([RATE])
    for _ in range(int(fast_seconds / 0.1)):
        pace.note(0.1, 1_000_000)
    assert 10.9 <= seconds_until_too_slow(pace, 0.5, 400) <= 13


def test_a_gap_is_forgiven_wherever_it_falls() -> None:
    pace = Pace([RATE])
    for _ in range(50):
        pace.note(10.9, 0)
        pace.note(0.01, 100_000)
        pace.note(0.01, 1)


def test_every_rate_counts() -> None:
    between = int((BODY_RATES[0].bytes_per_second + BODY_RATES[1].bytes_per_second) / 2)
    assert seconds_until_too_slow(Pace(BODY_RATES), 1, between) == pytest.approx(BODY_RATES[1].seconds, abs=1)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20_000)), max_size=200))
def test_it_is_the_average_of_the_last_seconds(notes: list[tuple[float, int]]) -> None:
    """Whoever is not ended brought enough within the window; whoever is did not within the window less a twelfth."""
    pace, now, came = Pace([RATE]), 0.0, [(0.0, 0)]

    def since(seconds: float) -> int:
        return sum(count for at, count in came if at > now - seconds)

    for waited, count in notes:
        now += waited
        came.append((now, count))
        try:
            pace.note(waited, count)
        except TooSlow:
            assert now >= RATE.seconds
            assert since(RATE.seconds * 11 / 12 - 1e-6) < RATE.bytes_per_second * RATE.seconds
            return
        assert now < RATE.seconds or since(RATE.seconds + 1e-6) >= RATE.bytes_per_second * RATE.seconds
