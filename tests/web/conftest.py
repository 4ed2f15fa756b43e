"""One running server for all tests of the HTTP side that do not harm it, and people signed in to it."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.shared.portal import new_person, sign_in
from tests.shared.proxy import Site, behind_proxy, certificate, nginx
from tests.shared.service import Service
from tests.shared.sites import new_site
from tests.web.device import Device
from tools.run.mariadb import PrivateMariaDB

FILES = 8_192
QUOTA_BYTES = 64 << 20
UPLOAD_BYTES_MAX = 24 << 20


@pytest.fixture(scope="session")
def running(mariadb: PrivateMariaDB, quick_folder: Path) -> Iterator[Service]:
    """The server. Small limits, so that tests reach them: 64 MiB an account, 24 MiB an upload."""
    folder = quick_folder / "web"
    folder.mkdir()
    limits = {"QUOTA_DEFAULT_BYTES": str(QUOTA_BYTES), "UPLOAD_BYTES_MAX": str(UPLOAD_BYTES_MAX)}
    given = new_site(folder, mariadb.socket, "otb_web_tests", **limits)
    service = Service(given, folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def site(mariadb: PrivateMariaDB, quick_folder: Path) -> Iterator[Site]:
    """A server behind nginx, which is reached with and without it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As systemd lets the service have, and nginx its workers.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, before[1]), before[1]))
    folder = quick_folder / "site"
    folder.mkdir()
    service = behind_proxy(new_site(folder, mariadb.socket, "otb_site_tests"), folder).start()
    tls = certificate(folder)
    with nginx(service, tls, folder) as proxied:
        yield Site(service, {"alone": service.url, "nginx": proxied}, tls)
    service.stop()


@pytest.fixture
def join(running: Service) -> Iterator[Callable[[], httpx2.Client]]:
    """`join()`: an owner of a new account, signed in."""
    clients: list[httpx2.Client] = []

    def joined() -> httpx2.Client:
        client = sign_in(running.url, running.settings, new_person())
        clients.append(client)
        return client

    yield joined
    for client in clients:
        client.close()


@pytest.fixture
def owner(join: Callable[[], httpx2.Client]) -> httpx2.Client:
    """The owner of a new account."""
    return join()


@pytest.fixture
def laptop(owner: httpx2.Client) -> Device:
    """A device of the owner's."""
    return Device.make(owner, "laptop")
