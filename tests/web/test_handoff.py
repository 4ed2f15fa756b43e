"""Coming in from the portal: one token, one session; every refusal a page that says why, and an audit event."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import jwt
import pytest

from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.values import Actor
from tests.shared.portal import handoff, new_person, sign_in
from tests.shared.service import Service


def post(running: Service, token: str, **options: Any) -> httpx2.Response:
    return httpx2.post(f"{running.url}/auth/handoff", data={"token": token}, **options)


def reasons(client: httpx2.Client) -> list[str]:
    """Why sign-ins to this account were refused, newest first, as its own audit says."""
    events = client.get("/api/v1/audit", params={"action": "sign_in.refused"}).json()["events"]
    return [event["detail"]["reason"] for event in events]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_handoff_makes_a_session_and_leaves_no_token_behind(running: Service, method: str) -> None:
    token = handoff(running.settings, new_person())
    with httpx2.Client(base_url=running.url) as client:
        where = {"params": {"token": token}} if method == "GET" else {"data": {"token": token}}
        answer = client.request(method, "/auth/handoff", **where)  # type: ignore[arg-type]
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        cookie = answer.headers["set-cookie"].lower()
        assert cookie.startswith("otb_session=")
        assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/"))
        assert "domain" not in cookie
        assert client.get("/").status_code == 200
    assert token not in running.log()


def test_the_handoff_may_come_from_another_site(running: Service) -> None:
    """The portal is one; nothing else is let through from another site."""
    token = handoff(running.settings, new_person())
    assert post(running, token, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 303


def test_two_people_of_one_client_share_an_account_and_others_do_not(running: Service) -> None:
    first = new_person()
    colleague = new_person("member", client=first.client)
    with sign_in(running.url, running.settings, first) as a, sign_in(running.url, running.settings, colleague) as b:
        mine, theirs = a.get("/api/v1/me").json(), b.get("/api/v1/me").json()
        assert mine["tenant"] == theirs["tenant"]
        assert (mine["user"]["role"], theirs["user"]["role"]) == ("owner", "member")
    with sign_in(running.url, running.settings) as c:
        assert c.get("/api/v1/me").json()["tenant"]["id"] != mine["tenant"]["id"]


@pytest.mark.anyio
async def test_of_fifty_uses_at_once_exactly_one_gets_a_session(running: Service) -> None:
    person = new_person()
    token = handoff(running.settings, person)
    limits = httpx2.Limits(max_connections=50)
    async with httpx2.AsyncClient(base_url=running.url, limits=limits, timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/auth/handoff", data={"token": token}) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [303] + [403] * 49
    assert sum("set-cookie" in answer.headers for answer in answers) == 1
    refused = [answer for answer in answers if answer.status_code == 403]
    assert all("used already" in answer.text for answer in refused)
    with sign_in(running.url, running.settings, person) as client_of_person:
        assert reasons(client_of_person) == ["replayed"] * 49


@pytest.mark.parametrize(
    ("claims", "status", "words"),
    [
        ({"iat": 1_700_000_000, "exp": 1_700_000_060}, 403, "has expired"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_060}, 403, "not valid yet"),
        ({"aud": "otb-billing"}, 403, "another service"),
        ({"iss": "other"}, 403, "not from our portal"),
        ({"role": None}, 403, "not valid"),
        ({"exp": int(time.time()) + 4000}, 403, "not valid"),
    ],
)
def test_each_refusal_is_a_page(running: Service, claims: dict[str, Any], status: int, words: str) -> None:
    answer = post(running, handoff(running.settings, new_person(), **claims))
    assert answer.status_code == status
    assert words in answer.text
    assert running.settings.otb_portal_url in answer.text
    assert "set-cookie" not in answer.headers


def test_a_forged_token_is_refused(running: Service) -> None:
    payload = jwt.decode(handoff(running.settings, new_person()), options={"verify_signature": False})
    answer = post(running, jwt.encode(payload, "0" * 64, "HS256"))
    assert answer.status_code == 403
    assert "This sign-in link is not valid" in answer.text


@pytest.mark.parametrize("how", ["get", "post"])
def test_without_a_token_the_page_leads_to_the_portal(running: Service, how: str) -> None:
    answer = httpx2.get(f"{running.url}/auth/handoff") if how == "get" else post(running, "")
    assert answer.status_code == 400
    assert "Sign in through the portal" in answer.text


def test_a_refused_handoff_ends_no_session(running: Service) -> None:
    with sign_in(running.url, running.settings) as client:
        assert client.post("/auth/handoff", data={"token": "x"}).status_code == 403
        assert client.get("/api/v1/me").status_code == 200


def test_a_look_at_the_link_does_not_spend_it(running: Service) -> None:
    token = handoff(running.settings, new_person())
    assert httpx2.head(f"{running.url}/auth/handoff", params={"token": token}).status_code == 204
    assert post(running, token).status_code == 303


def test_a_new_handoff_replaces_the_browsers_session(running: Service) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as client:
        before = dict(client.cookies)
        again = client.post("/auth/handoff", data={"token": handoff(running.settings, person)})
        assert again.status_code == 303
    with httpx2.Client(base_url=running.url, cookies=before) as old:
        assert old.get("/api/v1/me").status_code == 401


@pytest.mark.anyio
async def test_suspension_shuts_every_door_at_once(running: Service) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as client:
        async with opened(running) as catalog:
            tenant = await catalog.system.tenant_by_client(person.client)
            operator = Actor("operator", "test")
            await catalog.system.suspend(tenant.id, operator)
            answer = post(running, handoff(running.settings, person))
            assert (answer.status_code, "This account is suspended" in answer.text) == (403, True)
            closed = client.get("/api/v1/me")
            assert (closed.status_code, closed.json()["title"]) == (403, "The account is suspended")
            page = client.get("/")
            assert (page.status_code, "This account is suspended" in page.text) == (403, True)
            await catalog.system.resume(tenant.id, operator)
        assert client.get("/api/v1/me").status_code == 200
        assert reasons(client) == ["suspended"]


@pytest.mark.anyio
async def test_every_refusal_is_in_the_audit_with_its_reason(running: Service) -> None:
    person, now = new_person(), int(time.time())
    wrong: dict[str, dict[str, Any]] = {
        "expired": {"iat": now - 4000, "exp": now - 3940},
        "not_yet_valid": {"iat": now + 4000, "exp": now + 4060},
        "wrong_audience": {"aud": "other"},
        "wrong_issuer": {"iss": "other"},
        "malformed": {"role": "king"},
    }
    async with opened(running) as catalog:
        before = await refused_nobodies(catalog)
        for claims in wrong.values():
            post(running, handoff(running.settings, person, **claims))
        post(running, jwt.encode({"alg": "none"}, "0" * 64, "HS384"))
        post(running, "")
        after = await refused_nobodies(catalog)
    assert sorted(after[len(before) :]) == sorted([*wrong, "forged", "missing"])


@asynccontextmanager
async def opened(running: Service) -> AsyncIterator[Catalog]:
    """The server's catalog, as an operator's tool opens it."""
    backend = LocalBackend(running.settings.storage_root)
    catalog = await Catalog.open(running.settings, Journal(backend), BlobStore.open(backend).store_id)
    yield catalog
    await catalog.close()
    backend.close()


async def refused_nobodies(catalog: Catalog) -> list[str]:
    """The reasons of refusals that are in no account's audit, since nobody was verified."""
    async with catalog._database.reading() as tx:
        rows = await tx.fetch_all(
            "SELECT JSON_VALUE(detail, '$.reason') FROM audit_event"
            " WHERE tenant_id IS NULL AND action = 'sign_in.refused' ORDER BY id"
        )
    return [row[0] for row in rows]


def test_staff_are_let_in_and_see_nobody(running: Service) -> None:
    with httpx2.Client(base_url=running.url) as client:
        entered = client.post("/auth/handoff", data={"token": handoff(running.settings, new_person("staff"))})
        assert entered.status_code == 303
        page = client.get("/")
        assert (page.status_code, "You see no customer" in page.text) == (200, True)
        assert client.get("/devices").status_code == 403
        refused = client.get("/api/v1/devices")
        assert (refused.status_code, refused.json()["title"]) == (403, "No access to customers' files")
