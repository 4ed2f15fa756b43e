"""The scrub: every blob that the catalog names is re-read and re-hashed, page by page in order of its id, by a few
threads.

What always holds: a checkpoint stands behind a blob only once its outcome is recorded, so an interrupted run loses
nothing and repeats little; and a blob counts as damaged or missing only after the catalog was asked again and the file
read again.
"""

import asyncio
import time
from collections.abc import AsyncIterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from cas.blob import Blob
from cas.digest import Digest
from cas.errors import CasError
from cas.store import BlobStore
from catalog.values import BlobRow, ScrubRun, VerificationRecord
from tools.verify.examine import Finding, examine, examine_group, groups_of
from tools.verify.pace import Pace
from tools.verify.progress import Progress
from tools.verify.report import Outcome, Problem, Report

PAGE_ROWS: Final = 4096
"""Of a page, what lies in one pack is read in one go: a batch has its ids in order of digest, its pack has another."""

CHECKPOINT_SECONDS: Final = 2.0


class CatalogSide(Protocol):
    """What verify needs of `catalog.system.SystemScope`."""

    async def blobs_after(self, after_blob_id: int, limit: int) -> list[BlobRow]: ...
    async def blobs_by_digest(self, digests: Sequence[Digest]) -> dict[Digest, BlobRow]: ...
    async def known_packs(self, pack_ids: Sequence[str]) -> set[str]: ...
    async def unhealthy(self, limit: int) -> list[tuple[Digest, str]]: ...
    async def record_verifications(self, outcomes: Sequence[VerificationRecord]) -> None: ...
    async def start_scrub(self, selection: str | None = None) -> int: ...
    async def checkpoint_scrub(self, run_id: int, last_blob_id: int, counts: dict[str, int]) -> None: ...
    async def finish_scrub(self, run_id: int) -> None: ...
    async def unfinished_scrub(self) -> ScrubRun | None: ...


class Scrub:
    """One run over all blobs."""

    def __init__(self, side: CatalogSide, store: BlobStore, pace: Pace, report: Report, progress: Progress) -> None:
        self._side = side
        self._store = store
        self._pace = pace
        self._report = report
        self._progress = progress
        self._records: list[VerificationRecord] = []
        self._checkpoint_due = 0.0

    async def run(self, last_blob_id: int, threads: int) -> None:
        """Re-read everything behind `last_blob_id`. Raises `Stopped` after a checkpoint, so that it can go on there."""
        with ThreadPoolExecutor(threads, thread_name_prefix="verify") as readers:
            while rows := await self._side.blobs_after(last_blob_id, PAGE_ROWS):
                last_blob_id = await self._page(readers, rows, last_blob_id)

    async def run_selected(self, pages: AsyncIterable[Sequence[BlobRow]], threads: int) -> None:
        """Re-read these pages of blobs. Raises `Stopped`; what was read until then is recorded."""
        with ThreadPoolExecutor(threads, thread_name_prefix="verify") as readers:
            async for rows in pages:
                await self._page(readers, rows, 0)

    async def _page(self, readers: ThreadPoolExecutor, rows: Sequence[BlobRow], last_blob_id: int) -> int:
        loop = asyncio.get_running_loop()
        jobs: dict[int, asyncio.Future[dict[Digest, Finding]]] = {}
        for group in groups_of(rows):
            blobs = [row.blob for row in group]
            job = loop.run_in_executor(readers, examine_group, self._store, blobs, self._pace)
            jobs |= dict.fromkeys((row.id for row in group), job)
        try:
            for row in rows:
                await self._settle(row, (await jobs[row.id])[row.blob.digest])
                last_blob_id = row.id
                await self._checkpoint(last_blob_id)
        finally:
            for job in jobs.values():
                job.cancel()
            await asyncio.gather(*jobs.values(), return_exceptions=True)
            await self._checkpoint(last_blob_id, now=True)
        return last_blob_id

    async def _checkpoint(self, last_blob_id: int, now: bool = False) -> None:
        self._progress.show("reading")
        if not now and time.monotonic() < self._checkpoint_due:
            return
        self._checkpoint_due = time.monotonic() + CHECKPOINT_SECONDS
        await self._record()
        await self._side.checkpoint_scrub(self._report.run, last_blob_id, self._report.counts)

    async def _record(self) -> None:
        if self._records:
            await self._side.record_verifications(self._records)
            self._records = []

    async def _settle(self, row: BlobRow, finding: Finding) -> None:
        """Believe what is good; look again at anything else before it counts."""
        if finding[0] is not Outcome.GOOD:
            finding, row = await self._look_again(row)
        outcome, detail = finding
        quarantined = False
        if outcome in {Outcome.GOOD, Outcome.MENDED}:
            self._records.append(VerificationRecord(row.id, Outcome.GOOD))
        elif outcome in {Outcome.DAMAGED, Outcome.MISSING}:
            # Marked before it is moved: an upload that heals it in between takes the mark away again.
            self._records.append(VerificationRecord(row.id, outcome))
            await self._record()
        if outcome is Outcome.DAMAGED:
            outcome, detail, quarantined = await self._quarantine(row, detail)
        self._report.count(outcome)
        if outcome not in {Outcome.GOOD, Outcome.GONE}:
            self._report.add_problem(Problem(row.blob.digest.hex, outcome, detail, quarantined))

    async def _look_again(self, row: BlobRow) -> tuple[Finding, BlobRow]:
        """With the catalog's row as it is now: an upload may have healed the blob, a sweep may have taken it away."""
        fresh = (await self._side.blobs_by_digest([row.blob.digest])).get(row.blob.digest)
        if fresh is None or fresh.id != row.id or fresh.state not in {"live", "condemned"}:
            return (Outcome.GONE, ""), row
        finding = await asyncio.to_thread(examine, self._store, fresh.blob, self._pace)
        if finding[0] is Outcome.MENDED:
            finding = await asyncio.to_thread(self._mend, fresh.blob, finding[1])
        return finding, fresh

    def _mend(self, blob: Blob, detail: str) -> Finding:
        try:
            self._store.mend_pieces(blob)
        except CasError as error:
            return Outcome.UNREADABLE, f"{detail}; they could not be made again: {error}"
        return Outcome.MENDED, detail

    async def _quarantine(self, row: BlobRow, detail: str) -> tuple[Outcome, str, bool]:
        try:
            if await asyncio.to_thread(self._store.quarantine, row.blob):
                return Outcome.DAMAGED, detail, True
        except CasError as error:
            return Outcome.DAMAGED, f"{detail}; it was not moved to quarantine: {error}", False
        self._records.append(VerificationRecord(row.id, Outcome.GOOD))
        return Outcome.GOOD, "", False
