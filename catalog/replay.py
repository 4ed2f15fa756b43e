"""What the chains of one tenant say, read as the state that they leave. Pure: no SQL, and nothing is written.

What always holds: memory is bounded by the entries that ended, never by all there are: a device's entries are read in
two passes, the first of which learns what became of each. What a checkpoint covers is read from its parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cas.digest import Digest
from catalog import records
from catalog.chains import TENANT_CHAIN, chain_name
from catalog.errors import JournalIncomplete
from catalog.records import JournalReader, JournalRecord
from catalog.values import EntryKind, Removal

KEPT_BYTES_MAX: Final = 64 << 20
"""Of each chain's bodies so many are kept between the two passes; of longer chains they are read twice."""

INTERVALS_PER_BATCH: Final = 2_000
COUNTED: Final = ("", Removal.DELETED, Removal.REPLACED)
"""Of entries that ended so, or never, the bytes count in the quota; any other has a successor that counts."""

_CHECKPOINT: Final = b'{"fact":"checkpoint"'
_INTERVAL: Final = b'{"fact":"interval"'
_WHYS: Final = tuple(Removal)


@dataclass(slots=True)
class Chain:
    """One chain, read to its end and proven. `checkpoint`: its newest; `bodies`: what came after that, if it is little.

    `marks`: the sequences of records that belong to a change of several devices, with what they say of it."""

    journal: JournalReader
    name: str
    sequence: int = 0
    digest: Digest | None = None
    before: Digest | None = None
    checkpoint: records.CheckpointLine | None = None
    marks: dict[int, records.ManifestLine] = field(default_factory=dict)
    _kept: list[JournalRecord] | None = field(default_factory=list)
    _kept_bytes: int = 0

    @property
    def through(self) -> int:
        """Up to which sequence the checkpoint stands for the records; 0 without one."""
        return self.checkpoint.through if self.checkpoint else 0

    def lines(self) -> Iterator[tuple[JournalRecord, list[records.Line]]]:
        """The records after the checkpoint, decoded one at a time."""
        found = self.journal.records(self.name, self.through + 1) if self._kept is None else self._kept
        for record in found:
            if self.through < record.sequence <= self.sequence and record.body is not None:
                yield record, records.decode(record.body)

    def parts(self) -> Iterator[bytes]:
        """The checkpoint's parts, in order."""
        if self.checkpoint is not None:
            for number, digest in enumerate(self.checkpoint.parts):
                yield self.journal.part(self.name, self.through, number, Digest.from_hex(digest))

    def take(self, record: JournalRecord) -> None:
        """Go on by one record that follows. Raises `JournalIncomplete`."""
        self.sequence, self.digest, self.before = record.sequence, record.digest, self.digest
        if record.body is None:
            return
        if record.body.startswith(_CHECKPOINT):
            self._begin_at(record.body)
        self._note_mark(record)
        if self._kept is not None:
            self._kept.append(record)
            self._kept_bytes += len(record.body)
            if self._kept_bytes > KEPT_BYTES_MAX:
                self._kept = None

    def drop_last(self) -> None:
        """The last record was never committed: the chain ends before it."""
        self.marks.pop(self.sequence, None)
        self.sequence, self.digest = self.sequence - 1, self.before

    def cut(self, sequence: int) -> bool:
        """Leave out what lies beyond the catalog's head, `sequence`; False if the chain does not reach it."""
        if sequence > self.sequence or sequence < self.through:
            return False
        found = iter(self.journal.records(self.name, sequence)) if sequence else iter(())
        record = next(found, None)
        self.sequence, self.digest = sequence, None if record is None else record.digest
        return True

    def _begin_at(self, body: bytes) -> None:
        line = records.decode(body)[0]
        if not isinstance(line, records.CheckpointLine):
            raise AssertionError("a line that begins like a checkpoint is one")
        self.checkpoint = line
        if self._kept is not None:
            self._kept = [record for record in self._kept if record.sequence > line.through]
            self._kept_bytes = sum(len(record.body or b"") for record in self._kept)

    def _note_mark(self, record: JournalRecord) -> None:
        first = (record.body or b"").partition(b"\n")[0]
        if b'"shared_with"' in first:
            line = records.decode(first)[0]
            if isinstance(line, records.ManifestLine) and line.commit:
                self.marks[record.sequence] = line


def read_chain(journal: JournalReader, name: str) -> Chain:
    """Follow a chain to its end. Raises the journal's own error where it is broken, and `JournalIncomplete` where a
    body was erased that no checkpoint stands for."""
    chain, erased = Chain(journal, name), 0
    for record in journal.records(name):
        chain.take(record)
        if record.body is None:
            erased = record.sequence
    if erased > chain.through:
        raise JournalIncomplete(
            f"{name}: the body of record {erased} was erased, and no checkpoint stands for it. Look in a replica."
        )
    return chain


# -- the tenant's own chain -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DeviceState:
    """A device as its last line has it. `removed_at` None: it is there."""

    line: records.DeviceLine
    removed_at: datetime | None = None


@dataclass(slots=True)
class TenantState:
    """The tenant as its chain leaves it. `tokens`: those that work."""

    chain: Chain
    account: records.TenantLine | None = None
    devices: dict[int, DeviceState] = field(default_factory=dict)
    tokens: dict[int, records.TokenLine] = field(default_factory=dict)
    retention: records.RetentionLine | None = None

    @classmethod
    def of(cls, chain: Chain) -> "TenantState":
        """Read the chain."""
        state = cls(chain)
        for part in chain.parts():
            for line in records.decode(part):
                state._take(line)
        for _, lines in chain.lines():
            for line in lines:
                state._take(line)
        return state

    @property
    def uuid(self) -> str:
        return self.chain.name.partition("/")[0]

    @property
    def is_closed(self) -> bool:
        """Whether the chain ends with a tombstone: nothing of the account comes back."""
        return self.account is not None and self.account.status == "closed"

    def lines(self) -> list[records.Line]:
        """The same state in as few lines as it takes."""
        found: list[records.Line] = [] if self.account is None else [self.account]
        for device_id, device in sorted(self.devices.items()):
            found.append(device.line)
            if device.removed_at is not None:
                found.append(records.DeviceRemovedLine(device_id, device.removed_at))
        found += [line for _, line in sorted(self.tokens.items())]
        return found if self.retention is None else [*found, self.retention]

    def _take(self, line: records.Line) -> None:
        match line:
            case records.TenantLine():
                self.account = line
            case records.DeviceLine():
                self.devices[line.id] = DeviceState(line)
                self.account = _known_by_device(self.account, line)
            case records.DeviceRemovedLine():
                self.devices[line.id].removed_at = line.at
                self.tokens = {key: token for key, token in self.tokens.items() if token.device != line.id}
            case records.TokenLine():
                self.tokens[line.id] = line
            case records.TokenRevokedLine():
                self.tokens.pop(line.id, None)
            case records.RetentionLine():
                self.retention = line
            case records.CheckpointLine():
                pass
            case _:
                raise JournalIncomplete(f"{self.chain.name}: a {type(line).__name__} has no place in a tenant's chain.")


def _known_by_device(account: records.TenantLine | None, line: records.DeviceLine) -> records.TenantLine:
    """What a device's line says of its tenant; status and quota only an operator's decision says."""
    status, quota = ("active", None) if account is None else (account.status, account.quota_bytes)
    return records.TenantLine(line.billing_client, line.label, status, quota, line.time_zone)


# -- a device's chain -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ManifestState:
    """A manifest as its row has it. `files`: how many of the added are files."""

    line: records.ManifestLine
    record_digest: Digest
    added: int = 0
    removed: int = 0
    purged: int = 0
    size_bytes: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """An entry, the manifest that added it, and the one that ended it and why (0 and empty while it lives)."""

    entry: records.AddLine
    added: int
    removed: int
    why: str

    @property
    def counted_bytes(self) -> int:
        """What it counts in the quota."""
        return self.entry.size_bytes if self.entry.kind == EntryKind.FILE and self.why in COUNTED else 0


def horizon_of(manifests: Mapping[int, ManifestState]) -> datetime | None:
    """The moment from which on a device's history is whole; None: from its beginning."""
    moments = (m.line.history_from for m in manifests.values() if m.line.history_from is not None)
    return max(moments, default=None)


class DeviceReplay:
    """A device's chain: first all manifests and every end of an entry, then, as often as asked, the entries."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.manifests: dict[int, ManifestState] = {}
        self.next_id = 1 if chain.checkpoint is None else chain.checkpoint.next_id
        self._ends: dict[int, int] = {}
        self._purged: set[int] = set()
        self._manifest: ManifestState | None = None
        self._read_states()
        for record, lines in chain.lines():
            for line in lines:
                self._take(record, line)

    @property
    def has_purged(self) -> bool:
        """Whether the records after the checkpoint purge anything."""
        return bool(self._purged)

    def intervals(self) -> Iterator[Sequence[Interval]]:
        """Every entry that was not purged, in batches, in the order in which they were added."""
        batch: list[Interval] = []
        for interval in self._all():
            batch.append(interval)
            if len(batch) == INTERVALS_PER_BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _all(self) -> Iterator[Interval]:
        for part in self.chain.parts():
            if part.startswith(_INTERVAL):
                for line in records.decode(part):
                    if isinstance(line, records.IntervalLine) and line.entry.id not in self._purged:
                        yield self._ended(line.entry, line.added, line.removed, line.why)
        for _, lines in self.chain.lines():
            added = 0
            for line in lines:
                if isinstance(line, records.ManifestLine):
                    added = line.sequence
                elif isinstance(line, records.AddLine) and line.id not in self._purged:
                    yield self._ended(line, added, 0, "")

    def _ended(self, entry: records.AddLine, added: int, removed: int, why: str) -> Interval:
        end = self._ends.get(entry.id)
        if end is None:
            return Interval(entry, added, removed, why)
        sequence, number = divmod(end, len(_WHYS))
        return Interval(entry, added, sequence or removed, _WHYS[number])

    def _read_states(self) -> None:
        for part in self.chain.parts():
            if part.startswith(_INTERVAL):
                return
            for line in records.decode(part):
                if not isinstance(line, records.ManifestStateLine):
                    raise JournalIncomplete(
                        f"{self.chain.name}: a {type(line).__name__} begins a part of a checkpoint."
                    )
                self.manifests[line.manifest.sequence] = ManifestState(
                    line.manifest, Digest.from_hex(line.record_digest), line.added, line.removed, line.purged,
                    line.size_bytes, line.files,
                )  # fmt: skip

    def _take(self, record: JournalRecord, line: records.Line) -> None:
        match line:
            case records.ManifestLine():
                self._manifest = self.manifests[line.sequence] = ManifestState(line, record.digest)
            case records.CheckpointLine():
                pass
            case records.AddLine() | records.RemoveLine() | records.PurgeLine() if self._manifest is not None:
                self._change(self._manifest, line)
            case _:
                raise JournalIncomplete(
                    f"{self.chain.name}: record {record.sequence} has a {type(line).__name__} out of its place."
                )

    def _change(self, manifest: ManifestState, line: records.AddLine | records.RemoveLine | records.PurgeLine) -> None:
        match line:
            case records.AddLine():
                manifest.added += 1
                manifest.size_bytes += line.size_bytes
                manifest.files += line.kind == EntryKind.FILE
                self.next_id = max(self.next_id, line.id + 1, line.node + 1, line.parent + 1)
            case records.RemoveLine():
                self._end(manifest, line)
            case records.PurgeLine():
                manifest.purged += len(line.ids)
                manifest.removed += line.live
                self._purged.update(line.ids)
                for entry_id in line.ids:
                    self._ends.pop(entry_id, None)

    def _end(self, manifest: ManifestState, line: records.RemoveLine) -> None:
        number = _WHYS.index(Removal(line.why))
        if line.why == Removal.RECOVERED:  # it ended before: only the reason is another now
            sequence = self._ends.get(line.id, 0) // len(_WHYS)
        else:
            sequence = manifest.line.sequence
            manifest.removed += 1
        self._ends[line.id] = sequence * len(_WHYS) + number


# -- a tenant's chains together ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class TenantChains:
    """A tenant's own chain and its devices', proven, without records of changes that were never committed whole."""

    tenant: Chain
    devices: dict[int, Chain]
    uncommitted: list[str]
    """The chains whose last record was left out, with the reason."""


def read_tenant(journal: JournalReader, uuid: str, names: Sequence[str]) -> TenantChains:
    """Read all chains of a tenant. Raises as `read_chain`, and `JournalIncomplete` where its own chain is missing."""
    own = chain_name(uuid, TENANT_CHAIN)
    if own not in names:
        raise JournalIncomplete(f"{uuid}: there are chains of devices, and none of the tenant itself.")
    tenant = read_chain(journal, own)
    if TenantState.of(tenant).is_closed:
        return TenantChains(tenant, {}, [])
    devices = {device_of(name): read_chain(journal, name) for name in names if name != own}
    return TenantChains(tenant, devices, _drop_half_done(devices))


def device_of(name: str) -> int:
    """The device of a device's chain. Raises `JournalIncomplete` for a chain that is none."""
    prefix, _, number = name.rpartition("/device-")
    if not prefix or not number.isascii() or not number.isdigit():
        raise JournalIncomplete(f"{name} is no chain that this catalog makes.")
    return int(number)


def _drop_half_done(devices: dict[int, Chain]) -> list[str]:
    """A change of several devices counts only if each of its records is there; only a chain's last can be alone."""
    dropped = []
    halves = [chain for chain in devices.values() if not _is_whole(chain, devices)]
    for chain in halves:
        dropped.append(f"{chain.name}: record {chain.sequence} belongs to a change that was never committed")
        chain.drop_last()
    return dropped


def _is_whole(chain: Chain, devices: dict[int, Chain]) -> bool:
    last = chain.marks.get(chain.sequence)
    if last is None:
        return True
    for device_id, sequence in last.shared_with.items():
        other = devices.get(int(device_id))
        if other is None:
            return False
        mark = other.marks.get(sequence)
        # Before a checkpoint erases anything, what was never committed is marked abandoned: what is covered was whole.
        if sequence > other.through and (mark is None or mark.commit != last.commit):
            return False
    return True
