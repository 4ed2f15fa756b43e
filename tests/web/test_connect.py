"""Connect this computer, over HTTP: the grant of RFC 8628 as the API gives it, and the owner's page."""

import hashlib
import html
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog.connections import GUESSES_MAX
from tests.shared.portal import handoff, new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device, bearer
from tests.web.test_openapi import check
from tests.web.test_pages import follow, send, text_of
from web.client_wheel import CLIENT_DIR, load_wheel

CONNECT, TOKEN = "/api/v1/connect", "/api/v1/connect/token"
COMPUTER = {"name": "ann-laptop", "system": "linux", "kind": "laptop"}


def ask(url: str, **changed: str) -> dict[str, Any]:
    """A computer asks; the answer as the document describes it."""
    answer = httpx2.post(url + CONNECT, json=COMPUTER | changed)
    assert answer.status_code == 201, answer.text
    started: dict[str, Any] = check(answer, "post", CONNECT)
    return started


def fetch(url: str, started: dict[str, Any]) -> httpx2.Response:
    answer = httpx2.post(url + TOKEN, json={"device_code": started["device_code"]})
    check(answer, "post", TOKEN)
    return answer


def approve(client: httpx2.Client, started: dict[str, Any], **fields: str) -> httpx2.Response:
    new = {"device": "new", "name": "laptop", "kind": "laptop"}
    return send(client, "/connect", do="approve", code=started["user_code"], **(new | fields))


def test_from_the_code_to_a_token_that_works(running: Service, owner: httpx2.Client) -> None:
    started = ask(running.url)
    assert started["verification_uri"] == f"{running.url}/connect"
    assert started["verification_uri_complete"] == f"{running.url}/connect?code={started['user_code']}"
    waiting = fetch(running.url, started)
    assert (waiting.status_code, waiting.json()["error"]) == (400, "authorization_pending")
    early = fetch(running.url, started).json()
    assert early["error"] == "slow_down"
    assert early["interval"] > started["interval"]
    page = owner.get("/connect", params={"code": started["user_code"].lower().replace("-", " ")})
    assert "Connect ann-laptop?" in text_of(page)
    assert "Approve only what you started yourself" in text_of(page)
    assert started["user_code"] in page.text
    assert "127.0.0.1" in page.text
    done = approve(owner, started)
    assert re.fullmatch(r"/devices/\d+", done.headers["location"])
    assert "Approved." in text_of(follow(owner, done))
    connected = fetch(running.url, started)
    assert connected.status_code == 200
    body = connected.json()
    assert body["device"] == {"id": done.headers["location"].rpartition("/")[2], "name": "laptop"}
    with bearer(running.url, body["token"]) as device:
        me = device.get("/api/v1/me").json()
        assert (me["device"]["name"], me["tenant"]["label"]) == ("laptop", body["tenant"])
    again = fetch(running.url, started)
    assert (again.status_code, again.json()["error"]) == (400, "expired_token")
    assert "ann-laptop" in owner.get(done.headers["location"]).text
    events = text_of(owner.get("/audit"))
    assert "Connected the computer “ann-laptop” as laptop" in events
    assert "Made the token “ann-laptop” for laptop" in events


def test_a_revoked_token_is_refused_with_the_next_request(running: Service, owner: httpx2.Client) -> None:
    started = ask(running.url)
    device = approve(owner, started).headers["location"].rpartition("/")[2]
    token = fetch(running.url, started).json()["token"]
    (listed,) = owner.get(f"/api/v1/devices/{device}/tokens").json()["tokens"]
    owner.delete(f"/api/v1/devices/{device}/tokens/{listed['id']}")
    with bearer(running.url, token) as client:
        assert client.get("/api/v1/me").status_code == 401


def test_a_device_that_is_there_is_proposed_by_its_name_and_can_be_chosen(
    running: Service, owner: httpx2.Client
) -> None:
    phone, laptop = Device.make(owner, "phone"), Device.make(owner, "ANN-laptop")
    started = ask(running.url)
    page = owner.get("/connect", params={"code": started["user_code"]}).text
    assert f'name="device" value="{laptop.id}" checked' in page
    done = approve(owner, started, device=phone.id)
    assert done.headers["location"] == f"/devices/{phone.id}"
    assert fetch(running.url, started).json()["device"] == {"id": phone.id, "name": "phone"}


def test_what_cannot_be_done_is_told_and_can_be_mended(running: Service, owner: httpx2.Client) -> None:
    Device.make(owner, "laptop")
    started = ask(running.url)
    for fields, status, words in (
        ({}, 409, "already"),
        ({"name": " "}, 400, "1 to 100 characters"),
        ({"kind": "toaster"}, 400, "from the list"),
    ):
        page = approve(owner, started, **fields)
        assert page.status_code == status
        assert words in text_of(page)
        assert started["user_code"] in page.text
    assert approve(owner, started, device="999999").status_code == 404
    assert approve(owner, started, device="x").status_code == 404
    assert send(owner, "/connect", do="dance", code=started["user_code"]).status_code == 400
    assert approve(owner, started, name="second").status_code == 303


def test_refusing(running: Service, owner: httpx2.Client) -> None:
    started = ask(running.url)
    done = send(owner, "/connect", do="refuse", code=started["user_code"])
    assert "Refused. That computer gets nothing." in text_of(follow(owner, done))
    assert fetch(running.url, started).json()["error"] == "access_denied"
    late = approve(owner, started)
    assert late.status_code == 404
    assert "No computer waits with this code" in text_of(late)
    assert owner.get("/api/v1/devices").json()["devices"] == []
    assert "Refused to connect the computer ann-laptop" in text_of(owner.get("/audit"))


def test_a_decision_needs_the_owner_and_the_token_of_his_page(running: Service) -> None:
    person = new_person()
    with (
        sign_in(running.url, running.settings, person) as owner,
        sign_in(running.url, running.settings, new_person("member", client=person.client)) as member,
    ):
        started = ask(running.url)
        page = text_of(member.get("/connect", params={"code": started["user_code"]}))
        assert "Only the owner of" in page
        assert "ann-laptop" not in page
        assert approve(member, started).status_code == 403
        assert send(member, "/connect", do="refuse", code=started["user_code"]).status_code == 403
        fields = {"do": "approve", "device": "new", "name": "x", "kind": "other", "code": started["user_code"]}
        forged = owner.post("/connect", data=fields | {"csrf_token": "0" * 64}, headers={"X-CSRF-Token": ""})
        assert forged.status_code == 403
        assert fetch(running.url, started).json()["error"] == "authorization_pending"
        assert approve(owner, started).status_code == 303


def test_an_account_never_gets_what_another_approved(running: Service, join: Callable[[], httpx2.Client]) -> None:
    mine, theirs = join(), join()
    started = ask(running.url)
    assert theirs.get("/connect", params={"code": started["user_code"]}).status_code == 200
    approve(mine, started)
    for answer in (
        theirs.get("/connect", params={"code": started["user_code"]}),
        approve(theirs, started),
        send(theirs, "/connect", do="refuse", code=started["user_code"]),
    ):
        assert answer.status_code == 404
        assert "ann-laptop" not in answer.text
    with bearer(running.url, fetch(running.url, started).json()["token"]) as device:
        assert device.get("/api/v1/me").json()["tenant"]["id"] == mine.get("/api/v1/me").json()["tenant"]["id"]
    assert theirs.get("/api/v1/devices").json()["devices"] == []


def test_two_approvals_at_once_make_one_device(running: Service, join: Callable[[], httpx2.Client]) -> None:
    owners = [join(), join()]
    for number in range(4):
        started = ask(running.url)
        with ThreadPoolExecutor(8) as pool:
            wanted = [(client, f"{number}-{n}") for client in owners for n in range(4)]
            approved = [pool.submit(approve, client, started, name=name) for client, name in wanted]
        done = [future.result().status_code for future in approved]
        assert sorted(done) == [303] + [404] * 7
        made = [d for client in owners for d in client.get("/api/v1/devices").json()["devices"]]
        assert len(made) == number + 1
        with ThreadPoolExecutor(4) as pool:
            fetches = [pool.submit(fetch, running.url, started) for _ in range(4)]
        fetched = [future.result().status_code for future in fetches]
        assert sorted(fetched) == [200, 400, 400, 400]


def test_guessing_codes_ends_with_429(running: Service, join: Callable[[], httpx2.Client]) -> None:
    guesser, started = join(), ask(running.url)
    for number in range(GUESSES_MAX):
        answer = guesser.get("/connect", params={"code": f"BCDF-GH{'BCDFGHJKLMNPQRSTVWXZ'[number]}K"})
        assert answer.status_code == 404
    for answer in (guesser.get("/connect", params={"code": started["user_code"]}), approve(guesser, started)):
        assert answer.status_code == 429
        assert "Too many wrong codes" in text_of(answer)
    assert approve(join(), started).status_code == 303


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CONNECT, {}, 400),
        (CONNECT, COMPUTER | {"name": ""}, 400),
        (CONNECT, COMPUTER | {"name": "a\x1b[2J"}, 400),
        (CONNECT, COMPUTER | {"name": "x" * 101}, 400),
        (CONNECT, COMPUTER | {"name": "x" * 5_000}, 413),
        (CONNECT, COMPUTER | {"system": "beos"}, 400),
        (CONNECT, COMPUTER | {"kind": "toaster"}, 400),
        (CONNECT, COMPUTER | {"tenant": "1"}, 400),
        (TOKEN, {}, 400),
        (TOKEN, {"device_code": 1}, 400),
        (TOKEN, {"device_code": ""}, 400),
        (TOKEN, {"device_code": "x" * 5_000}, 413),
    ],
)
def test_bad_requests(running: Service, path: str, body: Any, status: int) -> None:
    answer = httpx2.post(running.url + path, json=body)
    assert answer.status_code == status, answer.text
    check(answer, "post", path)
    assert httpx2.post(running.url + path, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_an_unknown_code_is_no_other_than_a_used_one(running: Service, owner: httpx2.Client) -> None:
    started = ask(running.url)
    approve(owner, started)
    fetch(running.url, started)
    used, unknown = fetch(running.url, started).json(), fetch(running.url, {"device_code": "never"}).json()
    for body in (used, unknown):
        body.pop("request")
    assert used == unknown


def test_after_signing_in_the_browser_comes_back_with_the_code(running: Service) -> None:
    started = ask(running.url)
    with httpx2.Client(base_url=running.url) as browser:
        page = browser.get("/connect", params={"code": started["user_code"]})
        assert page.status_code == 401
        assert "brought back here" in text_of(page)
        entered = browser.post("/auth/handoff", data={"token": handoff(running.settings, new_person())})
        assert entered.headers["location"] == f"/connect?code={started['user_code']}"
        assert "Connect ann-laptop?" in text_of(browser.get(entered.headers["location"]))
        entered = browser.post("/auth/handoff", data={"token": handoff(running.settings, new_person())})
        assert entered.headers["location"] == "/"


@pytest.mark.parametrize(
    ("query", "place"), [("", "/connect"), ("?code=x//evil.example", "/connect"), ("?code=%ff", "/connect")]
)
def test_the_way_back_leads_nowhere_else(running: Service, query: str, place: str) -> None:
    with httpx2.Client(base_url=running.url) as browser:
        browser.get(f"/connect{query}")
        entered = browser.post("/auth/handoff", data={"token": handoff(running.settings, new_person())})
        assert entered.headers["location"] == place
    for cookie in ("//evil.example", "connect.//", "connect.BCDFGHJK\r\nX: y", "devices"):
        token = handoff(running.settings, new_person())
        headers = {"Cookie": f'otb_after="{cookie}"'.replace("\r\n", "%0d%0a")}
        entered = httpx2.post(f"{running.url}/auth/handoff", data={"token": token}, headers=headers)
        assert entered.headers["location"] == "/"


def test_the_pages_lead_there_and_show_the_lines(running: Service, owner: httpx2.Client, laptop: Device) -> None:
    for address in ("/", "/devices"):
        assert 'href="/connect"' in owner.get(address).text
    for address in ("/connect", f"/devices/{laptop.id}"):
        page = html.unescape(owner.get(address).text)
        assert f"curl -fsSL {running.url}/connect/install.sh | sh" in page
        assert f"irm {running.url}/connect/install.ps1 | iex" in page


def test_the_scripts_name_the_wheel_that_is_served(running: Service) -> None:
    for name in ("install.sh", "install.ps1"):
        answer = httpx2.get(f"{running.url}/connect/{name}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert running.url in answer.text
        wheel = re.findall(r"otb_cloud_client-[\w.-]+\.whl", answer.text)[0]
        content = httpx2.get(f"{running.url}/connect/{wheel}")
        assert hashlib.sha256(content.content).hexdigest() in answer.text
        assert not re.search(r"@[A-Z0-9]+@", answer.text)
    assert httpx2.get(f"{running.url}/connect/otb_cloud_client-9.9-py3-none-any.whl").status_code == 404


def test_a_server_without_the_wheel_says_so_and_does_the_rest(
    make_service: Callable[..., Service], tmp_path: Path
) -> None:
    service = make_service(CLIENT_DIR=str(tmp_path / "nothing"))
    assert httpx2.get(f"{service.url}/readyz").json() == {
        "status": "ok",
        "database": "ok",
        "store": "ok",
        "client": "missing",
    }
    assert "customers cannot connect computers" in service.log()
    for name in ("install.sh", "install.ps1", "otb_cloud_client-0.1.0-py3-none-any.whl"):
        answer = httpx2.get(f"{service.url}/connect/{name}")
        assert answer.status_code == 503
        assert "no otb-cloud program to give out" in text_of(answer)
    with sign_in(service.url, service.settings) as owner:
        assert "no otb-cloud program to give out" in text_of(owner.get("/connect"))
        assert approve(owner, ask(service.url)).status_code == 303


def test_the_newest_wheel_is_taken_and_nothing_else(tmp_path: Path) -> None:
    for name in (
        "otb_cloud_client-0.9.0-py3-none-any.whl",
        "otb_cloud_client-0.10.0-py3-none-any.whl",
        "otb_cloud_client-1.0.0'$(x)-py3-none-any.whl",
        "otb_cloud-2.0-py3-none-any.whl",
    ):
        (tmp_path / name).write_bytes(name.encode())
    wheel = load_wheel(tmp_path)
    assert wheel is not None
    assert wheel.name == "otb_cloud_client-0.10.0-py3-none-any.whl"
    assert wheel.sha256 == hashlib.sha256(wheel.name.encode()).hexdigest()


def test_a_wheel_that_cannot_be_one_is_not_given_out(tmp_path: Path) -> None:
    with (tmp_path / "otb_cloud_client-0.1-py3-none-any.whl").open("wb") as file:
        file.truncate(5 << 20)
    assert load_wheel(tmp_path) is None


def test_setting_up_for_tests_has_built_the_wheel() -> None:
    assert load_wheel(CLIENT_DIR) is not None, "Run tools/setup test."
