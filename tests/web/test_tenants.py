"""Another account's things are not there: same status, same body as what never was, for every operation with an id."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, stored
from tests.web.test_sessions import named
from tests.web.tus_client import CHUNK, TUS, UPLOADS, begun
from web.operations import OPERATIONS
from web.routing import Operation, Reach

NEVER = "999999999"
ADDS_A_SLASH = "/files/{device}/{area}"
WITH_IDS = [o for o in OPERATIONS if "{" in o.path and o.reach is not Reach.ANYONE and o.path != ADDS_A_SLASH]

BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/devices/{device}/folders"): {"path": "stolen"},
    ("PATCH", "/api/v1/devices/{device}"): {"name": "stolen"},
    ("POST", "/api/v1/devices/{device}/tokens"): {"label": "stolen"},
    ("POST", "/api/v1/devices/{device}/manifests"): {"removed": ["secret.txt"]},
    ("POST", "/api/v1/devices/{device}/restore"): {"at": "2040-01-01T00:00:00Z"},
}


class Victim:
    """An account with one of everything."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client
        self.laptop = Device.make(client, "laptop")
        # Ids count per account: these are beyond those that a stranger's own things have.
        for number in range(30):
            stored(self.laptop, f"older/{number}", b"%d" % number)
        self.entry = stored(self.laptop, "secret.txt", b"secret")
        self.laptop.token()
        self.token = client.get(f"/api/v1/devices/{self.laptop.id}/tokens").json()["tokens"][0]["id"]
        self.upload = begun(client, 6, b"sec")
        self.export = client.post("/api/v1/exports", json={"device": self.laptop.id}).json()["export"]
        wanted = {"reason": "Help", "seconds": 3600}
        self.grant = client.post("/api/v1/grants", json=wanted).json()["grant"]["id"]
        self.session = client.get("/api/v1/sessions").json()["sessions"][0]["id"]

    def address(self, operation: Operation, **replaced: str) -> str:
        ids = {"device": self.laptop.id, "entry": self.entry, "export": self.export, "token": self.token}
        ids |= {"upload": self.upload, "grant": self.grant, "session": self.session, "job": self.entry}
        ids |= {"sequence": "1"} | replaced
        path = operation.path.replace("{area}", "originals").replace("{path:path}", "secret.txt")
        for name, value in ids.items():
            path = path.replace("{" + name + "}", value)
        return path.replace("{name}", "x")


@pytest.fixture(scope="module")
def victim(running: Service) -> Iterator[Victim]:
    with sign_in(running.url, running.settings) as client:
        yield Victim(client)


def call(client: httpx2.Client, operation: Operation, address: str) -> tuple[int, object]:
    """Status and body, without what differs between any two requests."""
    if operation.path.startswith("/api/"):
        body = BODIES.get((operation.method, operation.path))
        is_upload = operation.path.startswith(UPLOADS)
        content = b"stolen" if operation.method == "PUT" or is_upload else None
        headers = CHUNK | {"Upload-Offset": "3"} if is_upload else {}
        answer = client.request(operation.method, address, json=body, content=content, headers=headers)
        shape = answer.json() if operation.method != "HEAD" else {"request": None}
        shape.pop("request")
        return answer.status_code, shape
    fields = {"csrf_token": client.headers["X-CSRF-Token"], "base_name": "stolen", "do": "remove"}
    fields |= {"at": "2040-01-01T00:00:00Z"} | ({"do": "cancel"} if operation.path == "/jobs/{job}" else {})
    answer = client.request(operation.method, address, data=fields if operation.method == "POST" else None)
    text = answer.text.replace(answer.headers["x-request-id"], "")
    return answer.status_code, text


@pytest.mark.parametrize("operation", named(WITH_IDS))
def test_ids_of_others_are_not_found(victim: Victim, join: Callable[[], httpx2.Client], operation: Operation) -> None:
    stranger = join()
    theirs = call(stranger, operation, victim.address(operation))
    ids = dict.fromkeys(("device", "entry", "export", "token", "upload", "grant", "session", "job"), NEVER)
    never = call(stranger, operation, victim.address(operation, **ids))
    assert theirs == never
    assert theirs[0] == 404


def test_nothing_of_the_victim_was_changed(victim: Victim) -> None:
    assert victim.laptop.get("secret.txt").content == b"secret"
    assert len(victim.client.get("/api/v1/devices").json()["devices"]) == 1
    assert victim.client.head(f"{UPLOADS}/{victim.upload}", headers=TUS).headers["upload-offset"] == "3"


@pytest.mark.parametrize("kind", ["delete", "recover", "move", "revert"])
def test_a_selection_with_one_of_anothers_changes_nothing(victim: Victim, owner: httpx2.Client, kind: str) -> None:
    mine = stored(Device.make(owner, "phone"), "mine.txt", b"mine")
    chosen = [victim.entry] if kind == "revert" else [mine, victim.entry]
    answer = owner.post(f"/api/v1/entries/{kind}", json={"entries": chosen})
    assert answer.status_code == 404
    assert owner.get(f"/api/v1/entries/{mine}").json()["removed"] is None
    assert owner.post("/api/v1/exports", json={"entries": [victim.entry]}).status_code == 404
    renaming = {"entries": [victim.entry], "base_name": "stolen"}
    assert owner.post("/api/v1/entries/rename", json=renaming).status_code == 404


def test_a_digest_is_no_password_and_dedup_no_oracle(victim: Victim, owner: httpx2.Client) -> None:
    """What the victim stored, a stranger must send; he learns nothing before, and nothing from the answer."""
    digest = victim.client.get(f"/api/v1/entries/{victim.entry}").json()["digest"]
    phone = Device.make(owner, "phone")
    assert owner.post("/api/v1/blobs/missing", json={"digests": [digest]}).json() == {"missing": [digest]}
    known = {"entries": [{"path": "x", "digest": digest, "size": 6}]}
    refused = owner.post(f"/api/v1/devices/{phone.id}/manifests", json=known)
    assert (refused.status_code, refused.json()["missing"]) == (409, [digest])
    first = phone.put("x", b"secret").json()
    assert first["deduplicated"] is False
    assert phone.put("y", b"secret").json()["deduplicated"] is True
    assert owner.post("/api/v1/blobs/missing", json={"digests": [digest]}).json() == {"missing": []}


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "١", "18446744073709551616", "9" * 40, "1;drop"])
def test_what_is_no_id_is_not_found(owner: httpx2.Client, text: str) -> None:
    answer = owner.get(f"/api/v1/entries/{text}")
    assert answer.status_code == 404
