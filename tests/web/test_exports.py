"""Exports over HTTP: exactly as long as announced, the same tree inside, never a damaged file as if it were whole."""

import io
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import pytest
from blake3 import blake3

from tests.shared.service import Service
from tests.web.device import Device, stored
from tests.web.test_downloads import damage, object_of

MIB = 1 << 20


def export(client: httpx2.Client, **wanted: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/exports", json=wanted)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def names(client: httpx2.Client, made: dict[str, Any]) -> list[str]:
    answer = client.get(made["url"])
    assert answer.status_code == 200
    assert len(answer.content) == made["size_bytes"] == int(answer.headers["content-length"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


@pytest.fixture
def tree(laptop: Device) -> dict[str, bytes]:
    """Files in folders, some awkward."""
    files = {
        "a.txt": b"a",
        "photos/2023/été ☀.jpg": os.urandom(2 * MIB),
        "photos/2023/empty": b"",
        "photos/Copy.txt": b"words " * 50_000,
        "photos/copy.txt": b"other",
        "photos/CON": b"reserved",
    }
    for path, content in files.items():
        assert laptop.put(path, content, **{"X-OTB-Mtime": "2021-07-01T12:00:00Z"}).status_code == 201
    empty = {"entries": [{"path": "photos/empty folder", "type": "directory"}]}
    assert laptop.client.post(f"/api/v1/devices/{laptop.id}/manifests", json=empty).status_code == 201
    return files


def test_a_folder_unpacks_to_the_same_tree(
    owner: httpx2.Client, laptop: Device, tree: dict[str, bytes], tmp_path: Path
) -> None:
    made = export(owner, device=laptop.id)
    assert made["name"] == "laptop"
    assert made["url"].endswith("/laptop.zip")
    answer = owner.get(made["url"])
    assert answer.headers["content-disposition"].startswith('attachment; filename="laptop.zip"')
    assert answer.headers["etag"] == made["etag"]
    archive = tmp_path / "all.zip"
    archive.write_bytes(answer.content)
    for tool in ("unzip", "7z", "bsdtar"):
        target = tmp_path / tool
        target.mkdir()
        command = {
            "unzip": ["-qq", f"{archive}", "-d", f"{target}"],
            "7z": ["x", "-y", f"{archive}", f"-o{target}"],
            "bsdtar": ["-xf", f"{archive}", "-C", f"{target}"],
        }
        subprocess.run([tool, *command[tool]], check=True, stdout=subprocess.DEVNULL)
        found = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
        subprocess.run(["b3sum", "--check", "B3SUMS"], cwd=target, stdout=subprocess.DEVNULL, check=True)
        del found["B3SUMS"]
        safe = {"photos/CON": "photos/CON_", "photos/copy.txt": "photos/copy (2).txt"}
        assert found == {safe.get(path, path): content for path, content in tree.items()}
        assert (target / "photos/empty folder").is_dir()
        assert int((target / "a.txt").stat().st_mtime) == 1_625_140_800


def test_a_selection_and_a_single_folder(owner: httpx2.Client, laptop: Device, tree: dict[str, bytes]) -> None:
    assert tree
    root = {entry["name"]: entry["id"] for entry in laptop.entries()}
    made = export(owner, entries=[root["a.txt"], root["photos"]])
    assert made["name"] == "files"
    assert {"a.txt", "photos/2023/empty", "photos/empty folder/"} <= set(names(owner, made))
    one = export(owner, entries=[root["photos"]])
    assert one["url"].endswith("/photos.zip")
    folder = export(owner, device=laptop.id, directory="photos/2023", name="Summer ☀")
    assert set(names(owner, folder)) == {"empty", "été ☀.jpg", "B3SUMS"}
    assert folder["url"].endswith("/Summer%20%E2%98%80.zip")


def test_more_members_than_are_read_at_once(owner: httpx2.Client, laptop: Device) -> None:
    """Whole pages of them, to the last one."""
    stored(laptop, "first", b"same")
    digest = blake3(b"same").hexdigest()
    paths = [f"many/{n:04}" for n in range(3_998)]
    entries = [{"path": path, "type": "file", "digest": digest, "size": 4} for path in paths]
    answer = owner.post(f"/api/v1/devices/{laptop.id}/manifests", json={"entries": entries})
    assert answer.status_code == 201, answer.text
    made = export(owner, device=laptop.id)
    assert sorted(names(owner, made)) == ["B3SUMS", "first", "many/", *paths]


def test_an_export_stays_as_it_was(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "a", b"one")
    made = export(owner, device=laptop.id)
    first = owner.get(made["url"])
    stored(laptop, "a", b"another")
    stored(laptop, "b", b"new")
    laptop.client.delete(f"{laptop.files}/a")
    again = owner.get(made["url"])
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    fresh = owner.get(made["url"], headers={"If-None-Match": made["etag"]})
    assert (fresh.status_code, fresh.content) == (304, b"")
    head = owner.head(made["url"])
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(made["size_bytes"]), b"")
    assert export(owner, device=laptop.id)["etag"] != made["etag"]


def test_any_range_of_the_zip_is_that_part_of_it(owner: httpx2.Client, laptop: Device, tree: dict[str, bytes]) -> None:
    assert tree
    made = export(owner, device=laptop.id)
    whole = owner.get(made["url"]).content
    size = len(whole)
    for first, last in (
        (0, 0),
        (0, size - 1),
        (29, 31),
        (100_000, 2 * MIB),
        (size - 700, size - 1),
        (size - 1, size + 9),
    ):
        part = owner.get(made["url"], headers={"Range": f"bytes={first}-{last}", "If-Range": made["etag"]})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {first}-{min(last, size - 1)}/{size}"
        assert part.content == whole[first : last + 1]
    assert owner.get(made["url"], headers={"Range": "bytes=-5"}).content == whole[-5:]
    changed = owner.get(made["url"], headers={"Range": "bytes=5-", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole)
    beyond = owner.get(made["url"], headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


def test_a_range_of_a_damaged_file_is_never_sent(running: Service, owner: httpx2.Client, laptop: Device) -> None:
    bad = os.urandom(9 * MIB)
    stored(laptop, "a good.bin", os.urandom(2 * MIB))
    stored(laptop, "b bad.bin", bad)
    made = export(owner, device=laptop.id)
    whole = owner.get(made["url"]).content
    at = whole.index(bad) + 6 * MIB
    damage(object_of(running, bad), 6 * MIB)
    assert owner.get(made["url"], headers={"Range": f"bytes=0-{at - 3 * MIB}"}).content == whole[: at - 3 * MIB + 1]
    with pytest.raises(httpx2.RemoteProtocolError):
        owner.get(made["url"], headers={"Range": f"bytes={at - 3 * MIB}-{at + 10}"})


def test_what_was_purged_answers_410_and_is_named(owner: httpx2.Client, laptop: Device) -> None:
    gone = stored(laptop, "d/gone.txt", b"gone")
    stored(laptop, "d/kept.txt", b"kept")
    made = export(owner, device=laptop.id)
    assert owner.post("/api/v1/entries/purge", json={"entries": [gone]}).status_code == 200
    for method in ("GET", "HEAD"):
        assert owner.request(method, made["url"]).status_code == 410
    assert owner.get(made["url"], headers={"Range": "bytes=0-3"}).status_code == 410
    problem = owner.get(made["url"]).json()
    assert problem["gone"] == ["d/gone.txt"]
    assert "d/gone.txt" in problem["detail"]
    again = export(owner, again=made["export"])
    assert names(owner, again) == ["d/", "d/kept.txt", "B3SUMS"]


def test_since_the_last_time_a_search_and_a_moment(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "beach.jpg", b"one")
    first = export(owner, device=laptop.id, name="all")
    found = export(owner, search="q=beach", name="beaches")
    assert names(owner, found) == ["laptop/beach.jpg", "B3SUMS"]
    moment = owner.get(f"/api/v1/devices/{laptop.id}/manifests").json()["manifests"][0]["at"]
    stored(laptop, "beach.jpg", b"two")
    stored(laptop, "more/beach 2.jpg", b"three")
    stored(laptop, "hill.jpg", b"four")
    new = export(owner, since=first["export"])
    assert names(owner, new) == ["beach.jpg", "hill.jpg", "more/", "more/beach 2.jpg", "B3SUMS"]
    assert (new["since"], new["name"]) == (first["export"], "all")
    assert set(names(owner, export(owner, since=found["export"]))) == {
        "laptop/beach.jpg",
        "laptop/more/beach 2.jpg",
        "B3SUMS",
    }
    then = export(owner, device=laptop.id, at=moment)
    with zipfile.ZipFile(io.BytesIO(owner.get(then["url"]).content)) as archive:
        assert archive.read("beach.jpg") == b"one"
    both = {"since": first["export"], "device": laptop.id}
    assert owner.post("/api/v1/exports", json=both).status_code == 400
    assert owner.post("/api/v1/exports", json={"search": "q=x", "at": moment}).status_code == 400


def test_parts_come_one_by_one(owner: httpx2.Client, laptop: Device) -> None:
    contents = {f"{n}.bin": os.urandom(700 << 10) for n in range(4)}
    for name, content in contents.items():
        stored(laptop, name, content)
    made = export(owner, device=laptop.id, part_bytes_max=1 << 21)
    assert len(made["parts"]) == 2
    found: dict[str, bytes] = {}
    for number, part in enumerate(made["parts"], 1):
        answer = owner.get(part["url"])
        assert len(answer.content) == part["size_bytes"] <= 1 << 21
        assert (answer.headers["etag"], f"laptop ({number} of 2).zip" in answer.headers["content-disposition"]) == (
            part["etag"],
            True,
        )
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            found |= {name: archive.read(name) for name in archive.namelist() if name.endswith(".bin")}
    assert found == contents
    assert owner.get(f"{made['url']}?part=3").status_code == 404


def test_exports_are_listed_shown_and_forgotten(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "a", b"one")
    made = [export(owner, device=laptop.id, name=name) for name in ("first", "second")]
    assert owner.get("/api/v1/exports").json() == {"exports": made[::-1], "next": None}
    assert owner.get(f"/api/v1/exports/{made[0]['export']}").json() == made[0]
    assert owner.delete(f"/api/v1/exports/{made[0]['export']}").status_code == 204
    assert owner.get(made[0]["url"]).status_code == 404
    assert [e["name"] for e in owner.get("/api/v1/exports").json()["exports"]] == ["second"]


def test_exports_are_in_the_audit(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "a", b"one")
    made = export(owner, device=laptop.id)
    owner.get(made["url"])
    events = owner.get("/api/v1/audit").json()["events"]
    assert [event["action"] for event in events[:2]] == ["export.download", "export.create"]


def test_an_empty_device_and_a_file_as_a_folder(owner: httpx2.Client, laptop: Device) -> None:
    assert names(owner, export(owner, device=laptop.id)) == []
    stored(laptop, "a", b"one")
    refused = owner.post("/api/v1/exports", json={"device": laptop.id, "directory": "a"})
    assert refused.status_code == 400
    assert owner.post("/api/v1/exports", json={"device": laptop.id, "directory": "none"}).status_code == 404
    assert owner.post("/api/v1/exports", json={"device": laptop.id, "name": "a/b"}).status_code == 400


@pytest.mark.parametrize("harm", ["damage", "remove"])
def test_a_damaged_file_breaks_the_zip_and_is_reported(
    running: Service, owner: httpx2.Client, laptop: Device, harm: str
) -> None:
    stored(laptop, "a good.bin", os.urandom(3 * MIB))
    bad = os.urandom(3 * MIB)
    stored(laptop, "b bad.bin", bad)
    made = export(owner, device=laptop.id)
    assert owner.get(made["url"]).status_code == 200
    path = object_of(running, bad)
    if harm == "damage":
        damage(path, 2 * MIB + 5)
    else:
        path.unlink()
    with pytest.raises(httpx2.RemoteProtocolError):
        owner.get(made["url"])
    (event,) = owner.get("/api/v1/audit", params={"action": "file.damaged"}).json()["events"]
    assert event["subject"] == "laptop.zip"
    assert event["detail"]["outcome"] == ("damaged" if harm == "damage" else "missing")


def test_a_device_token_takes_its_own_exports_only(running: Service, owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "a", b"one")
    by_owner = export(owner, device=laptop.id)
    with httpx2.Client(
        base_url=running.url, headers={"Authorization": f"Bearer {laptop.token()}"}, timeout=60
    ) as device:
        assert device.get(by_owner["url"]).status_code == 404
        assert names(device, export(device, device=laptop.id)) == ["a", "B3SUMS"]
        assert [e["name"] for e in device.get("/api/v1/exports").json()["exports"]] == ["laptop"]
