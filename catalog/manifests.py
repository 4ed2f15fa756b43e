"""Manifests: committing what a client sends, and the history of a device."""

from collections.abc import Sequence
from typing import Final

from catalog import clock, cursors
from catalog.changes import PathChange
from catalog.commit import commit
from catalog.errors import BadRequest, NotFound
from catalog.packs import NewPack
from catalog.scope import Scope
from catalog.values import CommitResult, Manifest, Page

PAGE_MAX: Final = 500


class Manifests:
    """A device's change sets."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def commit(
        self, device_id: int, changes: Sequence[PathChange], note: str = "", pack: NewPack | None = None
    ) -> CommitResult:
        """Apply the changes, all or none. Sent twice, the second changes nothing. Raises as `catalog.commit`.

        `pack`: placed, all its blobs named by the changes; it stands or falls with them.
        """
        subject = str(changes[0].path) if len(changes) == 1 else f"{len(changes):,} files"
        return (await commit(self._scope, {device_id: changes}, "upload", subject, note, pack))[device_id]

    async def remove(self, device_id: int, changes: Sequence[PathChange]) -> CommitResult:
        """As `commit`, for a request whose only purpose is to delete; the audit says so."""
        subject = str(changes[0].path) if len(changes) == 1 else f"{len(changes):,} files"
        return (await commit(self._scope, {device_id: changes}, "delete", subject))[device_id]

    async def page(self, device_id: int, cursor: str | None = None, limit: int = 100) -> Page[Manifest]:
        """The device's history, newest first. Raises `NotFound`."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page of the history has 1 to {PAGE_MAX} manifests.")
        before = cursors.decode(cursor, int)[0] if cursor else 2**63 - 1
        key = (self._scope.tenant.id, self._scope.reach(device_id))
        async with self._scope.database.reading() as tx:
            live = await tx.fetch_one("SELECT 1 FROM device WHERE tenant_id = %s AND id = %s AND removed_key = 0", key)
            if live is None:
                raise NotFound("device")
            rows = await tx.fetch_all(
                "SELECT sequence, at, actor_kind, actor, note, added, removed, size_bytes, purged FROM manifest"
                " WHERE tenant_id = %s AND device_id = %s AND sequence < %s ORDER BY sequence DESC LIMIT %s",
                (*key, before, limit + 1),
            )
        items = [Manifest(device_id, row[0], clock.from_db(row[1]), *row[2:]) for row in rows[:limit]]
        return Page(items, cursors.encode(items[-1].sequence) if len(rows) > limit else None)
