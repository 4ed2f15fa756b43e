"""Entries: reading what a device holds, now or at a moment, and what was deleted; and changing it by entry."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from catalog import clock, cursors
from catalog.blob_rows import BLOB_COLUMNS, blob_of
from catalog.changes import (
    AddDirectory,
    DeleteEntry,
    EntryChange,
    MoveEntry,
    RecoverEntry,
    RenameEntry,
    RevertEntry,
)
from catalog.commit import commit
from catalog.database import Row, Transaction
from catalog.errors import BadRequest, Conflict, HistoryGone, NameTaken, NotFound, TooMany
from catalog.names import fold, media_type, split_extension
from catalog.paths import directory_paths, root_id
from catalog.scope import Scope
from catalog.values import (
    Area,
    CommitResult,
    Entry,
    EntryKind,
    EntryPath,
    MediaKind,
    Page,
    Removal,
    check_name,
)

PAGE_MAX: Final = 1_000
HELD_TEXT_CHARACTERS_MAX: Final = 200
HELD_WORDS_MAX: Final = 10
_LIKE_SPECIAL: Final = re.compile(r"([%_\\])")
ENTRIES_PER_REQUEST_MAX: Final = 10_000

ENTRY_COLUMNS: Final = (
    "e.id, e.device_id, v.name, e.area, e.node_id, e.parent_id, e.name, e.kind, e.size_bytes, e.mode, e.mtime_ns,"
    " e.taken_ns, e.added_at, e.media_kind, e.link_target, e.removed_at, e.removal, b.id, " + BLOB_COLUMNS
)
ENTRY_TABLES: Final = (
    "entry e STRAIGHT_JOIN device v ON v.tenant_id = e.tenant_id AND v.id = e.device_id"
    " LEFT JOIN `blob` b ON b.id = e.blob_id"
)
"""Entries first: left alone, MariaDB begins with a tenant's few devices and goes through all that is on them."""

LISTING_TABLES: Final = ENTRY_TABLES.replace("entry e", "entry e FORCE INDEX (listing)")
"""The same for a directory's live entries in order."""


def _entry(row: Row, parents: dict[int, EntryPath]) -> Entry:
    (entry_id, device_id, device_name, area, node_id, parent_id, name, kind, size, mode, mtime, taken, added_at,
     kind_of_media, target, removed_at, removal, blob_id, *blob) = row  # fmt: skip
    raw = bytes(name)
    return Entry(
        id=entry_id,
        device_id=device_id,
        device_name=device_name,
        area=Area(area),
        node_id=node_id,
        path=parents[parent_id].child(raw),
        name=raw,
        kind=EntryKind(kind),
        blob=None if blob_id is None else blob_of(*blob),
        size_bytes=size,
        mode=mode,
        mtime_ns=mtime,
        taken_ns=taken,
        uploaded_at=clock.from_db(added_at),
        media_kind=MediaKind(kind_of_media),
        media_type=media_type(raw),
        link_target=None if target is None else bytes(target),
        removed_at=None if removed_at is None else clock.from_db(removed_at),
        removal=None if removal is None else Removal(removal),
    )


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """What of the deleted is wanted: all conditions hold together. `text`: words, each any part of the name."""

    text: str = ""
    device_id: int | None = None
    media_kind: MediaKind | None = None


async def entries_of(tx: Transaction, tenant_id: int, rows: Sequence[Row], until: int | None = None) -> list[Entry]:
    """Rows of `ENTRY_COLUMNS` as entries, their paths found together; with `until`, as of that manifest."""
    parents = await directory_paths(tx, tenant_id, {row[5] for row in rows}, until)
    return [_entry(row, parents) for row in rows]


def entries_at(rows: Sequence[Row], directory: EntryPath) -> list[Entry]:
    """Rows of `ENTRY_COLUMNS` that all lie in one directory."""
    return [_entry(row, {row[5]: directory}) for row in rows]


class Entries:
    """The tenant's entries, as far as the scope reaches."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, entry_id: int) -> Entry:
        """One entry, live or not. Raises `NotFound`."""
        return (await self.by_ids([entry_id]))[0]

    async def by_path(self, device_id: int, area: Area, path: EntryPath, at: datetime | None = None) -> Entry:
        """The entry at a path, now or at a moment. Raises `NotFound`."""
        if not path.names:
            raise NotFound("file")
        async with self._scope.database.reading() as tx:
            sequence = await self.sequence_at(tx, device_id, at)
            parent_id = await self.directory_at(tx, device_id, area, path.parent, sequence)
            rows = await tx.fetch_all(
                f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.parent_id = %s"
                f" AND e.name = %s AND {alive(sequence)}",
                (self._scope.tenant.id, parent_id, path.name),
            )
            if not rows:
                raise NotFound("file")
            return _entry(rows[0], {parent_id: path.parent})

    async def page(
        self,
        device_id: int,
        area: Area,
        path: EntryPath,
        at: datetime | None = None,
        cursor: str | None = None,
        limit: int = 200,
    ) -> Page[Entry]:
        """A directory, now or at a moment: directories first, then files and links, by name. Raises `NotFound`."""
        _check_limit(limit)
        async with self._scope.database.reading() as tx:
            sequence = await self.sequence_at(tx, device_id, at)
            parent_id = await self.directory_at(tx, device_id, area, path, sequence)
            parts = [await self._in_order(tx, parent_id, each, cursor, limit + 1) for each in _alive_by_key(sequence)]
        # What ended between the two statements is in both.
        found = {row[0]: row for part in parts for row in part}.values()
        rows = sorted(found, key=lambda row: (row[7], row[-1], row[0]))[: limit + 1]
        items = [_entry(row[:-1], {parent_id: path}) for row in rows[:limit]]
        return Page(items, cursors.encode(rows[limit - 1][7], rows[limit - 1][-1], rows[limit - 1][0])
                    if len(rows) > limit else None)  # fmt: skip

    async def _in_order(
        self, tx: Transaction, parent_id: int, condition: str, cursor: str | None, limit: int
    ) -> list[Row]:
        """A directory's entries of that condition, in the order of `page`: their columns, then the folded name."""
        sql = (
            f"SELECT {ENTRY_COLUMNS}, e.name_fold FROM {LISTING_TABLES}"
            f" WHERE e.tenant_id = %s AND e.parent_id = %s AND {condition}"
        )
        params: list[object] = [self._scope.tenant.id, parent_id]
        if cursor:
            kind, folded, last_id = cursors.decode(cursor, str, str, int)
            sql += " AND e.kind >= %s AND (e.kind > %s OR e.name_fold > %s OR (e.name_fold = %s AND e.id > %s))"
            params += [kind, kind, folded, folded, last_id]
        return await tx.fetch_all(sql + " ORDER BY e.kind, e.name_fold, e.id LIMIT %s", (*params, limit))

    async def held(self, cursor: str | None = None, limit: int = 200, only: HeldFilter | None = None) -> Page[Entry]:
        """What was deleted and can be recovered, newest first; what went along with a folder is inside it. Raises
        `NotFound` for a device out of reach."""
        _check_limit(limit)
        sql = (
            f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.removal = 'deleted'"
            " AND NOT EXISTS (SELECT 1 FROM entry p WHERE p.tenant_id = e.tenant_id AND p.node_id = e.parent_id"
            " AND p.removed_seq = e.removed_seq AND p.device_id = e.device_id AND p.removal = 'deleted')"
        )
        sql += self._scope.within("e.device_id")
        params: list[object] = [self._scope.tenant.id]
        for condition, value in self._kept_to(only or HeldFilter()):
            sql += f" AND {condition}"
            params.append(value)
        if cursor:
            at, last_id = cursors.decode(cursor, int, int)
            moment = clock.from_microseconds(int(at))
            sql += " AND e.removed_at <= %s AND (e.removed_at < %s OR e.id < %s)"
            params += [moment, moment, last_id]
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                sql + " ORDER BY e.removed_at DESC, e.id DESC LIMIT %s", (*params, limit + 1)
            )  # fmt: skip
            items = await entries_of(tx, self._scope.tenant.id, rows[:limit])
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(items, cursors.encode(clock.microseconds(last[15]), last[0]) if last else None)

    def _kept_to(self, only: HeldFilter) -> list[tuple[str, object]]:
        """The filter's conditions on `e`, with the value of each."""
        found: list[tuple[str, object]] = [
            ("e.name_fold LIKE %s", "%" + _LIKE_SPECIAL.sub(r"\\\1", fold(word.encode("utf-8", "replace"))) + "%")
            for word in only.text[:HELD_TEXT_CHARACTERS_MAX].split()[:HELD_WORDS_MAX]
        ]
        if only.device_id is not None:
            found.append(("e.device_id = %s", self._scope.reach(only.device_id)))
        if only.media_kind is not None:
            found.append(("e.kind = 'file' AND e.media_kind = %s", str(only.media_kind)))
        return found

    def held_until(self, entry: Entry) -> datetime | None:
        """When the hold of a deleted entry ends; None for any other."""
        if entry.removal is not Removal.DELETED or entry.removed_at is None:
            return None
        return entry.removed_at + timedelta(days=self._scope.hold_days)

    async def versions(self, entry_id: int) -> list[Entry]:
        """All that stood in this file's place, newest first, this entry among them (at most a page)."""
        entry = await self.get(entry_id)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.node_id = %s"
                f"{self._scope.within('e.device_id')} ORDER BY e.added_seq DESC, e.id DESC LIMIT %s",
                (self._scope.tenant.id, entry.node_id, PAGE_MAX),
            )
            return await entries_of(tx, self._scope.tenant.id, rows)

    async def rename(self, entry_id: int, base_name: bytes) -> Entry:
        """Another base name for a live entry; a file keeps its extension. Raises NotFound, BadPath, NameTaken."""
        entry = await self.get(entry_id)
        extension = split_extension(entry.name)[1] if entry.kind is EntryKind.FILE else b""
        name = base_name + extension
        check_name(base_name)
        check_name(name)
        done = await commit(
            self._scope, {entry.device_id: [RenameEntry(entry_id, name)]}, "rename", f"{entry.path} → {_text(name)}"
        )
        return await self.get(done[entry.device_id].entry_ids[0])

    async def move(self, entry_ids: Sequence[int], directory: EntryPath) -> list[Entry]:
        """Into another folder of the same device and area, which is made where it is missing; all or none.

        Raises NotFound, Conflict (several devices or areas, a folder into itself), NameTaken, BadPath.
        """
        entries = await self.by_ids(entry_ids)
        if len({(entry.device_id, entry.area) for entry in entries}) > 1:
            raise Conflict("These lie on several devices, or in originals and derived. Move those of one at a time.")
        device_id, count = entries[0].device_id, len(entries)
        what = str(entries[0].path) + (f" and {count - 1:,} more" if count > 1 else "")
        changes = [MoveEntry(entry.id, directory) for entry in entries]
        done = await commit(self._scope, {device_id: changes}, "move", f"{what} → /{directory}")
        return await self.by_ids(done[device_id].entry_ids)

    async def create_folder(self, device_id: int, path: EntryPath) -> Entry:
        """A new folder in originals, and those above it that are missing. Raises NotFound, Conflict, NameTaken."""
        done = (await commit(self._scope, {device_id: [AddDirectory(path)]}, "folder", str(path)))[device_id]
        if done.manifest is None:
            raise NameTaken(f"There is a folder named “{_text(path.name)}” here already. Choose another name.")
        return await self.get(done.entry_ids[0])

    async def revert(self, entry_id: int) -> Entry:
        """A file takes the content of this old version of it again, as a new version. Raises NotFound, Conflict."""
        old = await self.get(entry_id)
        done = await commit(self._scope, {old.device_id: [RevertEntry(entry_id)]}, "revert", str(old.path))
        return await self.get(done[old.device_id].entry_ids[0])

    async def delete(self, entry_ids: Sequence[int]) -> list[CommitResult]:
        """Into the hold, directories with their content; all or none. Raises `NotFound` for any that is not live."""
        return await self._change(entry_ids, DeleteEntry, "delete")

    async def recover(self, entry_ids: Sequence[int]) -> list[CommitResult]:
        """Out of the hold, to their places (`-recovered` where the name is taken); all or none."""
        return await self._change(entry_ids, RecoverEntry, "recover")

    async def _change(
        self, entry_ids: Sequence[int], change: Callable[[int], EntryChange], action: str
    ) -> list[CommitResult]:
        entries = await self.by_ids(entry_ids)
        by_device: dict[int, list[EntryChange]] = {}
        # Outer folders first: what lies inside has then gone, or come, along with them.
        for entry in sorted(entries, key=lambda e: len(e.path.names)):
            by_device.setdefault(entry.device_id, []).append(change(entry.id))
        subject = str(entries[0].path) + (f" and {len(entries) - 1:,} more" if len(entries) > 1 else "")
        return list((await commit(self._scope, by_device, action, subject)).values())

    async def by_ids(self, entry_ids: Sequence[int]) -> list[Entry]:
        wanted = list(dict.fromkeys(entry_ids))
        if not wanted:
            raise BadRequest("No entries are named. Choose at least one.")
        if len(wanted) > ENTRIES_PER_REQUEST_MAX:
            raise TooMany(ENTRIES_PER_REQUEST_MAX, "entries")
        rows: list[Row] = []
        async with self._scope.database.reading() as tx:
            for start in range(0, len(wanted), PAGE_MAX):
                part = wanted[start : start + PAGE_MAX]
                rows += await tx.fetch_all(
                    f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND v.removed_key = 0"
                    f" AND e.id IN ({','.join(['%s'] * len(part))}){self._scope.within('e.device_id')}",
                    (self._scope.tenant.id, *part),
                )
            if len(rows) < len(wanted):
                raise NotFound("file")
            return await entries_of(tx, self._scope.tenant.id, rows)

    async def sequence_at(self, tx: Transaction, device_id: int, at: datetime | None) -> int | None:
        """The last manifest up to a moment: 0 before the first; None means now. Raises `HistoryGone`."""
        self._scope.reach(device_id)
        if at is None:
            return None
        gone = await tx.fetch_one(
            "SELECT history_from FROM device WHERE tenant_id = %s AND id = %s", (self._scope.tenant.id, device_id)
        )
        if gone is not None and gone[0] is not None and clock.to_db(at) < gone[0]:
            raise HistoryGone(clock.from_db(gone[0]))
        row = await tx.fetch_one(
            "SELECT sequence FROM manifest WHERE tenant_id = %s AND device_id = %s AND at <= %s"
            " ORDER BY at DESC LIMIT 1",
            (self._scope.tenant.id, device_id, clock.to_db(at)),
        )
        return int(row[0]) if row else 0

    async def directory_at(
        self, tx: Transaction, device_id: int, area: Area, path: EntryPath, sequence: int | None
    ) -> int:
        """The directory at a path, as of a manifest. Raises `NotFound`."""
        node_id = await root_id(tx, self._scope.tenant.id, self._scope.reach(device_id), area)
        if node_id is None:
            raise NotFound("device")
        for name in path.names:
            row = await tx.fetch_one(
                "SELECT e.node_id FROM entry e WHERE e.tenant_id = %s AND e.parent_id = %s"
                f" AND e.name = %s AND e.kind = 'directory' AND {alive(sequence)}",
                (self._scope.tenant.id, node_id, name),
            )
            if row is None:
                raise NotFound("folder")
            node_id = int(row[0])
        return node_id


def alive(sequence: int | None) -> str:
    """The condition on `e` for being live now, or after the manifest `sequence`."""
    if sequence is None:
        return "e.removed_key = 0"
    return f"e.added_seq <= {sequence:d} AND (e.removed_seq IS NULL OR e.removed_seq > {sequence:d})"


def _alive_by_key(sequence: int | None) -> list[str]:
    """The same in parts, so that the key `listing` has what still lives in order, and only what ended since must be
    sorted. Ask in this order: what ends meanwhile is then in both, and never in none."""
    if sequence is None:
        return [alive(None)]
    return [
        f"e.removed_key = 0 AND e.added_seq <= {sequence:d}",
        f"e.removed_key > {sequence:d} AND e.added_seq <= {sequence:d}",
    ]


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_MAX:
        raise BadRequest(f"A page has 1 to {PAGE_MAX:,} entries.")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
