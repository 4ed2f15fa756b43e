"""An export whose download breaks off five times, with the server restarted between: curl and a real browser go on
where they stopped, and what they have in the end is the zip, byte by byte, that every tool for zips accepts."""

import hashlib
import os
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser

from tests.browser.watch import DESK, Watched
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, as_sent
from tests.web.frames import hex_of, send

MIB = 1 << 20
BREAKS = 5
WAIT_SECONDS = 120


@dataclass(frozen=True)
class Export:
    """An export on a server of its own. `sha256`: of the zip, downloaded at one go."""

    service: Service
    client: httpx2.Client
    url: str
    page: str
    size_bytes: int
    sha256: str


@pytest.fixture(scope="module")
def export(make_service: Callable[..., Service], scale: Callable[[int, int], int]) -> Iterator[Export]:
    """A few large files and many small ones: 40 MiB, 10 GiB with --proof."""
    service = make_service(on_disk=scale(0, 1) == 1)
    with sign_in(service.url, service.settings) as client:
        laptop = Device.make(client, "laptop")
        for number in range(4):
            block, blocks = os.urandom(MIB), scale(9, 2_555)
            content = (block[n % 997 :] + block[: n % 997] for n in range(blocks))
            sent = client.put(
                f"{laptop.files}/videos/{number}.mp4", content=content, headers={"Content-Length": str(blocks * MIB)}
            )
            assert sent.status_code == 201, sent.text
        notes = [b"note %d " % number * 200 for number in range(scale(60, 4_000))]
        assert send(client, *notes).status_code == 200
        entries = [
            {"path": f"notes/{n // 100}/{n}.txt", "type": "file", "digest": hex_of(note), "size": len(note)}
            for n, note in enumerate(notes)
        ]
        sent = client.post(f"/api/v1/devices/{laptop.id}/manifests", json={"entries": entries})
        assert sent.status_code == 201, sent.text
        made = client.post("/api/v1/exports", json={"device": laptop.id, "name": "all"}).json()
        digest = hashlib.sha256()
        with client.stream("GET", made["url"]) as answer:
            for piece in answer.iter_bytes():
                digest.update(piece)
        page = f"/exports/{made['export']}"
        yield Export(service, client, made["url"], page, made["size_bytes"], digest.hexdigest())


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_curl_goes_on_after_every_break_and_all_tools_accept_it(
    export: Export, tmp_path: Path, scale: Callable[[str, str], str]
) -> None:
    target = tmp_path / "all.zip"
    headers = [f for name, value in as_sent(export.client).items() for f in ("-H", f"{name}: {value}")]
    command = ["curl", "-sS", "--fail", "-C", "-", "-o", str(target), *headers, export.service.url + export.url]
    slowly = ["--limit-rate", scale("24M", "1200M")]
    for number in range(1, BREAKS + 1):
        running = subprocess.Popen([*command[:1], *slowly, *command[1:]], stderr=subprocess.DEVNULL)
        wanted, deadline = export.size_bytes * number // (BREAKS + 1), time.monotonic() + WAIT_SECONDS
        while not target.exists() or target.stat().st_size < wanted:
            assert time.monotonic() < deadline, "the download stands still"
            assert running.poll() is None, "the download ended before it could be interrupted"
            time.sleep(0.005)
        if number == 3:
            export.service.kill()
            assert running.wait(WAIT_SECONDS) != 0
            export.service.start()
        else:
            running.kill()
            running.wait()
        assert target.stat().st_size < export.size_bytes
    subprocess.run(command, check=True)
    assert target.stat().st_size == export.size_bytes
    assert sha256_of(target) == export.sha256
    for check in (["unzip", "-tqq"], ["7z", "t", "-bso0"], ["bsdtar", "-tf"]):
        subprocess.run([*check, str(target)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["bsdtar", "-xOf", str(target)], check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None


class Cutting(threading.Thread):
    """A proxy that ends the connection of a zip's download after so many bytes, so many times, and lets the rest
    through. Before the third new start it waits for the server's restart."""

    def __init__(self, service: Service, cuts: int, after_bytes: int) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._cuts = cuts
        self._after_bytes = after_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.ranges: list[str] = []
        self.third_cut, self.restarted = threading.Event(), threading.Event()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (part := connection.recv(1 << 16)):
                    return
                head += part
            is_zip = b".zip" in head.split(b"\r\n", 1)[0]
            cut = is_zip and len(self.ranges) < self._cuts
            if is_zip:
                lines = [line for line in head.decode("latin-1").split("\r\n") if line.lower().startswith("range:")]
                self.ranges.append(lines[0].partition("=")[2] if lines else "")
                if len(self.ranges) == 4:
                    self.restarted.wait(WAIT_SECONDS)
            head = head.replace(b":%d\r\n" % self.port, b":%d\r\n" % self._service.port)
            head = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1).replace(
                b"\r\nConnection: keep-alive", b""
            )
            self._relay(connection, head, self._after_bytes if cut else None)
            if cut and len(self.ranges) == 3:
                self.third_cut.set()

    def _relay(self, connection: socket.socket, head: bytes, most: int | None) -> None:
        with socket.create_connection(("127.0.0.1", self._service.port), timeout=WAIT_SECONDS) as server:
            server.sendall(head)
            passed = 0
            while (most is None or passed < most) and (part := server.recv(1 << 18)):
                try:
                    connection.sendall(part)
                except OSError:
                    return
                passed += len(part)


def test_a_browser_goes_on_after_every_break(export: Export, browser: Browser, tmp_path: Path) -> None:
    proxy = Cutting(export.service, BREAKS, export.size_bytes // (BREAKS + 1))
    proxy.start()
    cookies = [
        {"name": name, "value": value, "domain": "127.0.0.1", "path": "/"}
        for name, value in export.client.cookies.items()
    ]
    window = Watched.open(browser, DESK, dark=False, scripts=True, state={"cookies": cookies, "origins": []})
    page = window.page
    page.goto(f"http://127.0.0.1:{proxy.port}{export.page}")
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download", exact=True).click()
    assert proxy.third_cut.wait(WAIT_SECONDS), "the browser did not come back"
    export.service.restart()
    proxy.restarted.set()
    target = tmp_path / "all.zip"
    begun.value.save_as(target)
    proxy.close()
    page.context.close()
    assert sha256_of(target) == export.sha256
    assert len(proxy.ranges) == BREAKS + 1
    assert all(one.endswith("-") and int(one[:-1]) > 0 for one in proxy.ranges[1:])
