"""`/tree`: everything below a folder, as a restore reads it."""

from typing import Any

import httpx2
import pytest

from tests.shared.service import Service
from tests.web.device import Device, bearer, stored
from tests.web.test_openapi import check
from web import limits

TREE = "/api/v1/devices/{device}/tree"


def tree(client: httpx2.Client, device: str, **query: str) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        answer = client.get(f"/api/v1/devices/{device}/tree", params=query | more)
        assert answer.status_code == 200, answer.text
        found += answer.json()["entries"]
        if answer.json()["next"] is None:
            return found
        more = {"cursor": answer.json()["next"]}


def test_a_restore_has_all_it_needs(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "a/x.txt", b"content")
    digest = laptop.entries("a")[0]["digest"]
    entries = [
        {"path": "a/y", "digest": digest, "size": 7, "mtime": "2001-02-03T04:05:06.789012345Z", "mode": 0o640},
        {"path": "empty", "type": "directory", "mtime": "2002-02-03T04:05:06Z", "mode": 0o750},
        {"path": "l", "type": "link", "target": "../x", "mtime": "2003-02-03T04:05:06Z"},
        {"path_bytes": "_y5qcGc", "digest": digest, "size": 7},
        {"path": "m", "type": "link", "target_bytes": "_y8"},
    ]
    owner.post(f"/api/v1/devices/{laptop.id}/manifests", json={"entries": entries}).raise_for_status()
    found = tree(owner, laptop.id)
    assert [entry.get("path") or entry["path_bytes"] for entry in found] == [
        "a", "a/x.txt", "a/y", "empty", "l", "m", "_y5qcGc",
    ]  # fmt: skip
    assert check(owner.get(f"/api/v1/devices/{laptop.id}/tree"), "get", TREE)["entries"] == found
    by_path = {entry.get("path"): entry for entry in found}
    y = by_path["a/y"]
    assert (y["digest"], y["size"], y["mode"]) == (digest, 7, 0o640)
    assert y["mtime"] == "2001-02-03T04:05:06.789012345Z"
    assert (by_path["empty"]["type"], by_path["empty"]["mode"]) == ("directory", 0o750)
    assert by_path["l"]["target"] == "../x"
    assert by_path["m"]["target_bytes"] == "_y8"
    assert owner.get(f"/api/v1/entries/{y['id']}/content").content == b"content"
    assert [entry["path"] for entry in tree(owner, laptop.id, directory="a", limit="1")] == ["a/x.txt", "a/y"]


def test_a_moment_and_pages_that_outlast_changes(owner: httpx2.Client, laptop: Device) -> None:
    for name in ("a", "b", "c"):
        stored(laptop, name, name.encode())
    at = owner.get(f"/api/v1/devices/{laptop.id}/manifests").json()["manifests"][0]["at"]
    url = f"/api/v1/devices/{laptop.id}/tree"
    first = owner.get(url, params={"limit": "1"}).json()
    assert owner.delete(f"{laptop.files}/b").status_code == 204
    stored(laptop, "aa", b"new")
    rest = tree(owner, laptop.id, cursor=first["next"])
    assert [entry["path"] for entry in first["entries"] + rest] == ["a", "b", "c"]
    assert [entry["path"] for entry in tree(owner, laptop.id)] == ["a", "aa", "c"]
    assert [entry["path"] for entry in tree(owner, laptop.id, at=at)] == ["a", "b", "c"]


def test_a_device_token_reads_its_own_device_alone(owner: httpx2.Client, laptop: Device, running: Service) -> None:
    stored(laptop, "a", b"a")
    phone = Device.make(owner, "phone")
    with bearer(running.url, laptop.token()) as mine, bearer(running.url, phone.token()) as other:
        assert [entry["path"] for entry in tree(mine, laptop.id)] == ["a"]
        assert other.get(f"/api/v1/devices/{laptop.id}/tree").status_code == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": str(limits.TREE_ITEMS_MAX)}, 200),
        ({"limit": str(limits.TREE_ITEMS_MAX + 1)}, 400),
        ({"limit": "0"}, 400),
        ({"cursor": "x"}, 400),
        ({"at": "yesterday"}, 400),
        ({"area": "exports"}, 400),
        ({"directory": "../x"}, 400),
        ({"directory": "nowhere"}, 404),
        ({"directory_bytes": "!"}, 400),
    ],
)
def test_what_cannot_be_is_refused(owner: httpx2.Client, laptop: Device, query: dict[str, str], status: int) -> None:
    answer = owner.get(f"/api/v1/devices/{laptop.id}/tree", params=query)
    assert answer.status_code == status, answer.text
