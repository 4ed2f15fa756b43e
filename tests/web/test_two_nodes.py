"""Two servers on one database and one store: what was begun at one goes on at the other."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.shared.service import Service
from tests.web.device import Device, as_sent
from tests.web.test_exports import MIB, export


@pytest.fixture(scope="module")
def other(running: Service, quick_folder: Path) -> Iterator[Service]:
    """Another server beside the running one."""
    service = Service(running.given, quick_folder).start()
    yield service
    service.stop()


def test_a_zip_goes_on_at_another_server(owner: httpx2.Client, laptop: Device, other: Service) -> None:
    """With the same session, after a break anywhere: in a large file, among small ones, in the directory."""
    assert laptop.put("video.mp4", os.urandom(3 * MIB)).status_code == 201
    for number in range(40):
        assert laptop.put(f"notes/{number}.txt", b"note %d" % number).status_code == 201
    made = export(owner, device=laptop.id)
    whole = owner.get(made["url"])
    for got in (MIB, made["size_bytes"] - 5_000, made["size_bytes"] - 100):
        asked = as_sent(owner) | {"Range": f"bytes={got}-", "If-Range": whole.headers["etag"]}
        rest = httpx2.get(other.url + made["url"], headers=asked, timeout=60)
        assert (rest.status_code, rest.headers["etag"]) == (206, whole.headers["etag"])
        assert whole.content[:got] + rest.content == whole.content
