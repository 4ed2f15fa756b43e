"""The catalog from the journal: an empty database filled again with all that the chains say.

What always holds: while a rebuild is unfinished no server opens the catalog; a tenant counts as rebuilt only once all
of it is there, and what an interruption left of another is removed before it begins again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar

from cas.digest import Digest
from catalog import clock, records
from catalog.chains import TENANT_CHAIN
from catalog.database import Database, Transaction
from catalog.derived import write_derivations
from catalog.errors import NotRebuilt
from catalog.found import name_blobs
from catalog.names import fold, media_kind
from catalog.records import BlobFacts
from catalog.replay import (
    Chain,
    DeviceReplay,
    DeviceState,
    Interval,
    ManifestState,
    TenantChains,
    TenantState,
    horizon_of,
)
from catalog.values import EntryKind

LOADERS: Final = 2
"""Batches, or packs, that are written at once: one is prepared while another is being written."""

T = TypeVar("T")
Counted = Callable[[int], object]
_FORGET_AT_ONCE: Final = 5_000
_ROWS_PER_STATEMENT: Final = 1_000
_TABLES: Final = (
    "entry", "derivation", "possession", "directory", "manifest", "device_token", "device_source", "device",
    "journal_head", "retention",
)  # fmt: skip
_UNCHECKED: Final = "SET SESSION foreign_key_checks = 0, unique_checks = 0"
"""For the loading alone, whose rows are compared with the journal at the end."""


class Rebuild:
    """One rebuild: `begin`, each tenant, `finish`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.missing: list[str] = []
        """Blobs that entries name and no file holds, by their digests in hex."""

    async def begin(self) -> None:
        """Close the catalog to everybody else. Raises `NotRebuilt` where it holds tenants of its own."""

        async def work(tx: Transaction) -> None:
            state = await tx.fetch_one("SELECT finished_at FROM rebuild FOR UPDATE")
            tenants = await tx.fetch_one("SELECT COUNT(*) FROM tenant")
            if tenants and tenants[0] and (state is None or state[0] is not None):
                raise NotRebuilt(
                    f"This catalog holds {tenants[0]} tenants. A rebuild begins with an empty one: give MARIADB_DB"
                    " another name, or move the old database away, and run tools/migrate."
                )
            await tx.execute(
                "INSERT INTO rebuild (id, started_at) VALUES (1, %s)"
                " ON DUPLICATE KEY UPDATE finished_at = NULL, started_at = VALUES(started_at)",
                (clock.to_db(clock.now()),),
            )

        await self._database.run(work)

    async def finish(self) -> None:
        """Open the catalog to everybody."""

        async def work(tx: Transaction) -> None:
            await tx.execute("DELETE FROM rebuilt_tenant")
            await tx.execute("UPDATE rebuild SET finished_at = %s", (clock.to_db(clock.now()),))

        await self._database.run(work)

    async def is_done(self, uuid: str) -> bool:
        """Whether this tenant is whole already."""
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT 1 FROM rebuilt_tenant r JOIN tenant t ON t.id = r.tenant_id WHERE t.uuid = %s", (uuid,)
            )
        return row is not None

    async def tenant(self, state: TenantState, chains: TenantChains, counted: Counted) -> None:
        """One tenant, all of it. `counted` hears of each batch of entries that is written. Raises
        `DatabaseUnavailable`, and what reading the journal raises."""
        if state.account is None:
            raise NotRebuilt(f"{state.uuid}: the chain says nothing of the account.")
        await self._clear(state.uuid)
        tenant_id = await self._insert_tenant(state, state.account)
        used_bytes, next_id = 0, _floor(state)
        for device_id, device in sorted(state.devices.items()):
            loading = _Loading(self._database, tenant_id, device_id, device, counted)
            await loading.run(chains.devices.get(device_id))
            used_bytes += loading.used_bytes
            next_id = max(next_id, loading.next_id)
            self.missing += loading.missing

        async def work(tx: Transaction) -> None:
            await self._insert_account(tx, tenant_id, state)
            await tx.execute(
                "INSERT INTO ledger (tenant_id, used_bytes, next_id) VALUES (%s, %s, %s)",
                (tenant_id, used_bytes, next_id),
            )
            await tx.execute(
                "INSERT INTO rebuilt_tenant (tenant_id, finished_at) VALUES (%s, %s)",
                (tenant_id, clock.to_db(clock.now())),
            )

        await self._database.run(work)

    async def _clear(self, uuid: str) -> None:
        """Remove what an interrupted run left of this tenant."""
        async with self._database.reading() as tx:
            row = await tx.fetch_one("SELECT id FROM tenant WHERE uuid = %s", (uuid,))
            if row is None:
                return
            await tx.execute("SET SESSION foreign_key_checks = 0")
            for table in _TABLES:
                while await tx.execute(f"DELETE FROM {table} WHERE tenant_id = %s LIMIT {_FORGET_AT_ONCE}", (row[0],)):
                    pass
            await tx.execute("DELETE FROM ledger WHERE tenant_id = %s", (row[0],))
            await tx.execute("DELETE FROM tenant WHERE id = %s", (row[0],))
            await tx.execute("SET SESSION foreign_key_checks = 1")

    async def _insert_tenant(self, state: TenantState, account: records.TenantLine) -> int:
        async with self._database.reading() as tx:
            return await tx.insert(
                "INSERT INTO tenant (uuid, billing_client, label, status, quota_bytes, time_zone, created_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (state.uuid, account.billing_client, account.label, account.status, account.quota_bytes,
                 account.time_zone, clock.to_db(_begun(state))),
            )  # fmt: skip

    async def _insert_account(self, tx: Transaction, tenant_id: int, state: TenantState) -> None:
        await _insert_head(tx, tenant_id, TENANT_CHAIN, state.chain, 0, clock.now())
        await tx.execute_many(
            "INSERT INTO device_token (tenant_id, device_id, id, token_hash, label, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (tenant_id, token.device, token.id, token.token_hash, token.label, clock.to_db(token.created_at))
                for token in state.tokens.values()
            ],
        )
        if state.retention is not None:
            rule = state.retention
            await tx.execute(
                "INSERT INTO retention (tenant_id, versions_kept, days_kept, changed_at) VALUES (%s, %s, %s, %s)",
                (tenant_id, rule.versions_kept, rule.days_kept, clock.to_db(rule.at)),
            )


class _Loading:
    """One device: its row, its manifests, then its entries with all they bring along."""

    def __init__(
        self, database: Database, tenant_id: int, device_id: int, device: DeviceState, counted: Counted
    ) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._device_id = device_id
        self._device = device
        self._counted = counted
        self._file_count = 0
        self._size_bytes = 0
        self.used_bytes = 0
        self.next_id = 1
        self.missing: list[str] = []

    async def run(self, chain: Chain | None) -> None:
        """`chain` None: nothing was ever done on the device."""
        replay = None if chain is None else await asyncio.to_thread(DeviceReplay, chain)
        manifests = {} if replay is None else replay.manifests
        if replay is not None:
            self.next_id = replay.next_id
            await self._database.run(lambda tx: self._insert_manifests(tx, list(manifests.values())))
            async with asyncio.TaskGroup() as loaders:
                room = asyncio.Semaphore(LOADERS)
                async for batch in _from_thread(replay.intervals()):
                    await room.acquire()
                    loaders.create_task(self._load(batch, manifests, room))
        await self._database.run(lambda tx: self._insert_device(tx, chain, manifests))

    async def _load(
        self, batch: Sequence[Interval], manifests: dict[int, ManifestState], room: asyncio.Semaphore
    ) -> None:
        try:
            missing = await self._database.run(lambda tx: self._insert_batch(tx, batch, manifests))
        finally:
            room.release()
        self.missing += missing
        for interval in batch:
            self.used_bytes += interval.counted_bytes
            if interval.entry.kind == EntryKind.FILE and not interval.why:
                self._file_count += 1
                self._size_bytes += interval.entry.size_bytes
        self._counted(len(batch))

    async def _insert_batch(
        self, tx: Transaction, batch: Sequence[Interval], manifests: dict[int, ManifestState]
    ) -> list[str]:
        await tx.execute(_UNCHECKED)
        facts = {Digest.from_hex(found.digest).hex: found for found in _blobs(batch)}
        ids, missing = await name_blobs(tx, facts)
        now = clock.to_db(clock.now())
        await _insert(
            tx, "INSERT INTO possession (tenant_id, blob_id, created_at) VALUES ",
            [f"({self._tenant_id:d},{ids[digest]:d},'{now}')" for digest, found in facts.items() if found.size_bytes],
            " ON DUPLICATE KEY UPDATE blob_id = VALUES(blob_id)",
        )  # fmt: skip
        await _insert(
            tx, "INSERT INTO directory (tenant_id, id, device_id, area) VALUES ",
            [
                f"({self._tenant_id:d},{entry.node:d},{self._device_id:d},{_hex(entry.area.encode())})"
                for entry in (interval.entry for interval in batch)
                if entry.kind == EntryKind.DIRECTORY
            ],
            " ON DUPLICATE KEY UPDATE id = VALUES(id)",
        )  # fmt: skip
        await _insert(
            tx,
            "INSERT INTO entry (tenant_id, id, device_id, area, node_id, parent_id, name, name_fold, kind, media_kind,"
            " blob_id, size_bytes, mode, mtime_ns, taken_ns, link_target, added_seq, added_at, removed_seq, removed_at,"
            " removal) VALUES ",
            [self._row(interval, ids, manifests) for interval in batch],
        )
        made = [(i.entry.blob, i.entry.derivation) for i in batch if i.entry.blob is not None]
        await write_derivations(
            tx, self._tenant_id, [(ids[blob.digest], fact) for blob, fact in made if fact is not None]
        )
        return missing

    def _row(self, interval: Interval, ids: dict[str, int], manifests: dict[int, ManifestState]) -> str:
        """As a literal: ints, words of this code, and bytes as hex."""
        e = interval.entry
        blob_id = "NULL" if e.blob is None else f"{ids[e.blob.digest]:d}"
        ended = f"{_moment(manifests, interval.removed)},'{interval.why}'" if interval.why else "NULL,NULL,NULL"
        return (
            f"({self._tenant_id:d},{e.id:d},{self._device_id:d},{_hex(e.area.encode())},{e.node:d},{e.parent:d},"
            f"{_hex(e.name)},_utf8mb4 {_hex(fold(e.name).encode())},'{EntryKind(e.kind).value}',"
            f"'{media_kind(e.name).value}',{blob_id},{e.size_bytes:d},{_int(e.mode)},{e.mtime_ns:d},{_int(e.taken_ns)},"
            f"{_hex(e.link_target)},{_moment(manifests, interval.added)},{ended})"
        )

    async def _insert_manifests(self, tx: Transaction, manifests: Sequence[ManifestState]) -> None:
        await tx.execute(_UNCHECKED)
        await tx.execute_many(
            "INSERT INTO manifest (tenant_id, device_id, sequence, at, actor_kind, actor, note, added, removed, purged,"
            " size_bytes, record_digest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (self._tenant_id, self._device_id, m.line.sequence, clock.to_db(m.line.at), m.line.actor_kind,
                 m.line.actor, m.line.note, m.added, m.removed, m.purged, m.size_bytes, m.record_digest.raw)
                for m in manifests
            ],
        )  # fmt: skip

    async def _insert_device(self, tx: Transaction, chain: Chain | None, manifests: dict[int, ManifestState]) -> None:
        line, gone = self._device.line, self._device.removed_at
        horizon = horizon_of(manifests)
        uploads = [m.line.at for m in manifests.values() if m.line.action == "upload" and m.files]
        await tx.execute(
            "INSERT INTO device (tenant_id, id, name, kind, created_at, last_upload_at, file_count, size_bytes,"
            " removed_at, removed_key, history_from) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (self._tenant_id, line.id, line.name, line.kind, clock.to_db(line.created_at),
             clock.to_db(max(uploads)) if uploads else None, self._file_count, self._size_bytes,
             None if gone is None else clock.to_db(gone), 0 if gone is None else line.id,
             None if horizon is None else clock.to_db(horizon)),
        )  # fmt: skip
        await tx.execute_many(
            "INSERT INTO device_source (tenant_id, device_id, position, path) VALUES (%s, %s, %s, %s)",
            [(self._tenant_id, line.id, position, path) for position, path in enumerate(line.source_directories)],
        )
        await tx.execute_many(
            "INSERT INTO directory (tenant_id, id, device_id, area, is_root) VALUES (%s, %s, %s, %s, 1)",
            [(self._tenant_id, root, line.id, area) for area, root in line.roots.items()],
        )
        last = max(manifests, default=0)
        at = manifests[last].line.at if last else line.created_at
        await _insert_head(tx, self._tenant_id, line.id, chain, last, at)


async def _insert_head(
    tx: Transaction, tenant_id: int, device_id: int, chain: Chain | None, manifests: int, at: datetime
) -> None:
    sequence, digest = (0, None) if chain is None or chain.digest is None else (chain.sequence, chain.digest.raw)
    await tx.execute(
        "INSERT INTO journal_head (tenant_id, device_id, sequence, digest, manifest_sequence, changed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (tenant_id, device_id, sequence, digest, manifests, clock.to_db(at)),
    )


async def _insert(tx: Transaction, head: str, rows: Sequence[str], tail: str = "") -> None:
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        await tx.execute(head + ",".join(rows[start : start + _ROWS_PER_STATEMENT]) + tail)


async def _from_thread(source: Iterator[T]) -> AsyncIterator[T]:
    """What an iterator gives, each step of it made on a thread: reading and decoding takes its time."""
    while (item := await asyncio.to_thread(next, source, None)) is not None:
        yield item


def _blobs(batch: Sequence[Interval]) -> Iterator[BlobFacts]:
    return (interval.entry.blob for interval in batch if interval.entry.blob is not None)


def _moment(manifests: dict[int, ManifestState], sequence: int) -> str:
    """The manifest's number and time, as an entry carries them."""
    return f"{sequence:d},'{clock.to_db(manifests[sequence].line.at)}'"


def _floor(state: TenantState) -> int:
    """No id below this is free: devices and roots have them."""
    used = [max(device_id, *device.line.roots.values()) for device_id, device in state.devices.items()]
    return max(used, default=0) + 1


def _begun(state: TenantState) -> datetime:
    """When the account began, as far as the journal knows: with its first device."""
    return min((device.line.created_at for device in state.devices.values()), default=clock.now())


def _hex(value: bytes | None) -> str:
    return "NULL" if value is None else f"x'{value.hex()}'"


def _int(value: int | None) -> str:
    return "NULL" if value is None else f"{value:d}"
