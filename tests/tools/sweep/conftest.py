"""A site of the module's own, and a new account on it for each test."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.shared.rig import Rig, make_site, open_rig
from tests.shared.settings import GivenSettings
from tools.run.mariadb import PrivateMariaDB

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def site(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> GivenSettings:
    name = f"sweep_{next(_numbers)}"
    return await make_site(mariadb, tmp_path_factory.mktemp(name), name)


@pytest.fixture
async def rig(site: GivenSettings) -> AsyncIterator[Rig]:
    async with open_rig(site) as opened:
        yield opened


@pytest.fixture
def folder(site: GivenSettings) -> Path:
    """The store's."""
    return site.settings.storage_root
