"""A site of a test's own: a store and a database, made as tools/store and tools/migrate do, and their settings."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cas.local import LocalBackend
from cas.store import BlobStore
from tests.shared.settings import GivenSettings, values_for, write_settings
from tools.migrate.main import migrate
from tools.store.main import init


def new_site(folder: Path, socket: Path, name: str, **values: str) -> GivenSettings:
    """A store and its settings file below `folder`, and the database `name` on the MariaDB that listens at `socket`."""
    given = write_settings(folder / "settings", values_for(folder, socket, name) | values)
    settings = given.settings
    init(settings.storage_root)
    store = BlobStore.open(LocalBackend(settings.storage_root))
    # In a thread of its own: the test that asks may be running in an event loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, migrate(settings, store.store_id)).result()
    return given
