"""Blobs that nothing names: condemned, a grace later `deleting`, then their files in the trash, then their rows gone.

Each public coroutine is one step of the fence, or a loop of it, so that tests can stop between any two. What always
holds: a file is touched only after `deleting` is committed, and a row goes only after its file.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cas.errors import ObjectHeld
from cas.store import BlobStore
from catalog.sweep import SweepRows
from catalog.values import BlobRow
from tools.sweep.report import Report

Now = Callable[[], datetime]
"""This moment, aware, in UTC."""

_ROUNDS_MAX: Final = 1_000_000
"""More rounds than any store has batches: a loop that runs longer is a fault of ours."""


class BlobSweep:
    """The steps over blobs. `grace`: how long nobody may have touched a blob before each of the two decisions."""

    def __init__(self, rows: SweepRows, store: BlobStore, grace: timedelta, now: Now, report: Report) -> None:
        self._rows = rows
        self._store = store
        self._grace = grace
        self._now = now
        self._report = report

    async def condemn_queued(self) -> None:
        """Decide on every candidate that waited long enough."""
        before = self._now() - self._grace
        for _ in range(_ROUNDS_MAX):
            queued = await self._rows.queued(before)
            if not queued:
                return
            self._report.condemned += len(await self._rows.condemn(queued, before))

    async def condemn_all(self) -> None:
        """The full check: every live row, range by range."""
        before, after = self._now() - self._grace, 0
        for _ in range(_ROUNDS_MAX):
            found, last = await self._rows.unreferenced(after, before)
            if last is None:
                return
            for start in range(0, len(found), 500):
                self._report.condemned += len(await self._rows.condemn(found[start : start + 500], before))
            after = last

    async def doom(self) -> None:
        """What was condemned a grace ago is `deleting`, or live again."""
        before = self._now() - self._grace
        for _ in range(_ROUNDS_MAX):
            ripe = await self._rows.ripe(before)
            if not ripe or not await self._rows.doom(ripe, before):
                return

    async def remove(self) -> None:
        """Files of `deleting` rows to the trash, then the rows. What is being re-read waits for the next sweep."""
        for blob_id in await self._rows.reprieve():
            self._report.alarm(f"blob {blob_id} was about to be deleted, and something refers to it: it stays")
        after = 0
        for _ in range(_ROUNDS_MAX):
            rows = await self._rows.doomed(after)
            if not rows:
                return
            await self._rows.forget(await asyncio.to_thread(self.trash, rows))
            after = rows[-1].id

    def trash(self, rows: Sequence[BlobRow]) -> list[BlobRow]:
        """Move the files away; returns the rows that may go now."""
        gone = []
        for row in rows:
            try:
                self._store.trash(row.blob, self._now().date())
            except ObjectHeld:
                self._report.held += 1
                continue
            gone.append(row)
            self._count(row)
        return gone

    def _count(self, row: BlobRow) -> None:
        if row.blob.location.startswith("pack:"):
            self._report.dead_slices += 1
            self._report.dead_slice_bytes += row.blob.stored_bytes
        else:
            self._report.trashed += 1
            self._report.trashed_bytes += row.blob.stored_bytes
