"""May it be deleted here? In words, in JSON, and by the exit code."""

import os
import random
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.tools.restore.trees import make_rich_tree
from tests.tools.upload.computer import Computer, Done
from tests.web.test_downloads import damage, object_of
from tools.run.processes import python

SAFE = "You may delete them here."


def check(computer: Computer, *paths: Path, options: tuple[str, ...] = (), code: int = 0) -> Done:
    done = computer.run("check", "--json", *options, *map(str, paths or [computer.home]))
    assert done.code == code, done
    return done


def reasons(done: Done) -> dict[str, str]:
    return {Path(event["path"]).name: event["reason"] for event in done.named("not_safe")}


def test_all_safe(computer: Computer) -> None:
    make_rich_tree(computer.home / "docs", 50)
    computer.upload()
    done = check(computer)
    assert done.summary["all_safe"] is True
    files = done.summary["files"]
    assert files == sum(1 for path in computer.home.rglob("*") if path.is_file() and not path.is_symlink())
    assert done.summary["safe"] == done.summary["not_verified_yet"] == files
    assert (done.summary["links"], done.summary["oldest_verified"]) == (3, None)
    said = computer.run("check", str(computer.home))
    assert said.code == 0
    assert re.search(rf": {files} files, [0-9.]+ MB: all safe\.\n", said.out)
    assert f"{files} of them were not read again yet since the backup checked them on arrival." in said.out
    assert said.out.splitlines()[-1] == SAFE


def test_what_is_not(computer: Computer) -> None:
    for name in ("kept", "changed", "deleted there", "damaged", "moved"):
        (computer.home / name).write_bytes(b"content of " + name.encode() * 10)
    computer.upload()
    (computer.home / "changed").write_bytes(b"changed since")
    (computer.home / "new").write_bytes(b"new")
    (computer.home / "moved").rename(computer.home / "moved to here")
    os.mkfifo(computer.home / "pipe")
    computer.device.client.delete(
        f"{computer.device.files}/{computer.backed_up(computer.home)}/deleted%20there"
    ).raise_for_status()
    spoil(computer, "damaged")
    done = check(computer, code=1)
    assert reasons(done) == {
        "changed": "unknown", "new": "unknown", "deleted there": "not_kept", "damaged": "damaged", "pipe": "special",
    }  # fmt: skip
    assert (done.summary["safe"], done.summary["not_safe"], done.summary["special"]) == (2, 4, 1)
    said = computer.run("check", str(computer.home))
    assert said.code == 1
    assert f"NOT SAFE  {computer.home}/damaged: the copy there is damaged" in said.out
    assert "Do NOT delete those marked NOT SAFE." in said.out
    assert SAFE not in said.out


def spoil(computer: Computer, name: str) -> None:
    """The stored copy of a file goes bad, and somebody has noticed."""
    content = (computer.home / name).read_bytes()
    again = computer.device.put(f"again/{name}", content)
    again.raise_for_status()
    for pack in (computer.service.settings.storage_root / "packs").rglob("*.pack"):
        at = pack.read_bytes().find(content[:20])
        if at >= 0:
            damage(pack, at)
            break
    else:
        damage(object_of(computer.service, content), 3)
    # Not whole, so not sent; and marked.
    with pytest.raises((httpx2.TransportError, httpx2.HTTPStatusError)):
        computer.device.get(f"again/{name}").raise_for_status()


def test_each_path_and_all_together(computer: Computer) -> None:
    (computer.home / "a").mkdir()
    (computer.home / "a" / "x").write_bytes(b"x")
    (computer.home / "b").write_bytes(b"b")
    computer.upload(str(computer.home / "a"))
    done = check(computer, computer.home / "a", computer.home / "b", code=1)
    assert [(Path(e["path"]).name, e["all_safe"]) for e in done.named("checked")] == [("a", True), ("b", False)]
    said = computer.run("check", str(computer.home / "a"), str(computer.home / "b")).out
    assert f"{computer.home}/a: 1 file, 1 byte: all safe." in said
    assert f"{computer.home}/b: 1 file, 1 byte: 0 safe, 1 NOT safe." in said
    assert "Together: 2 files, 2 bytes: 1 safe, 1 NOT safe." in said


def test_verified_copies_are_told(computer: Computer) -> None:
    (computer.home / "a").write_bytes(b"a")
    computer.upload()
    verified = subprocess.run(
        python("tools.verify"), env=computer.service.given.environ, check=False, capture_output=True
    )
    assert verified.returncode in {0, 1}, verified  # 1: it found what another test here has damaged
    done = check(computer)
    assert done.summary["not_verified_yet"] == 0
    said = computer.run("check", str(computer.home)).out
    assert f"found good on {done.summary['oldest_verified'][:10]} or later." in said


def test_it_really_reads_and_quick_does_not(computer: Computer, scale: Callable[[int, int], int]) -> None:
    file = computer.home / "a"
    file.write_bytes(b"before")
    os.utime(file, ns=(10**18, 10**18 + 1))
    make_old(file)
    computer.upload()
    assert check(computer, options=("--quick",)).summary["all_safe"] is True
    # The same length and time: only reading tells. On Linux the ctime changes along, so --quick tells too.
    st = file.stat()
    file.write_bytes(b"bEfore")
    os.utime(file, ns=(st.st_atime_ns, st.st_mtime_ns))
    assert reasons(check(computer, code=1)) == {"a": "unknown"}
    assert reasons(check(computer, options=("--quick",), code=1)) == {"a": "unknown"}


def make_old(file: Path) -> None:
    """Until the cache may trust its time: what was changed just now could be changed again within the same tick."""
    time.sleep(0.1)
    assert file.exists()


def test_quick_without_a_cache_reads(computer: Computer) -> None:
    (computer.home / "a").write_bytes(b"a")
    computer.upload()
    for file in (computer.settings / "cache").iterdir():
        file.unlink()
    assert check(computer, options=("--quick",)).summary["all_safe"] is True


def test_more_files_than_one_question_holds(computer: Computer, scale: Callable[[int, int], int]) -> None:
    rng = random.Random(1)
    for number in range(scale(2_100, 25_000)):
        (computer.home / f"f{number}").write_bytes(rng.randbytes(20))
    computer.upload()
    (computer.home / "f7").write_bytes(b"changed")
    done = check(computer, code=1)
    assert done.summary["safe"] == done.summary["files"] - 1
    assert reasons(done) == {"f7": "unknown"}


def test_no_files_and_no_such_path(computer: Computer, tmp_path: Path) -> None:
    assert check(computer).summary["files"] == 0
    done = computer.run("check", str(tmp_path / "nowhere"))
    assert (done.code, "There is no" in done.err) == (2, True)


def test_another_account_tells_nothing(make_computer: Callable[..., Computer]) -> None:
    mine, stranger = make_computer("mine"), make_computer("stranger")
    for computer in (mine, stranger):
        (computer.home / "secret").write_bytes(b"the same secret")
    mine.upload()
    wanted: dict[str, Any] = {"secret": "unknown"}
    assert reasons(check(stranger, code=1)) == wanted
