"""`--rehash`: other processes read what looks unchanged; what they do not answer is read by the backup itself."""

import io
import os
import pickle
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from otb_client import reread
from otb_client.hashing import PAUSE_SECONDS, SMALL_BYTES_MAX
from otb_client.reread import Records, Reread, help_out, read_records
from otb_client.scan import Folder, Root

FILES = 40


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With files that were left alone for long."""
    for number in range(FILES):
        file = tmp_path / f"{number}"
        file.write_bytes(b"%d" % number)
    time.sleep(PAUSE_SECONDS)
    prefix = f"{tmp_path}{os.sep}"
    return Folder(prefix, b"backup", Root(prefix, b"backup"))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of three files, and one helper from the first on."""
    monkeypatch.setattr(reread, "PART_NAMES", 3)
    monkeypatch.setattr(reread, "HELPED_FROM_NAMES", 1)
    monkeypatch.setattr(reread.os, "cpu_count", lambda: 2)


def all_of(work: Reread, found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    while work.step():
        pass
    work.close()
    return found


def collected(found: dict[str, bytes | None]) -> Callable[[Folder, list[str], Records], None]:
    def on_read(_folder: Folder, names: list[str], records: Records) -> None:
        assert not found.keys() & set(names), "no part is told twice"
        found.update({name: record and record[5] for name, record in zip(names, records, strict=True)})

    return on_read


EXPECTED = {f"{number}": blake3(b"%d" % number).digest() for number in range(FILES)}


def test_only_small_files_that_are_settled_are_told(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("0")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(SMALL_BYTES_MAX + 1)
    names = ["0", "missing", "link", "folder", "pipe", "large", "1"]
    records = dict(zip(names, read_records(folder.prefix, names), strict=True))
    assert {name for name, record in records.items() if record is not None} == {"0", "1"}
    record = records["0"]
    st = (tmp_path / "0").stat()
    assert record == (1, st.st_mtime_ns, st.st_ino, st.st_ctime_ns, st.st_mode, EXPECTED["0"])


def test_what_was_written_just_now_is_left_to_the_backup(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"new")
    assert read_records(folder.prefix, ["0"]) == [None]


@pytest.mark.usefixtures("few")
def test_this_process_and_a_helper_read_all_parts_between_them(folder: Folder) -> None:
    work = Reread(collected(found := {}))
    assert work.add(folder, list(EXPECTED)) == 14
    assert len(work._helpers) == 1
    assert all_of(work, found) == EXPECTED


@pytest.mark.usefixtures("few")
def test_a_helper_that_dies_costs_nothing_but_its_part(folder: Folder) -> None:
    work = Reread(collected(found := {}))
    work.add(folder, list(EXPECTED)[:3])
    for helper, _ in work._helpers:
        helper.kill()
    work.add(folder, list(EXPECTED)[3:])
    all_of(work, found)
    assert found.keys() == EXPECTED.keys()
    lost = {name for name, digest in found.items() if digest is None}
    assert len(lost) <= 3
    assert {name: found[name] for name in EXPECTED.keys() - lost} == {
        name: EXPECTED[name] for name in EXPECTED.keys() - lost
    }


def test_a_helper_answers_until_its_input_ends(folder: Folder) -> None:
    told = io.BytesIO()
    help_out(io.BytesIO(pickle.dumps((folder.prefix, ["0", "1"])) + pickle.dumps((folder.prefix, ["2"]))), told)
    told.seek(0)
    answers = [pickle.load(told), pickle.load(told)]
    assert [[record[5] for record in answer] for answer in answers] == [
        [EXPECTED["0"], EXPECTED["1"]], [EXPECTED["2"]]
    ]  # fmt: skip


def test_a_helper_is_a_python_of_its_own_and_ends_with_its_input(folder: Folder) -> None:
    helper = reread._helper()
    answer, _ = helper.communicate(pickle.dumps((folder.prefix, ["missing"])), timeout=60)
    assert (helper.returncode, pickle.loads(answer)) == (0, [None])


def test_where_no_process_can_be_started_this_one_reads(
    folder: Folder, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> subprocess.Popen[bytes]:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(reread.subprocess, "Popen", refuse)
    work = Reread(collected(found := {}))
    work.add(folder, list(EXPECTED))
    assert all_of(work, found) == EXPECTED
