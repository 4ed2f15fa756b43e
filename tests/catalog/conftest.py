"""A catalog on a real MariaDB, its tenants, and files whose bytes need no store."""

import itertools
import uuid
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest
from catalog.catalog import Catalog
from catalog.changes import AddFile
from catalog.settings import Settings, load_settings
from catalog.tenant import TenantScope
from catalog.values import (
    Actor,
    Area,
    Claimable,
    CommitResult,
    DeviceKind,
    EntryPath,
    HandoffClaims,
    Role,
)
from tests.shared.journals import MemoryJournal
from tests.shared.settings import values_for
from tools.migrate.main import migrate
from tools.run.mariadb import PrivateMariaDB

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def catalog_settings(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A migrated database of the module's own."""
    name = f"catalog_{next(_numbers)}"
    folder = tmp_path_factory.mktemp(name)
    settings = settings_from(values_for(folder, mariadb.socket, name))
    await migrate(settings, STORE_ID)
    return settings


STORE_ID = str(uuid.uuid4())


def settings_from(values: dict[str, str]) -> Settings:
    return load_settings(values, Path("/nonexistent"))


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
async def catalog(catalog_settings: Settings, journal: MemoryJournal) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(catalog_settings, journal, STORE_ID)
    yield opened
    await opened.close()


def claims(client: str, **changed: object) -> HandoffClaims:
    """A verified handoff of this billing client."""
    made = HandoffClaims(
        jti=str(uuid.uuid4()),
        expires_at=datetime.now(UTC) + timedelta(seconds=60),
        billing_client=client,
        subject="owner@example.com",
        email="owner@example.com",
        name="Olive Owner",
        label="Maple Street",
        role=Role.OWNER,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


async def sign_in(catalog: Catalog, client: str) -> TenantScope:
    token = await catalog.system.sessions.handoff(claims(client), "127.0.0.1", "pytest")
    view = await catalog.system.sessions.find(token)
    assert view.tenant is not None
    assert view.user is not None
    return catalog.tenant(view.tenant, Actor("user", view.user.name, view.user.id, "127.0.0.1"))


@pytest.fixture
async def scope(catalog: Catalog) -> TenantScope:
    """A new tenant's owner."""
    return await sign_in(catalog, f"client-{uuid.uuid4()}")


@dataclass(frozen=True)
class Uploader:
    """Adds files as an upload does, but for the bytes: claim, then commit."""

    scope: TenantScope
    device_id: int

    async def add(self, *files: tuple[str, bytes], mtime_ns: int = 1_700_000_000_000_000_000) -> CommitResult:
        blobs = [blob_for(content) for _, content in files]
        facts = [Claimable(b.digest, b.size_bytes, b.stored_bytes, b.crc32, b.encoding) for b in blobs]
        made = await self.scope.blobs.claim(facts)
        changes = [
            AddFile(EntryPath.parse(path), blob, claim.blob_id, mtime_ns)
            for (path, _), blob, claim in zip(files, blobs, made, strict=True)
        ]
        return await self.scope.manifests.commit(self.device_id, changes)

    async def names(self, path: str = "", at: datetime | None = None) -> list[str]:
        page = await self.scope.entries.page(self.device_id, Area.ORIGINALS, EntryPath.parse(path), at=at)
        return [entry.name.decode() for entry in page.items]


def blob_for(content: bytes) -> Blob:
    return Blob(Digest.of(content), len(content), len(content), zlib.crc32(content), Encoding.IDENTITY, OWN_FILE)


@pytest.fixture
async def laptop(scope: TenantScope) -> Uploader:
    device = await scope.devices.create("laptop", DeviceKind.LAPTOP, ["/home/olive/Pictures"])
    return Uploader(scope, device.id)
