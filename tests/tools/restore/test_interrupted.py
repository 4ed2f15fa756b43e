"""Killed at random moments, and with the server gone in the middle: the next run goes on, and the tree is the same."""

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shared.service import Service, free_port
from tests.tools.restore.trees import make_rich_tree, snapshot
from tests.tools.upload.computer import Computer, interrupt

TEMPORARY = re.compile(rb"(^|/)\.otb-restore-[0-9a-f]{24}$")


def test_sigkill_at_random_moments(computer: Computer, tmp_path: Path, scale: Callable[[int, int], int]) -> None:
    """Whatever has its name is whole at every moment; in the end nothing is left but what was in the backup."""
    top = make_rich_tree(computer.home / "docs", scale(150, 3_000), seed=4)
    (top / "another large.bin").write_bytes(random.Random(2).randbytes(9 << 20))
    computer.upload()
    wanted, out, rng = snapshot(top), tmp_path / "out", random.Random(11)
    arguments = ("restore", str(top), "--to", str(out))
    started = time.monotonic()
    assert computer.run(*arguments, "--dry-run").code == 0
    least_seconds = time.monotonic() - started
    for _ in range(scale(5, 100)):
        process = computer.start(*arguments, "--limit-rate", "12M")
        time.sleep(least_seconds + rng.random() * 1.5)
        process.kill()
        process.communicate()
        for path, facts in snapshot(out).items() if out.exists() else ():
            if not TEMPORARY.search(path) and facts.kind == "file":
                assert facts == wanted[path]
    done = computer.run(*arguments)
    assert done.code == 0, done
    assert snapshot(out) == wanted


def test_a_large_file_goes_on_where_it_was(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "large").write_bytes(random.Random(3).randbytes(12 << 20))
    computer.upload()
    out = tmp_path / "out"
    process = computer.start("restore", str(computer.home), "--to", str(out), "--limit-rate", "4M")
    wait_for(lambda: any(path.stat().st_size > 3 << 20 for path in out.glob(".otb-restore-*")))
    process.kill()
    process.communicate()
    (part,) = out.glob(".otb-restore-*")
    had = part.stat().st_size
    done = computer.run("restore", str(computer.home), "--to", str(out), "--json", "--limit-rate", "4M")
    assert done.code == 0, done
    assert snapshot(out) == snapshot(computer.home)
    # What was there did not come again, which takes its time at this rate.
    assert done.summary["seconds"] < ((12 << 20) - had) / (4 << 20) + 1.5


@pytest.mark.parametrize("spoil", ["other", "longer", "link"])
def test_a_temporary_that_is_not_what_it_was(computer: Computer, tmp_path: Path, spoil: str) -> None:
    (computer.home / "large").write_bytes(random.Random(3).randbytes(5 << 20))
    computer.upload()
    out, bystander = tmp_path / "out", tmp_path / "bystander"
    bystander.write_bytes(b"not yours")
    process = computer.start("restore", str(computer.home), "--to", str(out), "--limit-rate", "2M")
    wait_for(lambda: any(path.stat().st_size > 1 << 20 for path in out.glob(".otb-restore-*")))
    process.kill()
    process.communicate()
    (part,) = out.glob(".otb-restore-*")
    if spoil == "other":
        with part.open("r+b") as file:
            file.write(b"what is this?")
    elif spoil == "longer":
        part.write_bytes(bytes(6 << 20))
    else:
        part.unlink()
        part.symlink_to(bystander)
    done = computer.run("restore", str(computer.home), "--to", str(out))
    assert done.code == 0, done
    assert snapshot(out) == snapshot(computer.home)
    assert bystander.read_bytes() == b"not yours"


def test_the_server_restarts_in_the_middle(service: Service, computer: Computer, tmp_path: Path) -> None:
    top = make_rich_tree(computer.home / "docs", 200, seed=6)
    computer.upload()
    out = tmp_path / "out"
    process = computer.start("restore", str(top), "--to", str(out), "--limit-rate", "5M", "--json")
    wait_for(lambda: out.exists() and any(out.rglob(".otb-restore-*")))
    for _ in range(2):
        service.kill()
        time.sleep(0.3)
        service.restart()
        time.sleep(0.7)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, (said, errors)
    assert b'"waiting"' in said
    assert snapshot(out) == snapshot(top)


def test_without_a_server_it_ends(computer: Computer, tmp_path: Path) -> None:
    computer.write_settings(server=f"http://127.0.0.1:{free_port()}", token="x")
    done = computer.run("restore", str(computer.home), "--to", str(tmp_path / "out"), "--retry-minutes", "0.01")
    assert (done.code, "The line to" in done.err) == (4, True), done


def test_ctrl_c(computer: Computer, tmp_path: Path) -> None:
    (computer.home / "large").write_bytes(random.Random(3).randbytes(8 << 20))
    computer.upload()
    out = tmp_path / "out"
    process = computer.start("restore", str(computer.home), "--to", str(out), "--limit-rate", "1M")
    wait_for(lambda: any(out.glob(".otb-restore-*")))
    done = interrupt(process)
    assert (done.code, "Run the same command again" in done.err) == (130, True), done
    assert computer.run("restore", str(computer.home), "--to", str(out)).code == 0
    assert snapshot(out) == snapshot(computer.home)


def test_a_token_that_was_revoked(computer: Computer, tmp_path: Path) -> None:
    computer.write_settings(token="not a token")
    done = computer.run("restore", "--to", str(tmp_path / "out"))
    assert done.code == 3, done


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
