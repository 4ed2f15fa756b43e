"""Packs of which this process does not know whether they were committed, since the database was lost just then, or the
request ended: looked up once the database answers.

What always holds: a pack goes only after its row was turned from `pending` to `deleting`, so that no transaction still
under way can commit it.
"""

from datetime import UTC, datetime

from cas.store import BlobStore
from catalog.system import SystemScope
from web.threads import Workers


class UnsettledPacks:
    """Belongs to the event loop. What a process leaves here when it ends, the next start clears, or the sweep."""

    def __init__(self, store: BlobStore, system: SystemScope, workers: Workers) -> None:
        self._store = store
        self._system = system
        self._workers = workers
        self._pack_ids: set[str] = set()

    def add(self, pack_id: str) -> None:
        """Nobody works on this pack any more."""
        self._pack_ids.add(pack_id)

    async def settle(self) -> int:
        """Take away those that were not committed; returns how many. Raises `DatabaseUnavailable`, and as the store:
        what is left waits for the next call."""
        count = 0
        for pack_id in sorted(self._pack_ids):
            if await self._system.give_up_pack(pack_id):
                await self._workers.run(self._store.trash_pack, pack_id, datetime.now(UTC).date())
                await self._system.forget_pack(pack_id)
                count += 1
            self._pack_ids.discard(pack_id)
        return count
