"""`Worker`: slots that take jobs, and what goes on beside them: looking for new files, renewing leases, taking back
what dead workers left.

Several workers, here or on other machines, share the queue; nothing is agreed between them but what stands in the
database.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cas.errors import CasError
from catalog.errors import CatalogError
from catalog.job_queue import Standing
from catalog.job_values import ClaimedJob
from catalog.recipes import Lane
from tools.worker.errors import SandboxBroken
from tools.worker.sandbox import Sandbox
from tools.worker.slot import Slot, Tools

log: Final = logging.getLogger("otb.worker")

IDLE_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 0.25
TIDY_SECONDS: Final = 3_600
PAUSE_SECONDS: Final = 2
"""After the database or the store failed."""
RENDITIONS_AT_ONCE: Final = 8
RENEW_SECONDS_MAX: Final = 2
"""How late a worker learns that a job is to be cancelled, and a card how far it is."""
_RENEWALS_PER_LEASE: Final = 3


@dataclass(slots=True)
class Worker:
    """`name` tells workers apart in the database; `scratch`: a folder of its own."""

    tools: Tools
    name: str
    scratch: Path
    _slots: list[Slot] = field(default_factory=list)
    _held: dict[int, tuple[ClaimedJob, Slot]] = field(default_factory=dict)
    _busy: int = 0

    async def run(self, stop: asyncio.Event, *, until_idle: bool = False) -> None:
        """Work until `stop` is set; with `until_idle`, until nothing waits. What is unfinished is given back."""
        slots = self._make_slots()
        for _, slot in slots:
            await slot.sandbox.start()
        log.info("%s is ready: %d slots", self.name, len(slots))
        forever = [
            self._again(self._look, LOOK_SECONDS),
            self._again(self._renew, min(RENEW_SECONDS_MAX, self._lease / _RENEWALS_PER_LEASE)),
            self._again(self._reap, self._lease / _RENEWALS_PER_LEASE),
            self._again(self._tidy, TIDY_SECONDS),
            *[self._serve(lane, slot) for lane, slot in slots],
        ]
        tasks = [asyncio.create_task(one) for one in forever]
        if until_idle:
            tasks.append(asyncio.create_task(self._stop_when_idle(stop)))
        try:
            await asyncio.wait([asyncio.create_task(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled() and task.exception() is not None:
                    raise task.exception() or AssertionError
        finally:
            await self._end(tasks)

    @property
    def _lease(self) -> float:
        return float(self.tools.settings.worker_lease_seconds)

    def _make_slots(self) -> list[tuple[Lane, Slot]]:
        settings = self.tools.settings
        lanes = [Lane.LIGHT] * settings.worker_slots + [Lane.HEAVY] * settings.worker_heavy_slots
        made = []
        for number, lane in enumerate(lanes):
            vaapi = settings.worker_vaapi_device if lane is Lane.HEAVY else ""
            sandbox = Sandbox(self.scratch / f"slot-{number}", settings.worker_sandbox, vaapi)
            made.append((lane, Slot(self.tools, sandbox, self._let_go)))
        self._slots = [slot for _, slot in made]
        return made

    async def _serve(self, lane: Lane, slot: Slot) -> None:
        limit = RENDITIONS_AT_ONCE if lane is Lane.LIGHT else 1
        while True:
            try:
                jobs = await self.tools.catalog.system.jobs.claim(self.name, lane, limit, self._lease)
                if not jobs:
                    await asyncio.sleep(IDLE_SECONDS)
                    continue
                self._busy += 1
                self._held.update({job.id: (job, slot) for job in jobs})
                try:
                    await slot.carry_out(jobs)
                finally:
                    self._busy -= 1
            except (CatalogError, CasError, SandboxBroken) as error:
                log.warning("a slot pauses: %s", error)
                for job_id in [job_id for job_id, (_, holder) in self._held.items() if holder is slot]:
                    del self._held[job_id]  # no longer renewed, so it waits again when its lease has run out
                await asyncio.sleep(PAUSE_SECONDS)

    def _let_go(self, job: ClaimedJob) -> None:
        self._held.pop(job.id, None)

    async def _again(self, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        while True:
            try:
                await work()
            except CatalogError as error:
                log.warning("the catalog is not to be reached: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.sleep(seconds)

    async def _look(self) -> None:
        while await self.tools.catalog.system.renditions.look_for_new_files():
            pass

    async def _renew(self) -> None:
        held = dict(self._held)
        progress = {job_id: percent for slot in self._slots for job_id, percent in slot.progress.items()}
        claims = {job_id: job.claim for job_id, (job, _) in held.items()}
        standing = await self.tools.catalog.system.jobs.renew(claims, progress, self._lease)
        for job_id, how in standing.items():
            # What was asked about may be over, and the same job held again under a claim that stands.
            if how is not Standing.HELD and self._held.get(job_id) == held[job_id]:
                await held[job_id][1].stop(job_id)

    async def _reap(self) -> None:
        lost = await self.tools.catalog.system.jobs.reap()
        if lost:
            log.warning("%d jobs of workers that were not heard of wait again", lost)

    async def _tidy(self) -> None:
        while await self.tools.catalog.system.jobs.tidy():
            pass

    async def _stop_when_idle(self, stop: asyncio.Event) -> None:
        """Idle: twice in a row nothing waits, nothing runs, and no new file is seen."""
        idle = 0
        while idle < 2:
            seen = await self.tools.catalog.system.renditions.look_for_new_files()
            state = await self.tools.catalog.system.jobs.state()
            idle = idle + 1 if not (seen or state.waiting or state.running or self._busy) else 0
            await asyncio.sleep(IDLE_SECONDS)
        stop.set()

    async def _end(self, tasks: list["asyncio.Task[None]"]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(CatalogError):  # then their leases run out
            await self.tools.catalog.system.jobs.give_back([job for job, _ in self._held.values()])
        for slot in self._slots:
            await slot.sandbox.close()
