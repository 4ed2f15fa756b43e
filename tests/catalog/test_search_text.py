"""The language of the search box: what each form means, and that no text whatever breaks it."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import BadRequest
from catalog.names import fold
from catalog.search_text import TEXT_CHARACTERS_MAX, WORDS_MAX, Terms, parse, parse_period
from catalog.values import Area

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", Terms()),
        ("beach Family", Terms(words=("beach", "family"))),
        ("beach beach", Terms(words=("beach",))),
        ('"Summer 2024" beach', Terms(words=("summer 2024", "beach"))),
        ('"not closed', Terms(words=("not closed",))),
        ('""', Terms()),
        ("Café", Terms(words=("cafe",))),
        ("-draft", Terms(unwanted=("draft",))),
        ('-"first draft"', Terms(unwanted=("first draft",))),
        ("-", Terms(words=("-",))),
        ("--", Terms(words=("--",))),
        ("a-b", Terms(words=("a-b",))),
        ("ext:JPG", Terms(extensions=frozenset({"jpg"}))),
        ("ext:.jpg,png ext:heic", Terms(extensions=frozenset({"jpg", "png", "heic"}))),
        ("-ext:tmp", Terms(unwanted_extensions=frozenset({"tmp"}))),
        ("EXT:jpg", Terms(extensions=frozenset({"jpg"}))),
        ('device:"Dad’s laptop"', Terms(devices=frozenset({"dad’s laptop"}))),
        ("-device:phone", Terms(unwanted_devices=frozenset({"phone"}))),
        ("kind:photos", Terms(kinds=frozenset({"image"}))),
        ("kind:video,audio", Terms(kinds=frozenset({"video", "audio"}))),
        ("-kind:folder", Terms(unwanted_kinds=frozenset({"directory"}))),
        ("in:derived", Terms(area=Area.DERIVED)),
        ("on:2024", Terms(first_day=date(2024, 1, 1), last_day=date(2024, 12, 31))),
        ("on:2024-02", Terms(first_day=date(2024, 2, 1), last_day=date(2024, 2, 29))),
        ("on:2024-05-03", Terms(first_day=date(2024, 5, 3), last_day=date(2024, 5, 3))),
        ("before:2024-05-03", Terms(last_day=date(2024, 5, 2))),
        ("after:2024-05-03", Terms(first_day=date(2024, 5, 4))),
        ("after:2023 before:2025", Terms(first_day=date(2024, 1, 1), last_day=date(2024, 12, 31))),
        ("after:2020 after:2021", Terms(first_day=date(2022, 1, 1))),
        ("size:>10M", Terms(size_least=10 * MIB + 1)),
        ("size:>=1.5k", Terms(size_least=1536)),
        ("size:<2GB", Terms(size_most=2048 * MIB - 1)),
        ("size:<=100 size:<200", Terms(size_most=100)),
        ("12:30", Terms(words=("12:30",))),
        ("re:report", Terms(words=("re:report",))),
        ('note:"a b"', Terms(words=("note:a b",))),
        ("-re:report", Terms(unwanted=("re:report",))),
        ("a\0b", Terms(words=("ab",))),
    ],
)  # fmt: skip
def test_each_form(text: str, terms: Terms) -> None:
    assert parse(text) == terms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ext:", "ext:jpg"),
        ("ext:jpg,", "ext:jpg"),
        ("device:", "device:laptop"),
        ("kind:cat", "kind:image"),
        ("in:attic", "in:derived"),
        ("on:yesterday", "on:2024-05-03"),
        ("before:2024-13", "no day 2024-13"),
        ("after:2023-02-29", "no day 2023-02-29"),
        ("on:0001", "A day lies between"),
        ("on:9999", "A day lies between"),
        ("size:10M", "size:>10M"),
        ("size:>1e9", "size:>10M"),
        ("size:>999999999999999T", "as large as that"),
        ("size:>10M size:<1M", "so large and so small"),
        ("after:2024 before:2023", "Change after: or before:"),
        ("-on:2024", "cannot be excluded"),
        ("-size:>1M", "cannot be excluded"),
        (" ".join("abcdefghijk"), f"at most {WORDS_MAX} words"),
        ("x" * (TEXT_CHARACTERS_MAX + 1), "Shorten it"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said.replace(".", r"\.")):
        parse(text)


@given(st.text(max_size=TEXT_CHARACTERS_MAX + 5))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        terms = parse(text)
    except BadRequest:
        return
    assert all(word and "\0" not in word for word in (*terms.words, *terms.unwanted))


@given(st.text('abc:"- >.2é', max_size=30), st.sampled_from(["", "-", "ext:", "size:", "on:", "kind:", '"', "device:"]))
def test_texts_that_look_like_filters_are_read_or_refused(text: str, key: str) -> None:
    try:
        parse(key + text)
    except BadRequest as error:
        sentence = str(error)
    else:
        return
    assert sentence.endswith(".")


_WORD = st.text("abcxyz0189_.é", min_size=1, max_size=8)


@given(st.lists(_WORD, max_size=5), st.lists(_WORD, max_size=5), st.randoms())
def test_words_and_phrases_come_back_as_they_were_written(words: list[str], phrases: list[str], chosen: object) -> None:
    tokens = [*words, *(f'"{phrase} {phrase}"' for phrase in phrases)]
    chosen.shuffle(tokens)  # type: ignore[attr-defined]
    terms = parse(" ".join(tokens))
    expected = {fold(token.strip('"').encode()) for token in tokens}
    assert set(terms.words) == expected - {""}


@given(st.dates(date(1700, 1, 1), date(2199, 12, 31)))
def test_a_period_begins_and_ends_with_its_days(day: date) -> None:
    assert parse_period(day.isoformat()) == (day, day)
    first, last = parse_period(day.isoformat()[:7])
    assert (first.day, first.month, last.month) == (1, day.month, day.month)
    assert first <= day <= last
    assert parse_period(day.isoformat()[:4]) == (date(day.year, 1, 1), date(day.year, 12, 31))
