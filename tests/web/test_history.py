"""History over HTTP: what a change did, undoing it, a folder as it was, and the pages that show it."""

from collections.abc import Callable
from typing import Any

import httpx2

from tests.web.device import Device, stored


def manifests(laptop: Device) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = laptop.client.get(f"/api/v1/devices/{laptop.id}/manifests").json()["manifests"]
    return found


def names(laptop: Device, directory: str = "", **query: str) -> list[str]:
    return [entry["name"] for entry in laptop.entries(directory, **query)]


def test_an_upload_is_looked_at_and_undone(laptop: Device) -> None:
    stored(laptop, "a.txt", b"one")
    stored(laptop, "a.txt", b"two!")
    change = f"/api/v1/devices/{laptop.id}/manifests/{manifests(laptop)[0]['id']}"
    assert laptop.client.get(change).json()["added"] == 1
    (changed,) = laptop.client.get(f"{change}/changes").json()["changes"]
    assert (changed["change"], changed["entry"]["size"], changed["before"]["size"]) == ("replaced", 4, 3)
    done = laptop.client.post(f"{change}/undo")
    assert (done.status_code, done.json()["replaced"], done.json()["conflicts"]) == (201, 1, [])
    assert laptop.get("a.txt").content == b"one"
    again = laptop.client.post(f"{change}/undo")
    assert (again.status_code, again.json()["manifest"]) == (200, None)
    assert again.json()["conflicts"] == [{"path": "a.txt", "reason": "changed_since"}]
    (event,) = laptop.client.get("/api/v1/audit", params={"action": "undo"}).json()["events"]
    assert event["subject"] == "change 2"


def test_a_folder_is_restored_and_exported_as_it_was(laptop: Device) -> None:
    stored(laptop, "d/a.txt", b"one")
    at = manifests(laptop)[0]["at"]
    stored(laptop, "d/a.txt", b"two")
    stored(laptop, "d/b.txt", b"new")
    wanted = {"at": at, "directory": "d", "exact": True}
    done = laptop.client.post(f"/api/v1/devices/{laptop.id}/restore", json=wanted)
    assert (done.status_code, done.json()["replaced"], done.json()["removed"]) == (201, 1, 1)
    assert names(laptop, "d") == ["a.txt"]
    assert laptop.get("d/a.txt").content == b"one"
    assert laptop.client.post(f"/api/v1/devices/{laptop.id}/restore", json=wanted).status_code == 200
    early = {"at": "2001-01-01T00:00:00Z", "directory": "d"}
    assert laptop.client.post(f"/api/v1/devices/{laptop.id}/restore", json=early).status_code == 404


def test_the_pages_show_a_moment_and_undo(laptop: Device) -> None:
    client = laptop.client
    page = client.get(f"/history/{laptop.id}")
    assert page.status_code == 200
    assert "Nothing has happened yet" in page.text
    stored(laptop, "Photos/sunset.jpg", b"one")
    at = manifests(laptop)[0]["at"]
    client.delete(f"{laptop.files}/Photos")
    now = client.get(f"/history/{laptop.id}", params={"directory": "Photos"})
    assert "This folder was not there then" in now.text
    then = client.get(f"/history/{laptop.id}", params={"directory": "Photos", "at": at})
    assert "sunset.jpg" in then.text
    assert client.get(f"/history/{laptop.id}?at=2024-02-30").status_code == 400
    assert client.get(f"/history/{laptop.id}?at=2040-05-03T14:05").status_code == 200
    change = manifests(laptop)[0]["id"]
    shown = client.get(f"/history/{laptop.id}/{change}")
    assert "Photos/sunset.jpg" in shown.text
    fields = {"csrf_token": client.headers["X-CSRF-Token"]}
    undone = client.post(f"/history/{laptop.id}/{change}/undo", data=fields)
    assert (undone.status_code, undone.headers["location"]) == (303, f"/history/{laptop.id}/{int(change) + 1}")
    assert names(laptop, "Photos") == ["sunset.jpg"]
    nothing = client.post(f"/history/{laptop.id}/{change}/undo", data=fields)
    assert "There is nothing left to undo" in nothing.text
    stored(laptop, "Photos/sunset.jpg", b"changed")
    restore = fields | {"at": at, "area": "originals", "directory": "Photos"}
    back = client.post(f"/history/{laptop.id}/restore", data=restore)
    assert (back.status_code, back.headers["location"]) == (303, f"/files/{laptop.id}/originals/Photos")
    assert laptop.get("Photos/sunset.jpg").content == b"one"


def test_a_change_of_anothers_device_is_not_found(laptop: Device, join: Callable[[], httpx2.Client]) -> None:
    stored(laptop, "a.txt", b"one")
    stranger = join()
    for address in ("", "/changes"):
        path = f"/api/v1/devices/{laptop.id}/manifests/1{address}"
        assert stranger.get(path).status_code == 404
    assert stranger.get(f"/history/{laptop.id}").status_code == 404
