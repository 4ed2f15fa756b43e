"""Exports: saved selections. Their plan is fixed when they are made; they hold no bytes of their own.

Members are laid down folder by folder: first the chosen ones, then the children of each folder, together.
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from catalog import audit, clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of
from catalog.database import Row, Transaction
from catalog.entries import Entries
from catalog.errors import BadPath, BadRequest, NotFound, Purged, TooMany
from catalog.ledger import lock_ledger
from catalog.paths import root_id
from catalog.scope import Scope
from catalog.values import Area, EntryKind, EntryPath, Export, Member

MEMBERS_MAX: Final = 1_000_000
MEMBERS_PER_PAGE_MAX: Final = 5_000
NAME_CHARACTERS_MAX: Final = 200
_BATCH: Final = 2_000

_COLUMNS: Final = "id, name, created_at, member_count, content_bytes, size_bytes, etag"


@dataclass(frozen=True, slots=True)
class _Item:
    """A member on its way into the plan. `folded` and `kind` are its sort key among its siblings."""

    entry_id: int
    node_id: int
    path: EntryPath
    kind: str
    folded: str
    size_bytes: int
    mtime_ns: int
    digest: bytes


class Exports:
    """The tenant's exports; a device token sees only those made with it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def create(self, entry_ids: Sequence[int], name: str) -> Export:
        """Save a selection of live entries, folders with their content. Raises NotFound, TooMany, BadRequest."""
        self._scope.require_customer("make or download exports")
        entries = await Entries(self._scope).by_ids(entry_ids)
        if any(entry.removal is not None for entry in entries):
            raise NotFound("file")
        top = [
            _Item(
                e.id, e.node_id, EntryPath((e.name,)), str(e.kind), "", e.size_bytes, e.mtime_ns,
                b"" if e.blob is None else e.blob.digest.raw,
            )
            for e in sorted(entries, key=lambda e: (e.path.raw, e.id))
        ]  # fmt: skip
        return await self._save(name, top, None)

    async def create_of_directory(self, device_id: int, area: Area, path: EntryPath, name: str) -> Export:
        """Save a folder's content as it is now; the area's root stands for the whole area."""
        self._scope.require_customer("make or download exports")
        node_id = await self._directory(device_id, area, path)
        return await self._save(name, [], node_id)

    async def get(self, export_id: int) -> Export:
        """One export. Raises `NotFound`."""
        self._scope.require_customer("make or download exports")
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                f"SELECT {_COLUMNS} FROM export WHERE tenant_id = %s AND id = %s AND (%s IS NULL OR device_id = %s)",
                (self._scope.tenant.id, export_id, self._scope.token_device, self._scope.token_device),
            )
        if row is None:
            raise NotFound("export")
        return _export(row)

    async def set_size(self, export_id: int, size_bytes: int) -> None:
        """Keep the length of the zip, once it is planned."""
        self._scope.require_customer("make or download exports")
        key = (self._scope.tenant.id, export_id)

        async def work(tx: Transaction) -> None:
            await tx.execute("UPDATE export SET size_bytes = %s WHERE tenant_id = %s AND id = %s", (size_bytes, *key))

        await self._scope.database.run(work)

    async def members(self, export_id: int, after: int = -1, limit: int = MEMBERS_PER_PAGE_MAX) -> list[Member]:
        """The next members after a position, in order; empty at the end. Raises `Purged`."""
        self._scope.require_customer("make or download exports")
        if not 1 <= limit <= MEMBERS_PER_PAGE_MAX:
            raise BadRequest(f"A page has 1 to {MEMBERS_PER_PAGE_MAX:,} members.")
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT m.position, m.path, e.kind, e.mtime_ns, e.mode, b.id, " + BLOB_COLUMNS + " FROM export_member m"
                " LEFT JOIN entry e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id"
                " LEFT JOIN `blob` b ON b.id = e.blob_id"
                " WHERE m.tenant_id = %s AND m.export_id = %s AND m.position > %s ORDER BY m.position LIMIT %s",
                (self._scope.tenant.id, export_id, after, limit),
            )
        return [_member(row) for row in rows]

    async def _directory(self, device_id: int, area: Area, path: EntryPath) -> int:
        if path.names:
            entry = await Entries(self._scope).by_path(device_id, area, path)
            if entry.kind is not EntryKind.DIRECTORY:
                raise BadRequest("This is a file. Download it as it is.")
            return entry.node_id
        async with self._scope.database.reading() as tx:
            node_id = await root_id(tx, self._scope.tenant.id, self._scope.reach(device_id), area)
        if node_id is None:
            raise NotFound("device")
        return node_id

    async def _save(self, name: str, top: Sequence[_Item], root: int | None) -> Export:
        name = _checked_name(name)

        async def work(tx: Transaction) -> Export:
            ledger = await lock_ledger(tx, self._scope.tenant)
            export_id = ledger.take_id()
            await ledger.store(tx)
            await self._insert(tx, export_id, name)
            count, content_bytes, etag = await self._lay_down(tx, export_id, top, root)
            await tx.execute(
                "UPDATE export SET member_count = %s, content_bytes = %s, etag = %s WHERE tenant_id = %s AND id = %s",
                (count, content_bytes, etag, self._scope.tenant.id, export_id),
            )
            detail: dict[str, object] = {"export": export_id, "members": count, "bytes": content_bytes}
            await audit.append(
                tx, self._scope.tenant.id, self._scope.actor, "export.create", name, detail,
                device_id=self._scope.token_device,
            )  # fmt: skip
            row = await tx.fetch_one(
                f"SELECT {_COLUMNS} FROM export WHERE tenant_id = %s AND id = %s",
                (self._scope.tenant.id, export_id),
            )
            if row is None:
                raise NotFound("export")
            return _export(row)

        return await self._scope.database.run(work)

    async def _insert(self, tx: Transaction, export_id: int, name: str) -> None:
        await tx.execute(
            "INSERT INTO export (tenant_id, id, name, created_at, created_by, device_id, member_count, content_bytes,"
            " etag) VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s)",
            (self._scope.tenant.id, export_id, name, clock.to_db(clock.now()), self._scope.actor.name[:200],
             self._scope.token_device, bytes(32)),
        )  # fmt: skip

    async def _lay_down(
        self, tx: Transaction, export_id: int, top: Sequence[_Item], root: int | None
    ) -> tuple[int, int, bytes]:
        """Write the members; returns their number, their bytes and the digest of the plan."""
        count, content_bytes, plan = 0, 0, blake3()
        async for batch in self._walk(tx, top, root):
            if count + len(batch) > MEMBERS_MAX:
                raise TooMany(MEMBERS_MAX, "files and folders in one export")
            await tx.execute_many(
                "INSERT INTO export_member (tenant_id, export_id, position, path, entry_id)"
                " VALUES (%s, %s, %s, %s, %s)",
                [
                    (self._scope.tenant.id, export_id, count + i, item.path.raw, item.entry_id)
                    for i, item in enumerate(batch)
                ],
            )
            for item in batch:
                line = b"%s\0%s\0%d\0%s\n" % (
                    item.path.raw,
                    item.kind.encode(),
                    item.mtime_ns,
                    item.digest.hex().encode(),
                )
                plan.update(line)
            count += len(batch)
            content_bytes += sum(item.size_bytes for item in batch)
        return count, content_bytes, plan.digest()

    async def _walk(self, tx: Transaction, top: Sequence[_Item], root: int | None) -> AsyncIterator[list[_Item]]:
        """Batches of members, folder by folder. Only the folders still to be entered are kept in memory."""
        ahead: deque[tuple[int, EntryPath]] = deque()
        if top:
            yield list(top)
            ahead.extend((item.node_id, item.path) for item in top if item.kind == EntryKind.DIRECTORY)
        if root is not None:
            ahead.append((root, EntryPath(())))
        while ahead:
            node_id, path = ahead.popleft()
            async for batch in self._children(tx, node_id, path):
                yield batch
                ahead.extend((item.node_id, item.path) for item in batch if item.kind == EntryKind.DIRECTORY)

    async def _children(self, tx: Transaction, node_id: int, path: EntryPath) -> AsyncIterator[list[_Item]]:
        last = ("", "", 0)
        while True:
            kind, folded, last_id = last
            rows = await tx.fetch_all(
                "SELECT e.id, e.node_id, e.name, e.kind, e.name_fold, e.size_bytes, e.mtime_ns, b.digest"
                " FROM entry e LEFT JOIN `blob` b ON b.id = e.blob_id"
                " WHERE e.tenant_id = %s AND e.parent_id = %s AND e.removed_key = 0"
                " AND e.kind >= %s AND (e.kind > %s OR e.name_fold > %s OR (e.name_fold = %s AND e.id > %s))"
                " ORDER BY e.kind, e.name_fold, e.id LIMIT %s",
                (self._scope.tenant.id, node_id, kind, kind, folded, folded, last_id, _BATCH),
            )
            batch = [_item(row, path) for row in rows]
            if batch:
                yield batch
            if len(batch) < _BATCH:
                return
            last = (batch[-1].kind, batch[-1].folded, batch[-1].entry_id)


def _item(row: Row, parent: EntryPath) -> _Item:
    entry_id, node_id, name, kind, folded, size_bytes, mtime_ns, digest = row
    return _Item(
        entry_id, node_id, parent.child(bytes(name)), kind, folded, size_bytes, mtime_ns,
        b"" if digest is None else bytes(digest),
    )  # fmt: skip


def _member(row: Row) -> Member:
    position, path, kind, mtime_ns, mode, blob_id, *blob = row
    if kind is None:
        raise Purged("A file of this export was deleted for good since. Make the export again.")
    return Member(
        position,
        EntryPath.parse_bytes(bytes(path)),
        EntryKind(kind),
        None if blob_id is None else blob_of(*blob),
        mtime_ns,
        mode,
    )


def _export(row: Row) -> Export:
    export_id, name, created_at, member_count, content_bytes, size_bytes, etag = row
    return Export(
        export_id, name, clock.from_db(created_at), member_count, content_bytes, size_bytes, bytes(etag).hex()
    )  # fmt: skip


def _checked_name(name: str) -> str:
    name = name.strip() or "export"
    if len(name) > NAME_CHARACTERS_MAX:
        raise BadRequest(f"An export's name has at most {NAME_CHARACTERS_MAX} characters. Shorten it.")
    if not name.isprintable() or "/" in name:
        raise BadPath("An export's name must not contain slashes or control characters.")
    return name
