"""Which of a tenant's files have a stored copy that is damaged or missing, so that their owner can heal them: the bytes
sent again, from the device that had them, take the damaged copy's place."""

from typing import Final

from catalog import cursors
from catalog.database import Row
from catalog.entries import ENTRY_COLUMNS, ENTRY_TABLES, entries_of
from catalog.errors import BadRequest
from catalog.scope import Scope
from catalog.values import Entry, Page

PAGE_MAX: Final = 1_000

_DAMAGED: Final = (
    " JOIN verification w ON w.blob_id = e.blob_id AND w.outcome <> 'good' WHERE e.tenant_id = %s AND v.removed_key = 0"
)


class Damage:
    """The tenant's damaged files, as far as the scope reaches. Whole accounts have none, so no index is spent on them:
    it begins at the few blobs that are marked."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def page(self, cursor: str | None = None, limit: int = 200) -> Page[Entry]:
        """Live files, deleted ones and old versions, in the order in which they came."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page has 1 to {PAGE_MAX:,} entries.")
        after = cursors.decode(cursor, int)[0] if cursor else 0
        tenant_id = self._scope.tenant.id
        async with self._scope.database.reading() as tx:
            rows: list[Row] = await tx.fetch_all(
                f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES}{_DAMAGED}{self._scope.within('e.device_id')}"
                " AND e.id > %s ORDER BY e.id LIMIT %s",
                (tenant_id, after, limit + 1),
            )
            items = await entries_of(tx, tenant_id, rows[:limit])
        return Page(items, cursors.encode(items[-1].id) if len(rows) > limit else None)

    async def any(self) -> bool:
        """Whether there is one."""
        return bool((await self.page(limit=1)).items)
