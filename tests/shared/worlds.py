"""A whole service without its web half: a real MariaDB, a real store with its journal, and customers who use them."""

import itertools
import secrets
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cas.blob import Blob
from cas.digest import Digest
from cas.errors import StoreFailed
from cas.journal import Journal
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.changes import AddFile, AddKnown, PathChange
from catalog.packs import NewPack
from catalog.settings import Settings, load_settings
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, Claimable, CommitResult, DeviceKind, EntryKind, EntryPath, HandoffClaims, Role
from tests.shared.settings import values_for
from tests.shared.stores import SparseBackend, new_store
from tools.migrate.main import migrate
from tools.run.mariadb import PrivateMariaDB

_numbers = itertools.count(1)


async def make_empty_catalog(values: dict[str, str], store_id: str) -> Settings:
    """A migrated database that is bound to the store, and its settings."""
    settings = load_settings(values, Path("/nonexistent"))
    await migrate(settings, store_id)
    return settings


class FailingJournal(Journal):
    """A journal that can be told to refuse after so many records."""

    left: int | None = None

    def append(self, chain: str, sequence: int, previous: Digest | None, body: bytes) -> Digest:
        if self.left == 0:
            raise StoreFailed("the journal takes no record, for a test's sake")
        if self.left is not None:
            self.left -= 1
        return super().append(chain, sequence, previous, body)


@dataclass
class World:
    """A store, the catalog that goes with it, and the settings that name both."""

    settings: Settings
    values: dict[str, str]
    backend: SparseBackend
    store: BlobStore
    journal: "FailingJournal"
    catalog: Catalog

    @classmethod
    async def make(cls, mariadb: PrivateMariaDB, folder: Path) -> "World":
        """A new one below `folder`."""
        name = f"world_{next(_numbers)}_{secrets.token_hex(3)}"
        values = values_for(folder, mariadb.socket, name)
        Path(values["STORAGE_ROOT"]).mkdir(parents=True)
        backend, store = new_store(Path(values["STORAGE_ROOT"]))
        settings = await make_empty_catalog(values, store.store_id)
        journal = FailingJournal(backend)
        catalog = await Catalog.open(settings, journal, store.store_id)
        return cls(settings, values, backend, store, journal, catalog)

    async def empty_twin(self) -> Settings:
        """The settings of another, empty catalog of the same store."""
        name = f"{self.settings.mariadb_db[:40]}_t{next(_numbers)}"
        values = self.values | {"MARIADB_DB": name, "MARIADB_USER": name}
        return await make_empty_catalog(values, self.store.store_id)

    async def close(self) -> None:
        await self.catalog.close()
        self.backend.close()

    @contextmanager
    def failing_journal(self, after: int) -> Iterator[None]:
        """From the record after so many on, the medium refuses; the caller sees the commit fail."""
        self.journal.left = after
        try:
            yield
        except StoreFailed:
            pass
        finally:
            self.journal.left = None

    async def sign_in(self, client: str) -> TenantScope:
        """The owner of an account, made if it is new."""
        claims = HandoffClaims(
            jti=str(uuid.uuid4()),
            expires_at=datetime.now(UTC) + timedelta(seconds=60),
            billing_client=client,
            subject="owner@example.com",
            email="owner@example.com",
            name="Olive Owner",
            label=f"The {client}s",
            role=Role.OWNER,
        )
        view = await self.catalog.system.sessions.find(
            await self.catalog.system.sessions.handoff(claims, "127.0.0.1", "pytest")
        )
        assert view.tenant is not None
        assert view.user is not None
        return self.catalog.tenant(view.tenant, Actor("user", view.user.name, view.user.id, "127.0.0.1"))


@dataclass
class Computer:
    """A device of a customer's, which sends real bytes."""

    world: World
    scope: TenantScope
    device_id: int

    @classmethod
    async def make(cls, world: World, scope: TenantScope, name: str) -> "Computer":
        device = await scope.devices.create(name, DeviceKind.LAPTOP, [f"/home/{name}"])
        return cls(world, scope, device.id)

    async def put(self, files: dict[str, bytes], mtime_ns: int | None = 1_700_000_000_000_000_000) -> CommitResult:
        """Each file in a file of its own, all in one manifest."""
        staged = [self.world.store.stage([content]) for content in files.values()]
        facts = [Claimable(s.digest, s.size_bytes, s.stored_bytes, s.crc32, s.encoding) for s in staged]
        claims = await self.scope.blobs.claim(facts)
        blobs = [self.world.store.place(s) for s in staged]
        changes = [
            AddFile(EntryPath.parse(path), blob, claim.blob_id, mtime_ns)
            for path, blob, claim in zip(files, blobs, claims, strict=True)
        ]
        return await self.scope.manifests.commit(self.device_id, changes)

    async def send(self, contents: Sequence[bytes]) -> tuple[Blob, ...]:
        """Bytes in one pack, possessed by lease."""
        writer = self.world.store.pack()
        for content in dict.fromkeys(contents):
            writer.add(content)
        staged = writer.finish()
        await self.scope.blobs.begin_pack(staged.pack_id)
        blobs = self.world.store.place_pack(staged)
        await self.scope.blobs.receive(NewPack(staged.pack_id, staged.stored_bytes, blobs))
        return blobs

    async def bundle(self, files: dict[str, bytes], mtime_ns: int = 1_700_000_000_000_000_000) -> CommitResult:
        """Bytes and names in one step: the last statements are one transaction."""
        with self.world.store.pack() as writer:
            for content in files.values():
                writer.add(content)
            staged = writer.finish()
        await self.scope.blobs.begin_pack(staged.pack_id)
        pack = NewPack(staged.pack_id, staged.stored_bytes, self.world.store.place_pack(staged))
        changes = [
            AddKnown(EntryPath.parse(path), Digest.of(content), len(content), mtime_ns)
            for path, content in files.items()
        ]
        return await self.scope.manifests.commit(self.device_id, changes, pack=pack)

    async def put_packed(self, files: dict[str, bytes], mtime_ns: int = 1_700_000_000_000_000_000) -> CommitResult:
        """All files in one pack, and one manifest that names them."""
        await self.send([content for content in files.values() if content])
        changes: list[PathChange] = [
            AddKnown(EntryPath.parse(path), Digest.of(content), len(content), mtime_ns)
            for path, content in files.items()
        ]
        return await self.scope.manifests.commit(self.device_id, changes)

    async def ids(self) -> dict[str, int]:
        """Path → id of everything live."""
        found, folders = {}, [EntryPath(())]
        while folders:
            page = await self.scope.entries.page(self.device_id, Area.ORIGINALS, folders.pop(), limit=500)
            assert page.next is None, "a test's folders are small"
            for entry in page.items:
                found[str(entry.path)] = entry.id
                if entry.kind is EntryKind.DIRECTORY:
                    folders.append(entry.path)
        return found
