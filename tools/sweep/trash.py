"""Emptying the trash: days after something went there, and only after every reference was looked at once more."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Final

from cas.layout import object_keys
from cas.trash import Trash, Trashed
from catalog.system import SystemScope
from tools.sweep.blobs import Now
from tools.sweep.report import Report

OBJECTS_AT_ONCE: Final = 500


class Emptying:
    """`days`: how long the trash keeps what goes there."""

    def __init__(self, system: SystemScope, trash: Trash, days: int, now: Now, report: Report) -> None:
        self._system = system
        self._trash = trash
        self._days = days
        self._now = now
        self._report = report

    async def empty(self) -> None:
        """Remove what is old enough; bring back, loudly, what a row names and the store does not have."""
        old = (trashed for trashed in self._trash.all() if trashed.day <= self._last_day())
        while batch := await asyncio.to_thread(lambda: list(islice(old, OBJECTS_AT_ONCE))):
            needed = await self._needed(batch)
            for trashed in batch:
                await asyncio.to_thread(self._settle, trashed, is_needed=trashed in needed)

    def _last_day(self) -> date:
        return self._now().date() - timedelta(days=self._days)

    async def _needed(self, batch: Sequence[Trashed]) -> set[Trashed]:
        """Those whose home is empty though a row says that the bytes lie there."""
        rows = await self._system.blobs_by_digest([one.digest for one in batch if one.digest is not None])
        used = await self._system.sweep_packs.in_use({one.pack_id for one in batch if one.pack_id is not None})
        needed = set()
        for one in batch:
            row = None if one.digest is None else rows.get(one.digest)
            is_named = one.pack_id in used or (
                row is not None and row.state in {"live", "condemned"} and one.home in object_keys(row.blob)
            )
            if is_named and not await asyncio.to_thread(self._trash.is_home, one):
                needed.add(one)
        return needed

    def _settle(self, trashed: Trashed, *, is_needed: bool) -> None:
        if is_needed:
            self._trash.put_back(trashed)
            self._report.alarm(f"{trashed.home} was in the trash, and a row names it: it was put back")
            return
        self._trash.remove(trashed)
        self._report.emptied += 1
        self._report.emptied_bytes += trashed.size_bytes
