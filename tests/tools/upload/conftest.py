"""A server for the client's tests, and computers that back up to it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.shared.service import Service
from tests.shared.sites import new_site
from tests.tools.upload.computer import Computer, join, new_computer
from tools.run.mariadb import PrivateMariaDB


@pytest.fixture(scope="session")
def service(mariadb: PrivateMariaDB, quick_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One server for all of them: making a store costs seconds. A test that kills it starts it again."""
    folder = quick_folder / "client"
    folder.mkdir()
    given = new_site(folder, mariadb.socket, "otb_client_tests")
    running = Service(given, tmp_path_factory.mktemp("client")).start()
    yield running
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture
def make_computer(service: Service, tmp_path: Path) -> Iterator[Callable[..., Computer]]:
    """`make_computer(name, client, on=service)`: a computer of a new account, or of the client's."""
    clients: list[httpx2.Client] = []

    def make(name: str = "laptop", client: httpx2.Client | None = None, on: Service = service) -> Computer:
        if client is None:
            client = join(on)
            clients.append(client)
        return new_computer(on, tmp_path / name, client, name)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def computer(make_computer: Callable[..., Computer]) -> Computer:
    """A computer of a new account."""
    return make_computer()
