"""What an export takes: the entries that were chosen and all that is below their folders, at one moment.

What always holds: the moment is fixed per device as the number of its last manifest, before the first row is read, so
that what is committed meanwhile neither shows nor shifts anything; parents come before their children, and the
children of one folder come together, by name. With `after`, only what a later manifest added is taken.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.blob_rows import BLOB_COLUMNS, blob_of, id_list
from catalog.database import Database, Row
from catalog.entries import alive
from catalog.values import Chosen, EntryKind, EntryPath

ROWS_AT_ONCE: Final = 2_000
FOLDERS_AT_ONCE: Final = 200

_SELECT: Final = (
    "SELECT e.parent_id, e.node_id, e.name, e.added_seq, e.id, e.kind, e.mtime_ns, e.mode, b.id, " + BLOB_COLUMNS
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory whose content is taken; `path`: inside the export."""

    device_id: int
    node_id: int
    path: EntryPath


@dataclass(frozen=True, slots=True)
class Found:
    """A row of the walk. `added`: by which manifest."""

    node_id: int
    added: int
    chosen: Chosen


class Walk:
    """`until`: device → the manifest whose state is shown; `after`: device → the manifest after which things are
    new."""

    def __init__(
        self, database: Database, tenant_id: int, until: Mapping[int, int], after: Mapping[int, int] | None = None
    ) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._until = until
        self._after = after or {}

    async def batches(self, top: Sequence[tuple[int, Found]], folders: Iterable[Folder]) -> AsyncIterator[list[Chosen]]:
        """The chosen entries (with their devices) and what is below the directories among them; then what is below
        `folders`. Only the folders still to be entered are kept in memory."""
        ahead: dict[int, deque[Folder]] = {}
        if top:
            yield [found.chosen for device_id, found in top if self._is_new(device_id, found)]
        for device_id, found in top:
            if found.chosen.kind is EntryKind.DIRECTORY:
                folder = Folder(device_id, found.node_id, found.chosen.path)
                ahead.setdefault(device_id, deque()).append(folder)
        for folder in folders:
            ahead.setdefault(folder.device_id, deque()).append(folder)
        for device_id, waiting in ahead.items():
            async for batch in self._below(device_id, waiting):
                yield batch

    def _is_new(self, device_id: int, found: Found) -> bool:
        return found.added > self._after.get(device_id, -1)

    async def _below(self, device_id: int, ahead: deque[Folder]) -> AsyncIterator[list[Chosen]]:
        while ahead:
            together = [ahead.popleft() for _ in range(min(len(ahead), FOLDERS_AT_ONCE))]
            paths = {folder.node_id: folder.path for folder in together}
            left, last = sorted(paths), b""
            while left:
                rows = await self._rows(device_id, left, last)
                found = [_found(row, paths[row[0]]) for row in rows]
                ahead.extend(
                    Folder(device_id, one.node_id, one.chosen.path)
                    for one in found
                    if one.chosen.kind is EntryKind.DIRECTORY
                )
                if batch := [one.chosen for one in found if self._is_new(device_id, one)]:
                    yield batch
                left, last = _rest(left, last, rows)

    async def _rows(self, device_id: int, parents: Sequence[int], last: bytes) -> list[Row]:
        """The next rows of these directories; with `last`, of the first of them alone, after that name."""
        where = f"e.parent_id IN ({id_list(parents[:1] if last else parents)})"
        async with self._database.reading() as tx:
            return await tx.fetch_all(
                f"{_SELECT} FROM entry e FORCE INDEX (live_name) LEFT JOIN `blob` b ON b.id = e.blob_id"
                f" WHERE e.tenant_id = %s AND {where} AND e.name > %s AND {alive(self._until[device_id])}"
                " ORDER BY e.parent_id, e.name, e.removed_key LIMIT %s",
                (self._tenant_id, last, ROWS_AT_ONCE),
            )


def _rest(left: Sequence[int], last: bytes, rows: Sequence[Row]) -> tuple[list[int], bytes]:
    """The directories that were not read to their end, and the name after which the first of them goes on."""
    if len(rows) < ROWS_AT_ONCE:
        return (list(left[1:]), b"") if last else ([], b"")
    reached, name = rows[-1][0], bytes(rows[-1][2])
    return [node_id for node_id in left if node_id >= reached], name


def _found(row: Row, parent: EntryPath) -> Found:
    _, node_id, name, *rest = row
    return found_of(node_id, parent.child(bytes(name)), rest)


def found_of(node_id: int, path: EntryPath, row: Sequence[object]) -> Found:
    """`row`: added_seq, id, kind, mtime_ns, mode, blob id and `BLOB_COLUMNS`."""
    added, entry_id, kind, mtime_ns, mode, blob_id, *blob = row
    stored = None if blob_id is None else blob_of(*blob)  # type: ignore[arg-type]
    return Found(node_id, added, Chosen(entry_id, path.raw, EntryKind(kind), stored, mtime_ns, mode))  # type: ignore[arg-type]
