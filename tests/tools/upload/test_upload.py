"""`otb-cloud upload` against the real server: what is sent, what is not, and what the backup then holds."""

import base64
import os
import pty
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from otb_client.cache import Cache

from tests.tools.upload.computer import Computer, Done

SETTLED_SECONDS = 0.12
"""A file changed this long ago is remembered for sure (hashing._UNSURE_NS)."""


def fill(folder: Path, count: int, size: int = 100) -> None:
    """Files that differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"file {number}.txt").write_bytes(os.urandom(size))
    time.sleep(SETTLED_SECONDS)


@contextmanager
def at_each_open(computer: Computer, tmp_path: Path, statement: str) -> Iterator[None]:
    """The client runs this statement whenever it opens a `path` below the home (Python's audit event `open`)."""
    hook = tmp_path / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(
        "import os, sys\n"
        "is_busy = False\n"
        "def hook(event, args):\n"
        "    global is_busy\n"
        f"    if event == 'open' and str(args[0]).startswith({str(computer.home)!r}) and not is_busy:\n"
        "        path, is_busy = str(args[0]), True\n"
        f"        {statement}\n"
        "        is_busy = False\n"
        "sys.addaudithook(hook)\n"
    )
    computer.environ["PYTHONPATH"] = str(hook)
    yield
    del computer.environ["PYTHONPATH"]


def opened(computer: Computer, tmp_path: Path, *arguments: str) -> tuple[Done, list[str]]:
    """An upload, and which paths below the home its process opened."""
    log = tmp_path / "opened"
    log.write_text("")
    with at_each_open(computer, tmp_path, f"open({str(log)!r}, 'a').write(path + chr(10))"):
        done = computer.upload(*arguments)
    return done, log.read_text().splitlines()


def test_first_upload_keeps_bytes_times_modes_links_and_empty_folders(computer: Computer) -> None:
    fill(computer.home / "small", 30)
    large = computer.home / "film.bin"
    large.write_bytes(os.urandom(6 << 20))
    middle = computer.home / "photo.raw"
    middle.write_bytes(os.urandom((1 << 20) + 1))
    (computer.home / "nothing").write_bytes(b"")
    script = computer.home / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o750)
    os.utime(script, ns=(1, 1_600_000_000_123_456_789))
    empty = computer.home / "empty"
    empty.mkdir(mode=0o700)
    os.utime(empty, ns=(1, 1_500_000_000_000_000_001))
    (computer.home / "link").symlink_to("small/file 1.txt")
    (computer.home / "broken").symlink_to("/nowhere/at all")

    done = computer.upload()

    assert (done.summary["files"], done.summary["sent"], done.summary["problems"]) == (34, 33, 0)
    there = computer.listing()
    assert set(there) == {"small", "film.bin", "photo.raw", "nothing", "run.sh", "empty", "link", "broken"}
    for file in (large, middle, computer.home / "nothing", *(computer.home / "small").iterdir()):
        assert computer.content(file) == file.read_bytes()
    assert there["run.sh"]["mtime"] == "2020-09-13T12:26:40.123456789Z"
    assert there["run.sh"]["mode"] == 0o750
    assert (there["empty"]["type"], there["empty"]["mode"]) == ("directory", 0o700)
    assert there["empty"]["mtime"] == "2017-07-14T02:40:00.000000001Z"
    assert (there["link"]["type"], there["link"]["target"]) == ("link", "small/file 1.txt")
    assert there["broken"]["target"] == "/nowhere/at all"


def test_unchanged_files_are_not_even_opened(computer: Computer, tmp_path: Path) -> None:
    fill(computer.home / "a", 40)
    (computer.home / "large").write_bytes(os.urandom(2 << 20))
    time.sleep(SETTLED_SECONDS)
    _, first = opened(computer, tmp_path)
    assert len(first) >= 41
    before = computer.manifests()

    done, second = opened(computer, tmp_path)

    assert second == []
    assert (done.summary["unchanged"], done.summary["line_bytes"]) == (41, 0)
    assert computer.manifests() == before


def test_only_what_changed_is_read_and_sent(computer: Computer, tmp_path: Path) -> None:
    fill(computer.home / "a", 100)
    computer.upload()
    changed = computer.home / "a" / "file 7.txt"
    changed.write_bytes(b"new")
    time.sleep(SETTLED_SECONDS)

    done, read = opened(computer, tmp_path)

    assert read == [str(changed)]
    assert (done.summary["sent"], done.summary["unchanged"]) == (1, 99)
    assert computer.content(changed) == b"new"


def test_same_size_and_mtime_but_another_inode_is_read(computer: Computer) -> None:
    file = computer.home / "a"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 10**18))
    time.sleep(SETTLED_SECONDS)
    computer.upload()
    other = computer.home / "b"
    other.write_bytes(b"two")
    os.utime(other, ns=(1, 10**18))
    other.replace(file)

    computer.upload()

    assert computer.content(file) == b"two"


def test_a_renamed_file_is_not_sent_again_and_the_old_name_stays(computer: Computer) -> None:
    file = computer.home / "old"
    file.write_bytes(os.urandom(5_000))
    computer.upload()
    file.rename(computer.home / "new")

    done = computer.upload()

    assert (done.summary["line_bytes"], done.summary["deduplicated"]) == (0, 1)
    assert set(computer.listing()) == {"old", "new"}


def test_rehash_finds_what_the_stat_hides(computer: Computer) -> None:
    """With a clock of whole seconds, a change can leave size, time and inode as they were."""
    file = computer.home / "a"
    file.write_bytes(b"one")
    fill(computer.home / "rest", 20)
    computer.upload()
    cache = computer.cache_file
    file.write_bytes(b"two")
    _make_cache_believe(cache, computer.backed_up(computer.home), file)

    assert computer.upload().summary["unchanged"] == 21
    assert computer.content(file) == b"one"
    done = computer.upload("--rehash")

    assert (done.summary["sent"], done.summary["unchanged"]) == (1, 20)
    assert computer.content(file) == b"two"


def _make_cache_believe(cache_file: Path, folder: str, file: Path) -> None:
    """As if the file's stat were the one that was hashed."""
    cache = Cache(cache_file)
    row = cache.folder(folder.encode())
    st = file.stat()
    digest = row.records[file.name][5]
    row.records[file.name] = (st.st_size, st.st_mtime_ns, st.st_ino, st.st_ctime_ns, st.st_mode, digest)
    cache.save([(folder.encode(), row)])
    cache.close()


def test_a_second_device_sends_nothing_that_the_first_one_sent(make_computer: Callable[..., Computer]) -> None:
    first = make_computer("first")
    fill(first.home, 50)
    (first.home / "large").write_bytes(os.urandom(3 << 20))
    first.upload()
    second = make_computer("second", first.device.client)
    shutil.copytree(first.home, second.home, dirs_exist_ok=True)

    done = second.upload()

    assert (done.summary["sent"], done.summary["deduplicated"], done.summary["line_bytes"]) == (0, 51, 0)
    assert second.content(second.home / "large") == (first.home / "large").read_bytes()


def test_the_same_bytes_under_many_names_are_sent_once(computer: Computer) -> None:
    small, large = os.urandom(1_000), os.urandom(2 << 20)
    for number in range(20):
        (computer.home / f"s{number}").write_bytes(small)
    for number in range(3):
        (computer.home / f"l{number}").write_bytes(large)

    done = computer.upload()

    assert done.summary["sent_bytes"] == len(small) + len(large)
    assert len(computer.listing()) == 23
    assert computer.content(computer.home / "l2") == large


def test_excludes_of_the_command_line_of_files_and_of_folders(computer: Computer, tmp_path: Path) -> None:
    for name in ("keep.txt", "drop.tmp", "deep/keep.txt", "deep/drop.tmp", "deep/saved.tmp", "node/x/big", "a/cache/x"):
        (computer.home / name).parent.mkdir(parents=True, exist_ok=True)
        (computer.home / name).write_text(name)
    (computer.home / "deep" / ".otbignore").write_text("# taken back in\n!saved.tmp\nkeep.txt\n")
    given = tmp_path / "excludes"
    given.write_text("/node\n\n# nothing\n")

    computer.upload("--exclude", "*.tmp", "--exclude", "cache/", "--exclude-from", str(given))

    assert set(computer.listing()) == {"keep.txt", "deep", "a"}
    assert set(computer.listing(computer.home / "deep")) == {"saved.tmp", ".otbignore"}
    assert computer.listing(computer.home / "a") == {}


def test_a_folder_whose_rules_cannot_be_read_is_not_sent(computer: Computer) -> None:
    """It may hold what must stay here. A pipe in the file's place does not hold the backup either."""
    fill(computer.home / "private", 2)
    os.mkfifo(computer.home / "private" / ".otbignore")
    fill(computer.home / "open", 1)

    done = computer.upload(code=1)

    assert [Path(event["path"]).name for event in done.named("problem")] == [".otbignore"]
    assert set(computer.listing()) == {"open"}


def test_rehash_reads_large_files_too(computer: Computer, tmp_path: Path) -> None:
    large = computer.home / "large"
    large.write_bytes(os.urandom(2 << 20))
    time.sleep(SETTLED_SECONDS)
    computer.upload()
    for _ in range(2):
        done, read = opened(computer, tmp_path, "--rehash")
        assert read == [str(large)]
        assert (done.summary["unchanged"], done.summary["line_bytes"]) == (1, 0)


def test_names_that_are_not_unicode_survive(computer: Computer) -> None:
    raw = os.fsencode(computer.home) + b"/caf\xe9 \xff.txt"
    Path(os.fsdecode(raw)).write_bytes(b"latin")
    (computer.home / "tab\there").write_bytes(b"tab")
    (computer.home / "odd link").symlink_to(os.fsdecode(b"\xfe\xff"))
    time.sleep(SETTLED_SECONDS)

    computer.upload()

    entries = computer.listing().values()
    coded = [entry["path_bytes"] for entry in entries if "path_bytes" in entry]
    assert len(entries) == 3
    assert len(coded) == 1
    assert base64.urlsafe_b64decode(coded[0] + "==") == raw.lstrip(b"/")
    assert computer.upload().summary["unchanged"] == 2


def test_names_longer_than_the_server_keeps_are_told_and_the_rest_is_backed_up(computer: Computer) -> None:
    deep = computer.home
    for number in range(70):
        deep = deep / f"d{number}"
    deep.mkdir(parents=True)
    (deep / "lost").write_bytes(b"x")
    (computer.home / "kept").write_bytes(b"y")

    done = computer.upload(code=1)

    assert len(done.named("problem")) == 1
    assert "longer" in done.named("problem")[0]["reason"]
    assert computer.content(computer.home / "kept") == b"y"


@pytest.mark.parametrize("size", [900_000, 12_000_000])
def test_a_file_that_keeps_changing_is_told_and_not_fatal(computer: Computer, tmp_path: Path, size: int) -> None:
    file = computer.home / "busy"
    file.write_bytes(os.urandom(size))
    fill(computer.home / "rest", 5)

    with at_each_open(computer, tmp_path, "path.endswith('busy') and os.pwrite(os.open(path, os.O_WRONLY), b'x', 0)"):
        done = computer.upload(code=1)

    (problem,) = done.named("problem")
    assert problem["path"].endswith("/busy")
    assert "changing" in problem["reason"]
    assert set(computer.listing()) == {"rest"}
    done = computer.upload()
    assert done.summary["sent"] == 1
    assert computer.content(file) == file.read_bytes()


@pytest.mark.parametrize("size", [90_000, 2_000_000])
def test_a_file_that_changes_once_while_it_is_read_is_read_again(computer: Computer, tmp_path: Path, size: int) -> None:
    file = computer.home / "busy"
    file.write_bytes(os.urandom(size))
    done_once = tmp_path / "once"
    fill(computer.home / "rest", 1)

    with at_each_open(
        computer,
        tmp_path,
        f"path.endswith('busy') and not os.path.exists({str(done_once)!r}) and"
        f" (os.truncate(path, 5), os.mkdir({str(done_once)!r}))",
    ):
        computer.upload()

    assert computer.content(file) == file.read_bytes()
    assert file.stat().st_size == 5


def test_unreadable_files_are_listed_and_the_rest_is_backed_up(computer: Computer) -> None:
    for name in ("secret", "large secret", "open"):
        (computer.home / name).write_bytes(os.urandom(2 << 20 if "large" in name else 9))
    (computer.home / "closed").mkdir()
    (computer.home / "closed" / "inside").write_text("x")
    for name in ("secret", "large secret", "closed"):
        (computer.home / name).chmod(0)

    # The tests' user may be root, who reads everything: without that capability she does not.
    done = _without_override(computer)

    assert done.code == 1, done
    assert {Path(event["path"]).name for event in done.named("problem")} == {"secret", "large secret", "closed"}
    assert {event["reason"] for event in done.named("problem")} == {"permission denied"}
    assert "open" in computer.listing()


def _without_override(computer: Computer) -> Done:
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*drop, *computer.command("upload", "--json", str(computer.home))]
    done = subprocess.run(command, env=computer.environ, capture_output=True, text=True, check=False, timeout=60)
    return Done(done.returncode, done.stdout, done.stderr)


def test_pipes_and_sockets_are_told_and_no_fault(computer: Computer) -> None:
    os.mkfifo(computer.home / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(computer.home)  # a socket's path is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)
        (computer.home / "file").write_text("x")
        done = computer.upload()
    assert {(Path(event["path"]).name, event["kind"]) for event in done.named("special")} == {
        ("pipe", "pipe"),
        ("socket", "socket"),
    }
    assert set(computer.listing()) == {"file"}


def test_a_name_made_to_mislead_the_terminal_is_shown_harmless(computer: Computer) -> None:
    os.mkfifo(computer.home / "pipe\x1b[2J\n")
    done = computer.run("upload", str(computer.home))
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "pipe\N{REPLACEMENT CHARACTER}[2J" in done.out


def test_a_single_file_can_be_named(computer: Computer) -> None:
    fill(computer.home, 3)

    computer.upload(str(computer.home / "file 1.txt"))

    assert set(computer.listing()) == {"file 1.txt"}
    assert computer.upload(str(computer.home / "file 1.txt")).summary["unchanged"] == 1
    assert computer.upload().summary["sent"] == 2


def test_a_path_that_is_missing_is_told_and_the_others_are_backed_up(computer: Computer) -> None:
    fill(computer.home / "a", 2)

    done = computer.upload(str(computer.home / "a"), str(computer.home / "gone"), code=1)

    assert [event["reason"] for event in done.named("problem")] == ["no such file or directory"]
    assert done.summary["sent"] == 2


def test_a_file_becomes_a_folder_and_a_folder_a_file(computer: Computer) -> None:
    (computer.home / "a").write_text("file")
    (computer.home / "b").mkdir()
    (computer.home / "b" / "inside").write_text("x")
    (computer.home / "c").write_text("c")
    computer.upload()
    (computer.home / "a").unlink()
    (computer.home / "a").mkdir()
    (computer.home / "a" / "new").write_text("new")
    shutil.rmtree(computer.home / "b")
    (computer.home / "b").write_text("now a file")
    (computer.home / "c").write_text("changed")

    done = computer.upload(code=1)  # a folder does not give way to a file without --mirror

    assert [Path(event["path"]).name for event in done.named("problem")] == ["b"]
    assert computer.content(computer.home / "a" / "new") == b"new"
    assert computer.content(computer.home / "c") == b"changed"
    assert set(computer.listing(computer.home / "b")) == {"inside"}
    computer.upload("--mirror")
    assert computer.content(computer.home / "b") == b"now a file"


def test_nothing_is_removed_but_by_mirror(computer: Computer) -> None:
    fill(computer.home / "a", 3)
    fill(computer.home / "b" / "deep", 3)
    fill(computer.home / "c", 1)
    computer.upload()
    (computer.home / "a" / "file 1.txt").unlink()
    shutil.rmtree(computer.home / "b")

    computer.upload()
    assert set(computer.listing()) == {"a", "b", "c"}
    done = computer.upload("--mirror")

    assert sorted(Path(event["path"]).name for event in done.named("removed")) == ["b", "file 1.txt"]
    assert set(computer.listing()) == {"a", "c"}
    assert set(computer.listing(computer.home / "a")) == {"file 0.txt", "file 2.txt"}


def test_what_was_mirrored_away_and_comes_back_unchanged_is_backed_up_again(computer: Computer, tmp_path: Path) -> None:
    fill(computer.home / "a" / "deep", 3)
    fill(computer.home / "b", 1)
    computer.upload()
    aside = tmp_path / "aside"
    (computer.home / "a").rename(aside)
    computer.upload("--mirror")
    assert set(computer.listing()) == {"b"}
    aside.rename(computer.home / "a")

    done = computer.upload()

    assert done.summary["line_bytes"] == 0
    assert len(computer.listing(computer.home / "a" / "deep")) == 3


def test_mirror_leaves_alone_what_is_excluded_and_what_lies_elsewhere(computer: Computer) -> None:
    fill(computer.home / "a", 2)
    fill(computer.home / "b", 2)
    computer.upload()
    shutil.rmtree(computer.home / "b")

    computer.upload("--mirror", "--exclude", "file 1.txt", str(computer.home / "a"))

    assert set(computer.listing()) == {"a", "b"}
    assert len(computer.listing(computer.home / "a")) == 2


@pytest.mark.parametrize("state", ["empty", "missing"])
def test_mirror_does_not_take_an_unmounted_folder_for_an_empty_one(computer: Computer, state: str) -> None:
    drive = computer.home / "drive"
    fill(drive, 3)
    computer.upload(str(drive))
    shutil.rmtree(drive)
    if state == "empty":
        drive.mkdir()

    done = computer.upload("--mirror", str(drive), code=1)

    assert done.named("removed") == []
    assert len(computer.listing(drive)) == 3


def test_dry_run_sends_and_remembers_nothing(computer: Computer, tmp_path: Path) -> None:
    fill(computer.home / "a", 5)

    done, read = opened(computer, tmp_path, "--dry-run")

    assert (done.summary["would_read"], read) == (5, [])
    assert computer.manifests() == []
    assert computer.upload().summary["sent"] == 5


def test_limit_rate_holds(computer: Computer) -> None:
    fill(computer.home, 6, 100_000)

    began = time.monotonic()
    computer.upload("--limit-rate", "400k")

    assert time.monotonic() - began > 600_000 / 409_600 - 0.3


def test_what_was_deleted_in_the_portal_and_is_still_here_is_backed_up_again(computer: Computer) -> None:
    fill(computer.home, 4)
    computer.upload()
    entry = computer.listing()["file 2.txt"]["id"]
    assert computer.device.client.post("/api/v1/entries/delete", json={"entries": [entry]}).status_code == 200

    done = computer.upload()

    assert done.summary["line_bytes"] == 0
    assert len(computer.listing()) == 4
    assert computer.upload().summary["committed"] == 0


def test_a_terminal_gets_a_line_of_progress_and_a_pipe_gets_none(computer: Computer) -> None:
    fill(computer.home, 20, 20_000)
    parent, child = pty.openpty()
    process = subprocess.Popen(
        computer.command("upload", "--limit-rate", "300k", str(computer.home)),
        env=computer.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=child,
    )
    os.close(child)
    out, _ = process.communicate(timeout=60)
    shown = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert process.returncode == 0
    assert "of 20 files" in shown
    assert out.decode().splitlines()[-1] == "Everything is backed up."
    assert "of 20 files" not in computer.run("upload", str(computer.home)).err


def test_the_cache_and_the_token_are_never_backed_up(computer: Computer) -> None:
    inside = computer.home / "settings"
    shutil.move(computer.settings, inside)
    computer.environ["OTB_CLOUD_CONFIG"] = str(inside)
    (computer.home / "file").write_text("x")

    computer.upload()

    assert set(computer.listing()) == {"file"}
    assert stat.S_IMODE(inside.stat().st_mode) & 0o700


@pytest.mark.proof
def test_many_files_in_bounded_memory_and_a_second_look_sends_nothing(
    computer: Computer, scale: Callable[[int, int], int]
) -> None:
    count = scale(2_000, 400_000)
    for number in range(count):
        folder = computer.home / f"d{number // 1_000}" / f"e{number % 1_000 // 100}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"file {number}.txt").write_bytes(number.to_bytes(8, "big"))
    time.sleep(SETTLED_SECONDS)

    assert peak_bytes(computer) < (128 << 20) + 300 * count
    assert peak_bytes(computer) < (64 << 20) + 50 * count
    done = computer.upload()

    assert (done.summary["unchanged"], done.summary["line_bytes"], done.summary["committed"]) == (count, 0, 0)


def peak_bytes(computer: Computer) -> int:
    """The most resident memory of an upload; a small process starts it, since a fork inherits the peak."""
    starter = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", starter, *computer.command("upload", str(computer.home))]
    done = subprocess.run(command, env=computer.environ, capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024
