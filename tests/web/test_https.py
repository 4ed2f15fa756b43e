"""Behind https: cookies that only https carries and that are tied to the host."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from tests.shared.portal import handoff, new_person
from tests.shared.service import Service
from web.app import create_app, open_services

PUBLIC_URL = "https://otb-cloud.example"


@pytest.fixture
async def client(running: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser at the public name of a second server on the same store and database."""
    settings = replace(running.settings, public_url=PUBLIC_URL)
    async with open_services(settings) as held:
        app = create_app(settings, held)

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": {"services": held}}, receive, send)

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(with_state), base_url=PUBLIC_URL) as browser:
            yield browser


@pytest.mark.anyio
async def test_cookies_are_secure_and_the_hosts_own(running: Service, client: httpx2.AsyncClient) -> None:
    entered = await client.post("/auth/handoff", data={"token": handoff(running.settings, new_person())})
    cookie = entered.headers["set-cookie"]
    assert cookie.startswith("__Host-otb_session=")
    assert {part.strip().lower() for part in cookie.split(";")[1:]} >= {"secure", "httponly", "samesite=lax", "path=/"}
    assert "domain" not in cookie.lower()
    assert "strict-transport-security" in entered.headers
    home = await client.get("/")
    assert home.status_code == 200
    plain = {"Cookie": f"otb_session={client.cookies['__Host-otb_session']}"}
    async with httpx2.AsyncClient(transport=client._transport, base_url=PUBLIC_URL) as other:
        assert (await other.get("/api/v1/me", headers=plain)).status_code == 401
    me = await client.get("/api/v1/me")
    out = await client.post("/sign-out", data={"csrf_token": me.json()["csrf_token"]})
    assert out.headers["set-cookie"].startswith('__Host-otb_session="";')
    assert "secure" in out.headers["set-cookie"].lower()
