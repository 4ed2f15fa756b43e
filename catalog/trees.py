"""Everything below a folder, now or at a moment, in pages: how a restore reads a device.

What always holds: a page is of one moment, which the first page fixes as the number of the device's last manifest, so
that what is committed meanwhile neither shows nor shifts anything; the order is by name, level by level down (a folder,
then all that is in it, then its next sibling), so that parents come before children; a cursor is the folder and the
name after which to go on, and the folders above are found by climbing, so that no page walks again what one before it
walked; a page holds at most about `PAGE_MAX` rows in memory, however large the folders are.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Final

from catalog import cursors
from catalog.blob_rows import id_list
from catalog.database import Row, Transaction
from catalog.entries import Entries, alive
from catalog.errors import BadCursor, BadRequest
from catalog.scope import Scope
from catalog.values import PATH_LEVELS_MAX, Area, EntryKind, EntryPath, Page

PAGE_MAX: Final = 10_000
ROWS_AT_ONCE_MIN: Final = 256
"""Read of one folder at least, so that the last rows of a page do not come one by one."""
FOLDERS_AHEAD_MAX: Final = 200
"""Read together: folders are mostly small, and a query each would cost more than their rows."""

_SELECT: Final = (
    "SELECT e.parent_id, e.id, e.node_id, e.name, e.kind, e.size_bytes, e.mode, e.mtime_ns, e.link_target, b.digest"
    " FROM entry e FORCE INDEX (live_name) LEFT JOIN `blob` b ON b.id = e.blob_id"
)
_NODE, _NAME, _KIND = 2, 3, 4


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One name below a folder. `path` is whole, from the area's root; `digest` is there for files alone."""

    id: int
    path: bytes
    kind: EntryKind
    digest: bytes | None
    size_bytes: int
    mode: int | None
    mtime_ns: int
    link_target: bytes | None


@dataclass(slots=True)
class _Folder:
    """A folder being listed. `rows` were read and not given out yet; `after` is the last name given out."""

    node_id: int
    prefix: bytes
    after: bytes = b""
    rows: deque[Row] = field(default_factory=deque)
    unread: deque[Row] = field(default_factory=deque)
    """Those of its folders in `rows` whose content was not asked for yet."""
    is_whole: bool = False
    """Nothing of it is left in the database beyond `rows`."""

    @property
    def is_done(self) -> bool:
        return self.is_whole and not self.rows

    def child(self, row: Row) -> "_Folder":
        return _Folder(int(row[_NODE]), self.prefix + bytes(row[_NAME]) + b"/")

    def take(self, rows: Sequence[Row], *, is_whole: bool) -> None:
        """More of it was read."""
        self.rows.extend(rows)
        self.unread.extend(row for row in rows if row[_KIND] == EntryKind.DIRECTORY)
        self.is_whole = is_whole


class Trees:
    """Whole folders of the tenant's devices."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def page(
        self,
        device_id: int,
        area: Area,
        path: EntryPath,
        at: datetime | None = None,
        cursor: str | None = None,
        limit: int = PAGE_MAX,
    ) -> Page[TreeEntry]:
        """All that is below a folder, the folder itself left out. The cursor, once there is one, says the moment.

        Raises `NotFound`, `BadCursor`.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page of a tree has 1 to {PAGE_MAX:,} entries.")
        entries = Entries(self._scope)
        async with self._scope.database.reading() as tx:
            if cursor is None:
                sequence = await self._sequence(tx, entries, device_id, at)
                here, after = None, b""
            else:
                sequence, here, after = _decode(cursor)
            top = await entries.directory_at(tx, device_id, area, path, sequence)
            walk = _Walk(tx, self._scope.tenant.id, sequence, limit)
            walk.ahead = await walk.way_to(top, path.raw, here if here is not None else top, after)
            items = await walk.take()
        return Page(items, walk.cursor())

    async def _sequence(self, tx: Transaction, entries: Entries, device_id: int, at: datetime | None) -> int:
        """The number of the device's last manifest, up to a moment or up to now; 0 before the first."""
        if at is not None:
            return await entries.sequence_at(tx, device_id, at) or 0
        row = await tx.fetch_one(
            "SELECT MAX(sequence) FROM manifest WHERE tenant_id = %s AND device_id = %s",
            (self._scope.tenant.id, self._scope.reach(device_id)),
        )
        return int(row[0] or 0) if row else 0


def _decode(cursor: str) -> tuple[int, int, bytes]:
    sequence, here, name = cursors.decode(cursor, int, int, str)
    try:
        return max(0, int(sequence)), int(here), bytes.fromhex(str(name))
    except ValueError as e:
        raise BadCursor from e


class _Walk:
    """One page's way through the tree. `ahead` is the folders entered and not finished, outermost first."""

    def __init__(self, tx: Transaction, tenant_id: int, sequence: int, limit: int) -> None:
        self._tx = tx
        self._tenant_id = tenant_id
        self._sequence = sequence
        self._limit = limit
        self._items: list[TreeEntry] = []
        self._waiting_rows = 0
        self._read_ahead: dict[int, _Folder] = {}
        self.ahead: list[_Folder] = []

    def cursor(self) -> str | None:
        """Where the next page goes on; None at the end."""
        while self.ahead and self.ahead[-1].is_done:
            self.ahead.pop()
        if not self.ahead:
            return None
        return cursors.encode(self._sequence, self.ahead[-1].node_id, self.ahead[-1].after.hex())

    async def way_to(self, top: int, path: bytes, here: int, after: bytes) -> list[_Folder]:
        """The folders from `top` down to `here`, each to go on after the one below it. Raises `BadCursor`."""
        up: list[tuple[int, bytes]] = []
        node_id = here
        while node_id != top:
            row = await self._tx.fetch_one(
                "SELECT e.parent_id, e.name FROM entry e WHERE e.tenant_id = %s AND e.node_id = %s"
                f" AND e.kind = 'directory' AND {alive(self._sequence)} LIMIT 1",
                (self._tenant_id, node_id),
            )
            if row is None or len(up) == PATH_LEVELS_MAX:
                raise BadCursor
            up.append((node_id, bytes(row[1])))
            node_id = int(row[0])
        way = [_Folder(top, path + b"/" if path else b"")]
        for node, name in reversed(up):
            way[-1].after = name
            way.append(_Folder(node, way[-1].prefix + name + b"/"))
        way[-1].after = after
        return way

    async def take(self) -> list[TreeEntry]:
        """The page."""
        while self.ahead and len(self._items) < self._limit:
            folder = self.ahead[-1]
            if folder.rows:
                await self._give(folder)
            elif folder.is_whole:
                self.ahead.pop()
            else:
                await self._read_on(folder)
        return self._items

    async def _give(self, folder: _Folder) -> None:
        row = folder.rows.popleft()
        self._waiting_rows -= 1
        folder.after = bytes(row[_NAME])
        self._items.append(_entry(row, folder.prefix))
        if row[_KIND] == EntryKind.DIRECTORY:
            self.ahead.append(await self._enter(folder, row))

    async def _enter(self, parent: _Folder, row: Row) -> _Folder:
        if parent.unread and parent.unread[0] is row:
            await self._read_together(self._unread())
        return self._read_ahead.pop(int(row[_NODE]), None) or parent.child(row)

    def _unread(self) -> list[_Folder]:
        """The folders that are known and will be entered soonest, about in that order."""
        found: list[_Folder] = []
        for parent in (self.ahead[-1], *self._read_ahead.values(), *reversed(self.ahead[:-1])):
            while parent.unread and len(found) < FOLDERS_AHEAD_MAX:
                found.append(parent.child(parent.unread.popleft()))
        return found

    async def _read_together(self, folders: Sequence[_Folder]) -> None:
        """Read the beginning of these folders, as far as the page may need it."""
        limit = self._rows_wanted()
        rows = await self._tx.fetch_all(
            f"{_SELECT} WHERE e.tenant_id = %s AND e.parent_id IN ({id_list(folder.node_id for folder in folders)})"
            f" AND {alive(self._sequence)} ORDER BY e.parent_id, e.name, e.removed_key LIMIT %s",
            (self._tenant_id, limit),
        )
        self._waiting_rows += len(rows)
        found = {parent_id: list(group) for parent_id, group in groupby(rows, key=itemgetter(0))}
        last = rows[-1][0] if len(rows) == limit else None
        for folder in folders:
            is_whole = last is None or folder.node_id < last
            if is_whole or folder.node_id == last:
                folder.take(found.get(folder.node_id, ()), is_whole=is_whole)
                self._read_ahead[folder.node_id] = folder

    async def _read_on(self, folder: _Folder) -> None:
        limit = self._rows_wanted()
        rows = await self._tx.fetch_all(
            f"{_SELECT} WHERE e.tenant_id = %s AND e.parent_id = %s AND e.name > %s AND {alive(self._sequence)}"
            " ORDER BY e.parent_id, e.name, e.removed_key LIMIT %s",
            (self._tenant_id, folder.node_id, folder.after, limit),
        )
        self._waiting_rows += len(rows)
        folder.take(rows, is_whole=len(rows) < limit)

    def _rows_wanted(self) -> int:
        return max(ROWS_AT_ONCE_MIN, self._limit - len(self._items) - self._waiting_rows)


def _entry(row: Row, prefix: bytes) -> TreeEntry:
    _, entry_id, _, name, kind, size_bytes, mode, mtime_ns, target, digest = row
    return TreeEntry(
        id=entry_id,
        path=prefix + bytes(name),
        kind=EntryKind(kind),
        digest=None if digest is None else bytes(digest),
        size_bytes=size_bytes,
        mode=mode,
        mtime_ns=mtime_ns,
        link_target=None if target is None else bytes(target),
    )
