"""An existing catalog held against the journal: each difference in words that name ids, never a customer's file names.

What always holds: nothing is changed. What the journal does not cover (sessions, people's names, leases, exports, jobs,
the audit) is not looked at; what a customer is called and where bytes lie in the store may differ and is no fault.
"""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import id_list
from catalog.chains import TENANT_CHAIN
from catalog.database import Database, Row
from catalog.recipes import derivation_key
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

T = TypeVar("T")
Counted = Callable[[int], object]
_PER_STATEMENT: Final = 1_000

_ENTRY_FIELDS: Final = (
    "area", "node_id", "parent_id", "name", "kind", "size_bytes", "mode", "mtime_ns", "link_target", "added_seq",
    "added_at", "removed_seq", "removed_at", "removal",
)  # fmt: skip
_MANIFEST_FIELDS: Final = (
    "at", "actor_kind", "actor", "note", "added", "removed", "purged", "size_bytes", "record_digest",
)  # fmt: skip


class Difference(NamedTuple):
    """`where`: the tenant's billing client, or a device of it. `what`: a sentence."""

    where: str
    what: str


class _Totals:
    """What the entries of a device, or of all, add up to."""

    def __init__(self) -> None:
        self.used_bytes = 0
        self.file_count = 0
        self.size_bytes = 0
        self.next_id = 1
        self.ids = array("Q")
        self.directories: set[int] = set()

    def add(self, interval: Interval) -> None:
        entry = interval.entry
        self.used_bytes += interval.counted_bytes
        self.ids.append(entry.id)
        if entry.kind == EntryKind.DIRECTORY:
            self.directories.add(entry.node)
        if entry.kind == EntryKind.FILE and not interval.why:
            self.file_count += 1
            self.size_bytes += entry.size_bytes


class Comparison:
    """One look at all of it. `counted` hears of each batch of entries that was compared. `audited`: how many events of
    an account's audit the journal knows, by its uuid. `may_be_older`: the catalog is a dump that is known to be older
    than the journal, and what came since is no difference."""

    def __init__(
        self, database: Database, counted: Counted, audited: Mapping[str, int], *, may_be_older: bool = False
    ) -> None:
        self._audited = audited
        self._may_be_older = may_be_older
        self._database = database
        self._counted = counted
        self.beyond: list[str] = []
        """Chains that go further than their heads, which is no difference."""

    async def tenants(self, known: Sequence[str]) -> AsyncIterator[Difference]:
        """Accounts that the catalog has and the journal has not. One without a device never did anything."""
        rows = await self._fetch(
            "SELECT t.uuid, t.billing_client, COUNT(d.id) FROM tenant t LEFT JOIN device d ON d.tenant_id = t.id"
            " WHERE t.status <> 'closed' GROUP BY t.id ORDER BY t.id"
        )
        for uuid, client, devices in rows:
            if uuid not in known and devices:
                yield Difference(
                    client, f"the journal has no chain of this account ({uuid}), the catalog has {devices} devices"
                )

    async def tenant(self, uuid: str, chains: TenantChains) -> AsyncIterator[Difference]:
        """One tenant. Raises what reading the journal raises."""
        row = await self._one(
            "SELECT t.id, t.billing_client, t.status, t.quota_bytes, t.time_zone, l.used_bytes, l.next_id,"
            " IFNULL(h.sequence, 0) FROM tenant t JOIN ledger l ON l.tenant_id = t.id"
            " LEFT JOIN audit_head h ON h.chain = t.id WHERE t.uuid = %s", uuid,
        )  # fmt: skip
        if (await asyncio.to_thread(TenantState.of, chains.tenant)).is_closed:
            if row is not None and row[2] != "closed":
                yield Difference(row[1], "the journal says that this account was closed")
            return
        if row is None:
            yield Difference(uuid, "the catalog does not have this account")
            return
        tenant_id, *has, used_bytes, next_id, events = row
        for text in await self._cut(tenant_id, chains, events, self._audited.get(uuid, 0)):
            yield Difference(has[0], text)
        state = await asyncio.to_thread(TenantState.of, chains.tenant)
        account, where = state.account, has[0]
        if account is not None:
            wants = (account.billing_client, account.status, account.quota_bytes, account.time_zone)
            for text in _unlike(("billing_client", "status", "quota_bytes", "time_zone"), wants, has):
                yield Difference(where, f"the account: {text}")
        async for found in self._account(where, tenant_id, state):
            yield found
        total, free = 0, 1
        for device_id, device in sorted(state.devices.items()):
            looking = _DeviceComparison(self._database, tenant_id, f"{where}, device {device_id}", self._counted)
            async for found in looking.run(device, chains.devices.get(device_id)):
                yield found
            total, free = total + looking.totals.used_bytes, max(free, looking.totals.next_id)
        if total != used_bytes:
            yield Difference(where, f"the entries count {total:,} bytes in the quota, the ledger {used_bytes:,}")
        if next_id < free:
            yield Difference(where, f"the ledger gives id {next_id} next, and {free - 1} was given already")

    async def _cut(self, tenant_id: int, chains: TenantChains, events: int, audited: int) -> list[str]:
        """Leave out what lies beyond the heads. One record there is a commit that failed, which is only told of, unless
        the journal knows of later events of this account than the catalog has. The next record takes a failed one's
        place, so more than one are a difference as well: the catalog is older than the journal."""
        rows = await self._fetch("SELECT device_id, sequence FROM journal_head WHERE tenant_id = %s", tenant_id)
        texts = []
        for device_id, sequence in rows:
            chain = chains.tenant if device_id == TENANT_CHAIN else chains.devices.get(device_id)
            beyond = 0 if chain is None else chain.sequence - sequence
            if chain is None or beyond <= 0 or not chain.cut(sequence):
                continue
            if self._may_be_older or (beyond == 1 and audited <= events):
                self.beyond.append(
                    f"{chain.name}: what follows record {sequence} was never committed, or the catalog is older"
                )
            else:
                texts.append(
                    f"{chain.name} has {beyond} record{'s' * (beyond > 1)} more than the catalog, which is older than"
                    f" the journal (events of this account's audit: {events:,} here, {audited:,} known there)"
                )
        return texts

    async def _account(self, where: str, tenant_id: int, state: TenantState) -> AsyncIterator[Difference]:
        for text in await _head(self._database, tenant_id, TENANT_CHAIN, state.chain):
            yield Difference(where, text)
        rows = await self._fetch("SELECT id FROM device WHERE tenant_id = %s", tenant_id)
        for (device_id,) in rows:
            if device_id not in state.devices:
                yield Difference(where, f"the journal does not know device {device_id}")
        tokens = await self._fetch(
            "SELECT id, device_id, token_hash FROM device_token WHERE tenant_id = %s AND revoked_at IS NULL", tenant_id
        )
        has = {token_id: (device_id, bytes(token_hash)) for token_id, device_id, token_hash in tokens}
        wants = {token.id: (token.device, token.token_hash) for token in state.tokens.values()}
        for token_id in sorted(has.keys() | wants.keys()):
            if has.get(token_id) != wants.get(token_id):
                yield Difference(where, f"device token {token_id} is not in both, or not the same")
        rule = await self._one("SELECT versions_kept, days_kept FROM retention WHERE tenant_id = %s", tenant_id)
        wanted = (None, None) if state.retention is None else (state.retention.versions_kept, state.retention.days_kept)
        if (rule or (None, None)) != wanted:
            yield Difference(where, "the rule for replaced versions is another")

    async def _fetch(self, sql: str, *params: object) -> list[Row]:
        async with self._database.reading() as tx:
            return await tx.fetch_all(sql, params)

    async def _one(self, sql: str, *params: object) -> Row | None:
        rows = await self._fetch(sql, *params)
        return rows[0] if rows else None


class _DeviceComparison:
    """One device."""

    def __init__(self, database: Database, tenant_id: int, where: str, counted: Counted) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._where = where
        self._counted = counted
        self.totals = _Totals()

    async def run(self, device: DeviceState, chain: Chain | None) -> AsyncIterator[Difference]:
        replay = None if chain is None else await asyncio.to_thread(DeviceReplay, chain)
        manifests = {} if replay is None else replay.manifests
        for text in await self._manifests(manifests):
            yield Difference(self._where, text)
        if replay is not None:
            self.totals.next_id = replay.next_id
            async for batch in _from_thread(replay.intervals()):
                for text in await self._entries(batch, manifests):
                    yield Difference(self._where, text)
                self._counted(len(batch))
        for text in [*await self._surplus(), *await self._directories(device), *await self._device(device, manifests)]:
            yield Difference(self._where, text)
        for text in await _head(self._database, self._tenant_id, device.line.id, chain):
            yield Difference(self._where, text)

    async def _device(self, device: DeviceState, manifests: dict[int, ManifestState]) -> list[str]:
        line = device.line
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT name, kind, removed_at IS NOT NULL, file_count, size_bytes, history_from FROM device"
                " WHERE tenant_id = %s AND id = %s",
                (self._tenant_id, line.id),
            )
            sources = await tx.fetch_all(
                "SELECT path FROM device_source WHERE tenant_id = %s AND device_id = %s ORDER BY position",
                (self._tenant_id, line.id),
            )
        if row is None:
            return ["the catalog does not have this device"]
        wants = (
            line.name,
            line.kind,
            int(device.removed_at is not None),
            self.totals.file_count,
            self.totals.size_bytes,
        )
        *has, shown_from = row
        texts = list(_unlike(("name", "kind", "removed", "file_count", "size_bytes"), wants, has))
        horizon = horizon_of(manifests)
        if horizon is not None and (shown_from is None or shown_from < clock.to_db(horizon)):
            texts.append("moments before its horizon are shown, of which files were deleted for good")
        if [path for (path,) in sources] != line.source_directories:
            texts.append("its source directories are others")
        return texts

    async def _manifests(self, manifests: dict[int, ManifestState]) -> list[str]:
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT sequence, {', '.join(_MANIFEST_FIELDS)} FROM manifest WHERE tenant_id = %s AND device_id = %s",
                (self._tenant_id, self._device_id),
            )
        there = {row[0]: row[1:] for row in rows}
        texts = [
            f"the journal does not know manifest {sequence}" for sequence in sorted(there.keys() - manifests.keys())
        ]
        for sequence, m in manifests.items():
            if sequence not in there:
                texts.append(f"the catalog does not have manifest {sequence}")
                continue
            wants = (
                clock.to_db(m.line.at), m.line.actor_kind, m.line.actor, m.line.note, m.added, m.removed, m.purged,
                m.size_bytes, m.record_digest.raw,
            )  # fmt: skip
            texts += [f"manifest {sequence}: {text}" for text in _unlike(_MANIFEST_FIELDS, wants, there[sequence])]
        return texts

    async def _entries(self, batch: Sequence[Interval], manifests: dict[int, ManifestState]) -> list[str]:
        there = await self._rows([interval.entry.id for interval in batch])
        texts = []
        for interval in batch:
            self.totals.add(interval)
            row = there.get(interval.entry.id)
            if row is None:
                texts.append(f"the catalog does not have entry {interval.entry.id}")
            else:
                texts += [f"entry {interval.entry.id}: {text}" for text in _unlike_entry(interval, row, manifests)]
        return texts + await self._derivations(batch)

    async def _derivations(self, batch: Sequence[Interval]) -> list[str]:
        """Files whose making the catalog has forgotten."""
        made = [(interval.entry.id, interval.entry.derivation) for interval in batch if interval.entry.derivation]
        texts = []
        async with self._database.reading() as tx:
            for entry_id, fact in made:
                key = derivation_key(Digest.from_hex(fact.source), fact.recipe, fact.version, fact.parameters)
                if not await tx.fetch_one(
                    "SELECT 1 FROM derivation WHERE tenant_id = %s AND key_digest = %s", (self._tenant_id, key.raw)
                ):
                    texts.append(f"entry {entry_id}: the catalog does not know how it was made")
        return texts

    async def _rows(self, ids: Sequence[int]) -> dict[int, Row]:
        found: dict[int, Row] = {}
        async with self._database.reading() as tx:
            for start in range(0, len(ids), _PER_STATEMENT):
                part = id_list(ids[start : start + _PER_STATEMENT])
                rows = await tx.fetch_all(
                    "SELECT e.id, e.device_id, e.taken_ns, b.digest, b.size_bytes, b.crc32, b.state,"
                    f" p.blob_id IS NOT NULL AND p.leased_until IS NULL, {', '.join(f'e.{n}' for n in _ENTRY_FIELDS)}"
                    " FROM entry e LEFT JOIN `blob` b ON b.id = e.blob_id"
                    " LEFT JOIN possession p ON p.tenant_id = e.tenant_id AND p.blob_id = e.blob_id"
                    f" WHERE e.tenant_id = {self._tenant_id:d} AND e.id IN ({part})"
                )
                found.update({row[0]: row[1:] for row in rows})
        return found

    async def _surplus(self) -> list[str]:
        """Entries that the journal does not know."""
        async with self._database.reading() as tx:
            count = await tx.fetch_one(
                "SELECT COUNT(*) FROM entry WHERE tenant_id = %s AND device_id = %s", (self._tenant_id, self._device_id)
            )
            if count is not None and count[0] <= len(self.totals.ids):
                return []  # each that is known was looked for, so there is no other
            known, after, texts = set(self.totals.ids), 0, []
            while rows := await tx.fetch_all(
                "SELECT id FROM entry WHERE tenant_id = %s AND device_id = %s AND id > %s ORDER BY id LIMIT %s",
                (self._tenant_id, self._device_id, after, _PER_STATEMENT),
            ):
                texts += [
                    f"the journal does not know entry {entry_id}" for (entry_id,) in rows if entry_id not in known
                ]
                after = rows[-1][0]
        return texts

    async def _directories(self, device: DeviceState) -> list[str]:
        wanted = self.totals.directories | set(device.line.roots.values())
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT id FROM directory WHERE tenant_id = %s AND device_id = %s", (self._tenant_id, self._device_id)
            )
        there = {directory_id for (directory_id,) in rows}
        return [
            *(f"the catalog does not have directory {directory_id}" for directory_id in sorted(wanted - there)),
            *(f"the journal does not know directory {directory_id}" for directory_id in sorted(there - wanted)),
        ]

    @property
    def _device_id(self) -> int:
        return int(self._where.rpartition(" ")[2])


def _unlike_entry(interval: Interval, row: Row, manifests: dict[int, ManifestState]) -> Iterator[str]:
    e = interval.entry
    _, taken_ns, digest, blob_bytes, crc32, state, is_possessed, *has = row
    wants = (
        e.area, e.node, e.parent, e.name, e.kind, e.size_bytes, e.mode, e.mtime_ns, e.link_target, interval.added,
        _at(manifests, interval.added), interval.removed or None, _at(manifests, interval.removed),
        interval.why or None,
    )  # fmt: skip
    yield from _unlike(_ENTRY_FIELDS, wants, has)
    if e.taken_ns is not None and taken_ns != e.taken_ns:
        yield from _unlike(("taken_ns",), (e.taken_ns,), (taken_ns,))
    if e.blob is None:
        return
    if digest is None or bytes(digest).hex() != e.blob.digest:
        yield "its bytes are others"
    elif (blob_bytes, crc32) != (e.blob.size_bytes, e.blob.crc32):
        yield f"blob {e.blob.digest}: size or CRC-32 is another"
    elif state == "pending":
        yield f"blob {e.blob.digest}: it is only claimed"
    if e.blob.size_bytes and not is_possessed:
        yield f"blob {e.blob.digest}: the tenant does not possess it"


def _at(manifests: dict[int, ManifestState], sequence: int) -> object:
    return clock.to_db(manifests[sequence].line.at) if sequence else None


async def _head(database: Database, tenant_id: int, device_id: int, chain: Chain | None) -> list[str]:
    """How a chain's head differs from its last record. One record more is a commit that failed, or is under way."""
    async with database.reading() as tx:
        row = await tx.fetch_one(
            "SELECT sequence, digest FROM journal_head WHERE tenant_id = %s AND device_id = %s", (tenant_id, device_id)
        )
    if row is None:
        return ["the catalog has no head of this chain"]
    sequence, digest = row[0], None if row[1] is None else bytes(row[1])
    has = (0, None) if chain is None or chain.digest is None else (chain.sequence, chain.digest.raw)
    if (sequence, digest) == has:
        return []
    return [f"the chain ends with record {has[0]}, and its head in the catalog stands at {sequence}"]


def _unlike(names: Sequence[str], wants: Sequence[object], has: Sequence[object]) -> Iterator[str]:
    """A sentence for each field that differs; texts of customers are not repeated."""
    for name, want, got in zip(names, wants, has, strict=True):
        value = bytes(got) if isinstance(got, bytearray | memoryview) else got
        if value != want:
            shown = isinstance(want, int | None) and isinstance(value, int | None)
            yield f"{name} is {value} and should be {want}" if shown else f"{name} is another"


async def _from_thread(source: Iterator[T]) -> AsyncIterator[T]:
    while (item := await asyncio.to_thread(next, source, None)) is not None:
        yield item
