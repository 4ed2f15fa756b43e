"""Range and conditional requests, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.ranges import ByteRange, RangeNotSatisfiable, is_unchanged, parse_range, range_still_fits

TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=0-9999", (0, 100)),
        ("bytes=99-", (99, 1)),
        ("bytes=50-", (50, 50)),
        ("bytes=-1", (99, 1)),
        ("bytes=-1000", (0, 100)),
        ("BYTES=1-2", (1, 2)),
        ("bytes= 1-2 ", (1, 2)),
        (None, None),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=0-1,3-4", None),
        ("bytes=0-1,", None),
        ("items=0-1", None),
        ("bytes=+1-2", None),
        ("bytes=١-٢", None),
        ("bytes=0-" + "9" * 100, None),
    ],
)
def test_one_range_or_the_whole(header: str | None, found: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == (None if found is None else ByteRange(*found))


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999-"])
def test_a_range_beyond_the_end(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, 100)
    assert caught.value.size_bytes == 100


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_nothing_of_an_empty_file_can_be_asked_for(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 0)


@given(st.text(max_size=120), st.integers(0, 1 << 50))
def test_any_text_gives_a_range_inside_the_file_or_none(header: str, size: int) -> None:
    try:
        found = parse_range(f"bytes={header}", size)
    except RangeNotSatisfiable:
        return
    assert found is None or (found.offset >= 0 and found.length > 0 and found.offset + found.length <= size)


@pytest.mark.parametrize(
    ("header", "unchanged"),
    [
        (None, False),
        ('"abc"', True),
        ('W/"abc"', True),
        ("*", True),
        ('"x", "abc"', True),
        ('"x"', False),
        ("abc", False),
        ('"abc', False),
        ('"' + "x" * 5000 + '", "abc"', False),
    ],
)
def test_if_none_match(header: str | None, unchanged: bool) -> None:
    assert is_unchanged(header, TAG) is unchanged


@pytest.mark.parametrize(
    ("header", "fits"),
    [(None, True), (TAG, True), ('W/"abc"', False), ('"other"', False), ("Fri, 03 May 2024 14:05:00 GMT", False)],
)
def test_if_range(header: str | None, fits: bool) -> None:
    assert range_still_fits(header, TAG) is fits
