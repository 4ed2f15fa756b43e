"""Undo: a new manifest that reverses an earlier one, as far as what it did still stands.

What always holds: nothing that came later is lost. What was added goes into the hold if it is still as it was; a
folder goes only if nothing else is in it; what was removed comes back, under another name if its own is taken; what
was replaced or renamed is put back if nothing replaced it since. What does not fit is left as it is and told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catalog.changes import (
    AddKnown,
    DeleteEmpty,
    DeleteEntry,
    EntryChange,
    MoveEntry,
    PathChange,
    RecoverEntry,
    RenameEntry,
    RevertEntry,
)
from catalog.commit import CHANGES_PER_MANIFEST_MAX, commit
from catalog.database import Transaction
from catalog.errors import TooMany
from catalog.history import PAGE_MAX, Changed, ChangeKind, History
from catalog.scope import Scope
from catalog.values import CommitResult, EntryKind, Removal

CONFLICTS_TOLD_MAX: Final = 200
_IDS_PER_STATEMENT: Final = 1_000


class Why(StrEnum):
    """Why a change was not undone."""

    CHANGED_SINCE = "changed_since"
    DELETED_SINCE = "deleted_since"
    NAME_TAKEN = "name_taken"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A name whose change was not undone. `path`: as of the manifest."""

    path: str
    why: Why


@dataclass(frozen=True, slots=True)
class Undone:
    """`result` None: nothing had to be, or could be, undone. `conflicts`: at most so many are told; `kept`: all of
    them."""

    result: CommitResult | None
    conflicts: list[Conflict]
    kept: int


class Undoing:
    """Undoes whole manifests of the tenant's devices."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def undo(self, device_id: int, sequence: int) -> Undone:
        """Reverse that manifest. Raises `NotFound`, also where a file of it changes at this very moment: nothing
        changed then; `TooMany`, `QuotaExceeded`, `NotAllowed`."""
        self._scope.require_writable()
        history = History(self._scope)
        manifest = await history.manifest(device_id, sequence)
        plan = _Plan()
        cursor: str | None = None
        while True:
            page = await history.changes(device_id, sequence, cursor, PAGE_MAX)
            async with self._scope.database.reading() as tx:
                await self._add(tx, plan, page.items)
            if len(plan.changes) > CHANGES_PER_MANIFEST_MAX:
                raise TooMany(CHANGES_PER_MANIFEST_MAX, "changes to undo at once")
            if (cursor := page.next) is None:
                break
        if not plan.changes:
            return Undone(None, plan.conflicts, plan.kept)
        note = f"undoes change {manifest.sequence:,}"
        done = await commit(self._scope, {device_id: plan.ordered()}, "undo", f"change {manifest.sequence:,}", note)
        return Undone(done[device_id], plan.conflicts, plan.kept)

    async def _add(self, tx: Transaction, plan: "_Plan", changed: Sequence[Changed]) -> None:
        live = await self._live(tx, [one.entry.node_id for one in changed])
        taken = await self._taken(tx, [one for one in changed if one.kind is ChangeKind.MOVED])
        for one in changed:
            now = live.get(one.entry.node_id)
            if one.kind is ChangeKind.REMOVED:
                plan.recover(one, is_held=one.entry.removal is Removal.DELETED)
            elif now != one.entry.id:
                # A name that is gone is what undoing an addition wants.
                if now is not None or one.kind not in {ChangeKind.ADDED, ChangeKind.RECOVERED}:
                    plan.keep(one, Why.DELETED_SINCE if now is None else Why.CHANGED_SINCE)
            elif one.before is not None and one.entry.id in taken:
                plan.keep(one, Why.NAME_TAKEN)
            else:
                plan.reverse(one)

    async def _live(self, tx: Transaction, nodes: Sequence[int]) -> dict[int, int]:
        """node → its live entry."""
        found: dict[int, int] = {}
        for start in range(0, len(nodes), _IDS_PER_STATEMENT):
            part = nodes[start : start + _IDS_PER_STATEMENT]
            rows = await tx.fetch_all(
                "SELECT node_id, id FROM entry WHERE tenant_id = %s AND removed_seq IS NULL"
                f" AND node_id IN ({','.join(['%s'] * len(part))})",
                (self._scope.tenant.id, *part),
            )
            found.update(rows)
        return found

    async def _taken(self, tx: Transaction, moved: Sequence[Changed]) -> set[int]:
        """Those of the moved whose old name another entry has now."""
        found: set[int] = set()
        for one in moved:
            if one.before is None:
                continue
            row = await tx.fetch_one(
                "SELECT 1 FROM entry n JOIN entry p ON p.tenant_id = n.tenant_id AND p.id = %s"
                " WHERE n.tenant_id = %s AND n.parent_id = p.parent_id AND n.name = %s AND n.removed_key = 0",
                (one.before.id, self._scope.tenant.id, _name_after(one)),
            )
            if row is not None:
                found.add(one.entry.id)
        return found


class _Plan:
    """The changes that undo, in an order in which they can be done."""

    def __init__(self) -> None:
        self.changes: list[EntryChange | PathChange] = []
        self.conflicts: list[Conflict] = []
        self.kept = 0
        self._folders: list[tuple[int, EntryChange]] = []
        self._recovered: list[tuple[int, EntryChange]] = []

    def keep(self, changed: Changed, why: Why) -> None:
        self.kept += 1
        if len(self.conflicts) < CONFLICTS_TOLD_MAX:
            self.conflicts.append(Conflict(str(changed.entry.path), why))

    def recover(self, changed: Changed, *, is_held: bool) -> None:
        if is_held:
            depth = len(changed.entry.path.names)
            self._recovered.append((depth, RecoverEntry(changed.entry.id)))
            self.changes.append(self._recovered[-1][1])

    def reverse(self, changed: Changed) -> None:
        entry, before = changed.entry, changed.before
        if before is None:
            if entry.kind is EntryKind.DIRECTORY:
                self._folders.append((len(entry.path.names), DeleteEmpty(entry.id)))
                self.changes.append(self._folders[-1][1])
            else:
                self.changes.append(DeleteEntry(entry.id))
        elif changed.kind is ChangeKind.MOVED:
            is_renamed = entry.path.parent == before.path.parent
            change = RenameEntry(entry.id, before.name) if is_renamed else MoveEntry(entry.id, before.path.parent)
            self.changes.append(change)
        elif changed.kind is ChangeKind.REPLACED and entry.kind is EntryKind.FILE and before.kind is EntryKind.FILE:
            self.changes.append(RevertEntry(before.id))
        elif before.blob is not None:
            known = AddKnown(
                entry.path, before.blob.digest, before.size_bytes, before.mtime_ns, before.mode, entry.area
            )  # fmt: skip
            self.changes.append(known)

    def ordered(self) -> list[EntryChange | PathChange]:
        """Outer folders come back before what was in them; inner ones go before outer ones, after all else."""
        back = [change for _, change in sorted(self._recovered, key=lambda one: one[0])]
        gone = [change for _, change in sorted(self._folders, key=lambda one: -one[0])]
        special = {id(change) for change in (*back, *gone)}
        return [*back, *(change for change in self.changes if id(change) not in special), *gone]


def _name_after(changed: Changed) -> bytes:
    """The name that undoing a move or a rename would give."""
    if changed.before is None:
        return changed.entry.name
    renamed = changed.entry.path.parent == changed.before.path.parent
    return changed.before.name if renamed else changed.entry.name
