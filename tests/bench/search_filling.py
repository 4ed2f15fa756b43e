"""A catalog that is filled for measuring: straight into MariaDB's tables by LOAD DATA, without blobs and a journal,
neither of which a search or a folder reads.
"""

import asyncio
import contextlib
import os
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

import msgspec

from cas.local import LocalBackend
from cas.store import BlobStore
from catalog import schema
from catalog.binding import bind_store
from catalog.catalog import Catalog
from catalog.database import Database
from catalog.names import fold, media_kind
from catalog.settings import Settings, load_settings
from catalog.tenant import TenantScope
from catalog.values import Actor, DeviceKind, HandoffClaims, Role
from tests.bench.search_names import STARTED, THINGS, name_of
from tests.shared.journals import MemoryJournal
from tests.shared.settings import values_for
from tools.migrate.main import give_rights, make_database
from tools.run.mariadb import PrivateMariaDB
from tools.store.main import init

LARGE_CLIENT: Final = "client-0"
OTHERS: Final = 3
"""Accounts beside the large one, each with a twentieth of its entries."""
FILES_PER_FOLDER: Final = 200
LARGE_FOLDER: Final = 100_000
LARGE_FOLDER_NAME: Final = b"everything"
ENTRIES_PER_MANIFEST: Final = 5_000
BUFFER_BYTES: Final = 2 << 30
_SPAN_SECONDS: Final = 6_250 * 86_400
_DAY_SECONDS: Final = 86_400

_LOADS: Final = {
    "directory": "tenant_id, id, device_id, area, is_root",
    "manifest": "tenant_id, device_id, sequence, at, actor_kind, actor, note, added, removed, size_bytes",
    "entry": (
        "tenant_id, id, device_id, area, node_id, parent_id, name, name_fold, kind, media_kind, blob_id, size_bytes,"
        " mtime_ns, added_seq, added_at"
    ),
}


@dataclass(frozen=True)
class Filled:
    """`values`: the settings as text; `paths`: a list of the large account's files, a line each."""

    values: dict[str, str]
    settings: Settings
    root: Database
    catalog: Catalog
    large: TenantScope
    paths: Path

    async def close(self) -> None:
        await self.catalog.close()
        await self.root.close()


async def filled(folder: Path, private: PrivateMariaDB, entries: int) -> Filled:
    """Accounts with so many files in the largest; filled once where the folder is kept."""
    paths, file = folder / "paths", folder / "settings.json"
    is_new = not paths.exists()
    if is_new:
        file.write_bytes(msgspec.json.encode(values_for(folder, private.socket, "bench")))
    values = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    settings = load_settings(values, folder / "none")
    if not settings.storage_root.exists():
        init(settings.storage_root)
    with contextlib.closing(LocalBackend(settings.storage_root)) as backend:
        store_id = BlobStore.open(backend).store_id
    root = await prepared(settings, store_id)
    catalog = await Catalog.open(settings, MemoryJournal(), store_id)
    scopes = [await account(catalog, f"client-{number}") for number in range(1 + OTHERS)]
    if is_new:
        listed = paths.with_suffix(".new")
        async with _without_keys(root):
            for number, scope in enumerate(scopes):
                count = entries if number == 0 else entries // 20
                await fill(root, scope, count, folder, listed if number == 0 else None)
                print(f"account {number + 1}: {count:,} files", flush=True)
        listed.rename(paths)
    return Filled(values, settings, root, catalog, scopes[0], paths)


async def prepared(settings: Settings, store_id: str) -> Database:
    """A connection that may do all, to a database of today's schema."""
    admin: dict[str, object] = {"unix_socket": settings.mariadb_socket, "user": "root", "password": ""}
    await make_database(admin, settings)
    root = await Database.open(connect=admin | {"database": settings.mariadb_db}, connections_max=1)
    await schema.migrate(root, schema.load_migrations())
    await give_rights(root, settings)
    await bind_store(root, store_id)
    async with root.reading() as tx:
        await tx.execute(f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_BYTES}")
    return root


async def account(catalog: Catalog, client: str) -> TenantScope:
    """The account of this client, made where there is none."""
    now = datetime.now(UTC)
    until, name = now + timedelta(seconds=60), "o@example.com"
    claims = HandoffClaims(f"bench-{client}-{now}", until, client, "owner", name, "Owner", client, Role.OWNER)
    token = await catalog.system.sessions.handoff(claims, "127.0.0.1", "bench")
    view = await catalog.system.sessions.find(token)
    if view.tenant is None or view.user is None:
        raise AssertionError("an owner has a tenant")
    return catalog.tenant(view.tenant, Actor("user", view.user.name, view.user.id))


@contextlib.asynccontextmanager
async def _without_keys(root: Database) -> AsyncIterator[None]:
    """Without the keys of `entry` that are not unique: they are made at the end, by sorting, which costs a half."""
    async with root.reading() as tx:
        await tx.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0, max_statement_time = 0")
        _, table = await tx.fetch_one("SHOW CREATE TABLE entry") or ("", "")
        keys = re.findall(r"^ +(KEY (`\w+`) .*?),?$", table, re.MULTILINE)
        await tx.execute("ALTER TABLE entry " + ", ".join(f"DROP KEY {name}" for _, name in keys))
    yield
    async with root.reading() as tx:
        await tx.execute("ALTER TABLE entry " + ", ".join(f"ADD {key}" for key, _ in keys))


async def fill(root: Database, scope: TenantScope, count: int, folder: Path, paths: Path | None) -> None:
    """Put `count` files into a tenant that has nothing yet."""
    phone = await scope.devices.create("phone", DeviceKind.PHONE)
    laptop = await scope.devices.create("laptop", DeviceKind.LAPTOP)
    tenant_id = scope.tenant.id
    async with root.reading() as tx:
        rows = await tx.fetch_all(
            "SELECT device_id, id FROM directory WHERE tenant_id = %s AND is_root = 1 AND area = 'originals'",
            (tenant_id,),
        )
        (next_id,) = await tx.fetch_one("SELECT next_id FROM ledger WHERE tenant_id = %s", (tenant_id,)) or (1,)
        filler = _Filler(tenant_id, [phone.id, laptop.id], dict(rows), int(next_id))
        pipes = {name: folder / f"{name}.tsv" for name in _LOADS}
        await asyncio.to_thread(filler.write_files, count, pipes, paths)
        for name in ("directory", "manifest", "entry"):
            await tx.execute(
                f"LOAD DATA INFILE '{pipes[name]}' INTO TABLE {name} CHARACTER SET utf8mb4 FIELDS ESCAPED BY '\\\\'"
                f" ({_LOADS[name]})"
            )
            pipes[name].unlink()
        await tx.execute("UPDATE ledger SET next_id = %s WHERE tenant_id = %s", (filler.next_id, tenant_id))
        await tx.execute(
            "UPDATE journal_head h SET manifest_sequence = (SELECT COALESCE(MAX(sequence), 0) FROM manifest m"
            " WHERE m.tenant_id = h.tenant_id AND m.device_id = h.device_id)"
            " WHERE h.tenant_id = %s AND h.device_id > 0",
            (tenant_id,),
        )
        for device_id, files in filler.files.items():
            await tx.execute(
                "UPDATE device SET file_count = %s WHERE tenant_id = %s AND id = %s", (files, tenant_id, device_id)
            )


class _Filler:
    """Writes one tenant's rows as LOAD DATA reads them. Ids follow those that the ledger gave so far."""

    def __init__(self, tenant_id: int, devices: Sequence[int], roots: dict[int, int], next_id: int) -> None:
        self.tenant_id = tenant_id
        self.next_id = next_id
        self.files = dict.fromkeys(devices, 0)
        self._devices = devices
        self._roots = roots
        self._chosen = random.Random(tenant_id)
        self._sizes = [int(self._chosen.lognormvariate(13, 2)) for _ in range(10_000)]

    def write_files(self, count: int, files: dict[str, Path], paths: Path | None) -> None:
        """Folders of 200 files, and one of 100,000 where there are so many. In a thread."""
        with contextlib.ExitStack() as stack:
            opened = {name: stack.enter_context(file.open("w", encoding="utf-8")) for name, file in files.items()}
            listed = stack.enter_context((paths or Path(os.devnull)).open("w", encoding="utf-8"))
            self._write(count, opened["entry"], opened["directory"], opened["manifest"], listed)

    def _write(self, count: int, entry: TextIO, directory: TextIO, manifest: TextIO, listed: TextIO) -> None:
        left, number = count, 0
        sequences, added = dict.fromkeys(self._devices, 1), dict.fromkeys(self._devices, 0)
        apart = _SPAN_SECONDS // max(1, count // FILES_PER_FOLDER)
        at = STARTED
        while left > 0:
            device = self._devices[number % len(self._devices)]
            is_large = number == 1 and count > 4 * LARGE_FOLDER
            folder = LARGE_FOLDER_NAME.decode() if is_large else f"{self._chosen.choice(THINGS)} {number:06d}"
            at = STARTED + timedelta(seconds=number * apart)
            size = min(left, LARGE_FOLDER if is_large else FILES_PER_FOLDER)
            node = self._take(1)
            directory.write(f"{self.tenant_id}\t{node}\t{device}\toriginals\t0\n")
            entry.write(self._row(device, sequences[device], node, self._roots[device], folder, "directory", 0, 0, at))
            self._write_folder(entry, listed, device, sequences[device], node, folder, at, size)
            left -= size
            added[device] += size + 1
            self.files[device] += size
            number += 1
            if added[device] >= ENTRIES_PER_MANIFEST:
                self._manifest(manifest, device, sequences[device], at, added[device])
                sequences[device], added[device] = sequences[device] + 1, 0
        for device in self._devices:
            self._manifest(manifest, device, sequences[device], at + timedelta(days=1), added[device])

    def _write_folder(
        self, entry: TextIO, listed: TextIO, device: int, sequence: int, node: int, folder: str, at: datetime, size: int
    ) -> None:
        first, random_number = self._take(2 * size), self._chosen.random
        day, begin = at.date(), int(datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp())
        for own in range(first, first + 2 * size, 2):
            second = int(random_number() * _DAY_SECONDS)
            name = name_of(self._chosen, day, second)
            base, _, ending = name.rpartition(".")
            unique = f"{base}~{own}.{ending}"
            size_bytes = self._sizes[own // 2 % len(self._sizes)]
            entry.write(
                self._row(device, sequence, own, node, unique, "file", size_bytes, (begin + second) * 10**9, at)
            )
            listed.write(f"/{device}/{folder}/{unique}\n")

    def _take(self, count: int) -> int:
        """The first of the next ids; an entry and its node have one each."""
        self.next_id += count
        return self.next_id - count

    def _row(
        self,
        device: int,
        sequence: int,
        node: int,
        parent: int,
        name: str,
        kind: str,
        size: int,
        taken: int,
        at: datetime,
    ) -> str:
        raw = name.encode()
        own = self._take(1) if kind == "directory" else node + 1
        # All have the content of the empty blob, which every catalog holds; what it is plays no part here.
        blob = "1" if kind == "file" else "\\N"
        return (
            f"{self.tenant_id}\t{own}\t{device}\toriginals\t{node}\t{parent}\t{name}\t{fold(raw)}\t{kind}\t"
            f"{media_kind(raw)}\t{blob}\t{size}\t{taken}\t{sequence}\t{at.isoformat(' ', 'seconds')[:19]}\n"
        )

    def _manifest(self, into: TextIO, device: int, sequence: int, at: datetime, added: int) -> None:
        into.write(f"{self.tenant_id}\t{device}\t{sequence}\t{at:%Y-%m-%d %H:%M:%S}\tuser\tBench\t\t{added}\t0\t0\n")
