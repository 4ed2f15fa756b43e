"""The disk is full, the database is away, the store takes no writes: told as such, nothing half done, and over when it
is.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.shared.portal import sign_in
from tests.shared.service import Service, free_port
from tests.shared.sites import new_site
from tests.shared.workers import until
from tests.web.device import Device, Wire, as_sent, stored
from tests.web.test_openapi import check
from tests.web.tus_client import CHUNK, TUS, UPLOADS, begun, offset, send
from tools.run.mariadb import PrivateMariaDB
from tools.run.processes import python

DISK_BYTES = 96 << 20
LARGER_THAN_THE_DISK = 100 << 20


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 96 MiB; the folders of a store alone take some of it."""
    folder = tmp_path_factory.mktemp("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "otb-test", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def exposed(
    small_disk: Path, own_mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A server on both."""
    folder = tmp_path_factory.mktemp("exposed")
    given = new_site(folder, own_mariadb.socket, "exposed", STORAGE_ROOT=str(small_disk / "store"))
    service = Service(given, folder).start()
    yield service
    service.stop()


@pytest.fixture
def device(exposed: Service) -> Iterator[Device]:
    with sign_in(exposed.url, exposed.settings) as client:
        yield Device.make(client, "laptop")


def incoming(exposed: Service) -> list[Path]:
    return list((exposed.settings.storage_root / "incoming").iterdir())


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(".")
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def test_disk_full(exposed: Service, device: Device, small_disk: Path) -> None:
    stored(device, "before.txt", b"before")
    answer = device.put("big.bin", os.urandom(LARGER_THAN_THE_DISK))
    assert problem(answer) == (507, "store-full")
    assert incoming(exposed) == []
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    assert problem(device.put("tiny.txt", b"x")) == (507, "store-full")
    assert device.get("before.txt").content == b"before"
    assert device.client.get("/").status_code == 200
    filler.unlink()
    assert device.put("after.txt", b"after").status_code == 201
    assert {entry["name"] for entry in device.entries()} == {"before.txt", "after.txt"}
    assert incoming(exposed) == []


def test_database_gone(exposed: Service, device: Device, own_mariadb: PrivateMariaDB) -> None:
    stored(device, "before.txt", b"before")
    own_mariadb.kill()
    for answer in (device.put("during.txt", b"x"), device.get("before.txt"), device.client.get("/api/v1/me")):
        assert problem(answer) == (503, "database-unavailable")
        assert int(answer.headers["retry-after"]) > 0
    page = device.client.get("/")
    assert (page.status_code, "Not available right now" in page.text) == (503, True)
    entered = device.client.post("/auth/handoff", data={"token": "x"})
    assert (entered.status_code, "cannot sign you in right now" in entered.text) == (503, True)
    assert httpx2.get(f"{exposed.url}/livez").status_code == 200
    assert httpx2.get(f"{exposed.url}/readyz").status_code == 503
    away = httpx2.get(f"{exposed.url}/health.json")
    assert (away.status_code, check(away, "get", "/health.json")["status"]) == (503, "unavailable")
    assert httpx2.get(f"{exposed.url}/health").status_code == 503
    assert "otb_cloud_up 0.0" in httpx2.get(f"{exposed.url}/metrics").text
    assert incoming(exposed) == []
    own_mariadb.start()
    assert device.put("after.txt", b"after").status_code == 201
    assert {entry["name"] for entry in device.entries()} == {"before.txt", "after.txt"}
    assert httpx2.get(f"{exposed.url}/readyz").json()["database"] == "ok"


def test_database_gone_during_an_upload(exposed: Service, device: Device, own_mariadb: PrivateMariaDB) -> None:
    """The bytes are there and the commit is not: nothing is named, nothing is left in incoming."""

    def body() -> Iterator[bytes]:
        yield b"first"
        own_mariadb.kill()
        yield b"second"

    answer = device.client.put(f"{device.files}/during.txt", content=body())
    assert problem(answer) == (503, "database-unavailable")
    assert incoming(exposed) == []
    own_mariadb.start()
    assert device.entries() == []
    assert device.put("during.txt", b"firstsecond").status_code == 201


def test_database_gone_at_the_end_of_a_resumable_upload(
    exposed: Service, device: Device, own_mariadb: PrivateMariaDB
) -> None:
    """The last bytes came and could not be committed: the upload does not call itself finished, and can go on."""
    upload = begun(device.client, 6, b"ab", device=device.id, filename="x")
    with Wire(exposed.url) as wire:
        headers = as_sent(device.client) | CHUNK | {"Upload-Offset": "2", "Content-Length": "4"}
        wire.head("PATCH", f"{UPLOADS}/{upload}".encode(), headers)
        time.sleep(0.3)
        own_mariadb.kill()
        wire.send(b"cdef")
        status, _, body = wire.answer()
    assert (status, b'"kept"' in body) == (503, True), body
    own_mariadb.start()
    at = offset(device.client, upload)
    assert at < 6
    assert send(device.client, upload, at, b"abcdef"[at:]).status_code == 204
    assert device.get("x").content == b"abcdef"
    assert incoming(exposed) == []


def test_disk_full_in_a_resumable_upload(exposed: Service, device: Device, small_disk: Path) -> None:
    """What came before is kept, so that it can go on when there is room."""
    upload = begun(device.client, LARGER_THAN_THE_DISK, b"first", device=device.id, filename="x")
    answer = send(device.client, upload, 5, os.urandom(LARGER_THAN_THE_DISK - 5))
    assert problem(answer) == (507, "store-full")
    assert offset(device.client, upload) >= 5
    assert device.client.delete(f"{UPLOADS}/{upload}", headers=TUS).status_code == 204
    assert incoming(exposed) == []


def test_read_only_store(exposed: Service, device: Device) -> None:
    stored(device, "before.txt", b"before")
    note = exposed.settings.storage_root / "READ_ONLY"
    note.write_text("a disk failed\n")
    try:
        answer = device.put("a.txt", b"x")
        assert problem(answer) == (503, "store-read-only")
        assert "a disk failed" not in answer.text
        assert device.get("before.txt").content == b"before"
        assert httpx2.get(f"{exposed.url}/readyz").json() == {
            "status": "ok",
            "database": "ok",
            "store": "read-only",
            "client": "ok",
        }
        renaming = {"entries": [device.entries()[0]["id"]], "base_name": "renamed"}
        assert problem(device.client.post("/api/v1/entries/rename", json=renaming)) == (503, "store-read-only")
    finally:
        note.unlink()
    assert device.put("a.txt", b"x").status_code == 201


@contextmanager
def failing_syncs(service: Service, fault: str) -> Iterator[None]:
    """Every fsync of the server's fails so, or hangs, as strace injects it."""
    calls = "fsync,fdatasync"
    command = ["strace", "-qq", "-f", "-o", "/dev/null", f"--trace={calls}", f"--inject={calls}:{fault}"]
    tracer = subprocess.Popen([*command, "-p", str(service.pid)])
    try:
        until(lambda: all(map(is_traced, Path(f"/proc/{service.pid}/task").iterdir())), "strace attaches")
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def is_traced(thread: Path) -> bool:
    try:
        return "TracerPid:\t0\n" not in (thread / "status").read_text()
    except FileNotFoundError:
        return True  # it has ended


def test_a_sync_that_fails(exposed: Service, device: Device) -> None:
    check_read_only_after(exposed, device, "error=EIO", "syncing")


def test_a_sync_that_hangs(
    exposed: Service, device: Device, scale: Callable[[tuple[str, str], tuple[str, str]], tuple[str, str]]
) -> None:
    """Given up after half a minute, which a short run does not wait for: there the sync fails after a moment."""
    fault, reason = scale(("delay_enter=1s:error=EIO", "syncing"), ("delay_enter=40s", "no answer within 30 s"))
    check_read_only_after(exposed, device, fault, reason)


def check_read_only_after(exposed: Service, device: Device, fault: str, reason: str) -> None:
    """The store is read-only and says so, and why, and reading goes on, until an operator acts."""
    stored(device, "before.txt", b"before")
    with failing_syncs(exposed, fault):
        answer = device.put("during.txt", b"x")
    assert problem(answer) == (503, "store-read-only")
    assert device.get("before.txt").content == b"before"
    assert device.get("during.txt").status_code == 404
    told = httpx2.get(f"{exposed.url}/health.json").json()
    assert (told["status"], told["store"]) == ("degraded", "read-only")
    assert problem(device.put("a.txt", b"x")) == (503, "store-read-only")
    mended = subprocess.run(
        python("tools.store", "writable"), env=exposed.given.environ, capture_output=True, text=True
    )
    assert mended.returncode == 0, mended.stderr
    told = mended.stdout.splitlines()[0]
    assert (told.startswith("the store is writable again; it was read-only: "), reason in told) == (True, True)
    assert problem(device.put("a.txt", b"x")) == (503, "store-read-only"), "this process saw the failure"
    exposed.restart()
    assert device.put("a.txt", b"x").status_code == 201
    assert incoming(exposed) == []


@pytest.mark.parametrize("faults", [{"SECRET_KEY": "short"}, {"STORAGE_ROOT": "/nonexistent/store"}])
def test_it_does_not_start_on_wrong_settings(exposed: Service, faults: dict[str, str]) -> None:
    given = exposed.given.with_values(APP_PORT=str(free_port()), **faults)
    ended = subprocess.run(python("web"), env=given.environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert any(word in ended.stderr for word in (*faults, "/nonexistent/store"))
    assert "Traceback" not in ended.stderr


def test_it_does_not_start_on_a_taken_port(exposed: Service) -> None:
    ended = subprocess.run(python("web"), env=exposed.given.environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{exposed.port}" in ended.stderr


def test_sigterm_lets_a_running_upload_finish(exposed: Service, device: Device) -> None:
    with Wire(exposed.url) as wire:
        wire.head("PUT", f"{device.files}/last.txt".encode(), as_sent(device.client) | {"Content-Length": "10"})
        wire.send(b"first")
        time.sleep(0.5)
        os.kill(exposed.pid, signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{exposed.url}/livez")
        wire.send(b"-last")
        status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (201, "close")
    exposed.stop()
    assert exposed.exit_code == 0
    exposed.start()
    assert device.get("last.txt").content == b"first-last"
