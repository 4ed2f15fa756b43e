"""Sessions, device tokens and CSRF: who is let in, what with, and what stops at once."""

from collections.abc import Callable

import httpx2
import pytest

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device, bearer, stored
from web.operations import API, OPERATIONS, PAGES
from web.routing import Operation, Reach, is_unsafe

CONCRETE = {
    "{device}": "1",
    "{area}": "originals",
    "{path:path}": "a",
    "{entry}": "1",
    "{export}": "1",
    "{token}": "1",
    "{name}": "x",
    "{wheel}": "otb_cloud_client-0.0-py3-none-any",
    "{upload}": "1",
    "{job}": "1",
    "{grant}": "1",
    "{session}": "00112233445566778899aabbccddeeff",
}


def address_of(operation: Operation) -> str:
    path = operation.path
    for parameter, value in CONCRETE.items():
        path = path.replace(parameter, value)
    return path


def named(operations: list[Operation]) -> list[object]:
    return [pytest.param(operation, id=f"{operation.method} {operation.path}") for operation in operations]


PROTECTED_API = [operation for operation in API if operation.reach is Reach.CALLER]
PROTECTED_PAGES = [operation for operation in PAGES if operation.reach is Reach.PERSON]
OPEN = {
    ("GET", "/livez"),
    ("OPTIONS", "/api/v1/uploads"),
    ("OPTIONS", "/api/v1/uploads/{upload}"),
    ("GET", "/readyz"),
    ("GET", "/health"),
    ("GET", "/health.json"),
    ("GET", "/metrics"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/auth/handoff"),
    ("POST", "/auth/handoff"),
    ("POST", "/sign-out"),
    ("POST", "/support/redeem"),
    ("POST", "/support/leave"),
    ("POST", "/api/v1/billing/status"),
    ("POST", "/api/v1/connect"),
    ("POST", "/api/v1/connect/token"),
    ("GET", "/connect/install.sh"),
    ("GET", "/connect/install.ps1"),
    ("GET", "/connect/{wheel}.whl"),
}


def test_what_is_open_to_all_is_listed_here() -> None:
    assert {(o.method, o.path) for o in OPERATIONS if o.reach is Reach.ANYONE} == OPEN


@pytest.mark.parametrize("operation", named(PROTECTED_API))
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": "otb_session=guessed"},
        {"Authorization": "Bearer otbd_guessed"},
        {"Authorization": "Basic Og=="},
        {"Cookie": "otb_session=" + "x" * 500},
    ],
    ids=["nothing", "wrong cookie", "wrong token", "wrong scheme", "long cookie"],
)
def test_no_call_of_the_api_without_a_session(running: Service, operation: Operation, headers: dict[str, str]) -> None:
    answer = httpx2.request(operation.method, running.url + address_of(operation), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    if operation.method != "HEAD":
        assert set(answer.json()) == {"type", "title", "status", "detail", "request"}


@pytest.mark.parametrize("operation", named(PROTECTED_PAGES))
def test_no_page_without_a_session(running: Service, operation: Operation) -> None:
    answer = httpx2.request(operation.method, running.url + address_of(operation))
    assert answer.status_code == 401
    assert "Go to the Client Portal" in answer.text
    ended = httpx2.request(
        operation.method, running.url + address_of(operation), headers={"Cookie": "otb_session=ended"}
    )
    assert ("Sign in to connect" if operation.path == "/connect" else "Your session has ended") in ended.text


@pytest.mark.parametrize("operation", named([o for o in PROTECTED_API if is_unsafe(o)]))
@pytest.mark.parametrize("token", [None, "", "0" * 64], ids=["none", "empty", "another"])
def test_no_unsafe_call_by_cookie_without_the_csrf_token(
    running: Service, operation: Operation, token: str | None
) -> None:
    with sign_in(running.url, running.settings) as client:
        del client.headers["X-CSRF-Token"]
        headers = {} if token is None else {"X-CSRF-Token": token}
        answer = client.request(operation.method, address_of(operation), headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (403, "The form is out of date")


@pytest.mark.parametrize("operation", named([o for o in PROTECTED_PAGES if is_unsafe(o)]))
def test_no_form_without_its_csrf_token(owner: httpx2.Client, operation: Operation) -> None:
    del owner.headers["X-CSRF-Token"]
    for fields in ({"name": "x"}, {"csrf_token": ""}, {"csrf_token": "0" * 64}):
        answer = owner.post(address_of(operation), data=fields)
        assert answer.status_code == 403
        assert "The form is out of date" in answer.text


def test_the_csrf_token_of_another_session_is_no_good(join: Callable[[], httpx2.Client]) -> None:
    mine, other = join(), join()
    stolen = other.headers["X-CSRF-Token"]
    answer = mine.post("/api/v1/devices", json={"name": "x"}, headers={"X-CSRF-Token": stolen})
    assert answer.status_code == 403


@pytest.mark.parametrize("operation", named([o for o in OPERATIONS if is_unsafe(o) and o.path != "/auth/handoff"]))
def test_no_unsafe_request_from_another_site(owner: httpx2.Client, operation: Operation) -> None:
    answer = owner.request(operation.method, address_of(operation), headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_signing_out_ends_the_session_for_good(owner: httpx2.Client) -> None:
    cookies = dict(owner.cookies)
    page = owner.post("/sign-out", data={"csrf_token": owner.headers["X-CSRF-Token"]})
    assert (page.status_code, page.headers["location"]) == (303, "/")
    assert owner.get("/api/v1/me").status_code == 401
    owner.cookies.update(cookies)
    assert owner.get("/api/v1/me").status_code == 401
    assert owner.post("/sign-out").status_code == 303


def test_signing_out_needs_the_csrf_token(owner: httpx2.Client) -> None:
    del owner.headers["X-CSRF-Token"]
    assert owner.post("/sign-out", data={"csrf_token": "x"}).status_code == 403
    assert owner.get("/api/v1/me").status_code == 200


def test_a_device_token_reaches_its_device_and_no_other(running: Service, owner: httpx2.Client) -> None:
    laptop, phone = Device.make(owner, "laptop"), Device.make(owner, "phone")
    entry = stored(phone, "secret.txt", b"of the phone")
    with bearer(running.url, laptop.token()) as client:
        mine = Device(client, laptop.id)
        assert mine.put("a.txt", b"mine").status_code == 201
        assert mine.get("a.txt").content == b"mine"
        me = client.get("/api/v1/me").json()
        assert (me["user"], me["device"]["id"], me["csrf_token"]) == (None, laptop.id, None)
        assert [device["id"] for device in client.get("/api/v1/devices").json()["devices"]] == [laptop.id]
        for path in (
            f"/api/v1/devices/{phone.id}",
            f"/api/v1/devices/{phone.id}/entries",
            f"/api/v1/devices/{phone.id}/manifests",
            f"{phone.files}/secret.txt",
            f"/api/v1/entries/{entry}",
            f"/api/v1/entries/{entry}/content",
            f"/api/v1/entries/{entry}/versions",
        ):
            assert client.get(path).status_code == 404, path
        assert client.get("/api/v1/search", params={"q": "secret"}).json()["entries"] == []
        assert client.post("/api/v1/entries/delete", json={"entries": [entry]}).status_code == 404
        assert Device(client, phone.id).put("b.txt", b"x").status_code == 404
        assert client.post("/api/v1/exports", json={"device": phone.id}).status_code == 404
        assert client.post("/api/v1/exports", json={"entries": [entry]}).status_code == 404
    assert [found["name"] for found in phone.entries()] == ["secret.txt"]


def test_a_device_token_may_delete_into_the_hold_and_manage_nothing(running: Service, owner: httpx2.Client) -> None:
    laptop = Device.make(owner, "laptop")
    stored(laptop, "a.txt", b"kept")
    with bearer(running.url, laptop.token()) as client:
        assert client.delete(f"{laptop.files}/a.txt").status_code == 204
        for method, path, body in (
            ("POST", "/api/v1/devices", {"name": "other"}),
            ("PATCH", f"/api/v1/devices/{laptop.id}", {"name": "mine"}),
            ("DELETE", f"/api/v1/devices/{laptop.id}", None),
            ("GET", f"/api/v1/devices/{laptop.id}/tokens", None),
            ("POST", f"/api/v1/devices/{laptop.id}/tokens", {"label": "more"}),
            ("DELETE", f"/api/v1/devices/{laptop.id}/tokens/1", None),
        ):
            assert client.request(method, path, json=body).status_code == 403, (method, path)
        assert client.get("/").status_code == 401
    assert [found["name"] for found in owner.get("/api/v1/deleted").json()["entries"]] == ["a.txt"]


def test_a_revoked_token_is_refused_at_once(running: Service, owner: httpx2.Client) -> None:
    laptop = Device.make(owner, "laptop")
    with bearer(running.url, laptop.token()) as client:
        assert client.get("/api/v1/me").status_code == 200
        (token,) = owner.get(f"/api/v1/devices/{laptop.id}/tokens").json()["tokens"]
        assert owner.delete(f"/api/v1/devices/{laptop.id}/tokens/{token['id']}").status_code == 204
        assert client.get("/api/v1/me").status_code == 401
    assert owner.delete(f"/api/v1/devices/{laptop.id}/tokens/{token['id']}").status_code == 404


def test_cookie_and_bearer_together_are_the_bearer(running: Service, owner: httpx2.Client) -> None:
    laptop = Device.make(owner, "laptop")
    token = {"Authorization": f"Bearer {laptop.token()}"}
    assert owner.get("/api/v1/me", headers=token).json()["user"] is None
    assert owner.post("/api/v1/devices", json={"name": "x"}, headers=token).status_code == 403
    assert owner.get("/api/v1/me", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_only_an_owner_manages_tokens_and_removal(running: Service) -> None:
    owner_person = new_person()
    member_person = new_person("member", client=owner_person.client)
    with (
        sign_in(running.url, running.settings, owner_person) as owner,
        sign_in(running.url, running.settings, member_person) as member,
    ):
        laptop = Device.make(owner, "laptop")
        seen = Device(member, laptop.id)
        assert seen.put("a.txt", b"a member may upload").status_code == 201
        assert member.patch(f"/api/v1/devices/{laptop.id}", json={"name": "renamed"}).status_code == 200
        assert member.post(f"/api/v1/devices/{laptop.id}/tokens", json={}).status_code == 403
        assert member.get(f"/api/v1/devices/{laptop.id}/tokens").status_code == 403
        assert member.delete(f"/api/v1/devices/{laptop.id}").status_code == 403
        form = {"csrf_token": member.headers["X-CSRF-Token"], "do": "create_token", "label": "x"}
        refused = member.post(f"/devices/{laptop.id}", data=form)
        assert (refused.status_code, "otbd_" in refused.text) == (403, False)


def test_the_token_is_shown_once_and_kept_nowhere(running: Service, owner: httpx2.Client) -> None:
    laptop = Device.make(owner, "laptop")
    form = {"csrf_token": owner.headers["X-CSRF-Token"], "do": "create_token", "label": "nightly"}
    page = owner.post(f"/devices/{laptop.id}", data=form)
    token = page.text.partition('<code id="new-token">')[2].partition("</code>")[0]
    assert token.startswith("otbd_")
    assert page.headers["cache-control"] == "no-store"
    assert token not in owner.get(f"/devices/{laptop.id}").text
    assert token not in running.log()
    with bearer(running.url, token) as client:
        assert client.get("/api/v1/me").status_code == 200
