"""Names here and in the backup, on every system; times; and the words of the progress line."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from otb_client import commit, names
from otb_client.errors import BadAnswer
from otb_client.progress import Counts, progress_line, size_text, summary_lines, time_left_text
from otb_client.times import parse_time, time_text
from otb_client.upload import outermost


@pytest.mark.parametrize(
    ("local", "path", "windows"),
    [
        ("/home/ann/Pictures/a.jpg", b"home/ann/Pictures/a.jpg", False),
        ("/", b"", False),
        ("/odd\\name", b"odd\\name", False),
        ("/caf\udce9", b"caf\xe9", False),
        ("C:\\Users\\ann\\a.jpg", b"C/Users/ann/a.jpg", True),
        ("D:\\", b"D", True),
        ("\\\\nas\\music\\a", b"UNC/nas/music/a", True),
        ("C:\\lone \ud800", b"C/lone \xed\xa0\x80", True),
    ],
)
def test_a_path_goes_to_the_backup_and_comes_back(local: str, path: bytes, *, windows: bool) -> None:
    assert names.backup_path(local, windows=windows) == path
    assert names.local_path(path, windows=windows) == local


@pytest.mark.parametrize(
    ("local", "path"),
    [
        ("c:/Users/ann", b"C/Users/ann"),
        ("\\\\?\\C:\\long", b"C/long"),
        ("\\\\?\\UNC\\nas\\music", b"UNC/nas/music"),
    ],
)
def test_other_spellings_on_windows(local: str, path: bytes) -> None:
    assert names.backup_path(local, windows=True) == path


@pytest.mark.parametrize(
    "raw", [b"a/b", "ä/日本".encode(), b"caf\xe9", b"tab\there", b"\x7f", "\x85".encode(), b'q"\\']
)
def test_names_in_json_come_back(raw: bytes) -> None:
    shape = names.json_path(raw)
    assert names.path_of_json(shape) == raw
    assert commit._json_of(raw) == json.dumps(shape)[1:-1].replace('": "', '":"')


@pytest.mark.parametrize("entry", [{}, {"path": 5}, {"path_bytes": "*"}, {"path_bytes": None}])
def test_json_without_a_name(entry: dict[str, object]) -> None:
    with pytest.raises(BadAnswer):
        names.path_of_json(entry)


def test_what_is_shown_moves_no_cursor() -> None:
    assert names.shown(b"a\x1b[2J\nb\xff") == "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b\ufffd"


@pytest.mark.parametrize("seed", range(50))
def test_times_come_back_to_the_nanosecond(seed: int) -> None:
    ns = random.Random(seed).randrange(-(2**62), 2**62)
    text = time_text(ns)
    assert text is not None
    assert parse_time(text) == ns
    assert parse_time(json.loads("{" + commit._mtime(ns)[1:] + "}")["mtime"]) == ns
    there = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
    assert text.startswith(there.strftime("%Y-%m-%dT%H:%M:%S"))


def test_times_that_the_server_cannot_take() -> None:
    assert time_text(2**63) is None
    assert commit._mtime(2**63) == ""
    assert commit._mtime(-(2**63)) == ""
    with pytest.raises(BadAnswer):
        parse_time("yesterday")


def test_folders_inside_of_others_are_looked_at_once() -> None:
    assert outermost(["/a/b", "/a", "/ab", "/a/b/c", "/a"]) == ["/a", "/ab"]
    assert outermost(["/x", "/"]) == ["/"]


def test_the_progress_line_says_how_far_how_fast_and_how_long() -> None:
    counts = Counts(settled=500, to_read=2_000, settled_bytes=50 << 20, to_read_bytes=200 << 20, unchanged=7)
    line = progress_line(counts, 1 << 20, is_scanned=True)
    assert line == "500 of 2,000 files, 50.0 MiB of 200.0 MiB, 1.0 MiB/s, 2 min left, 7 unchanged"
    assert "left" not in progress_line(counts, 1 << 20, is_scanned=False)
    assert "so far" in progress_line(counts, 0, is_scanned=False)
    assert progress_line(Counts(deduplicated=3), 0, is_scanned=True).endswith("3 were there already")


def test_sizes_and_durations_in_words() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 10**12)] == ["0 B", "1023 B", "1.0 KiB", "931.3 GiB"]
    assert [time_left_text(s) for s in (5, 61, 3_900)] == ["5 s", "1 min", "1 h 05 min"]


def test_the_summary_never_says_everything_where_something_is_missing() -> None:
    assert summary_lines(Counts(files=3, sent=3), 1)[-1] == "Everything is backed up."
    assert "NOT backed up" in summary_lines(Counts(files=3, problems=1), 1)[-1]
