"""One purge of one device: a manifest that removes entries for good.

What always holds: the rows, the bytes that they count in the quota, the possession of blobs that no entry of the tenant
names any more, the journal's record and the audit's event go in one transaction. A blob itself is never touched here:
the sweep looks at it later.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from cas.digest import Digest
from catalog import audit, clock, records
from catalog.blob_rows import id_list
from catalog.candidates import let_go
from catalog.chains import Head, advance, later, lock_head
from catalog.database import Row, Transaction
from catalog.errors import NotFound
from catalog.ledger import Ledger, lock_ledger
from catalog.scope import Scope
from catalog.values import EntryKind, Purged, Removal

ROWS_PER_STATEMENT: Final = 1_000
_COUNTED: Final = (None, Removal.DELETED, Removal.REPLACED)
"""Of these an entry's bytes count in the quota; any other has a successor that counts."""

DOOMED_COLUMNS: Final = "id, node_id, parent_id, kind, blob_id, size_bytes, removal, added_seq, removed_at"


class Doomed(NamedTuple):
    """An entry as far as a purge needs it."""

    id: int
    node_id: int
    parent_id: int
    kind: EntryKind
    blob_id: int | None
    size_bytes: int
    removal: Removal | None
    added_seq: int
    removed_at: datetime | None

    @property
    def is_counted(self) -> bool:
        """Whether it stands for something of its own: live, held or a version, not a former name or time of those."""
        return self.removal in _COUNTED

    @property
    def counted_bytes(self) -> int:
        return self.size_bytes if self.kind is EntryKind.FILE and self.is_counted else 0


Choose = Callable[[Transaction], Awaitable[Sequence[Doomed]]]
"""Which entries go, read in the transaction that removes them, under the ledger's lock."""


@dataclass(frozen=True, slots=True)
class Act:
    """What the audit says of a purge. `by_rule`: nobody chose what goes, so that moments before cannot be shown
    whole."""

    action: str
    subject: str
    by_rule: bool = False


class Purging:
    """One transaction: `run` may be called once."""

    def __init__(self, scope: Scope, device_id: int, act: Act) -> None:
        self._scope = scope
        self._device_id = scope.reach(device_id)
        self._act = act
        self._done = Purged()
        self._proof: tuple[int, Digest] | None = None
        self._gone: list[int] = []

    async def run(self, choose: Choose) -> Purged:
        """Remove what `choose` names; nothing happens if it names nothing. Raises `NotFound`, `DatabaseUnavailable`."""

        async def work(tx: Transaction) -> Purged:
            self._done, self._proof, self._gone = Purged(), None, []
            ledger = await lock_ledger(tx, self._scope.tenant)
            head = await lock_head(tx, self._scope.tenant.id, self._device_id)
            if head is None:
                raise NotFound("device")
            if doomed := await choose(tx):
                self._done = await self._remove(tx, ledger, head, doomed)
                self._gone = [entry.id for entry in doomed]
            return self._done

        done = await self._scope.database.run(work, self._was_committed)
        self._scope.searches.purged(self._scope.tenant, self._gone)
        return done

    async def _was_committed(self) -> Purged | None:
        if self._proof is None:
            return self._done
        sequence, digest = self._proof
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT 1 FROM manifest WHERE tenant_id = %s AND device_id = %s AND sequence = %s"
                " AND record_digest = %s",
                (self._scope.tenant.id, self._device_id, sequence, digest.raw),
            )
        return self._done if row else None

    async def _remove(self, tx: Transaction, ledger: Ledger, head: Head, doomed: Sequence[Doomed]) -> Purged:
        live = [entry for entry in doomed if entry.removal is None]
        files = {entry.node_id for entry in doomed if entry.kind is EntryKind.FILE}
        freed_bytes = sum(entry.counted_bytes for entry in doomed)
        at = later(head, clock.now())
        await self._insert_manifest(tx, head, at, len(doomed), len(live))
        await self._delete_rows(tx, doomed)
        ledger.charge(-freed_bytes)
        await self._let_go(tx, sorted({entry.blob_id for entry in doomed if entry.blob_id is not None}))
        await self._forget_moments(tx, doomed)
        await self._count_live(tx, [entry for entry in live if entry.kind is EntryKind.FILE])
        await ledger.store(tx)
        done = Purged(len(doomed), len(files), freed_bytes)
        await self._seal(tx, head, at, doomed, done)
        return done

    async def _insert_manifest(self, tx: Transaction, head: Head, at: datetime, purged: int, removed: int) -> None:
        actor = self._scope.actor
        await tx.execute(
            "INSERT INTO manifest (tenant_id, device_id, sequence, at, actor_kind, actor, note, added, removed, purged,"
            " size_bytes) VALUES (%s, %s, %s, %s, %s, %s, '', 0, %s, %s, 0)",
            (self._scope.tenant.id, self._device_id, head.manifest_sequence + 1, clock.to_db(at), actor.kind,
             actor.name[:200], removed, purged),
        )  # fmt: skip

    async def _delete_rows(self, tx: Transaction, doomed: Sequence[Doomed]) -> None:
        tenant_id = self._scope.tenant.id
        for part in parts([entry.id for entry in doomed]):
            await tx.execute(f"DELETE FROM entry WHERE tenant_id = {tenant_id:d} AND id IN ({id_list(part)})")
        for part in parts(sorted({entry.node_id for entry in doomed if entry.kind is EntryKind.DIRECTORY})):
            await tx.execute(
                f"DELETE FROM directory WHERE tenant_id = {tenant_id:d} AND id IN ({id_list(part)}) AND is_root = 0"
                " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.tenant_id = directory.tenant_id"
                " AND e.node_id = directory.id)"
            )

    async def _let_go(self, tx: Transaction, blob_ids: Sequence[int]) -> None:
        """Of blobs that no entry of the tenant names any more, nothing is possessed. A lease stays: it stands for bytes
        that were sent just now."""
        tenant_id = self._scope.tenant.id
        for part in parts(blob_ids):
            rows = await tx.fetch_all(
                f"SELECT DISTINCT blob_id FROM entry WHERE blob_id IN ({id_list(part)}) AND tenant_id = {tenant_id:d}"
            )
            free = sorted(set(part) - {blob_id for (blob_id,) in rows})
            if not free:
                continue
            await let_go(tx, tenant_id, free)
            await tx.execute(
                f"DELETE FROM possession WHERE tenant_id = {tenant_id:d} AND blob_id IN ({id_list(free)})"
                " AND leased_until IS NULL"
            )

    async def _count_live(self, tx: Transaction, files: Sequence[Doomed]) -> None:
        if files:
            await tx.execute(
                "UPDATE device SET file_count = file_count - %s, size_bytes = size_bytes - %s"
                " WHERE tenant_id = %s AND id = %s",
                (len(files), sum(entry.size_bytes for entry in files), self._scope.tenant.id, self._device_id),
            )

    def _history_from(self, doomed: Sequence[Doomed]) -> datetime | None:
        ended = [entry.removed_at for entry in doomed if entry.removed_at is not None]
        return clock.from_db(max(ended)) if self._act.by_rule and ended else None

    async def _forget_moments(self, tx: Transaction, doomed: Sequence[Doomed]) -> None:
        if (moment := self._history_from(doomed)) is not None:
            await tx.execute(
                "UPDATE device SET history_from = GREATEST(COALESCE(history_from, %s), %s)"
                " WHERE tenant_id = %s AND id = %s",
                (clock.to_db(moment), clock.to_db(moment), self._scope.tenant.id, self._device_id),
            )

    async def _seal(self, tx: Transaction, head: Head, at: datetime, doomed: Sequence[Doomed], done: Purged) -> None:
        scope, sequence = self._scope, head.manifest_sequence + 1
        lines: list[records.Line] = [
            records.ManifestLine(
                self._device_id,
                sequence,
                at,
                scope.actor.kind,
                scope.actor.name[:200],
                "",
                self._act.action,
                history_from=self._history_from(doomed),
            ),
            records.PurgeLine([entry.id for entry in doomed], sum(entry.removal is None for entry in doomed)),
        ]
        detail: dict[str, object] = {
            "manifest": sequence, "purged": done.entries, "files": done.files, "bytes": done.freed_bytes,
        }  # fmt: skip
        await audit.append(
            tx, scope.tenant.id, scope.actor, self._act.action, self._act.subject, detail,
            at=at, device_id=self._device_id,
        )  # fmt: skip
        moved = await advance(tx, scope.journal, head, scope.tenant.uuid, records.encode(lines), at, manifests=1)
        if moved.digest is None:
            raise AssertionError("an advanced head has a digest")
        await tx.execute(
            "UPDATE manifest SET record_digest = %s WHERE tenant_id = %s AND device_id = %s AND sequence = %s",
            (moved.digest.raw, scope.tenant.id, self._device_id, sequence),
        )
        self._proof = (sequence, moved.digest)


async def histories(tx: Transaction, tenant_id: int, node_ids: Iterable[int]) -> dict[int, list[Doomed]]:
    """All entries of each node, oldest first."""
    found: dict[int, list[Doomed]] = {}
    for part in parts(sorted(set(node_ids))):
        rows = await tx.fetch_all(
            f"SELECT {DOOMED_COLUMNS} FROM entry WHERE tenant_id = {tenant_id:d} AND node_id IN ({id_list(part)})"
            " ORDER BY node_id, added_seq, id"
        )
        for entry in map(doomed_of, rows):
            found.setdefault(entry.node_id, []).append(entry)
    return found


async def inside(tx: Transaction, tenant_id: int, node_ids: Iterable[int]) -> list[Doomed]:
    """Every entry, live or not, that lies in these directories themselves."""
    found: list[Doomed] = []
    for part in parts(sorted(set(node_ids))):
        rows = await tx.fetch_all(
            f"SELECT {DOOMED_COLUMNS} FROM entry WHERE tenant_id = {tenant_id:d} AND parent_id IN ({id_list(part)})"
        )
        found += map(doomed_of, rows)
    return found


def version_of(history: Sequence[Doomed], entry_id: int) -> list[Doomed]:
    """The entries that are one version of a file together with this one: the same bytes under other names, times or
    modes, up to the entry that counts them. Of the live version only the entry itself: its bytes are in use."""
    at = next(position for position, entry in enumerate(history) if entry.id == entry_id)
    first, last = at, at
    while first > 0 and not history[first - 1].is_counted:
        first -= 1
    while not history[last].is_counted:
        if last + 1 == len(history):
            return [history[at]]  # its successor lies elsewhere
        last += 1
    return [history[at]] if history[last].removal is None else list(history[first : last + 1])


def parts(ids: Sequence[int]) -> list[Sequence[int]]:
    """Slices of a size that a statement takes."""
    return [ids[start : start + ROWS_PER_STATEMENT] for start in range(0, len(ids), ROWS_PER_STATEMENT)]


def doomed_of(row: Row) -> Doomed:
    entry_id, node_id, parent_id, kind, blob_id, size_bytes, removal, added_seq, removed_at = row
    why = None if removal is None else Removal(removal)
    return Doomed(entry_id, node_id, parent_id, EntryKind(kind), blob_id, size_bytes, why, added_seq, removed_at)
