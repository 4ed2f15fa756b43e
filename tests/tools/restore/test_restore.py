"""A restore is the product: identical trees, now and at earlier moments, and nothing replaced without being asked."""

import os
import pty
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.tools.restore.trees import change_tree, make_rich_tree, set_times, snapshot
from tests.tools.upload.computer import Computer, Done
from tests.web.test_downloads import damage, object_of

CONFLICT = "another file of that name is here"


def restore(computer: Computer, to: Path, *arguments: str, code: int = 0, folder: Path | None = None) -> Done:
    """Of the computer's home, or of another folder of the backup."""
    done = computer.run("restore", str(folder or computer.home), "--to", str(to), "--json", *arguments)
    assert done.code == code, done
    return done


def now() -> str:
    time.sleep(0.01)
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def test_now_and_as_it_was(computer: Computer, tmp_path: Path, scale: Callable[[int, int], int]) -> None:
    """Five generations; each comes back as it was, to the nanosecond, from the moment after its backup."""
    top = make_rich_tree(computer.home / "docs", scale(120, 2_000))
    rng = random.Random(5)
    moments = []
    for _ in range(scale(3, 5)):
        computer.upload("--mirror")
        moments.append((now(), snapshot(top)))
        change_tree(top, rng)
        set_times(top, rng)
    computer.upload("--mirror")
    restore(computer, tmp_path / "now", folder=top)
    assert snapshot(tmp_path / "now") == snapshot(top)
    for number, (moment, wanted) in enumerate(moments):
        done = restore(computer, tmp_path / str(number), "--at", moment, folder=top)
        assert snapshot(tmp_path / str(number)) == wanted
        assert done.summary["problems"] == 0


def test_before_the_first_backup_there_is_nothing(computer: Computer, tmp_path: Path) -> None:
    before = now()
    (computer.home / "a").write_bytes(b"a")
    computer.upload()
    done = computer.run("restore", str(computer.home), "--to", str(tmp_path / "out"), "--at", before)
    assert (done.code, "There is no " in done.err) == (2, True)


def test_all_of_the_device_and_a_folder_as_the_portal_names_it(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "a").mkdir()
    (computer.home / "a" / "b").write_bytes(b"b")
    computer.upload()
    done = computer.run("restore", "--to", str(tmp_path / "all"))
    assert done.code == 0, done
    assert (tmp_path / "all" / computer.backed_up(computer.home) / "a" / "b").read_bytes() == b"b"
    done = computer.run(
        "restore", computer.backed_up(computer.home / "a"), "--to", str(tmp_path / "a"), "--device", "laptop"
    )
    assert done.code == 0, done
    assert (tmp_path / "a" / "b").read_bytes() == b"b"


def test_a_single_file(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "a").mkdir()
    (computer.home / "a" / "b.txt").write_bytes(b"b")
    (computer.home / "a" / "c.txt").write_bytes(b"c")
    computer.upload()
    moment = now()
    (computer.home / "a" / "b.txt").write_bytes(b"changed")
    computer.upload()
    restore(computer, tmp_path / "now", folder=computer.home / "a" / "b.txt")
    restore(computer, tmp_path / "then", "--at", moment, folder=computer.home / "a" / "b.txt")
    assert [path.read_bytes() for path in (tmp_path / "now").iterdir()] == [b"changed"]
    assert [path.read_bytes() for path in (tmp_path / "then").iterdir()] == [b"b"]
    assert computer.run("restore", str(computer.home / "a" / "x"), "--to", str(tmp_path / "no")).code == 2


def test_a_second_run_fetches_nothing_again(computer: Computer, tmp_path: Path) -> None:
    top = make_rich_tree(computer.home / "docs", 60)
    computer.upload()
    out = tmp_path / "out"
    first = restore(computer, out, folder=top).summary
    assert (first["restored"], first["there"]) == (first["files"], 0)
    (out / "same 1.txt").unlink()
    second = restore(computer, out, folder=top).summary
    # One file, and the three links, which were there.
    assert (second["restored"], second["there"]) == (1, first["files"] - 1 + 3)
    assert snapshot(out) == snapshot(top)


def test_verify_reads_what_is_there(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "a").write_bytes(b"right")
    (computer.home / "b").write_bytes(b"right")
    computer.upload()
    out = tmp_path / "out"
    restore(computer, out)
    wanted = snapshot(out)
    st = (out / "a").stat()
    (out / "a").write_bytes(b"wrong")
    os.utime(out / "a", ns=(st.st_atime_ns, st.st_mtime_ns))
    os.utime(out / "b", ns=(1, 1))
    assert restore(computer, out, "--skip").summary["there"] == 1
    assert (out / "a").read_bytes() == b"wrong"
    done = restore(computer, out, "--verify", "--overwrite")
    assert (done.summary["restored"], done.summary["there"]) == (1, 1)
    assert snapshot(out) == wanted


# -- conflicts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def conflicted(computer: Computer, tmp_path: Path) -> Path:
    """`a.txt` and the link `l` are other ones here than in the backup; `b` is not here."""
    (computer.home / "a.txt").write_bytes(b"from the backup")
    (computer.home / "b").write_bytes(b"b")
    (computer.home / "l").symlink_to("b")
    computer.upload()
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_bytes(b"mine")
    (out / "l").symlink_to("elsewhere")
    return out


def test_without_an_answer_nothing_is_replaced(computer: Computer, conflicted: Path) -> None:
    done = restore(computer, conflicted, code=1)
    assert sorted(event["path"] for event in done.named("problem")) == ["a.txt", "l"]
    assert all(event["reason"].startswith(CONFLICT) for event in done.named("problem"))
    assert (conflicted / "a.txt").read_bytes() == b"mine"
    assert (conflicted / "l").readlink() == Path("elsewhere")
    assert (conflicted / "b").read_bytes() == b"b"


def test_overwrite(computer: Computer, conflicted: Path) -> None:
    restore(computer, conflicted, "--overwrite")
    assert snapshot(conflicted) == snapshot(computer.home)


def test_skip(computer: Computer, conflicted: Path) -> None:
    done = restore(computer, conflicted, "--skip")
    assert done.summary["skipped"] == 2
    assert (conflicted / "a.txt").read_bytes() == b"mine"
    assert (conflicted / "b").exists()


def test_rename_keeps_both_and_does_so_once(computer: Computer, conflicted: Path) -> None:
    for _ in range(2):
        done = restore(computer, conflicted, "--rename")
        assert [event["here"] for event in done.named("renamed")] == ["a (restored).txt", "l (restored)"]
    assert (conflicted / "a.txt").read_bytes() == b"mine"
    assert (conflicted / "a (restored).txt").read_bytes() == b"from the backup"
    assert sorted(path.name for path in conflicted.iterdir()) == [
        "a (restored).txt", "a.txt", "b", "l", "l (restored)",
    ]  # fmt: skip


def test_a_dry_run_changes_nothing(computer: Computer, conflicted: Path, tmp_path: Path) -> None:
    before = snapshot(conflicted)
    done = restore(computer, conflicted, "--dry-run", code=1)
    assert (done.summary["restored"], done.summary["problems"]) == (1, 2)
    assert snapshot(conflicted) == before
    restore(computer, tmp_path / "new", "--dry-run")
    assert not (tmp_path / "new").exists()


def test_folders_and_files_in_each_others_place_stay(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "folder").mkdir()
    (computer.home / "folder" / "x").write_bytes(b"x")
    (computer.home / "file").write_bytes(b"f")
    computer.upload()
    out = tmp_path / "out"
    (out / "file").mkdir(parents=True)
    (out / "folder").write_bytes(b"a file")
    done = restore(computer, out, "--overwrite", code=1)
    assert {event["path"] for event in done.named("problem")} == {"file", "folder", "folder/x"}
    assert (out / "folder").read_bytes() == b"a file"
    assert (out / "file").is_dir()


def read_all(terminal: int) -> bytes:
    """What was written to it until the other side was closed, which Linux tells as an I/O error."""
    said = b""
    with suppress(OSError):
        while data := os.read(terminal, 4_096):
            said += data
    return said


@pytest.mark.parametrize(("keys", "replaced"), [("y\nn\n", 1), ("x\na\n", 2), ("s\n", 0)])
def test_a_terminal_is_asked_once_per_conflict(computer: Computer, conflicted: Path, keys: str, replaced: int) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        computer.command("restore", str(computer.home), "--to", str(conflicted)),
        env=computer.environ, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, keys.encode())
    said = read_all(ours)
    os.close(ours)
    assert process.wait(60) == 0, said
    assert b"a.txt is here and differs. Replace it?" in said
    is_backup = [(conflicted / "a.txt").read_bytes() == b"from the backup", (conflicted / "l").readlink() == Path("b")]
    assert sum(is_backup) == replaced


# -- metadata -------------------------------------------------------------------------------------------------------


def test_special_bits_only_when_asked_for(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "tool").write_bytes(b"#!")
    (computer.home / "tool").chmod(0o4755)
    (computer.home / "shared").mkdir()
    (computer.home / "shared").chmod(0o1777)
    computer.upload()
    restore(computer, tmp_path / "plain")
    assert [(tmp_path / "plain" / name).stat().st_mode & 0o7777 for name in ("tool", "shared")] == [0o755, 0o777]
    restore(computer, tmp_path / "special", "--special-bits")
    assert [(tmp_path / "special" / name).stat().st_mode & 0o7777 for name in ("tool", "shared")] == [0o4755, 0o1777]


def test_files_without_known_permissions_get_those_of_new_ones(computer: Computer, tmp_path: Path) -> None:
    computer.device.put("web/a.txt", b"by the browser").raise_for_status()
    done = computer.run("restore", "web", "--to", str(tmp_path / "out"))
    assert done.code == 0, done
    (tmp_path / "new").write_bytes(b"")
    assert (tmp_path / "out" / "a.txt").stat().st_mode == (tmp_path / "new").stat().st_mode


# -- what cannot be restored ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5_000, 3_000_000])
def test_a_flipped_byte_in_the_store_is_never_restored(computer: Computer, tmp_path: Path, size: int) -> None:
    rng = random.Random(size)
    contents = {f"f{n}": rng.randbytes(size + n) for n in range(6)}
    for name, content in contents.items():
        computer.device.put(f"d/{name}", content).raise_for_status()
    damage(object_of(computer.service, contents["f3"]), size // 2)
    out = tmp_path / "out"
    for _ in range(2):
        done = computer.run("restore", "d", "--to", str(out), "--json")
        assert done.code == 1, done
        assert [event["path"] for event in done.named("problem")] == ["f3"]
        assert "damaged" in done.named("problem")[0]["reason"]
        assert {path.name: path.read_bytes() for path in out.iterdir()} == {
            name: content for name, content in contents.items() if name != "f3"
        }
    computer.device.put("healed", contents["f3"]).raise_for_status()
    assert computer.run("restore", "d", "--to", str(out)).code == 0
    assert (out / "f3").read_bytes() == contents["f3"]


def test_many_damaged_files_hold_up_no_others(computer: Computer, tmp_path: Path) -> None:
    rng = random.Random(9)
    contents = {f"f{n:03}": rng.randbytes(20_000 + n) for n in range(200)}
    for name, content in contents.items():
        computer.device.put(f"d/{name}", content).raise_for_status()
    bad = set(rng.sample(sorted(contents), 12))
    for name in bad:
        damage(object_of(computer.service, contents[name]), 77)
    done = computer.run("restore", "d", "--to", str(tmp_path / "out"), "--json")
    assert done.code == 1, done
    assert {event["path"] for event in done.named("problem")} == bad
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(contents) - bad


def test_a_disk_without_room_is_told_before(computer: Computer, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "otb-test", small], check=True)
    try:
        (computer.home / "large").write_bytes(random.Random(1).randbytes(5 << 20))
        computer.upload()
        done = computer.run("restore", str(computer.home), "--to", str(small))
        assert (done.code, "5 MB" in done.err, "free" in done.err) == (2, True, True), done
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "--to", "out"], "There is no nowhere in the backup"),
        (["../up", "--to", "out"], "leads out of the backup"),
        (["--to", "out", "--at", "yesterday"], "is not a time"),
        (["--to", "out", "--device", "tower"], "no device called tower"),
        (["--to", "/dev/null"], "cannot be restored to"),
        (["--to", "out", "--overwrite", "--skip"], "not allowed with"),
        (["--to", "out", "--limit-rate", "fast"], "is not a rate"),
        ([], "--to"),
    ],
)
def test_what_cannot_be_asked(computer: Computer, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = computer.run("restore", *arguments, cwd=tmp_path)
    assert (done.code, words in done.err) == (2, True), done


def test_two_restores_into_one_folder(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "large").write_bytes(random.Random(1).randbytes(3 << 20))
    computer.upload()
    first = computer.start("restore", str(computer.home), "--to", str(tmp_path / "out"), "--limit-rate", "1M")
    try:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("out/.otb-restore-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        done = computer.run("restore", str(computer.home), "--to", str(tmp_path / "out"))
        assert (done.code, "is running" in done.err) == (2, True), done
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.communicate()
    assert snapshot(tmp_path / "out") == snapshot(computer.home)


def test_a_rate_is_kept(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "large").write_bytes(random.Random(1).randbytes(2 << 20))
    computer.upload()
    started = time.monotonic()
    restore(computer, tmp_path / "out", "--limit-rate", "1M")
    assert 1.5 < time.monotonic() - started < 20


def test_a_day_means_its_end(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "a").write_bytes(b"a")
    computer.upload()
    today = datetime.now().astimezone().date()
    restore(computer, tmp_path / "today", "--at", today.isoformat())
    yesterday = (today - timedelta(days=1)).isoformat()
    assert computer.run("restore", str(computer.home), "--to", str(tmp_path / "no"), "--at", yesterday).code == 2


def test_people_are_told_in_words(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "a").write_bytes(b"a")
    computer.upload()
    done = computer.run("restore", str(computer.home), "--to", str(tmp_path / "out"))
    assert done.out.splitlines()[0] == "1 file (1 byte) in the backup."
    assert done.out.splitlines()[-1] == "Everything is restored, and every byte was checked."


def test_nothing_is_left_behind(computer: Computer, tmp_path: Path) -> None:
    top = make_rich_tree(computer.home / "docs", 40)
    computer.upload()
    restore(computer, tmp_path / "out", folder=top)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".otb-restore-")]
