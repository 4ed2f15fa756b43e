"""Files out: whole, in ranges, conditional; damage breaks them visibly; a reader that leaves, leaves nothing behind."""

import os
import random
import socket
import time
from pathlib import Path

import httpx2
import pytest

from cas.digest import Digest
from tests.shared.service import Service
from tests.web.device import Device, Wire, as_sent, stored

MIB = 1 << 20
RNG = random.Random(7)
CONTENTS = {
    "tiny": b"x",
    "small": RNG.randbytes(3000),
    "packed": b"the same words again and again. " * 200_000,
    "plain": RNG.randbytes(9 * MIB + 7),
}


def object_of(running: Service, content: bytes) -> Path:
    """Where the server keeps these bytes."""
    digest = Digest.of(content).hex
    folder = running.settings.storage_root / "blobs" / digest[:2] / digest[2:4]
    return next(path for path in folder.iterdir() if path.name in {digest, f"{digest}.zst"})


def damage(path: Path, offset: int) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("name", CONTENTS)
def test_what_went_in_comes_out(owner: httpx2.Client, laptop: Device, name: str) -> None:
    content = CONTENTS[name]
    sent = laptop.put(f"{name}.bin", content, **{"X-OTB-Mtime": "2024-05-03T14:05:06.789Z"})
    digest = Digest.of(content).hex
    assert sent.json() | {"entry": ""} == {
        "entry": "",
        "digest": digest,
        "size": len(content),
        "deduplicated": False,
    }
    for address in (f"{laptop.files}/{name}.bin", f"/api/v1/entries/{sent.json()['entry']}/content"):
        whole = owner.get(address)
        assert whole.content == content
        assert whole.headers["content-length"] == str(len(content))
        assert whole.headers["etag"] == f'"{digest}"'
        assert whole.headers["accept-ranges"] == "bytes"
        assert whole.headers["last-modified"] == "Fri, 03 May 2024 14:05:06 GMT"
        head = owner.head(address)
        assert (head.status_code, head.content) == (200, b"")
        same = ("content-length", "etag", "content-type", "content-disposition", "last-modified")
        assert [head.headers[n] for n in same] == [whole.headers[n] for n in same]
        fresh = owner.get(address, headers={"If-None-Match": f'"{digest}"'})
        assert (fresh.status_code, fresh.content, fresh.headers["etag"]) == (304, b"", f'"{digest}"')


@pytest.mark.parametrize("name", CONTENTS)
def test_ranges(owner: httpx2.Client, laptop: Device, name: str) -> None:
    content = CONTENTS[name]
    stored(laptop, "file", content)
    size = len(content)
    borders = {0, 1, MIB - 1, MIB, 4 * MIB - 1, 4 * MIB, 8 * MIB + 1, size - 1}
    for start in sorted(border for border in borders if border < size):
        for length in (1, 2, 100, MIB, size):
            end = min(start + length, size) - 1
            answer = laptop.get("file", Range=f"bytes={start}-{end}")
            assert answer.status_code == 206
            assert answer.content == content[start : end + 1]
            assert answer.headers["content-range"] == f"bytes {start}-{end}/{size}"
            assert answer.headers["content-length"] == str(end - start + 1)
    assert laptop.get("file", Range="bytes=-1").content == content[-1:]
    beyond = laptop.get("file", Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert laptop.get("file", Range="bytes=0-0,2-3").status_code == 200
    etag = laptop.get("file").headers["etag"]
    assert laptop.get("file", Range="bytes=0-0", **{"If-Range": etag}).status_code == 206
    assert laptop.get("file", Range="bytes=0-0", **{"If-Range": '"other"'}).content == content
    head = owner.head(f"{laptop.files}/file", headers={"Range": "bytes=0-0"})
    assert (head.status_code, head.headers["content-length"]) == (206, "1")


def test_what_may_be_shown_in_place(owner: httpx2.Client, laptop: Device) -> None:
    for name, media_type in (
        ("a.jpg", "image/jpeg"),
        ("a.png", "image/png"),
        ("a.mp4", "video/mp4"),
        ("a.mp3", "audio/mpeg"),
        ("a.svg", None),
        ("a.html", None),
        ("a.pdf", None),
        ("a.js", None),
        ("a", None),
    ):
        entry = stored(laptop, name, b"<svg onload=alert(1)>" + name.encode())
        inline = owner.get(f"/api/v1/entries/{entry}/content?inline=1")
        assert inline.headers["content-type"] == (media_type or "application/octet-stream")
        assert inline.headers["content-disposition"].startswith("inline;" if media_type else "attachment;")
        assert "sandbox" in inline.headers["content-security-policy"]
        plain = owner.get(f"/api/v1/entries/{entry}/content")
        assert plain.headers["content-type"] == "application/octet-stream"
        assert plain.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize(
    ("path", "disposition"),
    [
        ("plain.txt", "attachment; filename=\"plain.txt\"; filename*=UTF-8''plain.txt"),
        ("%C3%A9t%C3%A9.txt", "attachment; filename=\"_t_.txt\"; filename*=UTF-8''%C3%A9t%C3%A9.txt"),
        ("a%22b%5Cc%3B.txt", "attachment; filename=\"a_b_c;.txt\"; filename*=UTF-8''a%22b%5Cc%3B.txt"),
        ("100%25.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
    ],
)
def test_names_reach_every_browser(laptop: Device, path: str, disposition: str) -> None:
    assert laptop.put(path, b"x").status_code == 201
    assert laptop.get(path).headers["content-disposition"] == disposition


def test_folders_and_links_have_no_content(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "folder/a", b"x")
    link = {"entries": [{"path": "link", "type": "link", "target": "folder/a"}]}
    assert owner.post(f"/api/v1/devices/{laptop.id}/manifests", json=link).status_code == 201
    for name in ("folder", "link"):
        answer = laptop.get(name)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "conflict")
    assert laptop.get("nothing").status_code == 404
    assert laptop.get("folder/nothing").status_code == 404


@pytest.mark.parametrize("content", [b"x", RNG.randbytes(3000), b"words " * 30_000], ids=["tiny", "plain", "packed"])
def test_a_damaged_small_file_is_an_error_and_not_a_file(
    running: Service, owner: httpx2.Client, laptop: Device, content: bytes
) -> None:
    content = content + os.urandom(8)
    stored(laptop, "file", content)
    path = object_of(running, content)
    damage(path, path.stat().st_size // 2)
    answer = laptop.get("file")
    assert answer.status_code == 500, f"{answer.status_code} with {len(answer.content)} bytes"
    assert answer.json()["title"] == "The stored copy is damaged"
    (event,) = owner.get("/api/v1/audit", params={"action": "file.damaged"}).json()["events"]
    assert event["detail"] == {"digest": Digest.of(content).hex, "outcome": "damaged"}


@pytest.mark.parametrize("where", [0, 5 * MIB, -1])
def test_a_damaged_large_file_breaks_off_and_heals_by_uploading_again(
    running: Service, owner: httpx2.Client, laptop: Device, where: int
) -> None:
    content = os.urandom(9 * MIB + 3)
    stored(laptop, "file", content)
    path = object_of(running, content)
    damage(path, where % len(content))
    with pytest.raises(httpx2.RemoteProtocolError):
        laptop.get("file")
    piece = 4 * MIB
    bad = where % len(content) // piece
    for index in range(3):
        first = index * piece
        asked = {"Range": f"bytes={first}-{min(first + piece, len(content)) - 1}"}
        if index == bad:
            assert laptop.get("file", **asked).status_code == 500
        else:
            assert laptop.get("file", **asked).content == content[first : first + piece]
    digest = Digest.of(content).hex
    assert owner.post("/api/v1/blobs/missing", json={"digests": [digest]}).json() == {"missing": [digest]}
    assert laptop.put("file", content).status_code == 200
    assert laptop.get("file").content == content
    assert owner.post("/api/v1/blobs/missing", json={"digests": [digest]}).json() == {"missing": []}


def test_a_missing_blob_is_reported(running: Service, owner: httpx2.Client, laptop: Device) -> None:
    content = os.urandom(5000)
    stored(laptop, "file", content)
    object_of(running, content).unlink()
    answer = laptop.get("file")
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (500, "damaged")
    (event,) = owner.get("/api/v1/audit", params={"action": "file.damaged"}).json()["events"]
    assert event["detail"]["outcome"] == "missing"


def test_a_reader_that_goes_away_leaves_no_file_open(running: Service, laptop: Device) -> None:
    content = os.urandom(20 * MIB)
    stored(laptop, "file", content)
    fds = Path(f"/proc/{running.pid}/fd")

    def open_blobs() -> list[str]:
        found = []
        for fd in fds.iterdir():
            try:
                found.append(str(fd.readlink()))
            except FileNotFoundError:
                continue
        return [path for path in found if "/blobs/" in path]

    with Wire(running.url) as wire:
        wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.head("GET", f"{laptop.files}/file".encode(), as_sent(laptop.client))
        wire._socket.recv(100)
        time.sleep(0.3)
        assert len(open_blobs()) == 1
    deadline = time.monotonic() + 10
    while open_blobs() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert open_blobs() == []
    assert laptop.get("file").content == content


def test_one_download_is_one_event_however_many_ranges(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "folder/video.mp4", b"0123456789")
    for start in range(5):
        laptop.get("folder/video.mp4", Range=f"bytes={start}-")
    laptop.get("folder/video.mp4")
    owner.head(f"{laptop.files}/folder/video.mp4")
    (event,) = owner.get("/api/v1/audit", params={"action": "download"}).json()["events"]
    assert (event["subject"], event["detail"]["bytes"]) == ("folder/video.mp4", 10)


def test_old_versions_and_deleted_files_can_be_read(owner: httpx2.Client, laptop: Device) -> None:
    first = stored(laptop, "file", b"one")
    second = stored(laptop, "file", b"two")
    laptop.client.delete(f"{laptop.files}/file")
    assert laptop.get("file").status_code == 404
    assert owner.get(f"/api/v1/entries/{first}/content").content == b"one"
    assert owner.get(f"/api/v1/entries/{second}/content").content == b"two"
    assert [v["id"] for v in owner.get(f"/api/v1/entries/{first}/versions").json()["entries"]] == [second, first]


def test_uploading_the_same_again_changes_nothing(owner: httpx2.Client, laptop: Device) -> None:
    mtime = {"X-OTB-Mtime": "2024-05-03T14:05:06.123456789Z"}
    first = laptop.put("file", b"one", **mtime)
    again = laptop.put("file", b"one", **mtime)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"deduplicated": True}
    assert laptop.entries()[0]["mtime"] == "2024-05-03T14:05:06.123456789Z"
    assert len(owner.get(f"/api/v1/devices/{laptop.id}/manifests").json()["manifests"]) == 1
