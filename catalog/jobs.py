"""Jobs as their tenant sees them: asking for a recipe, and the cards."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from catalog import audit, clock, cursors
from catalog.database import Row, Transaction
from catalog.entries import ENTRY_COLUMNS, ENTRY_TABLES, Entries, entries_of
from catalog.errors import BadRequest, Conflict, NotFound, TooMany
from catalog.job_queue import count
from catalog.job_values import Job, JobState, Outcome
from catalog.ledger import lock_ledger
from catalog.queueing import ASKED, insert_job, next_turn
from catalog.recipes import Recipe, SourceKind, asked_recipe, canonical, parameters_of, recipe_named
from catalog.scope import Scope
from catalog.values import Entry, EntryKind, EntryPath, Page

FILES_PER_REQUEST_MAX: Final = 500
OPEN_JOBS_MAX: Final = 2_000
PAGE_MAX: Final = 200

_COLUMNS: Final = (
    "j.id, j.recipe, j.parameters, j.entry_id, j.device_id, j.state, j.progress, j.failure, j.log IS NOT"
    " NULL, j.asked_by,"
    " j.created_at, j.started_at, j.finished_at"
)


class Jobs:
    """The tenant's jobs, as far as the scope reaches their files."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def ask(self, entry_ids: Sequence[int], recipe_name: str, parameters: Mapping[str, object]) -> list[Job]:
        """One job for each of these files, all or none. Raises `BadRequest` for parameters that the recipe does not
        take, `Conflict` for what is no file or of another kind, `NotFound`, `TooMany`."""
        self._scope.require_writable()
        recipe = asked_recipe(recipe_name)
        checked = canonical(recipe.checked(parameters))
        if len(set(entry_ids)) > FILES_PER_REQUEST_MAX:
            raise TooMany(FILES_PER_REQUEST_MAX, "files")
        entries = await Entries(self._scope).by_ids(entry_ids)

        async def work(tx: Transaction) -> list[int]:
            await lock_ledger(tx, self._scope.tenant)
            await self._check_open(tx, len(entries))
            sources = await self._sources(tx, entries, recipe)
            ids = [
                await insert_job(
                    tx, self._scope.tenant.id, recipe, checked, sources[entry.id], entry.id, entry.device_id,
                    self._scope.actor.name,
                )
                for entry in entries
            ]  # fmt: skip
            for device_id in sorted({entry.device_id for entry in entries}):
                part = [entry for entry in entries if entry.device_id == device_id]
                subject = str(part[0].path) + (f" and {len(part) - 1:,} more" if len(part) > 1 else "")
                detail: dict[str, object] = {
                    "recipe": recipe.name,
                    "parameters": parameters_of(checked),
                    "files": len(part),
                }
                await audit.append(
                    tx, self._scope.tenant.id, self._scope.actor, "derive", subject, detail, device_id=device_id
                )
            return ids

        ids = await self._scope.database.run(work)
        return await self._by_ids(ids)

    async def page(self, cursor: str | None = None, limit: int = 50, entry_id: int | None = None) -> Page[Job]:
        """Newest first; of one file alone, if given."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page has 1 to {PAGE_MAX} jobs.")
        before = cursors.decode(cursor, int)[0] if cursor else 2**63 - 1
        sql = (
            f"SELECT {_COLUMNS} FROM job j WHERE j.tenant_id = %s AND j.entry_id IS NOT NULL AND j.id < %s"
            f"{self._scope.within('j.device_id')}"
        )
        params: list[object] = [self._scope.tenant.id, before]
        if entry_id is not None:
            sql += " AND j.entry_id = %s"
            params.append(entry_id)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(sql + " ORDER BY j.id DESC LIMIT %s", (*params, limit + 1))
            items = await self._jobs(tx, rows[:limit])
        return Page(items, cursors.encode(items[-1].id) if len(rows) > limit else None)

    async def get(self, job_id: int) -> Job:
        """One job. Raises `NotFound`."""
        return (await self._by_ids([job_id]))[0]

    async def log(self, job_id: int) -> str:
        """What the program that failed wrote; empty if nothing. Raises `NotFound`."""
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT j.log FROM job j WHERE j.tenant_id = %s AND j.id = %s AND j.entry_id IS NOT NULL"
                f"{self._scope.within('j.device_id')}",
                (self._scope.tenant.id, job_id),
            )
        if row is None:
            raise NotFound("job")
        return row[0] or ""

    async def retry(self, job_id: int) -> Job:
        """A job that failed or was cancelled waits again. Raises `NotFound`, `Conflict`."""

        async def work(tx: Transaction) -> None:
            recipe, state = await self._locked(tx, job_id)
            if state not in {JobState.FAILED, JobState.CANCELLED}:
                raise Conflict("Only a job that failed or was cancelled can be tried again.")
            turn = await next_turn(tx, self._scope.tenant.id, recipe_named(recipe).lane, ASKED)
            await tx.execute(
                "UPDATE job SET state = 'waiting', failure = NULL, log = NULL, progress = 0, refusals = 0, lost = 0,"
                " cancel_asked = 0, not_before = %s, turn = %s, started_at = NULL, finished_at = NULL"
                " WHERE tenant_id = %s AND id = %s",
                (clock.to_db(clock.now()), turn, self._scope.tenant.id, job_id),
            )

        await self._change(job_id, work)
        return await self.get(job_id)

    async def cancel(self, job_id: int) -> Job:
        """A waiting job is cancelled at once, a running one as soon as its worker hears of it. Raises `NotFound`,
        `Conflict` if it has ended."""

        async def work(tx: Transaction) -> None:
            recipe, state = await self._locked(tx, job_id)
            key = (self._scope.tenant.id, job_id)
            if state is JobState.RUNNING:
                await tx.execute("UPDATE job SET cancel_asked = 1 WHERE tenant_id = %s AND id = %s", key)
            elif state is JobState.WAITING:
                await tx.execute(
                    "UPDATE job SET state = 'cancelled', finished_at = UTC_TIMESTAMP(6) WHERE tenant_id ="
                    " %s AND id = %s",
                    key,
                )
                await count(tx, recipe, Outcome.CANCELLED, [0])
            else:
                raise Conflict("This job has ended already.")

        await self._change(job_id, work)
        return await self.get(job_id)

    async def delete(self, job_id: int) -> None:
        """Take the card away; the files it made stay, and so do the lifetime counters. Raises `NotFound`, `Conflict`
        while the job runs."""

        async def work(tx: Transaction) -> None:
            _, state = await self._locked(tx, job_id)
            if state is JobState.RUNNING:
                raise Conflict("This job is running. Cancel it first.")
            await tx.execute("DELETE FROM job WHERE tenant_id = %s AND id = %s", (self._scope.tenant.id, job_id))

        await self._change(job_id, work)

    async def delete_ended(self) -> int:
        """Take away the cards of all jobs that are done or cancelled; returns how many. Failures stay to be read."""
        self._scope.require_writable()

        async def work(tx: Transaction) -> int:
            return await tx.execute(
                "DELETE FROM job WHERE tenant_id = %s AND entry_id IS NOT NULL AND state IN ('done', 'cancelled')"
                f"{self._scope.within('device_id')}",
                (self._scope.tenant.id,),
            )

        return await self._scope.database.run(work)

    async def _change(self, job_id: int, work: Any) -> None:
        self._scope.require_writable()
        await self.get(job_id)
        await self._scope.database.run(work)

    async def _locked(self, tx: Transaction, job_id: int) -> tuple[str, JobState]:
        row = await tx.fetch_one(
            "SELECT j.recipe, j.state FROM job j WHERE j.tenant_id = %s AND j.id = %s AND j.entry_id IS"
            " NOT NULL FOR UPDATE",
            (self._scope.tenant.id, job_id),
        )
        if row is None:
            raise NotFound("job")
        return row[0], JobState(row[1])

    async def _check_open(self, tx: Transaction, wanted: int) -> None:
        row = await tx.fetch_one(
            "SELECT COUNT(*) FROM job WHERE tenant_id = %s AND entry_id IS NOT NULL AND state IN"
            " ('waiting', 'running')",
            (self._scope.tenant.id,),
        )
        if row is not None and row[0] + wanted > OPEN_JOBS_MAX:
            raise TooMany(OPEN_JOBS_MAX, "jobs that wait")

    async def _sources(self, tx: Transaction, entries: Sequence[Entry], recipe: Recipe) -> dict[int, int]:
        """Entry id → blob id. A kind that is not known yet is judged by the worker."""
        found: dict[int, int] = {}
        for entry in entries:
            if entry.kind is not EntryKind.FILE or not entry.size_bytes:
                raise Conflict(f"“{entry.path}” is no file with content. Choose files alone.")
            row = await tx.fetch_one(
                "SELECT e.blob_id, m.kind FROM entry e LEFT JOIN media m ON m.tenant_id = e.tenant_id"
                " AND m.blob_id = e.blob_id WHERE e.tenant_id = %s AND e.id = %s",
                (self._scope.tenant.id, entry.id),
            )
            if row is None:
                raise NotFound("file")
            if row[1] is not None and SourceKind(row[1]) not in recipe.accepts:
                raise Conflict(refusal(recipe, SourceKind(row[1]), entry.path))
            found[entry.id] = int(row[0])
        return found

    async def _by_ids(self, job_ids: Sequence[int]) -> list[Job]:
        marks = ",".join(["%s"] * len(job_ids))
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {_COLUMNS} FROM job j WHERE j.tenant_id = %s AND j.entry_id IS NOT NULL"
                f"{self._scope.within('j.device_id')} AND j.id IN ({marks}) ORDER BY j.id",
                (self._scope.tenant.id, *job_ids),
            )
            if len(rows) < len(set(job_ids)):
                raise NotFound("job")
            return await self._jobs(tx, rows)

    async def _jobs(self, tx: Transaction, rows: Sequence[Row]) -> list[Job]:
        if not rows:
            return []
        tenant_id = self._scope.tenant.id
        ids = ",".join(f"{row[0]:d}" for row in rows)
        outputs = await tx.fetch_all(
            f"SELECT job_id, entry_id FROM job_output WHERE tenant_id = %s AND job_id IN ({ids}) ORDER BY"
            " job_id, position",
            (tenant_id,),
        )
        shown = await self._entries(tx, {row[3] for row in rows} | {entry_id for _, entry_id in outputs})
        made: dict[int, list[int]] = {}
        for job_id, entry_id in outputs:
            made.setdefault(job_id, []).append(entry_id)
        return [_job(row, shown, made.get(row[0], [])) for row in rows]

    async def _entries(self, tx: Transaction, ids: set[int]) -> dict[int, Entry]:
        wanted = ",".join(f"{entry_id:d}" for entry_id in sorted(ids))
        rows = await tx.fetch_all(
            f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.id IN ({wanted})",
            (self._scope.tenant.id,),
        )
        return {entry.id: entry for entry in await entries_of(tx, self._scope.tenant.id, rows)}


def refusal(recipe: Recipe, kind: SourceKind, path: EntryPath) -> str:
    """The sentence for a file whose content this recipe does not take."""
    wanted = " or ".join(sorted(_WORDS[accepted] for accepted in recipe.accepts))
    return f"“{path}” is {_WORDS[kind]}, and “{recipe.title}” needs {wanted}."


_WORDS: Final = {
    SourceKind.IMAGE: "a picture",
    SourceKind.VIDEO: "a video",
    SourceKind.AUDIO: "a sound",
    SourceKind.PDF: "a PDF",
    SourceKind.DOCUMENT: "a document",
    SourceKind.TEXT: "a text",
    SourceKind.OTHER: "a file of a kind that is not read here",
}


def _job(row: Row, entries: Mapping[int, Entry], output_ids: Sequence[int]) -> Job:
    (job_id, recipe, parameters, entry_id, device_id, state, progress, failure, has_log, asked_by, created, started,
     finished) = row  # fmt: skip
    source = entries.get(entry_id)
    return Job(
        job_id, recipe, parameters_of(parameters), entry_id, device_id,
        source.path if source else EntryPath(()), JobState(state), progress, failure, bool(has_log), asked_by,
        clock.from_db(created), None if started is None else clock.from_db(started),
        None if finished is None else clock.from_db(finished),
        [entries[output] for output in output_ids if output in entries], len(output_ids),
    )  # fmt: skip
