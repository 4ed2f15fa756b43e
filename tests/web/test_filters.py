"""The portal's filters: what a person reads, at the edges of sizes, times and names."""

import string
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined

from catalog.values import EntryPath
from web import filters

TORONTO = filters.zone_named("America/Toronto")
NOW = datetime(2026, 5, 3, 16, 0, tzinfo=UTC)  # noon in Toronto
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def shown(source: str, **context: Any) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    filters.install(environment)
    return environment.from_string(source).render(context)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (10 * 1024 - 1, "10 KB"),
        (1023 * 1024 + 1000, "1 MB"),
        (int(1.4 * 2**30), "1.4 GB"),
        (331 * 2**30, "331 GB"),
        (2**40, "1 TB"),
        (2**63, "8 EB"),
    ],
)
def test_sizes_count_in_1024(count: int, words: str) -> None:
    assert filters.size(count) == words


@given(st.integers(0, 2**60))
def test_a_size_is_short_and_never_shows_1024_of_a_unit(count: int) -> None:
    words = filters.size(count)
    assert len(words) <= 11
    assert not words.startswith(("1,024", "1024"))


def test_counts_agree_with_their_noun() -> None:
    assert filters.plural(1, "file", "files") == "1 file"
    assert filters.plural(0, "file", "files") == "0 files"
    assert filters.plural(12480, "file", "files") == "12,480 files"
    assert filters.number(12480) == "12,480"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"IMG_1.jpg", "IMG_1.jpg"),
        ("invoice\u202egpj.exe", "invoice\ufffdgpj.exe"),
        ("line\nfeed\ttab\x1b[31m", "line\ufffdfeed\ufffdtab\ufffd[31m"),
        (b"caf\xe9.txt", "caf\ufffd.txt"),
        ("zero\u200bwidth\ufeff", "zero\ufffdwidth\ufffd"),
        ("👨‍👩‍👧.png", "👨‍👩‍👧.png"),
        ("العائلة", "العائلة"),
        ("a\u2028b", "a\ufffdb"),
    ],
)
def test_names_cannot_disguise_themselves(name: str | bytes, words: str) -> None:
    assert filters.display_name(name) == words


@given(st.binary(max_size=60))
def test_any_bytes_are_shown_as_printable_text(name: bytes) -> None:
    words = filters.display_name(name)
    words.encode()
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in words)


@given(st.lists(NAMES.filter(lambda n: "/" not in n), max_size=5))
def test_a_path_in_a_url_decodes_to_itself(names: list[str]) -> None:
    encoded = filters.urlpath("/".join(names))
    assert unquote_to_bytes(encoded).decode() == "/".join(names)
    assert set(encoded) <= set(string.ascii_letters + string.digits + "-_.~%/")


def test_a_path_of_any_bytes_goes_into_a_url() -> None:
    path = EntryPath.parse_bytes(b"Photos/caf\xe9 #1?/%.jpg")
    assert filters.urlpath(path) == "Photos/caf%E9%20%231%3F/%25.jpg"
    assert filters.folder_names(path) == [b"Photos", b"caf\xe9 #1?", b"%.jpg"]
    assert filters.folder_names("a/b") == [b"a", b"b"]


def test_a_rename_is_offered_without_the_extension() -> None:
    assert (filters.file_stem(b"IMG.a.jpg"), filters.file_extension(b"IMG.a.jpg")) == ("IMG.a", ".jpg")
    assert (filters.file_stem(b".bashrc"), filters.file_extension(b".bashrc")) == (".bashrc", "")
    assert filters.file_stem(b"caf\xe9.txt") == "caf\ufffd"


def test_times_are_shown_in_the_tenants_zone() -> None:
    assert filters.datetime_text(NOW, TORONTO) == "3 May 2026, 12:00"
    assert filters.datetime_text(1_714_759_200_000_000_000, TORONTO) == "3 May 2024, 14:00"
    assert filters.day_of(datetime(2026, 5, 3, 3, 59, tzinfo=UTC), TORONTO) == "2 May 2026"
    assert filters.day_of(date(2026, 5, 3), TORONTO) == "3 May 2026"
    assert filters.iso(NOW) == "2026-05-03T16:00:00Z"


def test_a_time_that_no_calendar_holds_is_unknown() -> None:
    assert filters.datetime_text(2**63 - 1, TORONTO) == "11 April 2262, 19:47"
    assert filters.datetime_text(2**90, TORONTO) == "unknown"
    assert filters.datetime_text(None, TORONTO) == "unknown"
    assert filters.iso(None) == ""
    assert filters.datetime_text(-1, TORONTO) == "31 December 1969, 18:59"


def test_an_unknown_zone_is_utc() -> None:
    assert filters.zone_named("Atlantis/Center") is UTC
    assert filters.zone_named("../../etc/passwd") is UTC


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(minutes=5), "Today, 11:55"),
        (timedelta(hours=13), "Yesterday, 23:00"),
        (timedelta(days=40), "24 March 2026"),
    ],
)
def test_lists_say_today_and_yesterday(age: timedelta, words: str) -> None:
    assert filters.when_text(NOW - age, TORONTO, NOW) == words


def test_a_day_has_a_heading() -> None:
    assert filters.day_heading(NOW, TORONTO, NOW) == "Today"
    assert filters.day_heading(NOW - timedelta(days=1), TORONTO, NOW) == "Yesterday"
    assert filters.day_heading(NOW - timedelta(days=2), TORONTO, NOW) == "Friday, 1 May 2026"


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(days=59), "59 days ago"),
        (timedelta(days=60), "2 months ago"),
        (timedelta(days=364), "12 months ago"),
        (timedelta(days=366), "1 year ago"),
    ],
)
def test_an_age_in_words(age: timedelta, words: str) -> None:
    assert filters.ago_text(NOW - age, NOW) == words


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(0), "due now"),
        (timedelta(minutes=59), "less than an hour left"),
        (timedelta(hours=5), "5 hours left"),
        (timedelta(days=1, hours=23), "1 day left"),
        (timedelta(days=29, hours=1), "29 days left"),
        (timedelta(days=29, hours=23), "30 days left"),
        (timedelta(days=300), "300 days left"),
    ],
)
def test_the_time_left_in_words(ahead: timedelta, words: str) -> None:
    assert filters.time_left_text(NOW + ahead, NOW) == words


def test_parts_of_a_bar_are_seen_and_never_too_many() -> None:
    assert filters.parts(0, 10) == 0
    assert filters.parts(1, 10**9) == 1
    assert filters.parts(5, 10) == 500
    assert filters.parts(99, 10) == 1000
    assert filters.parts(5, 0) == 0


def test_people_in_small_circles() -> None:
    assert filters.initials("Maya Chen") == "MC"
    assert filters.initials("maya@maple.example") == "MM"
    assert filters.initials("Zoë") == "Z"
    assert filters.initials("\u202e") == "?"
    assert filters.first_name("Maya Chen") == "Maya"
    assert filters.first_name("maya@maple.example") == "maya"


def test_templates_find_the_zone_in_me_and_escape_what_filters_return() -> None:
    zoned = {"me": {"time_zone": "America/Toronto"}, "value": NOW}
    assert shown("{{ value | datetime }} {{ value | day }} {{ value | clock }}", **zoned) == (
        "3 May 2026, 12:00 3 May 2026 12:00"
    )
    assert shown("{{ value | datetime }}", value=NOW) == "3 May 2026, 16:00"
    assert shown("{{ name | display_name }}", name=b"<b>\x00") == "&lt;b&gt;\ufffd"


@dataclass(frozen=True)
class Account:
    time_zone: str


def test_me_may_be_an_object() -> None:
    assert shown("{{ value | clock }}", me=Account("America/Toronto"), value=NOW) == "12:00"
