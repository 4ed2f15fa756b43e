"""A store and a catalog without a server, and one account: uploads, purges and sweeps as the service does them, step by
step, so that tests can stop between any two."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cas.blob import Blob
from cas.digest import Digest
from cas.journal import Journal
from cas.staged import Staged
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.changes import AddFile, AddKnown, PathChange
from catalog.packs import NewPack
from catalog.settings import Settings, load_settings
from catalog.tenant import TenantScope
from catalog.values import Area, Claim, Claimable, CommitResult, DeviceKind, Entry, EntryPath, Purged
from tests.catalog.conftest import sign_in
from tests.shared.settings import GivenSettings, values_for, write_settings
from tests.shared.stores import SparseBackend, new_store
from tools.migrate.main import migrate
from tools.run.mariadb import PrivateMariaDB
from tools.sweep.main import steps
from tools.sweep.report import Report


async def make_site(mariadb: PrivateMariaDB, folder: Path, name: str, **values: str) -> GivenSettings:
    """A migrated database and a new store, without a grace: what a test lets go of goes with the next two sweeps."""
    given = write_settings(
        folder / "settings",
        values_for(folder, mariadb.socket, name) | {"SWEEP_GRACE_HOURS": "0", "TRASH_DAYS": "0"} | values,
    )
    settings = load_settings(given.environ)
    settings.storage_root.mkdir()
    backend, store = new_store(settings.storage_root)
    backend.close()
    await migrate(settings, store.store_id)
    return given


@dataclass
class Rig:
    """One account's owner on an open store and catalog."""

    settings: Settings
    backend: SparseBackend
    store: BlobStore
    catalog: Catalog
    scope: TenantScope
    device_id: int
    reports: list[Report] = field(default_factory=list)

    # -- an upload in its steps

    def stage(self, data: bytes) -> Staged:
        return self.store.stage([data])

    async def claim(self, staged: Staged) -> Claim:
        blob = staged.blob
        facts = Claimable(blob.digest, blob.size_bytes, blob.stored_bytes, blob.crc32, str(blob.encoding))
        return (await self.scope.blobs.claim([facts]))[0]

    def place(self, staged: Staged, claim: Claim) -> Blob:
        """As the server does: beside a healthy packed copy no file of its own is left."""
        if claim.packed is None:
            return self.store.place(staged)
        staged.discard()
        return claim.packed

    async def commit(self, path: str, blob: Blob, claim: Claim) -> CommitResult:
        return await self._commit([AddFile(EntryPath.parse(path), blob, claim.blob_id, 1)])

    async def upload(self, path: str, data: bytes) -> Blob:
        """One file as a single upload."""
        staged = self.stage(data)
        claim = await self.claim(staged)
        blob = self.place(staged, claim)
        await self.commit(path, blob, claim)
        return blob

    async def upload_batch(self, files: Mapping[str, bytes]) -> tuple[Blob, ...]:
        """Files as a batch in one pack, which takes no empty ones, and the manifest that names them."""
        contents = [data for data in files.values() if data]
        blobs = await self.send_batch(*contents) if contents else ()
        await self._commit(
            [AddKnown(EntryPath.parse(path), Digest.of(data), len(data), 1) for path, data in files.items()]
        )
        return blobs

    async def send_batch(self, *contents: bytes) -> tuple[Blob, ...]:
        """Bytes that no manifest names yet."""
        pack = await self.place_pack(*contents)
        await self.scope.blobs.receive(pack)
        return tuple(pack.blobs)

    async def upload_bundle(self, files: Mapping[str, bytes]) -> CommitResult:
        """Files as a bundle: the pack stands or falls with the manifest that names what is in it."""
        contents = [data for data in files.values() if data]
        pack = await self.place_pack(*contents) if contents else None
        known = [AddKnown(EntryPath.parse(path), Digest.of(data), len(data), 1) for path, data in files.items()]
        return await self.scope.manifests.commit(self.device_id, known, pack=pack)

    async def place_pack(self, *contents: bytes) -> NewPack:
        """A pack that is placed, and that no row but its own knows of."""
        with self.store.pack() as writer:
            for data in contents:
                writer.add(data)
            await self.scope.blobs.begin_pack(writer.pack_id)
            staged = writer.finish()
        return NewPack(staged.pack_id, staged.stored_bytes, self.store.place_pack(staged))

    async def _commit(self, changes: list[PathChange]) -> CommitResult:
        return await self.scope.manifests.commit(self.device_id, changes)

    # -- what a person does

    async def entry(self, path: str) -> Entry:
        return await self.scope.entries.by_path(self.device_id, Area.ORIGINALS, EntryPath.parse(path))

    async def purge(self, *paths: str) -> Purged:
        return await self.scope.purge.entries([(await self.entry(path)).id for path in paths])

    async def read(self, path: str) -> bytes:
        """The file's bytes, by its row as it is now."""
        blob = (await self.entry(path)).blob
        assert blob is not None
        with self.store.read(blob) as reader:
            return b"".join(reader.chunks())

    # -- the sweep

    async def sweep(self, *, full: bool = True) -> Report:
        """A whole sweep."""
        report = Report(self.store.store_id)
        for _, step in steps(self.settings, self.catalog, self.store, self.backend, report, full=full):
            await step()
        self.reports.append(report)
        return report

    async def sweeps(self, count: int = 3) -> Report:
        """As many as it takes from the purge to the empty trash; the last one's report."""
        for _ in range(count):
            report = await self.sweep()
            assert report.alarms == []
        return report

    async def fetch(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        """Look into the database."""
        async with self.catalog._database.reading() as tx:
            return await tx.fetch_all(sql, params)

    async def state(self, data: bytes) -> str | None:
        """The state of the row of these bytes; None without one."""
        rows = await self.fetch("SELECT state FROM `blob` WHERE digest = %s", Digest.of(data).raw)
        return str(rows[0][0]) if rows else None

    def files(self, folder: str = "blobs") -> list[str]:
        """The keys below a folder of the store, but for the empty blob's."""
        empty = Digest.of(b"").hex
        return [info.key for info in self.backend.list(f"{folder}/") if empty not in info.key]

    async def missing(self) -> list[str]:
        """What must never be: paths of entries, in any state, whose bytes cannot be read whole."""
        rows = await self.fetch(
            "SELECT e.id FROM entry e WHERE e.tenant_id = %s AND e.kind = 'file'", self.scope.tenant.id
        )
        lost = []
        for entry in [await self.scope.entries.get(int(str(row[0]))) for row in rows]:
            assert entry.blob is not None
            try:
                await asyncio.to_thread(self.store.check, entry.blob)
            except Exception as error:  # noqa: BLE001 - whatever it is, the file is lost
                lost.append(f"{entry.path}: {error}")
        return lost


@asynccontextmanager
async def open_rig(given: GivenSettings, connections_max: int = 4, **changed: object) -> AsyncIterator[Rig]:
    """A new account on the site, with one device. `changed`: other settings for its sweeps."""
    settings = replace(given.settings, **changed)  # type: ignore[arg-type]
    backend = SparseBackend(settings.storage_root)
    store = BlobStore.open(backend)
    catalog = await Catalog.open(settings, Journal(backend), store.store_id, connections_max=connections_max)
    scope = await sign_in(catalog, f"client-{uuid.uuid4()}")
    device = await scope.devices.create("laptop", DeviceKind.LAPTOP)
    try:
        yield Rig(settings, backend, store, catalog, scope, device.id)
    finally:
        await catalog.close()
        backend.close()
