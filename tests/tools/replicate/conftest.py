"""A world of each test's own, in memory where there is room."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.shared.worlds import World
from tools.run.mariadb import PrivateMariaDB


@pytest.fixture
async def world(mariadb: PrivateMariaDB, quick_folder: Path) -> AsyncIterator[World]:
    folder = quick_folder / "world"
    folder.mkdir()
    made = await World.make(mariadb, folder)
    yield made
    await made.close()
    shutil.rmtree(folder)
