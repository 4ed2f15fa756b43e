"""Support access over HTTP: staff see nothing, then what a grant says, and both sides know; then nothing again."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.shared.portal import handoff, new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device, stored

Join = Callable[[], httpx2.Client]
ROOT = Path(__file__).resolve().parents[2]


def staff_client(running: Service) -> httpx2.Client:
    """Staff, signed in, with the CSRF token of their page."""
    client = httpx2.Client(base_url=running.url, timeout=120)
    entered = client.post("/auth/handoff", data={"token": handoff(running.settings, new_person("staff"))})
    assert entered.status_code == 303
    client.headers["X-CSRF-Token"] = csrf_of(client.get("/").text)
    return client


def csrf_of(page: str) -> str:
    match = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
    assert match is not None
    return match[1]


def redeem(client: httpx2.Client, token: str) -> httpx2.Response:
    return client.post("/support/redeem", data={"csrf_token": client.headers["X-CSRF-Token"], "token": token})


def issue(owner: httpx2.Client, **wanted: object) -> tuple[str, str]:
    """(grant, token)."""
    answer = owner.post("/api/v1/grants", json={"reason": "Help me", "seconds": 3600} | wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()["grant"]["id"], answer.json()["token"]


@pytest.fixture
def staff(running: Service) -> Iterator[httpx2.Client]:
    client = staff_client(running)
    yield client
    client.close()


def test_staff_see_what_the_grant_says_until_it_ends(
    owner: httpx2.Client, laptop: Device, staff: httpx2.Client
) -> None:
    entry = stored(laptop, "Photos/a.txt", b"seen by support")
    phone = Device.make(owner, "phone")
    hidden = stored(phone, "private.txt", b"not for support")
    assert staff.get("/").status_code == 200
    assert staff.get(f"/files/{laptop.id}/originals/").status_code == 403
    grant, token = issue(owner, devices=[laptop.id])
    assert "Waiting for support" in owner.get("/people").text
    assert redeem(staff, "otbs_wrong").status_code == 404
    assert redeem(staff, token).status_code == 303
    me = staff.get("/api/v1/me").json()
    assert (me["user"], me["support"]["write"], me["usage"]["device_count"]) == (None, False, 1)
    page = staff.get(f"/files/{laptop.id}/originals/Photos")
    assert page.status_code == 200
    assert "as OutsideTheBox staff" in page.text
    assert staff.get(f"/api/v1/entries/{entry}/content").content == b"seen by support"
    for address in (f"/entries/{hidden}", f"/files/{phone.id}/originals/", f"/api/v1/entries/{hidden}/content"):
        assert staff.get(address).status_code == 404
    assert [e["path"] for e in staff.get("/api/v1/search", params={"q": "txt"}).json()["entries"]] == ["Photos/a.txt"]
    for address in ("/", "/devices", f"/files/{laptop.id}/originals/", "/search", "/deleted", "/audit", "/people"):
        assert "OutsideTheBox staff are in your account" in owner.get(address).text, address
    events = owner.get("/api/v1/audit", params={"grant": grant}).json()["events"]
    looks = [event["subject"] for event in events if event["action"] == "support.look"]
    assert "laptop: Photos" in looks
    assert f"/entries/{hidden} (not found)" in looks
    assert {(event["actor_kind"], event["on_behalf_of"]) for event in events} == {("staff", events[0]["on_behalf_of"])}
    assert events[0]["on_behalf_of"]
    watched = owner.get(f"/api/v1/grants/{grant}").json()
    assert (watched["grant"]["state"], len(watched["events"])) == ("use", len(events))
    assert owner.delete(f"/api/v1/grants/{grant}").status_code == 204
    assert staff.get(f"/api/v1/entries/{entry}").status_code == 403
    assert "You see no customer" in staff.get("/").text
    assert "are in your account" not in owner.get("/").text


def test_what_staff_may_never_do(owner: httpx2.Client, laptop: Device, staff: httpx2.Client) -> None:
    entry = stored(laptop, "a.txt", b"a")
    digest = owner.get(f"/api/v1/entries/{entry}").json()["digest"]
    redeem(staff, issue(owner, write=True)[1])
    refused = [
        ("POST", "/api/v1/devices", {"name": "x"}),
        ("PATCH", f"/api/v1/devices/{laptop.id}", {"name": "x"}),
        ("DELETE", f"/api/v1/devices/{laptop.id}", None),
        ("GET", f"/api/v1/devices/{laptop.id}/tokens", None),
        ("POST", f"/api/v1/devices/{laptop.id}/tokens", {"label": "x"}),
        ("POST", "/api/v1/grants", {"reason": "more", "seconds": 3600}),
        ("GET", "/api/v1/grants", None),
        ("GET", "/api/v1/sessions", None),
        ("POST", "/api/v1/entries/purge", {"entries": [entry]}),
        ("POST", "/api/v1/exports", {"entries": [entry]}),
        ("POST", "/api/v1/blobs/missing", {"digests": [digest]}),
        ("POST", "/api/v1/blobs/read", {"digests": [digest]}),
        ("POST", "/api/v1/blobs/status", {"digests": [digest]}),
        ("PUT", f"/api/v1/devices/{laptop.id}/files/originals/b.txt", None),
    ]
    for method, address, body in refused:
        answer = staff.request(method, address, json=body)
        assert answer.status_code == 403, f"{method} {address}: {answer.status_code} {answer.text}"
    for address in ("/people", "/connect"):
        assert staff.get(address).status_code in (200, 403)
    assert "Support access" not in staff.get("/people").text or staff.get("/people").status_code == 403
    renamed = staff.post("/api/v1/entries/rename", json={"entries": [entry], "base_name": "b"})
    assert renamed.status_code == 200
    assert laptop.get("b.txt").content == b"a"


def test_a_member_is_told_and_cannot_give_or_end(running: Service, owner: httpx2.Client, staff: httpx2.Client) -> None:
    grant, token = issue(owner)
    redeem(staff, token)
    person = new_person("member", client=_client_of(owner, running))
    with sign_in(running.url, running.settings, person) as member:
        assert "are in your account" in member.get("/").text
        assert "End now" not in member.get("/").text
        assert member.get("/api/v1/grants").status_code == 403
        assert member.delete(f"/api/v1/grants/{grant}").status_code == 403
        assert member.post("/api/v1/grants", json={"reason": "x", "seconds": 3600}).status_code == 403
        fields = {"csrf_token": member.headers["X-CSRF-Token"], "do": "end_grant", "grant": grant}
        assert member.post("/people", data=fields).status_code == 403
        assert len(member.get("/api/v1/sessions").json()["sessions"]) == 1
        page = member.get("/people").text
        assert "Your sessions" in page
        assert "Programs" not in page
    assert len(owner.get("/api/v1/sessions").json()["sessions"]) == 2


def _client_of(owner: httpx2.Client, running: Service) -> str:
    """The billing client of an account, which no page tells; tests label accounts by it."""
    label = owner.get("/api/v1/me").json()["tenant"]["label"]
    return f"client-{label.removeprefix('Customer ')}"


def test_sessions_end_at_once(running: Service, owner: httpx2.Client) -> None:
    person = new_person("owner", client=_client_of(owner, running))
    with sign_in(running.url, running.settings, person) as second:
        (one,) = [s for s in owner.get("/api/v1/sessions").json()["sessions"] if not s["current"]]
        assert one["user"] == person.name
        assert owner.delete(f"/api/v1/sessions/{one['id']}").status_code == 204
        assert second.get("/api/v1/me").status_code == 401
        assert owner.delete(f"/api/v1/sessions/{one['id']}").status_code == 404


def test_redeeming_needs_the_page_and_staff(owner: httpx2.Client, staff: httpx2.Client) -> None:
    _, token = issue(owner)
    assert staff.post("/support/redeem", data={"token": token}, headers={"X-CSRF-Token": "0" * 64}).status_code == 403
    assert redeem(owner, token).status_code == 404
    assert redeem(staff, f"  {token} ").status_code == 303
    left = staff.post("/support/leave", data={"csrf_token": staff.headers["X-CSRF-Token"]})
    assert left.status_code == 303
    assert "You see no customer" in staff.get("/").text


def test_the_form_gives_a_token_and_keeps_what_was_typed(owner: httpx2.Client, laptop: Device) -> None:
    fields = {
        "csrf_token": owner.headers["X-CSRF-Token"],
        "do": "give",
        "reason": "Ünter",
        "lasts": "3600",
        "may": "read",
    }
    refused = owner.post("/people", data=fields | {"devices": "some"})
    assert refused.status_code == 400
    assert 'value="Ünter"' in refused.text
    made = owner.post("/people", data=fields | {"devices": "some", "device": laptop.id})
    assert made.status_code == 200
    assert "otbs_" in made.text
    assert "otbs_" not in owner.get("/people").text
    assert owner.get("/api/v1/grants").json()["grants"][0]["devices"] == [laptop.id]


def test_the_audit_as_csv_is_no_formula(owner: httpx2.Client, laptop: Device) -> None:
    for name in ("=1+1", "+x", "-x", "@x", "plain, with “quotes” and\ttab".replace("\t", " ")):
        stored(laptop, name, name.encode())
    answer = owner.get("/api/v1/audit/activity.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    subjects = [row[6] for row in rows[1:]]
    assert {"'=1+1", "'+x", "'-x", "'@x", "plain, with “quotes” and tab"} <= set(subjects)
    assert [int(row[0]) for row in rows[1:]] == list(range(1, len(rows)))
    assert all(len(row) == len(rows[0]) for row in rows)
    assert not any(field.startswith(("=", "+", "-", "@")) for row in rows[1:] for field in row)


def test_an_owner_proves_the_audit_without_us(owner: httpx2.Client, laptop: Device, tmp_path: Path) -> None:
    """The program of docs/audit.md, as it stands there."""
    stored(laptop, "Été 😀.txt", b"x")
    owner.get("/api/v1/audit/activity.csv")
    text = (ROOT / "docs" / "audit.md").read_text()
    (tmp_path / "prove.py").write_text(text.split("```python\n")[1].split("```")[0])
    export = owner.get("/api/v1/audit/activity.json").json()

    def prove() -> subprocess.CompletedProcess[str]:
        (tmp_path / "activity.json").write_text(json.dumps(export))
        command = [sys.executable, str(tmp_path / "prove.py"), str(tmp_path / "activity.json")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    proved = prove()
    assert proved.returncode == 0, proved.stderr
    assert export["events"][-1]["hash"] in proved.stdout
    head = owner.get("/api/v1/audit").json()["head"]
    assert (export["head"]["number"], export["head"]["hash"]) == (head["number"], head["hash"])
    export["events"][1]["subject"] += "x"
    assert "Event 2 was changed" in prove().stderr
