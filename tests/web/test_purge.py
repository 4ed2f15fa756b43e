"""Deleting for good over HTTP: the owner alone, and what was made of it says so."""

import httpx2
import pytest

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device, bearer, stored


def test_what_is_purged_is_gone_and_its_space_is_free(owner: httpx2.Client, laptop: Device) -> None:
    entry = stored(laptop, "a.txt", b"content")
    kept = stored(laptop, "b.txt", b"other")
    zipped = owner.post("/api/v1/exports", json={"entries": [entry, kept]}).json()["url"]
    used = owner.get("/api/v1/me").json()["usage"]
    answer = owner.post("/api/v1/entries/purge", json={"entries": [entry]})
    assert (answer.status_code, answer.json()) == (200, {"purged": 1, "files": 1, "freed": 7})
    assert owner.get(f"/api/v1/entries/{entry}/content").status_code == 404
    assert laptop.get("a.txt").status_code == 404
    assert owner.get(zipped).status_code == 410
    assert owner.get("/api/v1/me").json()["usage"] != used
    assert laptop.get("b.txt").content == b"other"
    newest = owner.get("/api/v1/audit").json()["events"]
    assert "purge" in [event["action"] for event in newest]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/api/v1/entries/purge", None), ("PUT", "/api/v1/retention", {"versions": 0, "days": 0})],
)
def test_nobody_but_a_signed_in_owner(running: Service, method: str, path: str, body: object) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as owner:
        laptop = Device.make(owner, "laptop")
        entry = stored(laptop, "a.txt", b"content")
        wanted = body or {"entries": [entry]}
        with bearer(running.url, laptop.token()) as device:
            assert device.request(method, path, json=wanted).status_code == 403
        with sign_in(running.url, running.settings, new_person("member", client=person.client)) as member:
            assert member.request(method, path, json=wanted).status_code == 403
        assert laptop.get("a.txt").content == b"content"
