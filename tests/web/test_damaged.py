"""Damaged files: their owner sees which, nobody else does, and sending the bytes again heals them."""

import re
from collections.abc import Callable
from contextlib import suppress
from html import unescape

import httpx2

from tests.shared.service import Service
from tests.web.device import Device, bearer, stored
from tests.web.test_downloads import damage, object_of


def test_the_owner_sees_what_is_damaged_until_it_is_healed(
    running: Service, owner: httpx2.Client, laptop: Device, join: Callable[[], httpx2.Client]
) -> None:
    content = b"precious " * 40_000
    entry = stored(laptop, "photos/a.raw", content)
    stored(laptop, "b.txt", b"other")
    assert owner.get("/api/v1/damaged").json() == {"entries": [], "next": None}
    assert "No damaged files" in owner.get("/damaged").text
    damage(object_of(running, content), 20)
    with suppress(httpx2.RemoteProtocolError):  # it breaks off, visibly
        laptop.get("photos/a.raw")
    assert [found["id"] for found in owner.get("/api/v1/damaged").json()["entries"]] == [entry]
    page = owner.get("/damaged").text
    [told] = re.findall(r'<li class="row">.*?</li>', page, re.DOTALL)
    assert (f'href="/entries/{entry}"' in told, "a.raw" in told) == (True, True)
    device = owner.get(f"/api/v1/devices/{laptop.id}").json()["name"]
    assert f"{device} › photos" in unescape(told), "the device on which the original was"
    assert "run the backup of the device it came from, or upload the same file again" in page
    assert "keep the original" in page
    assert join().get("/api/v1/damaged").json()["entries"] == []
    phone = Device.make(owner, "phone")
    with bearer(running.url, phone.token()) as other_device:
        assert other_device.get("/api/v1/damaged").json()["entries"] == []
    assert phone.put("again.raw", content).status_code == 201
    assert owner.get("/api/v1/damaged").json()["entries"] == []
    assert laptop.get("photos/a.raw").content == content
