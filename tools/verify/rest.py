"""What a run over everything looks at besides the blobs' bytes: the names and permissions of all files while the blobs
are read, packs' indexes, the journal and rows after them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from cas.layout import JOURNAL
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.system import SystemScope
from tools.verify.chains import check_chains
from tools.verify.indexes import check_indexes
from tools.verify.orphans import find_orphans
from tools.verify.pace import Pace
from tools.verify.permissions import checked_files
from tools.verify.progress import Progress
from tools.verify.report import LISTED_MAX, Outcome, Problem, Report
from tools.verify.scrub import CatalogSide


@asynccontextmanager
async def looking_at_files(
    side: CatalogSide, root: Path, pace: Pace, report: Report
) -> AsyncIterator["asyncio.Task[None]"]:
    """A task that looks at every file's name and permissions, on one thread; the block awaits it. An error of the block
    stops it."""
    task = asyncio.create_task(_look_at_files(side, root, pace, report))
    try:
        yield task
    except BaseException:
        pace.stop()  # for its thread, which hears of nothing else
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def look_at_the_rest(
    side: SystemScope, store: BlobStore, backend: LocalBackend, pace: Pace, progress: Progress, report: Report
) -> None:
    """Everything but the blobs and the files. Raises `Stopped`, and what reading raises."""
    progress.show("reading the indexes of packs")
    await asyncio.to_thread(check_indexes, store, pace, report)
    progress.show("following the journal")
    await asyncio.to_thread(check_chains, backend, pace, report)
    progress.show("comparing rows")
    report.row_faults += await side.scrubbing.disagreements()
    await _add_earlier_problems(side, report)


async def _look_at_files(side: CatalogSide, root: Path, pace: Pace, report: Report) -> None:
    files_below = partial(checked_files, root, pace=pace, report=report)
    await find_orphans(side, files_below, report)
    await asyncio.to_thread(lambda: [None for _ in files_below(JOURNAL)])


async def _add_earlier_problems(side: CatalogSide, report: Report) -> None:
    """What the catalog knows to be wrong and this part of the run did not see itself."""
    seen = {problem.digest for problem in report.problems}
    for digest, outcome in await side.unhealthy(LISTED_MAX):
        if digest.hex not in seen:
            report.add_problem(Problem(digest.hex, Outcome(outcome), "found before this part of the run", None))
