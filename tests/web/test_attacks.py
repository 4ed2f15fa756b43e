"""Names and paths that mean to be more: out of a device, into a header, a log, a page. In every place one goes."""

import base64
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import httpx2
import pytest

from tests.shared.portal import handoff, new_person
from tests.shared.service import Service
from tests.web.device import Device, Wire, as_sent, stored
from tests.web.tus_client import create

DIGEST: Final = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
"""Of nothing, which everybody has."""
ESCAPES: Final = ["..", "../up", "a/../../up", "a/./b", "a//b", "tab\tname", "line\nfeed", "nul\0", "a/../b"]

ODD: Final = {"tab\tname", "line\nfeed"}
BYTES: Final = "a manifest's path in bytes"

Place = Callable[[Device, str], httpx2.Response]


def _manifest(device: Device, **entry: Any) -> httpx2.Response:
    entries = [{"digest": DIGEST, "size": 0} | entry]
    return device.client.post(f"/api/v1/devices/{device.id}/manifests", json={"entries": entries})


def _encoded(path: str) -> str:
    return base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")


PLACES: Final[dict[str, Place]] = {
    "a manifest's path": lambda device, path: _manifest(device, path=path),
    BYTES: lambda device, path: _manifest(device, path_bytes=_encoded(path)),
    "a manifest's removed path": lambda device, path: device.client.post(
        f"/api/v1/devices/{device.id}/manifests", json={"entries": [], "removed": [path]}
    ),
    "a resumable upload's path": lambda device, path: create(
        device.client, 1, device=device.id, relativePath=f"x/{path}", filename="x"
    ),
    "a resumable upload's name": lambda device, path: create(device.client, 1, device=device.id, filename=f"x/{path}"),
    "a new folder": lambda device, path: device.client.post(
        f"/api/v1/devices/{device.id}/folders", json={"path": path}
    ),
    "a new name": lambda device, path: device.client.post(
        "/api/v1/entries/rename", json={"entry": stored(device, "renamed", b"x"), "name": path}
    ),
    "a folder to move into": lambda device, path: device.client.post(
        "/api/v1/entries/move", json={"entries": [stored(device, "moved", b"x")], "directory": path}
    ),
    "a folder that is listed": lambda device, path: device.client.get(
        f"/api/v1/devices/{device.id}/entries", params={"directory": path}
    ),
    "a folder that is exported": lambda device, path: device.client.post(
        "/api/v1/exports", json={"device": device.id, "directory": path}
    ),
    "a folder of long ago": lambda device, path: device.client.post(
        f"/api/v1/devices/{device.id}/restore", json={"directory": path, "at": "2026-01-01T00:00:00Z"}
    ),
    "a page's folder": lambda device, path: device.client.get(
        f"/files/{device.id}/originals/{quote(path, safe='')}"
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_path_leads_out(laptop: Device, place: str) -> None:
    for path in ESCAPES:
        if place == BYTES and path in ODD:
            continue  # what a computer calls so is backed up so
        answer = PLACES[place](laptop, path)
        assert answer.status_code in {400, 404, 409}, (path, answer.text)
    assert {entry["name"] for entry in laptop.entries()} <= {"renamed", "moved"}


@pytest.mark.parametrize(
    "address",
    [
        "/static/../pyproject.toml",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static/..%2f..%2fpyproject.toml",
        "/static//etc/passwd",
        "/static/....//....//etc/passwd",
        "/static/..%5c..%5cpyproject.toml",
        "/connect/..%2f..%2fpyproject.whl",
        "/connect/%2e%2e/x.whl",
        "/api/v1/exports/..%2f..%2fetc/passwd.zip",
    ],
)
def test_no_address_leads_out(running: Service, owner: httpx2.Client, address: str) -> None:
    with Wire(running.url) as wire:
        wire.head("GET", address.encode(), as_sent(owner))
        status, _, body = wire.answer()
    assert status in {400, 404}
    assert b"root:" not in body
    assert b"[project]" not in body


def test_trace_is_no_method_here(owner: httpx2.Client) -> None:
    answer = owner.request("TRACE", "/", headers={"X-Said": "echo"})
    assert answer.status_code == 405
    assert "echo" not in answer.text


SPLITS: Final = ["%0d%0aX-Injected:%201", "%0aX-Injected:%201", "%E5%98%8A%E5%98%8DX-Injected:%201", "%0d%0a%0d%0a<b>"]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("where", ["/{}", "/files/{}", "/search?q={}", "/auth/handoff?token={}", "/api/v1/search?q={}"])
def test_no_header_and_no_log_line_is_made_by_an_address(
    running: Service, owner: httpx2.Client, where: str, split: str
) -> None:
    with Wire(running.url) as wire:
        wire.head(
            "GET", where.format(split).encode(), as_sent(owner) | {"User-Agent": f"x{split}", "X-Request-Id": split}
        )
        _, headers, body = wire.answer()
    assert "x-injected" not in headers
    assert b"<b>" not in body
    assert not any("injected" in line.lower() for line in running.log().splitlines())


def test_no_header_is_made_by_a_name(owner: httpx2.Client, laptop: Device) -> None:
    """A computer may have such files; they come back under a name that every header bears."""
    assert _manifest(laptop, path_bytes=_encoded("a\r\nX-Injected: 1\r\n\r\n<b>.txt")).status_code == 201
    (entry,) = laptop.entries()
    answer = owner.get(f"/api/v1/entries/{entry['id']}/content")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "x-injected" not in answer.headers
    assert "%0D%0AX-Injected" in answer.headers["content-disposition"]
    assert "<b>.txt" not in owner.get(f"/entries/{entry['id']}").text


def test_no_log_line_is_made_by_what_the_portal_says_of_somebody(running: Service) -> None:
    """Names come signed, and are still somebody's choice."""
    token = handoff(running.settings, new_person(), name="A\n2026-01-01 INFO otb.web: INJECTED")
    httpx2.post(f"{running.url}/auth/handoff", data={"token": token})
    assert "INJECTED" not in running.log()


def test_a_name_is_text_wherever_it_is_shown(owner: httpx2.Client, laptop: Device) -> None:
    """A file's, a folder's, a device's, a note's: in pages, and in the data inside of pages."""
    evil = "</script><svg onload=alert(1)>'\"&"
    device = Device.make(owner, evil)
    path = quote(evil.replace("/", "∕"), safe="")
    entry = stored(device, f"{path}/{path}", b"x")
    owner.post("/api/v1/exports", json={"entries": [entry]})
    folder = f"/files/{device.id}/originals/"
    pages = ["/", "/devices", f"/devices/{device.id}", folder, folder + path, f"/entries/{entry}", "/exports",
             f"/history/{device.id}", "/audit", f"/search?q={quote(evil)}"]  # fmt: skip
    shown = 0
    for page in pages:
        answer = owner.get(page)
        assert answer.status_code == 200, (page, answer.status_code)
        assert "<svg onload" not in answer.text, page
        shown += "&lt;svg onload" in answer.text
    assert shown >= 6
