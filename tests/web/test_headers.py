"""The headers that every answer carries, errors included, and the host names that are answered to."""

from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from catalog.settings import Settings
from tests.shared.service import Service
from tests.web.device import Device, Wire, stored
from tests.web.test_sessions import address_of, named
from web.error_answers import answer_error
from web.middleware import Guard
from web.operations import OPERATIONS
from web.routing import Operation

SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


def check(answer: httpx2.Response) -> None:
    for name, value in SAFE.items():
        assert answer.headers[name] == value, name
    csp = answer.headers["content-security-policy"]
    assert "default-src 'none'" in csp
    assert "frame-ancestors 'none'" in csp
    assert "unsafe" not in csp
    assert len(answer.headers["x-request-id"]) == 16
    assert "server" not in answer.headers
    assert "camera=()" in answer.headers["permissions-policy"]


@pytest.mark.parametrize("operation", named(list(OPERATIONS)))
def test_every_operation_signed_in_or_not(running: Service, owner: httpx2.Client, operation: Operation) -> None:
    check(httpx2.request(operation.method, running.url + address_of(operation)))
    answer = owner.request(operation.method, address_of(operation))
    check(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.status_code < 500


@pytest.mark.parametrize("path", ["/nothing/here", "/api/v1/nothing", "/static/nothing.js", "/static/../web/app.py"])
def test_what_is_not_there(running: Service, path: str) -> None:
    with Wire(running.url) as wire:
        wire.head("GET", path.encode(), {})
        status, headers, body = wire.answer()
    assert status == 404
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert b"request" in body.lower() or headers["content-type"].startswith("text/html")


def test_a_wrong_method_is_told_the_right_ones(owner: httpx2.Client) -> None:
    answer = owner.request("PUT", "/api/v1/devices")
    check(answer)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert answer.json()["type"].endswith("/method-not-allowed")


def test_static_files_may_be_kept_for_a_while(running: Service) -> None:
    answer = httpx2.get(f"{running.url}/static/style.css")
    check(answer)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"


def test_content_can_do_nothing_in_a_browser(owner: httpx2.Client, laptop: Device) -> None:
    entry = stored(laptop, "evil.html", b"<script>alert(1)</script>")
    for address in (f"{laptop.files}/evil.html", f"/api/v1/entries/{entry}/content?inline=1"):
        answer = owner.get(address)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.", "[", "otb@127.0.0.1:x"])
def test_other_host_names_are_refused(running: Service, host: str) -> None:
    answer = httpx2.get(f"{running.url}/livez", headers={"Host": host})
    assert (answer.status_code, answer.json()["title"]) == (421, "Wrong host")
    check(answer)


def test_a_redirect_never_follows_the_host_header(running: Service, owner: httpx2.Client) -> None:
    answer = owner.get("/devices/", headers={"Host": f"localhost:{running.port}"})
    assert answer.status_code == 404


@pytest.fixture
def guarded(running: Service) -> Callable[[str, Callable[[], Response]], Guard]:
    """`guarded(public_url, handler)`: the middleware alone, around a handler."""

    def make(public_url: str, handler: Callable[[], Response]) -> Guard:
        settings: Settings = replace(running.settings, public_url=public_url)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await handler()(scope, receive, send)

        return Guard(app, settings, answer_error)

    return make


Guarded = Callable[[str, Callable[[], Response]], Guard]


@pytest.mark.anyio
async def test_https_adds_strict_transport_and_takes_loopback_names_away(guarded: Guarded) -> None:
    app = guarded("https://cloud.example", lambda: PlainTextResponse("ok"))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://cloud.example") as client:
        answer = await client.get("/api/x")
        assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
        assert (await client.get("/api/x", headers={"Host": "localhost"})).status_code == 421


@pytest.mark.anyio
async def test_an_unexpected_error_says_nothing_of_itself(guarded: Guarded) -> None:
    def broken() -> Response:
        raise RuntimeError("the secret is 42")

    app = guarded("http://127.0.0.1", broken)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answer = await client.get("/api/v1/anything")
    check(answer)
    assert answer.status_code == 500
    assert "42" not in answer.text
    assert answer.json()["request"] == answer.headers["x-request-id"]


def test_a_request_is_no_place_for_forwarded_names(running: Service, owner: httpx2.Client, laptop: Device) -> None:
    """Nobody in front of the server is trusted unless the operator says so: the audit has the real address."""
    stored(laptop, "a.txt", b"x")
    owner.get(f"{laptop.files}/a.txt", headers={"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6"})
    (event,) = owner.get("/api/v1/audit", params={"action": "download"}).json()["events"]
    assert event["address"] == "127.0.0.1"
