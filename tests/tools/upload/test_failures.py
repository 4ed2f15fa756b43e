"""What goes wrong: kills, lost servers, refused tokens, damaged caches, two runs at once. And the exit codes."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from otb_client.cache import Cache

from tests.shared.service import Service, free_port
from tests.tools.upload.computer import SECONDS_MAX, Computer, Done, interrupt
from tests.tools.upload.test_upload import fill
from tools.run.processes import python

MIB = 1 << 20


def possessed_bytes(computer: Computer) -> int:
    """The bytes of the home's files whose digests the account has."""
    sizes = {blake3(p.read_bytes()).hexdigest(): p.stat().st_size for p in computer.home.rglob("*") if p.is_file()}
    answer = computer.device.client.post("/api/v1/blobs/missing", json={"digests": list(sizes)})
    assert answer.status_code == 200, answer.text
    return sum(sizes.values()) - sum(sizes[digest] for digest in answer.json()["missing"])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_backed_up(computer: Computer) -> None:
    for file in computer.home.rglob("*"):
        if file.is_file():
            assert computer.content(file) == file.read_bytes(), file


@pytest.mark.proof
def test_killed_at_random_and_nothing_acknowledged_is_sent_twice(
    computer: Computer, scale: Callable[[int, int], int]
) -> None:
    """kill -9 in mid-flight, again and again; then a run to the end sends just what was not acknowledged."""
    size = 20_000
    for number in range(scale(4, 40)):
        fill(computer.home / f"d{number}", 150, size)
    for _ in range(scale(3, 30)):
        process = computer.start("upload", "--limit-rate", "8M", str(computer.home))
        time.sleep(1.1)
        process.kill()
        process.communicate()
    time.sleep(1)  # what was under way at the last kill may still be acknowledged, to nobody
    total = sum(file.stat().st_size for file in computer.home.rglob("*") if file.is_file())
    before = possessed_bytes(computer)

    done = computer.upload()

    left = total - before
    assert done.summary["sent_bytes"] == left
    assert left <= done.summary["line_bytes"] <= left + left // size * 64
    assert_backed_up(computer)


def test_a_killed_client_goes_on_in_the_middle_of_a_large_file(computer: Computer) -> None:
    file = computer.home / "film"
    file.write_bytes(os.urandom(12 * MIB))
    process = computer.start("upload", "--json", "--limit-rate", "4M", str(computer.home))
    time.sleep(2.2)
    process.kill()
    process.communicate()

    done = computer.upload()

    assert done.summary["sent"] == 1
    assert done.summary["line_bytes"] < 10 * MIB
    assert computer.content(file) == file.read_bytes()


def test_the_server_is_killed_and_comes_back_in_mid_flight(service: Service, computer: Computer) -> None:
    for number in range(3):
        fill(computer.home / f"d{number}", 100, 20_000)
    (computer.home / "film").write_bytes(os.urandom(8 * MIB))
    process = computer.start("upload", "--json", "--limit-rate", "3M", str(computer.home))
    time.sleep(1.5)

    service.kill()
    time.sleep(1)
    service.start()
    out, err = process.communicate(timeout=SECONDS_MAX)
    done = Done(process.returncode, out.decode(), err.decode())

    assert done.code == 0, done
    assert done.named("waiting")
    assert_backed_up(computer)


def test_a_server_that_does_not_come_back(computer: Computer) -> None:
    computer.write_settings(server=f"http://127.0.0.1:{free_port()}", token="t")
    (computer.home / "a").write_text("x")

    began = time.monotonic()
    done = computer.upload("--retry-minutes", "0.02", code=4)

    assert 0.2 < time.monotonic() - began < 20
    assert "refused" in done.err
    assert done.events[-1]["event"] == "failed"


def test_interrupted_it_ends_with_130_and_keeps_what_was_done(computer: Computer) -> None:
    for number in range(5):
        fill(computer.home / f"d{number}", 100, 30_000)
    process = computer.start("upload", "--json", "--limit-rate", "3M", str(computer.home))
    wait_until(lambda: possessed_bytes(computer) > 0)

    done = interrupt(process)

    assert (done.code, done.events[-1]["event"]) == (130, "failed")
    assert "interrupted" in done.err
    assert "Traceback" not in done.err
    before = possessed_bytes(computer)
    assert computer.upload().summary["deduplicated_bytes"] <= before
    assert_backed_up(computer)


def test_sigterm_ends_it_as_cleanly(computer: Computer) -> None:
    fill(computer.home, 30, 30_000)
    process = computer.start("upload", "--limit-rate", "200k", str(computer.home))
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_bytes_that_the_server_lost_are_sent_again(computer: Computer, make_computer: Callable[..., Computer]) -> None:
    """A cache that believes in bytes which the account does not have: the manifest's 409 names them."""
    fill(computer.home / "a", 30)
    (computer.home / "film").write_bytes(os.urandom(3 * MIB))
    computer.upload()
    other = make_computer("other")  # another account, with the first one's cache
    (other.settings / "cache").mkdir()
    name = Cache.file_name(other.service.url, other.device.id)
    (other.settings / "cache" / name).write_bytes(_whole(computer.cache_file))
    other.home.rmdir()
    other.home = computer.home

    done = other.upload()

    assert done.summary["sent"] == 31
    assert_backed_up(other)
    assert other.upload().summary["line_bytes"] == 0


def _whole(cache_file: Path) -> bytes:
    """The database without its write-ahead log."""
    with sqlite3.connect(cache_file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return cache_file.read_bytes()


def test_a_second_run_at_once_says_so_and_ends(computer: Computer) -> None:
    fill(computer.home, 20, 50_000)
    first = computer.start("upload", "--limit-rate", "300k", str(computer.home))
    wait_until(lambda: bool(list((computer.settings / "cache").glob("*.lock"))))
    time.sleep(0.3)

    second = computer.run("upload", str(computer.home))

    assert second.code == 4
    assert f"process {first.pid}" in second.err
    interrupt(first)
    assert computer.run("upload", str(computer.home)).code == 0


@pytest.mark.parametrize("damage", ["deleted", "garbage", "truncated", "flipped", "a folder"])
def test_a_cache_that_is_lost_or_damaged_costs_no_file(computer: Computer, damage: str) -> None:
    fill(computer.home / "a", 30)
    (computer.home / "film").write_bytes(os.urandom(2 * MIB))
    computer.upload()
    _damage(computer.cache_file, damage)
    (computer.home / "a" / "new").write_text("new")
    time.sleep(0.12)

    done = computer.upload()

    assert done.summary["sent"] == 1
    assert done.summary["line_bytes"] < 100
    assert_backed_up(computer)
    if damage != "a folder":
        assert computer.upload().summary["unchanged"] == 32


def _damage(cache_file: Path, damage: str) -> None:
    whole = _whole(cache_file)
    cache_file.unlink()
    if damage == "garbage":
        cache_file.write_bytes(os.urandom(20_000))
    elif damage == "truncated":
        cache_file.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        cache_file.write_bytes(whole)
        with sqlite3.connect(cache_file) as db:
            db.execute("UPDATE folder SET records = zeroblob(length(records))")
        db.close()
    elif damage == "a folder":
        cache_file.mkdir()


# -- settings and exit codes ------------------------------------------------------------------------------------------


def test_without_a_connection_it_says_what_to_do(computer: Computer) -> None:
    (computer.settings / "config.json").unlink()
    done = computer.run("upload", str(computer.home))
    assert (done.code, done.err) == (3, "otb-cloud: This computer is not connected yet. Run: otb-cloud login SERVER\n")


def test_a_revoked_token_is_refused(computer: Computer) -> None:
    computer.write_settings(token="otb_" + "x" * 43)
    done = computer.run("upload", str(computer.home))
    assert done.code == 3
    assert "token is not valid" in done.err


@pytest.mark.parametrize(
    "server", ["http://cloud.example.org", "ftp://cloud.example.org", "https://a/b", "https://u@a", "https://a:x", ""]
)
def test_a_server_that_the_token_must_not_go_to(computer: Computer, server: str) -> None:
    computer.write_settings(server=server, token="secret")
    done = computer.run("upload", str(computer.home))
    assert done.code == (2 if server else 3)
    assert "secret" not in done.err


@pytest.mark.parametrize("text", ["", "[]", "{", '{"token": 5}', '{"confirmed": [1]}', "\x00"])
def test_settings_that_cannot_be_read(computer: Computer, text: str) -> None:
    (computer.settings / "config.json").write_text(text)
    done = computer.run("upload", str(computer.home))
    assert done.code == 2
    assert "cannot be read" in done.err


@pytest.mark.parametrize(
    "arguments", [["--limit-rate", "fast"], ["--limit-rate", "1"], ["--retry-minutes", "-1"], ["--what"]]
)
def test_options_that_cannot_be_used(computer: Computer, arguments: list[str]) -> None:
    assert computer.run("upload", *arguments, str(computer.home)).code == 2


def test_excludes_that_cannot_be_read(computer: Computer) -> None:
    assert computer.run("upload", "--exclude-from", "/nowhere", str(computer.home)).code == 2


def test_a_full_account_is_told_in_words(service: Service, computer: Computer) -> None:
    label: str = computer.device.client.get("/api/v1/me").json()["tenant"]["label"]
    client = label.replace("Customer ", "client-")  # as tests.shared.portal names people
    given = service.given.environ
    done = subprocess.run(
        python("tools.tenant", "quota", client, "100000"),
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fill(computer.home, 3, 50_000)
    failed = computer.upload(code=4)
    assert "quota" in json.dumps(failed.events[-1]) or "space" in failed.err
    assert "Traceback" not in failed.err


def test_what_reads_our_output_may_go_away(computer: Computer) -> None:
    fill(computer.home, 3)
    done = subprocess.run(
        ["/bin/sh", "-c", f"{' '.join(computer.command('upload', str(computer.home)))} | true"],
        env=computer.environ,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert len(computer.listing()) == 3
