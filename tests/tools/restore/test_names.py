"""Names that a system cannot have become others, the same each time; times as file systems keep them; moments."""

import time
from collections.abc import Iterator

import pytest
from otb_client.errors import UsageError
from otb_client.place import Namer, Rules, is_same_time, numbered, rules_of, temporary_name
from otb_client.restore import folder_path, parse_at
from otb_client.tree import is_possible

WINDOWS, MACOS, LINUX = (rules_of(name) for name in ("win32", "darwin", "linux"))


def name(raw: bytes, rules: Rules) -> str:
    return Namer(rules).parts(raw)[1]


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"plain.txt", "plain.txt"),
        (b"CON", "_CON"),
        (b"con.txt", "_con.txt"),
        (b"Lpt9 .x", "_Lpt9 .x"),
        (b"console", "console"),
        (b"a?b*c", "a%3Fb%2Ac"),
        (b"a:b\\c", "a%3Ab%5Cc"),
        (b"ends.", "ends%2E"),
        (b"ends ", "ends%20"),
        (b"t\tb", "t%09b"),
        ("é.txt".encode(), "é.txt"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_windows(raw: bytes, wanted: str) -> None:
    assert name(raw, WINDOWS) == wanted


def test_macos_takes_unicode_alone() -> None:
    assert name(b"a\xff%", MACOS) == "a%FF%25"
    assert name("é?".encode(), MACOS) == "é?"


def test_linux_takes_all() -> None:
    assert name(b"a\xff?:\\ .", LINUX).encode("utf-8", "surrogateescape") == b"a\xff?:\\ ."
    assert Namer(LINUX).parts(b"x/CON") == (("x",), "CON", False)


def test_case_that_does_not_count() -> None:
    """In each folder apart, in the tree's order; what is in a folder that was renamed goes along."""
    namer = Namer(MACOS)
    paths = [b"Photo", b"Photo/a", b"photo", b"photo/a", b"photo/A", b"photo/x", b"photo/x/A", b"sub", b"PHOTO"]
    found = ["/".join((*folder, local)) for folder, local, _ in map(namer.parts, paths)]
    assert found == [
        "Photo", "Photo/a", "photo (2)", "photo (2)/a", "photo (2)/A (2)", "photo (2)/x", "photo (2)/x/A", "sub",
        "PHOTO (3)",
    ]  # fmt: skip
    assert namer.folder(b"photo/x") == ("photo (2)", "x")


def test_forms_of_one_letter_are_one_name_there() -> None:
    namer = Namer(MACOS)
    assert [namer.parts(text.encode())[1] for text in ("e\u0301", "\u00e9")] == ["e\u0301", "\u00e9 (2)"]


def test_a_renamed_folder_on_windows() -> None:
    namer = Namer(WINDOWS)
    assert namer.parts(b"aux") == ((), "_aux", True)
    assert namer.parts(b"aux/f") == (("_aux",), "f", False)


def test_numbers_stand_before_the_ending() -> None:
    assert [numbered(text, " (2)") for text in ("a.txt", "a", ".a", "a.tar.gz")] == [
        "a (2).txt", "a (2)", ".a (2)", "a.tar (2).gz",
    ]  # fmt: skip


def test_temporary_names_are_of_one_file_with_one_content() -> None:
    names = {temporary_name(text, digest) for text in ("a", "b") for digest in (b"1", b"2")}
    assert len(names) == 4
    assert temporary_name("a", b"1") in names
    assert temporary_name("\udcff", b"1").startswith(".otb-restore-")


@pytest.mark.parametrize(
    ("path", "possible"),
    [
        (b"a/b", True), (b"...", True), (b"a/.b", True), (b"..a/b..", True), (b"a\n", True),
        (b"", False), (b"/a", False), (b"a/", False), (b"a//b", False), (b"..", False), (b"a/..", False),
        (b"./a", False), (b"a/../b", False), (b"a\0", False),
    ],
)  # fmt: skip
def test_paths_that_stay_below(path: bytes, possible: bool) -> None:
    assert is_possible(path) is possible


def test_times_as_file_systems_keep_them() -> None:
    moment = 1_700_000_001_123_456_789
    for here in (moment, 1_700_000_001_123_456_700, 1_700_000_001_123_456_000, 1_700_000_001 * 10**9, 17 * 10**17):
        assert is_same_time(here, moment)
    for here in (moment + 1, moment - 100, 1_700_000_002 * 10**9, 1_699_999_998 * 10**9):
        assert not is_same_time(here, moment)


@pytest.fixture
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("vienna")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-05-03", "2026-05-03T21:59:59.999999Z"),
        ("2026-12-03", "2026-12-03T22:59:59.999999Z"),
        ("2026-05-03 14:00", "2026-05-03T12:00:00.000000Z"),
        ("2026-05-03T14:00:05", "2026-05-03T12:00:05.000000Z"),
        ("2026-05-03T14:00:05.250Z", "2026-05-03T14:00:05.250000Z"),
        ("2026-05-03T14:00:05+02:00", "2026-05-03T12:00:05.000000Z"),
    ],
)
def test_moments(text: str, wanted: str) -> None:
    assert parse_at(text) == wanted


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-02-30", "3 May"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError):
        parse_at(text)


def test_folders_as_they_are_called() -> None:
    assert folder_path("") == b""
    assert folder_path("/home/ann/Pictures/") == b"home/ann/Pictures"
    assert folder_path("home/ann/../ann/Pictures") == b"home/ann/Pictures"
    assert folder_path("/") == b""
    with pytest.raises(UsageError):
        folder_path("../x")
