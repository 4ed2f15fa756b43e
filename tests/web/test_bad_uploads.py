"""Broken uploads: the right status, a sentence that says what to do, nothing half done, and the next request fine."""

import base64
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from blake3 import blake3

from tests.shared.service import Service
from tests.web.conftest import QUOTA_BYTES, UPLOAD_BYTES_MAX
from tests.web.device import Device, Wire, as_sent
from web.limits import SMALL_UPLOAD_BYTES_MAX, SMALL_UPLOADS_AT_ONCE_OF_TENANT, UPLOADS_AT_ONCE_OF_TENANT

MIB = 1 << 20


def incoming(running: Service) -> set[Path]:
    return set((running.settings.storage_root / "incoming").iterdir())


@pytest.fixture(autouse=True)
def nothing_half_done(running: Service, laptop: Device) -> Iterator[None]:
    """After each test: no staged file, no name it did not expect, and an upload that goes well."""
    before = incoming(running)  # parts of resumable uploads, which other tests left to go on with
    yield
    deadline = time.monotonic() + 10
    while incoming(running) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert incoming(running) - before == set()
    assert laptop.put("next.txt", b"fine").status_code == 201
    assert [entry["name"] for entry in laptop.entries()] == ["next.txt"]
    assert laptop.get("next.txt").content == b"fine"


def check(answer: httpx2.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].endswith("/" + kind), problem
    assert problem["detail"].endswith(".")


@pytest.mark.parametrize("sent", [0, 1, 3 * MIB])
def test_a_cut_connection(running: Service, laptop: Device, sent: int) -> None:
    with Wire(running.url) as wire:
        wire.head("PUT", f"{laptop.files}/cut.bin".encode(), as_sent(laptop.client) | {"Content-Length": str(9 * MIB)})
        wire.send(b"x" * sent)
        time.sleep(0.3)


def test_a_cut_chunked_upload(running: Service, laptop: Device) -> None:
    with Wire(running.url) as wire:
        headers = as_sent(laptop.client) | {"Transfer-Encoding": "chunked"}
        wire.head("PUT", f"{laptop.files}/cut.bin".encode(), headers)
        wire.send(b"5\r\nhello\r\n")
        time.sleep(0.3)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999999"])
def test_a_content_length_that_is_none(running: Service, laptop: Device, length: str) -> None:
    with Wire(running.url) as wire:
        wire.head("PUT", f"{laptop.files}/a".encode(), as_sent(laptop.client) | {"Content-Length": length})
        status, _, _ = wire.answer()
    assert status in {400, 413}


def test_more_bytes_than_announced_are_no_part_of_the_file(running: Service, laptop: Device) -> None:
    with Wire(running.url) as wire:
        wire.head("PUT", f"{laptop.files}/short".encode(), as_sent(laptop.client) | {"Content-Length": "3"})
        wire.send(b"abcdef")
        status, headers, body = wire.answer()
    # What follows the announced bytes is no request, and says so; the upload may be through by then, or gone.
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert b"Content-Length" in body
    time.sleep(0.5)
    found = laptop.get("short")
    assert found.status_code == 404 or found.content == b"abc"
    laptop.client.delete(f"{laptop.files}/short")


def test_a_digest_that_does_not_match(laptop: Device) -> None:
    other = base64.b64encode(blake3(b"other").digest()).decode()
    sha = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    for headers in (
        {"Repr-Digest": f"blake3=:{other}:"},
        {"Repr-Digest": f"sha-256=:{sha}:"},
        {"Repr-Digest": f"md5=:AAAA:, sha-256=:{sha}:"},
        {"X-OTB-Digest": blake3(b"other").hexdigest()},
    ):
        check(laptop.put("a", b"these bytes", **headers), 422, "digest-mismatch")
        check(laptop.put("a", b"these bytes" * MIB, **headers), 422, "digest-mismatch")


def test_a_digest_that_matches_or_is_of_a_kind_we_do_not_know(laptop: Device) -> None:
    data = b"these bytes"
    sha = base64.b64encode(hashlib.sha256(data).digest()).decode()
    both = base64.b64encode(blake3(data).digest()).decode()
    for headers in (
        {"Repr-Digest": f"sha-256=:{sha}:, blake3=:{both}:"},
        {"Repr-Digest": "unixsum=:AAAA:"},
        {"X-OTB-Digest": blake3(data).hexdigest()},
    ):
        assert laptop.put("a", data, **headers).status_code in {200, 201}
    assert laptop.client.delete(f"{laptop.files}/a").status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"Repr-Digest": "blake3=:***:"},
        {"Repr-Digest": "sha-256=:AAAA:"},
        {"Repr-Digest": "sha-256"},
        {"Repr-Digest": "x" * 2000},
        {"X-OTB-Digest": "ABC"},
        {"X-OTB-Mtime": "yesterday"},
        {"X-OTB-Mtime": "2024-02-30T00:00:00Z"},
        {"X-OTB-Mtime": "2024-02-03T00:00:00"},
        {"X-OTB-Mtime": "0001-01-01T00:00:00Z"},
        {"Last-Modified": "soon"},
    ],
)
def test_headers_that_make_no_sense(laptop: Device, headers: dict[str, str]) -> None:
    answer = laptop.put("a", b"x", **headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (b"tab%09here", "control characters"),
        (b"line%0Afeed", "control characters"),
        (b"esc%1b", "control characters"),
        (b"del%7F", "control characters"),
        (b"c1%C2%85", "control characters"),
        (b"nul%00", "control characters"),
        (b"../escape", "“..”"),
        (b"a/../../etc/passwd", "“..”"),
        (b"a/./b", "“.”"),
        (b"%2e%2e/escape", "“..”"),
        (b"a%2Fb", "%2F"),
        (b"..%2F..%2Fetc%2Fpasswd", "%2F"),
        (b"a//b", "empty"),
        (b"/a", "empty"),
        (b"a/", "empty"),
        (b"", "empty"),
        (b"x" * 300, "255 bytes"),
        (b"%C3%A9" * 128, "255 bytes"),
        ("é".encode(), "Percent-encode"),
        (b"bad%FFutf8", "UTF-8"),
        (b"%C0%AF", "UTF-8"),
        (b"%ED%A0%80", "UTF-8"),
        (b"100%", "%25"),
        (b"%zz", "%25"),
        (b"/".join([b"d"] * 65), "64 levels"),
        (b"/".join([b"n" * 200] * 21), "4,096 bytes"),
    ],
)
def test_paths_that_cannot_stand(running: Service, laptop: Device, path: bytes, words: str) -> None:
    with Wire(running.url) as wire:
        wire.head("PUT", laptop.files.encode() + b"/" + path, as_sent(laptop.client) | {"Content-Length": "1"})
        wire.send(b"x")
        status, headers, body = wire.answer()
    assert status == 400, body
    assert headers["content-type"] == "application/problem+json"
    assert words in body.decode()


def test_escapes_in_front_of_the_path_lead_nowhere_else(running: Service, laptop: Device) -> None:
    """The decoded path chooses the handler and the caller's rights; the raw one must say the same."""
    for raw in (
        f"/api/v1/devices%2F{laptop.id}/files/originals/a",
        f"/api/v1/devices/{laptop.id}/files%2Foriginals/a",
        f"/api/v1/%64evices/{laptop.id}/files/originals%2Fa/b",
    ):
        with Wire(running.url) as wire:
            wire.head("PUT", raw.encode(), as_sent(laptop.client) | {"Content-Length": "1"})
            wire.send(b"x")
            status, _, _ = wire.answer()
        assert status in {400, 404}


def test_a_file_is_no_folder_and_a_folder_no_file(laptop: Device) -> None:
    assert laptop.put("a/b", b"x").status_code == 201
    check(laptop.put("a", b"x"), 409, "conflict")
    check(laptop.put("a/b/c", b"x"), 409, "conflict")
    assert laptop.client.delete(f"{laptop.files}/a").status_code == 204


def test_other_areas_take_no_uploads(laptop: Device) -> None:
    derived = laptop.files.replace("originals", "derived")
    check(laptop.client.put(f"{derived}/a", content=b"x"), 403, "not-allowed")
    check(laptop.client.put(laptop.files.replace("originals", "tmp") + "/a", content=b"x"), 404, "not-found")


def test_an_empty_file_is_a_file(laptop: Device) -> None:
    answer = laptop.put("empty.txt", b"")
    assert (answer.status_code, answer.json()["size"]) == (201, 0)
    read = laptop.get("empty.txt")
    assert (read.status_code, read.content, read.headers["content-length"]) == (200, b"", "0")
    assert laptop.client.delete(f"{laptop.files}/empty.txt").status_code == 204


def test_larger_than_an_upload_may_be(laptop: Device) -> None:
    check(laptop.put("big", bytes(UPLOAD_BYTES_MAX + 1)), 413, "too-large")

    def unannounced() -> Iterator[bytes]:
        for _ in range(UPLOAD_BYTES_MAX // MIB + 2):
            yield bytes(MIB)

    check(laptop.client.put(f"{laptop.files}/big", content=unannounced()), 413, "too-large")


def test_quota(running: Service, laptop: Device) -> None:
    """Refused before the bytes come where they are announced, and in the middle where they are not."""
    size = UPLOAD_BYTES_MAX
    for number in range(QUOTA_BYTES // size):
        assert laptop.put(f"fill{number}", number.to_bytes(8, "big") + bytes(size - 8)).status_code == 201
    used = QUOTA_BYTES // size * size
    answer = laptop.put("over", bytes(QUOTA_BYTES - used + 1))
    check(answer, 507, "quota-exceeded")
    assert answer.json()["used"] == used

    def unannounced() -> Iterator[bytes]:
        for _ in range((QUOTA_BYTES - used) // MIB + 2):
            yield bytes(MIB)

    check(laptop.client.put(f"{laptop.files}/over", content=unannounced()), 507, "quota-exceeded")
    assert laptop.put("fits", b"1" * (QUOTA_BYTES - used - 64)).status_code == 201
    for name in (*(f"fill{n}" for n in range(QUOTA_BYTES // size)), "fits"):
        assert laptop.client.delete(f"{laptop.files}/{name}").status_code == 204


def test_uploads_at_once_share_the_quota(running: Service, laptop: Device) -> None:
    """Two that fit alone and not together: the second is refused while the first is under way, not after."""
    size = UPLOAD_BYTES_MAX - 1
    wires = []
    for number in range(2):
        wire = Wire(running.url)
        wire.head("PUT", f"{laptop.files}/w{number}".encode(), as_sent(laptop.client) | {"Content-Length": str(size)})
        wire.send(b"x")
        wires.append(wire)
    time.sleep(0.5)
    check(laptop.put("third", bytes(size)), 507, "quota-exceeded")
    for wire in wires:
        with wire:
            pass


@pytest.mark.parametrize(
    ("size", "at_once"),
    [(SMALL_UPLOAD_BYTES_MAX, SMALL_UPLOADS_AT_ONCE_OF_TENANT), (MIB // 2, UPLOADS_AT_ONCE_OF_TENANT)],
)
def test_more_at_once_than_an_account_may(running: Service, laptop: Device, size: int, at_once: int) -> None:
    wires = []
    for number in range(at_once):
        wire = Wire(running.url)
        wire.head("PUT", f"{laptop.files}/w{number}".encode(), as_sent(laptop.client) | {"Content-Length": str(size)})
        wire.send(b"x")
        wires.append(wire)
    time.sleep(3)
    answer = laptop.put("one too many", bytes(size))
    check(answer, 503, "busy")
    assert answer.headers["retry-after"] == "5"
    for wire in wires:
        with wire:
            pass
    time.sleep(0.5)


def test_parts_and_coded_bytes_are_not_taken_for_the_file(laptop: Device) -> None:
    check(laptop.put("a", b"x", **{"Content-Range": "bytes 0-0/10"}), 400, "bad-request")
    check(laptop.put("a", b"x", **{"Content-Encoding": "gzip"}), 415, "media-type")


def test_expect_100_continue_is_answered_before_the_bytes_are_sent(running: Service, laptop: Device) -> None:
    headers = as_sent(laptop.client) | {"Content-Length": str(QUOTA_BYTES * 2), "Expect": "100-continue"}
    with Wire(running.url) as wire:
        wire.head("PUT", f"{laptop.files}/big".encode(), headers)
        status, _, _ = wire.answer()
    assert status == 413
