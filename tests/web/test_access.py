"""Every operation, called by everybody who must not get through: no byte, name or count of others comes back.

The victim's laptop and all that is in it carry marks; whoever may not see the laptop must never meet one. What each
actor is answered stands in `ROWS`: an operation without a row fails, so that none is added without somebody asking who
may call it. That a foreign id and one that never was are answered alike is tests/web/test_tenants.py.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import httpx2
import pytest

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device, bearer, stored
from tests.web.test_support import issue, redeem, staff_client
from tests.web.tus_client import CHUNK, UPLOADS, begun
from web.operations import OPERATIONS
from web.routing import Operation, Reach

MARK: Final = "geheim7f3a"
NEVER: Final = "999999999"


class Row(NamedTuple):
    """Statuses, as another account's owner, a member (ids that never were, for what changes something), the token of
    another device, staff with a grant for another device, staff without, and nobody are answered."""

    stranger: int
    member: int
    token: int
    staff: int
    outside: int
    nobody: int


# fmt: off
ROWS: Final[dict[str, Row]] = {
    "GET /api/v1/me": Row(200, 200, 200, 200, 403, 401),
    "GET /api/v1/devices": Row(200, 200, 200, 200, 403, 401),
    "POST /api/v1/devices": Row(201, 201, 403, 403, 403, 401),
    "GET /api/v1/devices/{device}": Row(404, 200, 404, 404, 403, 401),
    "PATCH /api/v1/devices/{device}": Row(404, 404, 403, 403, 403, 401),
    "DELETE /api/v1/devices/{device}": Row(404, 403, 403, 403, 403, 401),
    "GET /api/v1/devices/{device}/tokens": Row(404, 403, 403, 403, 403, 401),
    "POST /api/v1/devices/{device}/tokens": Row(404, 403, 403, 403, 403, 401),
    "DELETE /api/v1/devices/{device}/tokens/{token}": Row(404, 403, 403, 403, 403, 401),
    "PUT /api/v1/devices/{device}/files/{area}/{path:path}": Row(404, 404, 404, 404, 403, 401),
    "GET /api/v1/devices/{device}/files/{area}/{path:path}": Row(404, 200, 404, 404, 403, 401),
    "DELETE /api/v1/devices/{device}/files/{area}/{path:path}": Row(404, 404, 404, 404, 403, 401),
    "GET /api/v1/devices/{device}/entries": Row(404, 200, 404, 404, 403, 401),
    "POST /api/v1/devices/{device}/folders": Row(404, 404, 404, 404, 403, 401),
    "GET /api/v1/devices/{device}/tree": Row(404, 200, 404, 404, 403, 401),
    "GET /api/v1/devices/{device}/manifests": Row(404, 200, 404, 404, 403, 401),
    "POST /api/v1/devices/{device}/manifests": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/blobs": Row(415, 415, 415, 415, 403, 401),
    "POST /api/v1/blobs/missing": Row(200, 200, 200, 403, 403, 401),
    "POST /api/v1/blobs/read": Row(404, 200, 200, 403, 403, 401),
    "POST /api/v1/blobs/status": Row(200, 200, 200, 403, 403, 401),
    "GET /api/v1/uploads": Row(200, 200, 200, 403, 403, 401),
    "POST /api/v1/uploads": Row(400, 400, 400, 400, 403, 401),
    "HEAD /api/v1/uploads/{upload}": Row(404, 200, 404, 403, 403, 401),
    "PATCH /api/v1/uploads/{upload}": Row(404, 404, 404, 403, 403, 401),
    "DELETE /api/v1/uploads/{upload}": Row(404, 404, 404, 403, 403, 401),
    "GET /api/v1/search": Row(200, 200, 200, 200, 403, 401),
    "GET /api/v1/search/facets": Row(200, 200, 200, 200, 403, 401),
    "GET /api/v1/damaged": Row(200, 200, 200, 200, 403, 401),
    "GET /api/v1/deleted": Row(200, 200, 200, 200, 403, 401),
    "POST /api/v1/entries/rename": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/entries/move": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/entries/revert": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/entries/delete": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/entries/recover": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/entries/purge": Row(404, 403, 403, 403, 403, 401),
    "GET /api/v1/retention": Row(200, 200, 200, 200, 403, 401),
    "PUT /api/v1/retention": Row(200, 403, 403, 403, 403, 401),
    "GET /api/v1/entries/{entry}": Row(404, 200, 404, 404, 403, 401),
    "GET /api/v1/entries/{entry}/content": Row(404, 200, 404, 404, 403, 401),
    "GET /api/v1/entries/{entry}/versions": Row(404, 200, 404, 404, 403, 401),
    "GET /api/v1/entries/{entry}/thumbnail": Row(404, 202, 404, 404, 403, 401),
    "GET /api/v1/entries/{entry}/preview": Row(404, 202, 404, 404, 403, 401),
    "GET /api/v1/entries/{entry}/derived": Row(404, 200, 404, 404, 403, 401),
    "GET /api/v1/recipes": Row(200, 200, 200, 200, 403, 401),
    "POST /api/v1/derivations": Row(404, 404, 404, 404, 403, 401),
    "GET /api/v1/jobs": Row(200, 200, 200, 200, 403, 401),
    "GET /api/v1/jobs/{job}": Row(404, 404, 404, 404, 403, 401),
    "DELETE /api/v1/jobs/{job}": Row(404, 404, 404, 404, 403, 401),
    "GET /api/v1/jobs/{job}/log": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/jobs/{job}/retry": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/jobs/{job}/cancel": Row(404, 404, 404, 404, 403, 401),
    "GET /api/v1/usage": Row(200, 200, 403, 403, 403, 401),
    "GET /usage": Row(200, 200, 401, 403, 403, 401),
    "GET /api/v1/exports": Row(200, 200, 200, 403, 403, 401),
    "POST /api/v1/exports": Row(404, 404, 404, 404, 403, 401),
    "GET /api/v1/exports/{export}": Row(404, 200, 404, 403, 403, 401),
    "DELETE /api/v1/exports/{export}": Row(404, 404, 404, 403, 403, 401),
    "GET /api/v1/exports/{export}/{name}.zip": Row(404, 200, 404, 403, 403, 401),
    "GET /api/v1/grants": Row(200, 403, 403, 403, 403, 401),
    "POST /api/v1/grants": Row(201, 403, 403, 403, 403, 401),
    "GET /api/v1/grants/{grant}": Row(404, 403, 403, 403, 403, 401),
    "DELETE /api/v1/grants/{grant}": Row(404, 403, 403, 403, 403, 401),
    "GET /api/v1/sessions": Row(200, 200, 403, 403, 403, 401),
    "DELETE /api/v1/sessions/{session}": Row(404, 404, 403, 403, 403, 401),
    "GET /api/v1/audit": Row(200, 200, 200, 200, 403, 401),
    "GET /api/v1/audit/activity.csv": Row(200, 200, 200, 200, 403, 401),
    "GET /api/v1/audit/activity.json": Row(200, 200, 200, 200, 403, 401),
    "GET /": Row(200, 200, 401, 200, 200, 401),
    "GET /devices": Row(200, 200, 401, 200, 403, 401),
    "POST /devices": Row(303, 303, 401, 403, 403, 401),
    "GET /devices/{device}": Row(404, 200, 401, 404, 403, 401),
    "POST /devices/{device}": Row(404, 404, 401, 404, 403, 401),
    "GET /files/{device}/{area}": Row(303, 303, 401, 303, 403, 401),
    "GET /files/{device}/{area}/{path:path}": Row(404, 303, 401, 404, 403, 401),
    "POST /files/{device}/{area}/{path:path}": Row(404, 404, 401, 404, 403, 401),
    "GET /uploads": Row(200, 200, 401, 403, 403, 401),
    "POST /uploads": Row(404, 404, 401, 403, 403, 401),
    "GET /entries/{entry}": Row(404, 200, 401, 404, 403, 401),
    "POST /entries/delete": Row(404, 404, 401, 404, 403, 401),
    "POST /entries/move": Row(404, 404, 401, 404, 403, 401),
    "POST /entries/recover": Row(404, 404, 401, 404, 403, 401),
    "POST /entries/purge": Row(404, 403, 401, 403, 403, 401),
    "POST /entries/{entry}/rename": Row(404, 404, 401, 404, 403, 401),
    "POST /entries/{entry}/revert": Row(404, 404, 401, 404, 403, 401),
    "GET /jobs": Row(200, 200, 401, 200, 403, 401),
    "POST /jobs": Row(303, 303, 401, 303, 403, 401),
    "GET /jobs/{job}/log": Row(404, 404, 401, 404, 403, 401),
    "POST /jobs/{job}": Row(404, 404, 401, 404, 403, 401),
    "POST /derive": Row(404, 404, 401, 404, 403, 401),
    "POST /derivations": Row(404, 404, 401, 404, 403, 401),
    "GET /entries/{entry}/derive": Row(404, 200, 401, 404, 403, 401),
    "GET /exports": Row(200, 200, 401, 403, 403, 401),
    "POST /exports": Row(404, 404, 401, 404, 403, 401),
    "GET /exports/{export}": Row(404, 200, 401, 403, 403, 401),
    "POST /exports/{export}/again": Row(404, 404, 401, 403, 403, 401),
    "POST /exports/{export}/remove": Row(404, 404, 401, 403, 403, 401),
    "GET /damaged": Row(200, 200, 401, 200, 403, 401),
    "GET /deleted": Row(200, 200, 401, 200, 403, 401),
    "GET /search": Row(200, 200, 401, 200, 403, 401),
    "GET /settings": Row(200, 200, 401, 200, 403, 401),
    "POST /settings": Row(303, 403, 401, 403, 403, 401),
    "GET /people": Row(200, 200, 401, 403, 403, 401),
    "POST /people": Row(404, 403, 401, 403, 403, 401),
    "GET /audit": Row(200, 200, 401, 200, 403, 401),
    "GET /connect": Row(200, 200, 401, 200, 403, 401),
    "POST /connect": Row(404, 403, 401, 403, 403, 401),
    "GET /api/v1/devices/{device}/manifests/{sequence}": Row(404, 200, 404, 404, 403, 401),
    "GET /api/v1/devices/{device}/manifests/{sequence}/changes": Row(404, 200, 404, 404, 403, 401),
    "POST /api/v1/devices/{device}/manifests/{sequence}/undo": Row(404, 404, 404, 404, 403, 401),
    "POST /api/v1/devices/{device}/restore": Row(404, 404, 404, 404, 403, 401),
    "GET /history/{device}": Row(404, 200, 401, 404, 403, 401),
    "POST /history/{device}/restore": Row(404, 404, 401, 404, 403, 401),
    "GET /history/{device}/{sequence}": Row(404, 200, 401, 404, 403, 401),
    "POST /history/{device}/{sequence}/undo": Row(404, 404, 401, 404, 403, 401),
}
# fmt: on

MAY_SEE: Final = {"POST /api/v1/blobs/read": {"member", "token"}}
"""A device that knows a digest may read these bytes of its own account, by design; nobody else but members is told."""

BODIES: Final[dict[str, Any]] = {
    "POST /api/v1/devices": {"name": "made"},
    "PATCH /api/v1/devices/{device}": {"name": "stolen"},
    "POST /api/v1/devices/{device}/tokens": {"label": "stolen"},
    "POST /api/v1/devices/{device}/folders": {"path": "stolen"},
    "POST /api/v1/devices/{device}/manifests": {"removed": ["x"]},
    "POST /api/v1/blobs/missing": {"digests": ["{digest}"]},
    "POST /api/v1/blobs/read": {"digests": ["{digest}"]},
    "POST /api/v1/blobs/status": {"digests": ["{digest}"]},
    "POST /api/v1/entries/rename": {"entries": ["{entry}"], "base_name": "stolen"},
    "POST /api/v1/entries/move": {"entries": ["{entry}"], "directory": ""},
    "POST /api/v1/entries/revert": {"entries": ["{entry}"]},
    "POST /api/v1/entries/delete": {"entries": ["{entry}"]},
    "POST /api/v1/entries/recover": {"entries": ["{entry}"]},
    "POST /api/v1/entries/purge": {"entries": ["{entry}"]},
    "PUT /api/v1/retention": {"versions": None, "days": None},
    "POST /api/v1/derivations": {"entries": ["{entry}"], "recipe": "rotate"},
    "POST /api/v1/exports": {"entries": ["{entry}"]},
    "POST /api/v1/devices/{device}/restore": {"at": "2030-01-01T00:00:00Z"},
    "POST /api/v1/grants": {"reason": "more", "seconds": 3600},
}
FORMS: Final[dict[str, dict[str, str]]] = {
    "POST /devices": {"name": "made by form", "kind": "laptop"},
    "POST /devices/{device}": {"do": "update", "name": "stolen", "kind": "laptop"},
    "POST /files/{device}/{area}/{path:path}": {"name": "stolen"},
    "POST /uploads": {"upload": "{upload}"},
    "POST /entries/delete": {"entry": "{entry}"},
    "POST /entries/move": {"entry": "{entry}", "target": "stolen"},
    "POST /entries/recover": {"entry": "{entry}"},
    "POST /entries/{entry}/rename": {"base_name": "stolen"},
    "POST /exports": {"entry": "{entry}"},
    "POST /derive": {"entry": "{entry}"},
    "POST /derivations": {"entry": "{entry}", "recipe": "strip"},
    "POST /jobs/{job}": {"do": "cancel"},
    "POST /entries/purge": {"entry": "{entry}"},
    "POST /history/{device}/restore": {"at": "2030-01-01T00:00:00Z", "area": "originals"},
    "POST /settings": {"keep": "all"},
    "POST /people": {"do": "end_grant", "grant": "{grant}"},
    "POST /connect": {"do": "approve", "code": "BCDF-GHJK", "device": "new"},
}
QUERIES: Final = {
    "GET /api/v1/search": "?q=geheim",
    "GET /api/v1/search/facets": "?q=geheim",
    "GET /search": "?q=geheim",
}


@dataclass(frozen=True)
class Victim:
    """One of everything, all with the mark, and everybody who comes."""

    ids: dict[str, str]
    actors: dict[str, httpx2.Client]

    def address(self, operation: Operation, ids: dict[str, str]) -> str:
        path = operation.path.replace("{area}", "originals").replace("{path:path}", "plain.txt").replace("{name}", "x")
        for name, value in ids.items():
            path = path.replace("{" + name + "}", value)
        return path + QUERIES.get(key(operation), "")


def key(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.fixture(scope="module")
def victim(running: Service) -> Iterator[Victim]:
    person = new_person()
    owner = sign_in(running.url, running.settings, person)
    phone = Device.make(owner, "phone")
    for number in range(20):  # ids count per account: the laptop's are beyond those of a stranger
        stored(phone, f"older/{number}", b"%d" % number)
    laptop = Device.make(owner, f"{MARK} laptop")
    stored(laptop, f"{MARK}/{MARK}.txt", b"deeper")
    entry = stored(laptop, "plain.txt", MARK.encode() + secrets.token_bytes(500))
    digest = owner.get(f"/api/v1/entries/{entry}").json()["digest"]
    laptop.token()
    upload = begun(owner, 6, b"sec")
    export = owner.post("/api/v1/exports", json={"device": laptop.id, "name": f"{MARK} zip"}).json()["export"]
    grant, _ = issue(owner, reason=f"{MARK} reason", devices=[laptop.id])
    ids = {
        "device": laptop.id, "entry": entry, "export": export, "grant": grant, "upload": upload, "job": entry,
        "token": owner.get(f"/api/v1/devices/{laptop.id}/tokens").json()["tokens"][0]["id"],
        "session": owner.get("/api/v1/sessions").json()["sessions"][0]["id"],
        "digest": digest, "sequence": "1",
    }  # fmt: skip
    inside, outside = staff_client(running), staff_client(running)
    assert redeem(inside, issue(owner, devices=[phone.id], write=True)[1]).status_code == 303
    actors = {
        "stranger": sign_in(running.url, running.settings, new_person()),
        "member": sign_in(running.url, running.settings, new_person("member", client=person.client)),
        "token": bearer(running.url, phone.token()),
        "staff": inside,
        "outside": outside,
        "nobody": httpx2.Client(base_url=running.url, timeout=120),
    }
    yield Victim(ids, actors)
    for client in (owner, *actors.values()):
        client.close()


def call(victim: Victim, actor: str, operation: Operation) -> httpx2.Response:
    """The operation on the victim's things. A member, whose they are, changes only what never was."""
    client, name = victim.actors[actor], key(operation)
    harmless = actor == "member" and operation.method not in {"GET", "HEAD"}
    ids = dict.fromkeys(victim.ids, NEVER) | {"digest": victim.ids["digest"]} if harmless else victim.ids
    address = victim.address(operation, ids)
    if not operation.path.startswith("/api/"):
        fields = {"csrf_token": client.headers.get("X-CSRF-Token", "")} | filled(FORMS.get(name, {}), ids)
        return client.request(operation.method, address, data=fields if operation.method == "POST" else None)
    if operation.path.startswith(UPLOADS) or (operation.method == "PUT" and "files" in operation.path):
        headers = CHUNK | {"Upload-Offset": "3"} if operation.path.startswith(UPLOADS) else {}
        return client.request(operation.method, address, content=b"stolen", headers=headers)
    body = filled(BODIES.get(name), ids)
    return client.request(operation.method, address, json=body)


def filled(body: Any, ids: dict[str, str]) -> Any:
    """The body, with the victim's ids in their places."""
    if isinstance(body, dict):
        return {name: filled(value, ids) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, ids) for value in body]
    return ids.get(body[1:-1], body) if isinstance(body, str) and body.startswith("{") else body


CLOSED: Final = [operation for operation in OPERATIONS if operation.reach is not Reach.ANYONE]


@pytest.mark.parametrize("operation", [pytest.param(o, id=key(o)) for o in CLOSED])
def test_who_gets_what(victim: Victim, operation: Operation) -> None:
    wanted = ROWS.get(key(operation))
    asked = str(BODIES.get(key(operation), ""))
    marks = [MARK] if "digest" in asked else [MARK, victim.ids["digest"]]  # an answer may repeat the question
    answers = {actor: call(victim, actor, operation) for actor in Row._fields}
    got = Row(**{actor: answer.status_code for actor, answer in answers.items()})
    assert wanted is not None, f"{key(operation)} has no row: ask who may call it, and add one. It answers {got}"
    assert got == wanted
    may_see = MAY_SEE.get(key(operation), {"member"})
    told = {actor for actor, answer in answers.items() if any(mark.encode() in answer.content for mark in marks)}
    assert told - may_see == set()


def test_every_row_is_of_an_operation() -> None:
    assert ROWS.keys() <= {key(operation) for operation in CLOSED}
