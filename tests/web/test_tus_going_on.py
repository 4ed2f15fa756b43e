"""Resumable uploads that break off: what came stays, the newer of two goes on, a killed server loses little."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from blake3 import blake3

from tests.cas.samples import noise
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, Wire, as_sent
from tests.web.test_tus import checksum, to
from tests.web.tus_client import CHUNK, TUS, UPLOADS, begun, offset, send
from tools.run.mariadb import PrivateMariaDB
from web import limits

MIB = 1 << 20


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx2.Client]:
    with sign_in(service.url, service.settings) as signed_in:
        yield signed_in


@pytest.fixture
def device(client: httpx2.Client) -> Device:
    return Device.make(client, f"laptop {time.monotonic_ns()}")


def parts(service: Service) -> list[Path]:
    return list((service.settings.storage_root / "incoming").iterdir())


def patching(service: Service, client: httpx2.Client, upload: str, at: int, length: int, **more: str) -> Wire:
    """A PATCH whose body is still to be sent."""
    headers = as_sent(client) | CHUNK | {"Upload-Offset": str(at), "Content-Length": str(length)} | more
    wire = Wire(service.url)
    wire.head("PATCH", f"{UPLOADS}/{upload}".encode(), headers)
    return wire


def open_uploads(device: Device) -> list[str]:
    return [upload["id"] for upload in device.client.get(UPLOADS).json()["uploads"]]


def listed_offset(device: Device, upload: str) -> int:
    """As the list has it, which stops nobody."""
    found = [u["offset"] for u in device.client.get(UPLOADS).json()["uploads"] if u["id"] == upload]
    return int(found[0])


def wait_for(what: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- lines that break


@pytest.mark.parametrize("came", [1, 1000, 100_000, 3 * MIB + 1, 20 * MIB])
def test_a_line_that_breaks_keeps_what_came(service: Service, device: Device, came: int) -> None:
    content = noise(24 * MIB)
    upload = begun(device.client, len(content), **to(device, "x"))
    with patching(service, device.client, upload, 0, len(content)) as wire:
        wire.send(content[:came])
        time.sleep(0.2)  # a request that asks is the newer one: before this one has begun, it would find nothing
    assert offset(device.client, upload) == came
    assert send(device.client, upload, came, content[came:]).status_code == 204
    assert device.get("x").content == content


def test_a_head_finds_all_that_its_own_dead_request_brought(service: Service, device: Device) -> None:
    """The line is cut, but the server has not noticed: the client asks at once, and is not kept waiting."""
    upload = begun(device.client, 10 * MIB)
    with patching(service, device.client, upload, 0, 10 * MIB) as wire:
        wire.send(noise(4 * MIB))
        time.sleep(0.3)
        began = time.monotonic()
        assert offset(device.client, upload) == 4 * MIB
        assert time.monotonic() - began < 5
        status, headers, body = wire.answer()
    assert (status, b"upload-taken" in body, headers["tus-resumable"]) == (409, True, "1.0.0")


def test_with_a_checksum_a_broken_line_brings_nothing(service: Service, device: Device) -> None:
    content = noise(3 * MIB)
    upload = begun(device.client, len(content) + 2, b"ab", **to(device, "x"))
    with patching(service, device.client, upload, 2, len(content), **{"Upload-Checksum": checksum(content)}) as wire:
        wire.send(content[: 2 * MIB])
    time.sleep(0.3)
    assert offset(device.client, upload) == 2
    assert send(device.client, upload, 2, content, Upload_Checksum=checksum(content)).status_code == 204
    assert device.get("x").content == b"ab" + content


def test_an_upload_whose_creation_breaks_off_is_no_more(service: Service, device: Device) -> None:
    """Its address was never told, so nobody could go on with it, and it would hold its room for a day."""
    before = len(open_uploads(device))
    headers = as_sent(device.client) | CHUNK | {"Upload-Length": "1000000", "Content-Length": "1000000"}
    with Wire(service.url) as wire:
        wire.head("POST", UPLOADS.encode(), headers)
        wire.send(noise(500_000))
        wait_for(lambda: len(open_uploads(device)) > before)
    wait_for(lambda: len(open_uploads(device)) == before)


# -- two at once


def test_of_two_writers_the_newer_goes_on_and_the_older_is_told(service: Service, device: Device) -> None:
    content = noise(12 * MIB)
    upload = begun(device.client, len(content), **to(device, "x"))
    with patching(service, device.client, upload, 0, len(content)) as older:
        older.send(content[: 5 * MIB])
        time.sleep(0.3)
        refused = send(device.client, upload, 0, content)  # stops the older, and learns where it had come to
        assert (refused.status_code, refused.headers["upload-offset"]) == (409, str(5 * MIB))
        assert send(device.client, upload, 5 * MIB, content[5 * MIB :]).status_code == 204
        status, _, body = older.answer()
    assert (status, b"upload-taken" in body) == (409, True)
    assert device.get("x").content == content


def test_many_writers_at_once_end_with_the_right_bytes(service: Service, device: Device) -> None:
    content, rng = noise(6 * MIB), random.Random(5)
    upload = begun(device.client, len(content), **to(device, "x"))

    def go_on(_: int) -> int:
        with httpx2.Client(base_url=service.url, headers=as_sent(device.client), timeout=60) as mine:
            told = mine.head(f"{UPLOADS}/{upload}", headers=TUS)
            if told.status_code != 200:
                return told.status_code
            at = int(told.headers["upload-offset"])
            return send(mine, upload, at, content[at : at + rng.randrange(1, 2 * MIB)]).status_code

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            assert set(pool.map(go_on, range(8))) <= {200, 204, 409}
            if offset(device.client, upload) == len(content):
                break
    at = offset(device.client, upload)
    if at < len(content):
        assert send(device.client, upload, at, content[at:]).status_code == 204
    assert device.get("x").content == content


def test_a_deleted_upload_stops_its_writer(service: Service, device: Device) -> None:
    upload = begun(device.client, 3 * MIB)
    with patching(service, device.client, upload, 0, 3 * MIB) as wire:
        wire.send(noise(2 * MIB))
        time.sleep(0.2)
        assert device.client.delete(f"{UPLOADS}/{upload}", headers=TUS).status_code == 204
        assert wire.answer()[0] == 409
    assert device.client.head(f"{UPLOADS}/{upload}", headers=TUS).status_code == 404


# -- servers that die


def test_what_a_killed_server_had_acknowledged_is_there(service: Service, device: Device) -> None:
    """Bytes are read again only by a restarted server, and the first request after it does not wait for that."""
    content, before = noise(40 * MIB), set(parts(service))
    upload = begun(device.client, len(content), **to(device, "folder/x", digest=blake3(content).hexdigest()))
    assert send(device.client, upload, 0, content[: 30 * MIB + 5]).status_code == 204
    stranger = service.settings.storage_root / "incoming" / ("ab" * 16)
    stranger.write_bytes(b"of nobody")
    service.kill()
    service.start()
    assert not stranger.exists()
    assert len(set(parts(service)) - before) == 1
    assert offset(device.client, upload) == 30 * MIB + 5
    assert send(device.client, upload, 30 * MIB + 5, content[30 * MIB + 5 :]).status_code == 204
    assert device.get("folder/x").content == content
    assert set(parts(service)) == before


def test_a_long_request_is_saved_now_and_then(service: Service, device: Device) -> None:
    size = 3 * limits.PART_SAVE_BYTES
    content = noise(MIB) * (size // MIB)
    upload = begun(device.client, size, **to(device, "x"))
    with patching(service, device.client, upload, 0, size) as wire:
        wire.send(content[: size - MIB])
        wait_for(lambda: listed_offset(device, upload) >= limits.PART_SAVE_BYTES)
        service.kill()
    service.start()
    at = offset(device.client, upload)
    assert limits.PART_SAVE_BYTES <= at < size
    assert send(device.client, upload, at, content[at:]).status_code == 204
    assert blake3(device.get("x").content).digest() == blake3(content).digest()


def test_sigterm_keeps_what_came(service: Service, device: Device) -> None:
    upload = begun(device.client, 10 * MIB)
    with patching(service, device.client, upload, 0, 10 * MIB) as wire:
        wire.send(noise(4 * MIB))
        time.sleep(0.5)
        os.kill(service.pid, signal.SIGTERM)
        time.sleep(0.2)
    service.stop()
    assert service.exit_code == 0
    service.start()
    assert offset(device.client, upload) == 4 * MIB


def test_a_part_that_lost_bytes_begins_again(service: Service, device: Device) -> None:
    upload = begun(device.client, 4, b"ab", **to(device, "x"))
    (part,) = [path for path in parts(service) if path.stat().st_size == 2]
    part.write_bytes(b"a")
    answer = send(device.client, upload, 2, b"cd")
    assert (answer.status_code, answer.headers["upload-offset"]) == (409, "0")
    assert offset(device.client, upload) == 0
    assert send(device.client, upload, 0, b"abcd").status_code == 204
    assert device.get("x").content == b"abcd"


# -- time


def test_an_expired_upload_is_told_of_and_removed_with_its_part(
    service: Service, device: Device, mariadb: PrivateMariaDB
) -> None:
    before = set(parts(service))
    upload = begun(device.client, 10, b"half", **to(device, "x"))
    done = begun(device.client, 2, b"ab", **to(device, "stays"))
    age(mariadb, service, upload, done)
    for answer in (
        device.client.head(f"{UPLOADS}/{upload}", headers=TUS),
        send(device.client, upload, 4, b"x"),
    ):
        assert answer.status_code == 410
    assert upload not in open_uploads(device)
    service.restart()  # which looks at once, and every minute from then on
    wait_for(lambda: device.client.head(f"{UPLOADS}/{upload}", headers=TUS).status_code == 404)
    wait_for(lambda: device.client.head(f"{UPLOADS}/{done}", headers=TUS).status_code == 404)
    wait_for(lambda: set(parts(service)) <= before)
    assert device.get("stays").content == b"ab"


def test_progress_prolongs_an_uploads_life(service: Service, device: Device, mariadb: PrivateMariaDB) -> None:
    upload = begun(device.client, 10, b"half")
    age(mariadb, service, upload, seconds=3600)
    told = device.client.head(f"{UPLOADS}/{upload}", headers=TUS).headers["upload-expires"]
    assert device.client.head(f"{UPLOADS}/{upload}", headers=TUS).headers["upload-expires"] == told
    assert send(device.client, upload, 4, b"x").headers["upload-expires"] > told


def age(mariadb: PrivateMariaDB, service: Service, *uploads: str, seconds: int = -1) -> None:
    """The uploads expire so many seconds from now."""
    ids = ",".join(uploads)
    sql = f"UPDATE upload SET expires_at = UTC_TIMESTAMP(6) + INTERVAL {seconds} SECOND WHERE id IN ({ids})"
    command = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "--user=root", service.settings.mariadb_db]
    subprocess.run([*command, "-e", sql], check=True, capture_output=True)
