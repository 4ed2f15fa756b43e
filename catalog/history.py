"""History: how a device came to be what it is: its moments, and what each manifest changed.

A moment is good from the device's horizon on: what a rule deleted for good (the end of the hold, the owner's rule for
versions) was still there before it, so that an earlier moment could only be shown wrongly, and is refused by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final

from catalog import clock, cursors
from catalog.database import Row, Transaction
from catalog.entries import ENTRY_COLUMNS, ENTRY_TABLES, entries_of
from catalog.errors import BadRequest, NotFound
from catalog.scope import Scope
from catalog.values import Entry, Manifest, Page, Removal

PAGE_MAX: Final = 500
BUCKETS_MAX: Final = 200
_MANIFEST: Final = "sequence, at, actor_kind, actor, note, added, removed, size_bytes, purged"


class ChangeKind(StrEnum):
    """What a manifest did to one name."""

    ADDED = "added"
    REPLACED = "replaced"
    MOVED = "moved"
    """Renamed, or to another folder."""
    AMENDED = "amended"
    """The same bytes with another time or mode."""
    RECOVERED = "recovered"
    REMOVED = "removed"


_KIND_OF: Final = {
    Removal.REPLACED: ChangeKind.REPLACED,
    Removal.RENAMED: ChangeKind.MOVED,
    Removal.AMENDED: ChangeKind.AMENDED,
}


@dataclass(frozen=True, slots=True)
class Changed:
    """One name that a manifest changed, with its path as of then. `entry`: what it left, or of a removal what went;
    `before`: what it took the place of, under whatever name."""

    kind: ChangeKind
    entry: Entry
    before: Entry | None


@dataclass(frozen=True, slots=True)
class Span:
    """A device's history: its first and last manifest, and the moment from which on it can be shown."""

    manifests: int
    first_at: datetime | None
    last_at: datetime | None
    horizon: datetime | None


class History:
    """The history of the tenant's devices."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def span(self, device_id: int) -> Span:
        """From when to when the device has a history. Raises `NotFound`."""
        key = (self._scope.tenant.id, self._scope.reach(device_id))
        async with self._scope.database.reading() as tx:
            device = await tx.fetch_one(
                "SELECT history_from FROM device WHERE tenant_id = %s AND id = %s AND removed_key = 0", key
            )
            if device is None:
                raise NotFound("device")
            ends = await tx.fetch_one(
                "SELECT MIN(sequence), MAX(sequence) FROM manifest WHERE tenant_id = %s AND device_id = %s", key
            )
            first, last = ends or (None, None)
            moments = [await self._at(tx, device_id, sequence) for sequence in (first, last) if sequence is not None]
        horizon = None if device[0] is None else clock.from_db(device[0])
        if not moments:
            return Span(0, None, None, horizon)
        return Span(int(last or 0), moments[0], moments[-1], horizon)

    async def buckets(self, device_id: int, first: datetime, last: datetime, count: int) -> list[int]:
        """How many manifests fall into each of `count` equal times from `first` to `last`: by the numbers that they
        carry, a look-up each, so that it costs the same for a hundred manifests and for a million."""
        if not 1 <= count <= BUCKETS_MAX:
            raise BadRequest(f"A history has 1 to {BUCKETS_MAX} buckets.")
        step = max((last - first) / count, timedelta(microseconds=1))
        async with self._scope.database.reading() as tx:
            numbers = [await self._number(tx, device_id, first - timedelta(microseconds=1))]
            numbers += [await self._number(tx, device_id, first + step * edge) for edge in range(1, count)]
            numbers.append(await self._number(tx, device_id, last))
        return [max(0, after - before) for before, after in pairwise(numbers)]

    async def manifest(self, device_id: int, sequence: int) -> Manifest:
        """One manifest. Raises `NotFound`."""
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                f"SELECT {_MANIFEST} FROM manifest WHERE tenant_id = %s AND device_id = %s AND sequence = %s",
                (self._scope.tenant.id, self._scope.reach(device_id), sequence),
            )
        if row is None:
            raise NotFound("change")
        return Manifest(device_id, row[0], clock.from_db(row[1]), *row[2:])

    async def until(self, device_id: int, at: datetime, limit: int = 20) -> list[Manifest]:
        """The newest manifests up to a moment, newest first."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page of the history has 1 to {PAGE_MAX} manifests.")
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {_MANIFEST} FROM manifest WHERE tenant_id = %s AND device_id = %s AND at <= %s"
                " ORDER BY at DESC, sequence DESC LIMIT %s",
                (self._scope.tenant.id, self._scope.reach(device_id), clock.to_db(at), limit),
            )
        return [Manifest(device_id, row[0], clock.from_db(row[1]), *row[2:]) for row in rows]

    async def changes(
        self, device_id: int, sequence: int, cursor: str | None = None, limit: int = 100
    ) -> Page[Changed]:
        """What the manifest changed: first what it left, then what it removed. What was deleted for good since is
        missing. Raises `NotFound`, `BadCursor`."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page of changes has 1 to {PAGE_MAX}.")
        await self.manifest(device_id, sequence)
        is_removed, after = (int(part) for part in cursors.decode(cursor, int, int)) if cursor else (0, 0)
        found: list[Changed] = []
        async with self._scope.database.reading() as tx:
            if not is_removed:
                found = await self._left(tx, device_id, sequence, after, limit + 1)
                after = 0
            if len(found) <= limit:
                found += await self._removed(tx, device_id, sequence, after, limit + 1 - len(found))
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1]
        return Page(found[:limit], cursors.encode(int(last.kind is ChangeKind.REMOVED), last.entry.id))

    async def _left(self, tx: Transaction, device_id: int, sequence: int, after: int, limit: int) -> list[Changed]:
        tenant_id = self._scope.tenant.id
        rows = await tx.fetch_all(
            f"SELECT {ENTRY_COLUMNS}, (SELECT MAX(q.removed_seq) FROM entry q WHERE q.tenant_id = e.tenant_id"
            " AND q.node_id = e.node_id AND q.added_seq < e.added_seq)"
            f" FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.device_id = %s AND e.added_seq = %s AND e.id > %s"
            " ORDER BY e.id LIMIT %s",
            (tenant_id, device_id, sequence, after, limit),
        )
        left = await entries_of(tx, tenant_id, [row[:-1] for row in rows], until=sequence)
        nodes = [entry.node_id for entry, row in zip(left, rows, strict=True) if row[-1] == sequence]
        before = {entry.node_id: entry for entry in await self._ended(tx, device_id, sequence, nodes)}
        return [
            _changed(entry, before.get(entry.node_id), row[-1] is not None)
            for entry, row in zip(left, rows, strict=True)
        ]

    async def _ended(self, tx: Transaction, device_id: int, sequence: int, nodes: Sequence[int]) -> list[Entry]:
        """What of these nodes ended with the manifest, with their paths before it."""
        if not nodes:
            return []
        rows = await tx.fetch_all(
            f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.device_id = %s"
            f" AND e.removed_seq = %s AND e.node_id IN ({','.join(['%s'] * len(nodes))})",
            (self._scope.tenant.id, device_id, sequence, *nodes),
        )
        return await entries_of(tx, self._scope.tenant.id, rows, until=sequence - 1)

    async def _removed(self, tx: Transaction, device_id: int, sequence: int, after: int, limit: int) -> list[Changed]:
        rows = await tx.fetch_all(
            f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.device_id = %s"
            " AND e.removed_seq = %s AND e.removal IN ('deleted', 'recovered') AND e.id > %s ORDER BY e.id LIMIT %s",
            (self._scope.tenant.id, device_id, sequence, after, limit),
        )
        entries = await entries_of(tx, self._scope.tenant.id, rows, until=sequence - 1)
        return [Changed(ChangeKind.REMOVED, entry, None) for entry in entries]

    async def _number(self, tx: Transaction, device_id: int, at: datetime) -> int:
        row: Row | None = await tx.fetch_one(
            "SELECT sequence FROM manifest WHERE tenant_id = %s AND device_id = %s AND at <= %s"
            " ORDER BY at DESC, sequence DESC LIMIT 1",
            (self._scope.tenant.id, self._scope.reach(device_id), clock.to_db(at)),
        )
        return int(row[0]) if row else 0

    async def _at(self, tx: Transaction, device_id: int, sequence: int) -> datetime:
        row = await tx.fetch_one(
            "SELECT at FROM manifest WHERE tenant_id = %s AND device_id = %s AND sequence = %s",
            (self._scope.tenant.id, device_id, sequence),
        )
        if row is None:
            raise NotFound("change")
        return clock.from_db(row[0])


def _changed(entry: Entry, before: Entry | None, had_others: bool) -> Changed:
    if before is not None and before.removal in _KIND_OF:
        return Changed(_KIND_OF[before.removal], entry, before)
    return Changed(ChangeKind.RECOVERED if had_others else ChangeKind.ADDED, entry, None)
