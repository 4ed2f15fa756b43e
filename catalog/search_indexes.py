"""`SearchIndexes`: the search indexes of all tenants that this process has opened, and what keeps them up in the
background.

What always holds: a commit only leaves a note that there is something new; reading it in begins when the tenant has
been quiet for a moment, so that it does not compete with an upload, or when it has waited for long.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog import search_feed
from catalog.database import Database
from catalog.errors import DatabaseUnavailable, IndexBusy
from catalog.search_files import IndexFolder
from catalog.search_index import FOLD_DOCUMENTS, TenantIndex
from catalog.values import Tenant

log: Final = logging.getLogger("otb.search")

OPEN_MAX: Final = 256
"""Tenants whose index one process keeps open: each has its newest entries in memory, and its files mapped."""
QUIET_SECONDS: Final = 2.0
BEHIND_SECONDS_MAX: Final = 30.0


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """`changes_behind`: entries added and ended since. Up to `may_be_behind` stay in the servers' memory on purpose."""

    entries: int
    segments: int
    size_bytes: int
    changes_behind: int
    may_be_behind: int = FOLD_DOCUMENTS


class SearchIndexes:
    """One index per tenant, under `root`."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root
        self._open: OrderedDict[int, TenantIndex] = OrderedDict()
        self._timers: dict[int, tuple[asyncio.TimerHandle, float]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, tenant: Tenant) -> TenantIndex:
        """The tenant's index, opened by its first use."""
        index = self._open.get(tenant.id)
        if index is None:
            index = self._open[tenant.id] = TenantIndex(self._database, tenant, self.folder(tenant))
            if len(self._open) > OPEN_MAX:
                self._close_later(self._open.popitem(last=False)[1])
        self._open.move_to_end(tenant.id)
        return index

    def folder(self, tenant: Tenant) -> IndexFolder:
        """The tenant's files."""
        return IndexFolder(self._root / tenant.uuid)

    async def status(self, tenant: Tenant) -> IndexStatus:
        """What the tenant's files hold, whole and proven, and how far they are behind."""
        loaded = await asyncio.to_thread(self.folder(tenant).load, tenant.time_zone)
        state, views = loaded or (None, [])
        async with self._database.reading() as tx:
            behind = await search_feed.changes_since(tx, tenant.id, {} if state is None else state.followed)
        size = sum(view.stored.size_bytes for view in views if view.stored is not None)
        return IndexStatus(sum(view.count for view in views), len(views), size, behind)

    async def rebuild(self, tenant: Tenant) -> int:
        """Read everything again and write new files; returns the number of entries. Servers that have the index open
        take the new files when they next write. Raises `IndexBusy`, OSError."""
        folder = self.folder(tenant)
        lock = await asyncio.to_thread(folder.lock)
        if lock is None:
            raise IndexBusy
        with lock:
            folder.forget()
        index = TenantIndex(self._database, tenant, folder)
        await index.catch_up()
        return index.document_count

    def committed(self, tenant: Tenant) -> None:
        """Something of the tenant's changed. Costs next to nothing."""
        loop = asyncio.get_running_loop()
        waiting = self._timers.get(tenant.id)
        since = loop.time() if waiting is None else waiting[1]
        if waiting is not None:
            waiting[0].cancel()
        at = min(loop.time() + QUIET_SECONDS, since + BEHIND_SECONDS_MAX)
        self._timers[tenant.id] = (loop.call_at(at, self._catch_up, tenant), since)

    def purged(self, tenant: Tenant, entry_ids: Sequence[int]) -> None:
        """These entries are gone for good, as a commit that leaves no trace of them: an open index need not look."""
        if entry_ids and tenant.id in self._open:
            self._open[tenant.id].without(entry_ids)
        self.committed(tenant)

    async def remove(self, tenant: Tenant) -> None:
        """Nothing of the tenant stays: neither what is open here, nor what would be read in later, nor the files."""
        if tenant.id in self._timers:
            self._timers.pop(tenant.id)[0].cancel()
        if tenant.id in self._open:
            await self._open.pop(tenant.id).close()
        await asyncio.to_thread(self.folder(tenant).remove)

    async def close(self) -> None:
        """End what goes on in the background."""
        for timer, _ in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await asyncio.gather(*self._closing)

    def _catch_up(self, tenant: Tenant) -> None:
        self._timers.pop(tenant.id, None)
        self.of(tenant).catch_up().add_done_callback(_tell_of_failure)

    def _close_later(self, index: TenantIndex) -> None:
        task = asyncio.create_task(index.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _tell_of_failure(task: "asyncio.Task[None]") -> None:
    if task.cancelled() or task.exception() is None:
        return
    if isinstance(task.exception(), DatabaseUnavailable):
        log.info("a search index could not be caught up now: the database does not answer")
    else:
        log.error("a search index could not be caught up", exc_info=task.exception())
