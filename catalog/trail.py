"""`Trail`: what became of one file, where else its bytes are, and when they were last read and found good.

What happened is read from the intervals of the file's place and the manifests that began and ended them, so that
nothing more is written for it; downloads are the audit's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from catalog import clock
from catalog.database import Row, Transaction
from catalog.entries import ENTRY_COLUMNS, ENTRY_TABLES, entries_of
from catalog.errors import NotFound
from catalog.scope import Scope
from catalog.values import Entry, Removal

PLACES_MAX: Final = 100
STEPS_MAX: Final = 200
DOWNLOADS_MAX: Final = 50


class What(StrEnum):
    """What happened to a file."""

    ADDED = "added"
    REPLACED = "replaced"
    RENAMED = "renamed"
    MOVED = "moved"
    AMENDED = "amended"
    RECOVERED = "recovered"
    DELETED = "deleted"
    DOWNLOADED = "downloaded"


_BEGUN_BY: Final = {
    Removal.REPLACED: What.REPLACED,
    Removal.AMENDED: What.AMENDED,
    Removal.RECOVERED: What.RECOVERED,
    Removal.DELETED: What.ADDED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `manifest`: the sequence of the manifest that did it, where one did. `before`: the name
    of a file that was renamed, before that."""

    at: datetime
    what: What
    actor_kind: str
    actor: str
    manifest: int | None = None
    before: bytes = b""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How the bytes are kept. `verified_at` None: not read again yet. `is_damaged`: the copy is not what it was."""

    verified_at: datetime | None
    is_damaged: bool


class Trail:
    """The story of files that the scope reaches."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def steps(self, entry: Entry) -> list[Step]:
        """What happened in this entry's place, newest first; at most `STEPS_MAX` intervals and the last downloads."""
        tenant_id, device_id = self._scope.tenant.id, self._scope.reach(entry.device_id)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT e.id, e.name, e.removal, e.added_at, e.added_seq, a.actor_kind, a.actor,"
                " e.removed_at, e.removed_seq, r.actor_kind, r.actor FROM entry e JOIN manifest a ON"
                " a.tenant_id = e.tenant_id AND a.device_id = e.device_id AND a.sequence = e.added_seq"
                " LEFT JOIN manifest r ON r.tenant_id = e.tenant_id AND r.device_id = e.device_id"
                " AND r.sequence = e.removed_seq WHERE e.tenant_id = %s AND e.node_id = %s AND e.device_id = %s"
                " ORDER BY e.added_seq DESC, e.id DESC LIMIT %s",
                (tenant_id, entry.node_id, device_id, STEPS_MAX),
            )
            downloads = await self._downloads(tx, [row[0] for row in rows]) if rows else []
        found = [*_steps(list(reversed(rows))), *downloads]
        return sorted(found, key=lambda step: step.at, reverse=True)

    async def _downloads(self, tx: Transaction, entry_ids: Sequence[int]) -> list[Step]:
        rows = await tx.fetch_all(
            "SELECT at, actor_kind, actor FROM audit_event WHERE tenant_id = %s"
            f" AND entry_id IN ({','.join(['%s'] * len(entry_ids))}){self._scope.within('device_id')}"
            " ORDER BY id DESC LIMIT %s",
            (self._scope.tenant.id, *entry_ids, DOWNLOADS_MAX),
        )
        return [Step(clock.from_db(at), What.DOWNLOADED, kind, actor) for at, kind, actor in rows]

    async def places(self, entry: Entry) -> list[Entry]:
        """Where the tenant has these bytes now, by device and path: this place among them; at most `PLACES_MAX`."""
        if entry.blob is None:
            return []
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.removed_key = 0"
                " AND v.removed_key = 0 AND e.blob_id ="
                f" (SELECT blob_id FROM entry WHERE tenant_id = %s AND id = %s){self._scope.within('e.device_id')}"
                " LIMIT %s",
                (self._scope.tenant.id, self._scope.tenant.id, entry.id, PLACES_MAX),
            )
            found = await entries_of(tx, self._scope.tenant.id, rows)
        return sorted(found, key=lambda place: (place.device_name, place.area, place.path.names))

    async def keeping(self, entry: Entry) -> Keeping:
        """When the bytes were last read and found good. Raises `NotFound` for another tenant's entry."""
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT v.verified_at, v.outcome FROM entry e LEFT JOIN verification v ON v.blob_id = e.blob_id"
                f" WHERE e.tenant_id = %s AND e.id = %s{self._scope.within('e.device_id')}",
                (self._scope.tenant.id, entry.id),
            )
        if row is None:
            raise NotFound("file")
        is_damaged = row[1] not in (None, "good")
        return Keeping(None if row[0] is None or is_damaged else clock.from_db(row[0]), is_damaged)


def _steps(rows: Sequence[Row]) -> list[Step]:
    """The steps between the intervals of one place, which come oldest first."""
    steps: list[Step] = []
    for before, row in zip([None, *rows], rows, strict=False):
        _, name, removal, at, sequence, actor_kind, actor, removed_at, removed_seq, by_kind, by = row
        what, old_name = _begun(before, name)
        steps.append(Step(clock.from_db(at), what, actor_kind, actor, sequence, old_name))
        if removal in (Removal.DELETED, Removal.RECOVERED):
            steps.append(Step(clock.from_db(removed_at), What.DELETED, by_kind, by, removed_seq))
    return steps


def _begun(before: Row | None, name: bytes) -> tuple[What, bytes]:
    """How an interval came about, from the one before it; with the name before, if that is what changed."""
    if before is None:
        return What.ADDED, b""
    old_name, removal = bytes(before[1]), Removal(before[2])
    if removal is not Removal.RENAMED:
        return _BEGUN_BY[removal], b""
    return (What.RENAMED, old_name) if old_name != bytes(name) else (What.MOVED, b"")
