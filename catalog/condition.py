"""How the service is, as the catalog knows it. Nothing here tells of any tenant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from catalog import clock
from catalog.database import Database
from catalog.job_queue import JobQueue
from catalog.job_values import JobCount, QueueState

DAMAGED_COUNTED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Condition:
    """`damaged_blobs` and `missing_blobs` are counted up to `DAMAGED_COUNTED_MAX`."""

    verified_at: datetime | None
    """Since then everything was re-read, but what came later and was not yet: when the blob that was re-read longest
    ago was."""
    damaged_blobs: int
    missing_blobs: int
    uploads_open: int
    """Resumable uploads that wait or run."""
    queue: QueueState
    """Jobs of the workers, as they stand now."""
    jobs: list[JobCount]
    """What became of all jobs since the beginning, those included whose cards are gone."""


async def read_condition(database: Database) -> Condition:
    """Raises `DatabaseUnavailable`."""
    async with database.reading() as tx:
        oldest = await tx.fetch_one("SELECT MIN(verified_at) FROM verification")
        counts = []
        for outcome in ("damaged", "missing"):
            row = await tx.fetch_one(
                "SELECT COUNT(*) FROM (SELECT 1 FROM verification WHERE outcome = %s LIMIT %s) some",
                (outcome, DAMAGED_COUNTED_MAX),
            )
            counts.append(int(row[0]) if row else 0)
        uploads = await tx.fetch_one("SELECT COUNT(*) FROM upload WHERE finished_at IS NULL")
    verified_at = oldest[0] if oldest else None
    jobs = JobQueue(database)
    return Condition(
        clock.from_db(verified_at) if verified_at else None, counts[0], counts[1], int(uploads[0]) if uploads else 0,
        await jobs.state(), await jobs.counts(),
    )  # fmt: skip
