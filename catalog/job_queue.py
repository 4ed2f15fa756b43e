"""The queue as workers see it: claiming, keeping and giving back jobs, whoever's they are.

What always holds: a job belongs to its latest claim alone, and every statement of a worker names its claim, so a worker
that was thought dead can change nothing any more; a job's end and what it left commit together, so each ends exactly
once. Claims are leases: a worker renews them, and who does not is lost, whereupon its jobs wait again.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, id_list
from catalog.database import Database, Row, Transaction
from catalog.job_values import ClaimedJob, JobCount, JobState, Outcome, QueueState
from catalog.recipes import Lane, parameters_of

LOST_MAX: Final = 5
"""A job whose worker was lost so often is set aside: it may be what kills them."""
REFUSALS_MAX: Final = 3
RETRY_SECONDS: Final = 20
CARDS_KEPT_DAYS: Final = 90
CLAIMED_AT_ONCE_MAX: Final = 32
LOG_CHARACTERS_MAX: Final = 64 * 1024
FAILURE_CHARACTERS_MAX: Final = 500
_AT_ONCE: Final = 500

_LOST_SENTENCE: Final = "The program that worked on this file ended before it was done, several times. Tell support."
_CLAIM_COLUMNS: Final = (
    "j.id, j.claims, j.tenant_id, j.recipe, j.version, j.parameters, j.source_id, j.entry_id, j.device_id, j.lane,"
    " j.refusals, j.asked_by, " + BLOB_COLUMNS
)


class Standing(StrEnum):
    """What a worker learns of a claim when it renews it."""

    HELD = "held"
    CANCEL_ASKED = "cancel"
    LOST = "lost"


class JobQueue:
    """The queue of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, worker: str, lane: Lane, limit: int, lease_seconds: float) -> list[ClaimedJob]:
        """Take up to `limit` jobs, the most urgent first, each tenant in its turn. Others' claims under way are passed
        over.

        Of what somebody asked for only one is taken at once, so that it is shown as running only when it is.
        """

        async def work(tx: Transaction) -> list[Row]:
            picked = await tx.fetch_all(
                "SELECT id FROM job WHERE state = 'waiting' AND lane = %s AND not_before <= UTC_TIMESTAMP(6)"
                " ORDER BY priority, turn, id LIMIT %s FOR UPDATE SKIP LOCKED",
                (str(lane), min(limit, CLAIMED_AT_ONCE_MAX)),
            )
            taken = _together(await _jobs(tx, picked, "j.priority, j.turn, j.id"))
            if taken:
                await tx.execute(
                    "UPDATE job SET state = 'running', claims = claims + 1, worker = %s, leased_until = %s,"
                    " progress = 0, failure = NULL, log = NULL, started_at = UTC_TIMESTAMP(6), finished_at = NULL"
                    f" WHERE id IN ({id_list(row[0] for row in taken)})",
                    (worker[:100], _until(lease_seconds)),
                )
            return taken

        return [_claimed(row[:-1]) for row in await self._database.run(work)]

    async def renew(
        self, claims: Mapping[int, int], progress: Mapping[int, int], lease_seconds: float
    ) -> dict[int, Standing]:
        """Keep these claims (job id → claim) for another lease, tell their progress in percent, and learn how they
        stand."""
        if not claims:
            return {}

        async def work(tx: Transaction) -> dict[int, Standing]:
            standing = dict.fromkeys(claims, Standing.LOST)
            rows = await tx.fetch_all(
                f"SELECT tenant_id, id, claims, cancel_asked FROM job WHERE id IN ({id_list(claims)})"
                " AND state = 'running' ORDER BY tenant_id, id FOR UPDATE"
            )
            for tenant_id, job_id, claim, cancel_asked in rows:
                if claim == claims[job_id]:
                    standing[job_id] = Standing.CANCEL_ASKED if cancel_asked else Standing.HELD
                    await tx.execute(
                        "UPDATE job SET leased_until = %s, progress = %s WHERE tenant_id = %s AND id = %s",
                        (_until(lease_seconds), progress.get(job_id, 0), tenant_id, job_id),
                    )
            return standing

        return await self._database.run(work)

    async def give_back(self, jobs: Collection[ClaimedJob]) -> None:
        """A worker that ends returns what it has not finished; it counts against nobody."""

        async def work(tx: Transaction) -> None:
            for job in sorted(jobs, key=lambda j: (j.tenant_id, j.id)):
                await _wait_again(tx, job)

        await self._database.run(work)

    async def refuse(self, job: ClaimedJob, failure: str, log: str, milliseconds: int, *, may_help: bool) -> None:
        """A try failed. `may_help`: another one may succeed, so it waits longer each time, `REFUSALS_MAX` in all;
        then, or at once where nothing will help, the job is set aside with its log. A rendition's failure is kept with
        the rendition."""
        is_last = not may_help or job.refusals + 1 >= REFUSALS_MAX

        async def work(tx: Transaction) -> None:
            if not await hold(tx, job):
                return
            if not is_last:
                await _again(tx, job, failure, log)
            elif job.is_rendition:
                await write_no_rendition(tx, job, failure, log)
            else:
                await _set_aside(tx, job, failure, log)
            await count(tx, job.recipe, Outcome.FAILED if is_last else Outcome.RETRIED, [milliseconds])

        await self._database.run(work)

    async def drop(self, job: ClaimedJob, milliseconds: int) -> None:
        """A rendition's job ends without a rendition and without a word of why: the catalog knows its source to be
        damaged, and once that is whole again, the rendition may be wanted anew."""

        async def work(tx: Transaction) -> None:
            if await hold(tx, job):
                await tx.execute("DELETE FROM job WHERE tenant_id = %s AND id = %s", (job.tenant_id, job.id))
                await count(tx, job.recipe, Outcome.FAILED, [milliseconds])

        await self._database.run(work)

    async def stopped(self, job: ClaimedJob, milliseconds: int) -> None:
        """The worker has stopped. Where somebody asked for it, the job is cancelled; else it waits again, unless it is
        another's by now."""

        async def work(tx: Transaction) -> None:
            row = await tx.fetch_one(
                "SELECT cancel_asked FROM job WHERE tenant_id = %s AND id = %s AND claims = %s AND state = 'running'"
                " FOR UPDATE",
                (job.tenant_id, job.id, job.claim),
            )
            if row is None:
                return
            if not row[0]:
                await _wait_again(tx, job)
                return
            await tx.execute(
                "UPDATE job SET state = 'cancelled', leased_until = NULL, finished_at = UTC_TIMESTAMP(6)"
                " WHERE tenant_id = %s AND id = %s",
                (job.tenant_id, job.id),
            )
            await count(tx, job.recipe, Outcome.CANCELLED, [milliseconds])

        await self._database.run(work)

    async def reap(self) -> int:
        """Jobs of workers that were not heard of wait again, or are set aside after `LOST_MAX` times. Returns how
        many."""

        async def work(tx: Transaction) -> int:
            late = await tx.fetch_all(
                "SELECT id FROM job WHERE state = 'running' AND leased_until < UTC_TIMESTAMP(6)"
                " ORDER BY leased_until LIMIT %s FOR UPDATE SKIP LOCKED",
                (_AT_ONCE,),
            )
            for *columns, lost in await _jobs(tx, late, "j.tenant_id, j.id"):
                await self._lose(tx, _claimed(tuple(columns), claim_offset=0), lost + 1)
            return len(late)

        return await self._database.run(work)

    async def _lose(self, tx: Transaction, job: ClaimedJob, lost: int) -> None:
        await count(tx, job.recipe, Outcome.LOST, [0])
        if lost < LOST_MAX:
            await tx.execute(
                "UPDATE job SET state = 'waiting', leased_until = NULL, progress = 0, lost = %s"
                " WHERE tenant_id = %s AND id = %s",
                (lost, job.tenant_id, job.id),
            )
        elif job.is_rendition:
            await write_no_rendition(tx, job, _LOST_SENTENCE, "")
        else:
            await _set_aside(tx, job, _LOST_SENTENCE, "")

    async def tidy(self) -> int:
        """Drop cards that ended long ago, a bounded number at once."""
        oldest = clock.to_db(clock.now() - timedelta(days=CARDS_KEPT_DAYS))

        async def work(tx: Transaction) -> int:
            return await tx.execute(
                "DELETE FROM job WHERE state IN ('done', 'cancelled', 'failed') AND finished_at < %s LIMIT %s",
                (oldest, _AT_ONCE),
            )

        return await self._database.run(work)

    async def counts(self) -> list[JobCount]:
        """The lifetime counters."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT recipe, outcome, jobs, milliseconds FROM job_counter ORDER BY recipe, outcome"
            )
        return [JobCount(recipe, Outcome(outcome), jobs, spent) for recipe, outcome, jobs, spent in rows]

    async def state(self) -> QueueState:
        """How many jobs wait, run and are set aside."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all("SELECT state, COUNT(*) FROM job GROUP BY state")
            oldest = await tx.fetch_one("SELECT MIN(created_at) FROM job WHERE state = 'waiting'")
        by_state = {state: int(number) for state, number in rows}
        since = oldest[0] if oldest else None
        return QueueState(
            by_state.get(JobState.WAITING, 0),
            by_state.get(JobState.RUNNING, 0),
            by_state.get(JobState.FAILED, 0),
            None if since is None else clock.from_db(since),
        )


async def _wait_again(tx: Transaction, job: ClaimedJob) -> None:
    """Where the claim still stands."""
    await tx.execute(
        "UPDATE job SET state = 'waiting', leased_until = NULL, progress = 0, started_at = NULL"
        " WHERE tenant_id = %s AND id = %s AND claims = %s AND state = 'running'",
        (job.tenant_id, job.id, job.claim),
    )


async def hold(tx: Transaction, job: ClaimedJob) -> bool:
    """Lock the job's row until the transaction ends; whether the claim still stands and nobody asked to cancel."""
    row = await tx.fetch_one(
        "SELECT 1 FROM job WHERE tenant_id = %s AND id = %s AND claims = %s AND state = 'running' AND cancel_asked = 0"
        " FOR UPDATE",
        (job.tenant_id, job.id, job.claim),
    )
    return row is not None


async def count(tx: Transaction, recipe: str, outcome: Outcome, milliseconds: Sequence[int]) -> None:
    """Count jobs that took so long each; the last statement of a transaction but the commit, since all workers share
    the row."""
    await tx.execute(
        "INSERT INTO job_counter (recipe, outcome, jobs, milliseconds) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE jobs = jobs + VALUES(jobs), milliseconds = milliseconds + VALUES(milliseconds)",
        (recipe, str(outcome), len(milliseconds), sum(milliseconds)),
    )


async def write_no_rendition(tx: Transaction, job: ClaimedJob, failure: str, log: str) -> None:
    """This rendition will not come, and why; its job is over."""
    await tx.execute(
        "REPLACE INTO rendition (tenant_id, source_id, recipe, version, failure, log, made_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6))",
        (job.tenant_id, job.source_id, job.recipe, job.version, failure[:FAILURE_CHARACTERS_MAX], _cut(log)),
    )
    await tx.execute("DELETE FROM job WHERE tenant_id = %s AND id = %s", (job.tenant_id, job.id))


async def _again(tx: Transaction, job: ClaimedJob, failure: str, log: str) -> None:
    pause = timedelta(seconds=RETRY_SECONDS * 4**job.refusals)
    await tx.execute(
        "UPDATE job SET state = 'waiting', leased_until = NULL, progress = 0, refusals = refusals + 1, not_before = %s,"
        " failure = %s, log = %s WHERE tenant_id = %s AND id = %s",
        (clock.to_db(clock.now() + pause), failure[:FAILURE_CHARACTERS_MAX], _cut(log), job.tenant_id, job.id),
    )


async def _set_aside(tx: Transaction, job: ClaimedJob, failure: str, log: str) -> None:
    await tx.execute(
        "UPDATE job SET state = 'failed', leased_until = NULL, refusals = refusals + 1, failure = %s, log = %s,"
        " finished_at = UTC_TIMESTAMP(6) WHERE tenant_id = %s AND id = %s",
        (failure[:FAILURE_CHARACTERS_MAX], _cut(log), job.tenant_id, job.id),
    )


async def _jobs(tx: Transaction, ids: Sequence[Row], order: str) -> list[Row]:
    if not ids:
        return []
    return await tx.fetch_all(
        f"SELECT {_CLAIM_COLUMNS}, j.lost FROM job j JOIN `blob` b ON b.id = j.source_id"
        f" WHERE j.id IN ({id_list(row[0] for row in ids)}) ORDER BY {order}"
    )


def _together(rows: Sequence[Row]) -> list[Row]:
    """The first; with it, if it is a rendition, the renditions that follow it."""
    taken: list[Row] = []
    for row in rows:
        is_rendition = row[7] is None
        if taken and not (is_rendition and taken[0][7] is None):
            break
        taken.append(row)
    return taken


def _claimed(row: Row, claim_offset: int = 1) -> ClaimedJob:
    (job_id, claims, tenant_id, recipe, version, parameters, source_id, entry_id, device_id, lane, refusals, asked_by,
     *blob) = row  # fmt: skip
    return ClaimedJob(
        job_id, claims + claim_offset, tenant_id, recipe, version, parameters_of(parameters), source_id, blob_of(*blob),
        entry_id, device_id, Lane(lane), refusals, asked_by,
    )  # fmt: skip


def _until(lease_seconds: float) -> object:
    return clock.to_db(clock.now() + timedelta(seconds=lease_seconds))


def _cut(log: str) -> str:
    return log[-LOG_CHARACTERS_MAX:]
