"""A server and a worker on one database and store, for the tests that do not harm them."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.shared.workers import WorkerProcess
from tests.web.device import Device


@pytest.fixture(scope="module")
def worker(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """The module's own running worker."""
    started = WorkerProcess(service.given, tmp_path_factory.mktemp("worker")).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def owner(service: Service) -> Iterator[httpx2.Client]:
    """The owner of a new account."""
    with sign_in(service.url, service.settings, new_person()) as client:
        yield client


@pytest.fixture(scope="module")
def laptop(owner: httpx2.Client) -> Device:
    return Device.make(owner, "laptop")


@pytest.fixture(scope="module")
def samples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where films and sounds are made."""
    return tmp_path_factory.mktemp("samples")
