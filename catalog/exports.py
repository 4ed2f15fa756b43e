"""Exports: saved selections. Their plan is fixed when they are made; they hold no bytes of their own.

What always holds: an export is seen only once all of it is laid down; what it shows is one moment of each device; a
member's name and place never change, so that any byte of its zips is the same whenever it is made.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from catalog import audit, clock, cursors
from catalog.blob_rows import BLOB_COLUMNS, blob_of, id_list
from catalog.database import Row, Transaction
from catalog.entries import ENTRIES_PER_REQUEST_MAX, Entries, alive
from catalog.errors import BadRequest, NotFound, Purged, TooMany
from catalog.export_making import PART_COLUMNS, Making
from catalog.export_values import Directory, Planner, Selection, Terms
from catalog.export_walk import Folder, Found, Walk, found_of
from catalog.paths import root_id
from catalog.scope import Scope
from catalog.values import Chosen, Entry, EntryKind, EntryPath, Export, Member, Page, PlannedPart

MEMBERS_PER_PAGE_MAX: Final = 5_000
PAGE_MAX: Final = 500
PURGED_NAMED_MAX: Final = 20
_ROWS_PER_STATEMENT: Final = 1_000

_COLUMNS: Final = (
    "x.id, x.name, x.created_at, x.created_by, x.member_count, x.content_bytes, x.size_bytes, x.etag, x.time_zone,"
    " x.part_bytes_max, x.`at`, x.since_id, s.name,"
    " (SELECT COUNT(*) FROM export_part p WHERE p.tenant_id = x.tenant_id AND p.export_id = x.id)"
)
_FINISHED: Final = (
    "FROM export x LEFT JOIN export s ON s.tenant_id = x.tenant_id AND s.id = x.since_id"
    " WHERE x.tenant_id = %s AND x.size_bytes IS NOT NULL AND (%s IS NULL OR x.device_id = %s)"
)
_TOP: Final = (
    "SELECT e.device_id, e.parent_id, e.node_id, e.name, e.added_seq, e.id, e.kind, e.mtime_ns, e.mode, b.id, "
    + BLOB_COLUMNS
)

Top = list[tuple[int, Found]]
"""Chosen entries with their devices."""


class Exports:
    """The tenant's exports; a device token sees only those made with it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._tenant_id = scope.tenant.id

    # -- making

    async def create(self, entry_ids: Sequence[int], terms: Terms, planner: Planner) -> Export:
        """Save a selection, folders with their content. Raises NotFound for what is not there (at that moment),
        TooMany, BadRequest."""
        self._scope.require_customer("make or download exports")
        wanted = list(dict.fromkeys(entry_ids))
        if not wanted:
            raise BadRequest("No entries are named. Choose at least one.")
        if len(wanted) > ENTRIES_PER_REQUEST_MAX:
            raise TooMany(ENTRIES_PER_REQUEST_MAX, "entries")
        rows = await self._rows(f"e.id IN ({id_list(wanted)})")
        until = await self._until({row[0] for row in rows}, terms.at)
        alive_then = {row[5] for row in await self._alive(rows, until)}
        if len(rows) < len(wanted) or any(row[5] not in alive_then for row in rows):
            raise NotFound("file")
        top = _top(rows)
        selection = Selection(nodes=[found.node_id for _, found in top])
        return await self._save(terms, planner, selection, until, self._walk(until).batches(top, ()))

    async def create_of_directory(self, wanted: Directory, terms: Terms, planner: Planner) -> Export:
        """Save a folder's content. Raises `NotFound`, `BadRequest` for a file."""
        self._scope.require_customer("make or download exports")
        until = await self._until({wanted.device_id}, terms.at)
        node_id = await self._directory(wanted, until[wanted.device_id])
        selection = Selection(directory=node_id, device=wanted.device_id)
        folder = Folder(wanted.device_id, node_id, EntryPath(()))
        return await self._save(terms, planner, selection, until, self._walk(until).batches((), (folder,)))

    async def create_of_found(
        self,
        pages: AsyncIterator[Sequence[Entry]],
        query: str,
        terms: Terms,
        planner: Planner,
        since: int | None = None,
    ) -> Export:
        """Save the files that a search finds, in their folders. `query`: as it is asked again. `since`: only what was
        added after that export was made."""
        self._scope.require_customer("make or download exports")
        until = await self._until(await self._all_devices(), None)
        after = await self._reached(since) if since is not None else {}
        batches = self._hits(pages, until, after)
        return await self._save(terms, planner, Selection(search=query), until, batches, since)

    async def create_since(self, export_id: int, terms: Terms, planner: Planner) -> Export:
        """The same selection as that export's, but only what was added since it was made. Raises `NotFound`;
        `BadRequest` for a search, which its caller must ask again."""
        self._scope.require_customer("make or download exports")
        await self.get(export_id)
        return await self._again(await self.selection(export_id), export_id, terms, planner)

    async def create_again(self, export_id: int, terms: Terms, planner: Planner) -> Export:
        """The same selection as that export's, as it is now. Raises as `create_since`."""
        self._scope.require_customer("make or download exports")
        await self.get(export_id)
        return await self._again(await self.selection(export_id), None, terms, planner)

    async def _again(self, kept: Selection, since: int | None, terms: Terms, planner: Planner) -> Export:
        if kept.search is not None:
            raise BadRequest("This export is of a search. Search again and export what is found.")
        after = await self._reached(since) if since is not None else {}
        if kept.directory is not None and kept.device is not None:
            until = await self._until({self._scope.reach(kept.device)}, terms.at)
            walk = self._walk(until, after)
            batches = walk.batches((), (Folder(kept.device, kept.directory, EntryPath(())),))
            return await self._save(terms, planner, kept, until, batches, since)
        rows = [row for part in _parts(kept.nodes) for row in await self._rows(f"e.node_id IN ({id_list(part)})")]
        until = await self._until({row[0] for row in rows}, terms.at)
        batches = self._walk(until, after).batches(_top(await self._alive(rows, until)), ())
        return await self._save(terms, planner, kept, until, batches, since)

    # -- what is there

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[Export]:
        """The exports, newest first."""
        self._scope.require_customer("make or download exports")
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page has 1 to {PAGE_MAX} exports.")
        before = cursors.decode(cursor, int)[0] if cursor else 2**63 - 1
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {_COLUMNS} {_FINISHED} AND x.id < %s ORDER BY x.id DESC LIMIT %s",
                (*self._own, before, limit + 1),
            )
        items = [_export(row) for row in rows[:limit]]
        return Page(items, cursors.encode(items[-1].id) if len(rows) > limit else None)

    async def get(self, export_id: int) -> Export:
        """One export. Raises `NotFound`."""
        self._scope.require_customer("make or download exports")
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(f"SELECT {_COLUMNS} {_FINISHED} AND x.id = %s", (*self._own, export_id))
        if row is None:
            raise NotFound("export")
        return _export(row)

    async def selection(self, export_id: int) -> Selection:
        """What the export was asked for. Raises `NotFound`."""
        await self.get(export_id)
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT selection FROM export WHERE tenant_id = %s AND id = %s", (self._tenant_id, export_id)
            )
        if row is None:
            raise NotFound("export")
        return msgspec.json.decode(row[0], type=Selection)

    async def part(self, export_id: int, number: int) -> PlannedPart:
        """One zip of the export, from 1. Raises `NotFound`."""
        found = [part for part in await self.parts(export_id) if part.number == number]
        if not found:
            raise NotFound("part of the export")
        return found[0]

    async def parts(self, export_id: int) -> list[PlannedPart]:
        """The zips of the export, in order. Raises `NotFound`."""
        await self.get(export_id)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {PART_COLUMNS} FROM export_part WHERE tenant_id = %s AND export_id = %s ORDER BY part",
                (self._tenant_id, export_id),
            )
        return [_planned(*row) for row in rows]

    async def purged(self, export_id: int, limit: int = PURGED_NAMED_MAX) -> list[str]:
        """Paths of members whose files were deleted for good since, at most so many. Raises `NotFound`."""
        await self.get(export_id)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT m.path FROM export_member m"
                " LEFT JOIN entry e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id"
                " WHERE m.tenant_id = %s AND m.export_id = %s AND e.id IS NULL ORDER BY m.position LIMIT %s",
                (self._tenant_id, export_id, limit),
            )
        return [str(EntryPath.parse_bytes(bytes(row[0]))) for row in rows]

    async def members(
        self, export_id: int, part: int = 1, after: int = -1, limit: int = MEMBERS_PER_PAGE_MAX
    ) -> list[Member]:
        """The next members of a part after a position, in order; empty at the end. Raises `Purged`."""
        self._scope.require_customer("make or download exports")
        if not 1 <= limit <= MEMBERS_PER_PAGE_MAX:
            raise BadRequest(f"A page has 1 to {MEMBERS_PER_PAGE_MAX:,} members.")
        async with self._scope.database.reading() as tx:
            first = await self._first_position(tx, export_id, part)
            rows = await tx.fetch_all(
                "SELECT m.position, m.part, m.name, m.`offset`, m.listed_at, m.central_at, m.entry_id, m.path, e.kind,"
                f" e.mtime_ns, e.mode, b.id, {BLOB_COLUMNS} FROM export_member m"
                " LEFT JOIN entry e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id"
                " LEFT JOIN `blob` b ON b.id = e.blob_id"
                " WHERE m.tenant_id = %s AND m.export_id = %s AND m.position > %s AND m.part = %s"
                " ORDER BY m.position LIMIT %s",
                (self._tenant_id, export_id, max(after, first - 1), part, limit),
            )
        return [_member(row) for row in rows]

    async def position_at(self, export_id: int, part: PlannedPart, section: str, at: int) -> int:
        """The last member of the part that begins at or before this byte of a section: `offset`, `listed_at` or
        `central_at`. A search by halves along the primary key, so that it costs the same anywhere in a million
        members."""
        if section not in {"offset", "listed_at", "central_at"}:
            raise BadRequest("There is no such section of a zip.")
        async with self._scope.database.reading() as tx:
            low = first = await self._first_position(tx, export_id, part.number)
            high = first + part.member_count - 1
            while low < high:
                middle = (low + high + 1) // 2
                row = await tx.fetch_one(
                    f"SELECT `{section}` FROM export_member WHERE tenant_id = %s AND export_id = %s AND position = %s",
                    (self._tenant_id, export_id, middle),
                )
                if row is not None and row[0] <= at:
                    low = middle
                else:
                    high = middle - 1
        return low

    async def remove(self, export_id: int) -> None:
        """Forget the export; the files it names stay. Raises `NotFound`."""
        self._scope.require_customer("remove exports")
        export = await self.get(export_id)

        async def work(tx: Transaction) -> None:
            await tx.execute("DELETE FROM export WHERE tenant_id = %s AND id = %s", (self._tenant_id, export_id))
            await audit.append(
                tx, self._tenant_id, self._scope.actor, "export.delete", export.name, {"export": export_id},
                device_id=self._scope.token_device,
            )  # fmt: skip

        await self._scope.database.run(work)

    # -- helpers

    @property
    def _own(self) -> tuple[int, int | None, int | None]:
        return self._tenant_id, self._scope.token_device, self._scope.token_device

    def _walk(self, until: Mapping[int, int], after: Mapping[int, int] | None = None) -> Walk:
        return Walk(self._scope.database, self._tenant_id, until, after)

    async def _first_position(self, tx: Transaction, export_id: int, part: int) -> int:
        row = await tx.fetch_one(
            "SELECT first_position FROM export_part WHERE tenant_id = %s AND export_id = %s AND part = %s",
            (self._tenant_id, export_id, part),
        )
        return int(row[0]) if row else 0

    async def _rows(self, where: str) -> list[Row]:
        """Rows of `_TOP` of live devices that are reached."""
        async with self._scope.database.reading() as tx:
            return await tx.fetch_all(
                f"{_TOP} FROM entry e JOIN device v ON v.tenant_id = e.tenant_id AND v.id = e.device_id"
                " LEFT JOIN `blob` b ON b.id = e.blob_id"
                f" WHERE e.tenant_id = %s AND v.removed_key = 0 AND {where}{self._scope.within('e.device_id')}",
                (self._tenant_id,),
            )

    async def _alive(self, rows: Sequence[Row], until: Mapping[int, int]) -> list[Row]:
        """Those that are live at the device's moment."""
        found: list[Row] = []
        for device_id, sequence in until.items():
            ids = [row[5] for row in rows if row[0] == device_id]
            for part in _parts(ids):
                found += await self._rows(f"e.id IN ({id_list(part)}) AND {alive(sequence)}")
        return found

    async def _until(self, devices: Iterable[int], at: datetime | None) -> dict[int, int]:
        """Each device's last manifest up to that moment."""
        entries = Entries(self._scope)
        found: dict[int, int] = {}
        async with self._scope.database.reading() as tx:
            for device_id in sorted(devices):
                sequence = await entries.sequence_at(tx, device_id, at)
                found[device_id] = await self._newest(tx, device_id) if sequence is None else sequence
        return found

    async def _newest(self, tx: Transaction, device_id: int) -> int:
        row = await tx.fetch_one(
            "SELECT manifest_sequence FROM journal_head WHERE tenant_id = %s AND device_id = %s",
            (self._tenant_id, device_id),
        )
        return int(row[0]) if row else 0

    async def _all_devices(self) -> list[int]:
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT id FROM device WHERE tenant_id = %s AND removed_key = 0{self._scope.within('id')}",
                (self._tenant_id,),
            )
        return [row[0] for row in rows]

    async def _reached(self, export_id: int) -> dict[int, int]:
        """How far each device had come when that export was made. Raises `NotFound`."""
        await self.get(export_id)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT device_id, sequence FROM export_device WHERE tenant_id = %s AND export_id = %s",
                (self._tenant_id, export_id),
            )
        return dict(rows)

    async def _directory(self, wanted: Directory, sequence: int) -> int:
        entries = Entries(self._scope)
        async with self._scope.database.reading() as tx:
            if await root_id(tx, self._tenant_id, self._scope.reach(wanted.device_id), wanted.area) is None:
                raise NotFound("device")
            try:
                return await entries.directory_at(tx, wanted.device_id, wanted.area, wanted.path, sequence)
            except NotFound:
                parent = await entries.directory_at(tx, wanted.device_id, wanted.area, wanted.path.parent, sequence)
                file = await tx.fetch_one(
                    "SELECT 1 FROM entry e WHERE e.tenant_id = %s AND e.parent_id = %s AND e.name = %s"
                    f" AND {alive(sequence)}",
                    (self._tenant_id, parent, wanted.path.name),
                )
                if file is not None:
                    raise BadRequest("This is a file. Download it as it is.") from None
                raise

    async def _hits(
        self, pages: AsyncIterator[Sequence[Entry]], until: Mapping[int, int], after: Mapping[int, int]
    ) -> AsyncIterator[list[Chosen]]:
        """The files among what was found, each below its device's name."""
        async for page in pages:
            files = {entry.id: entry for entry in page if entry.kind is not EntryKind.DIRECTORY}
            batch: list[Chosen] = []
            for part in _parts(list(files)):
                for device_id, _, node_id, _, *row in await self._rows(f"e.id IN ({id_list(part)})"):
                    entry = files[row[1]]
                    path = EntryPath((entry.device_name.encode(), *entry.path.names))
                    if until.get(device_id, -1) >= row[0] > after.get(device_id, -1):
                        batch.append(found_of(node_id, path, row).chosen)
            if batch:
                yield batch

    async def _save(
        self,
        terms: Terms,
        planner: Planner,
        selection: Selection,
        until: Mapping[int, int],
        batches: AsyncIterator[list[Chosen]],
        since: int | None = None,
    ) -> Export:
        made = Making(self._scope, terms, planner, selection, until, since)
        return await self.get(await made.save(batches))


def _top(rows: Iterable[Row]) -> Top:
    """Rows of `_TOP` as what is chosen, each at the top of the export, in a lasting order."""
    found = [(row[0], found_of(row[2], EntryPath((bytes(row[3]),)), row[4:])) for row in rows]
    return sorted(found, key=lambda one: (one[1].chosen.raw_path, one[1].chosen.entry_id))


def _parts(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _ROWS_PER_STATEMENT] for start in range(0, len(ids), _ROWS_PER_STATEMENT)]


def _member(row: Row) -> Member:
    position, part, name, offset, listed_at, central_at, entry_id, path, kind, mtime_ns, mode, blob_id, *blob = row
    if kind is None:
        gone = EntryPath.parse_bytes(bytes(path))
        raise Purged(f"“{gone}” of this export was deleted for good since. Make the export again.")
    stored = None if blob_id is None else blob_of(*blob)
    chosen = Chosen(entry_id, bytes(path), EntryKind(kind), stored, mtime_ns, mode)
    if name is None:
        name = chosen.raw_path + (b"/" if chosen.kind is EntryKind.DIRECTORY else b"")
    return Member(position, part, bytes(name), offset, listed_at, central_at, chosen)


def _planned(
    number: int, members: int, local: int, central: int, name: bytes, listed: int, crc32: int, mtime_ns: int, size: int
) -> PlannedPart:
    return PlannedPart(number, members, local, central, bytes(name), listed, crc32, mtime_ns, size)


def _export(row: Row) -> Export:
    (export_id, name, created_at, created_by, member_count, content_bytes, size_bytes, etag, time_zone, part_bytes_max,
     at, since, since_name, part_count) = row  # fmt: skip
    return Export(
        export_id, name, clock.from_db(created_at), created_by, member_count, content_bytes, size_bytes,
        bytes(etag).hex(), part_count, time_zone, part_bytes_max, None if at is None else clock.from_db(at), since,
        since_name,
    )  # fmt: skip
