"""Workers are killed at random while they work: each job is finished exactly once, none is lost, and no derived file is
without its origin."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.job_values import Outcome
from tests.shared.service import Service
from tests.shared.workers import WorkerProcess, asked, rendition, until
from tests.tools.worker.corpus import picture, saved
from tests.web.device import Device, stored

KILL_AFTER_SECONDS = (0.3, 2.5)
"""From before the sandbox stands, to well within the work."""


class Mortals:
    """Some workers, one of which is killed and started anew from time to time."""

    def __init__(self, service: Service, folder: Path, count: int) -> None:
        self.workers = [
            WorkerProcess(service.given, folder, WORKER_SLOTS="1", WORKER_HEAVY_SLOTS="0", WORKER_LEASE_SECONDS="2")
            for _ in range(count)
        ]
        self.kills = 0
        self._random = random.Random(5)
        self._next = 0.0

    def __enter__(self) -> "Mortals":
        for worker in self.workers:
            worker.start()
        self._plan()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.stop()

    def maybe_kill(self) -> None:
        if time.monotonic() >= self._next:
            worker = self._random.choice(self.workers)
            worker.kill()
            worker.start()
            self.kills += 1
            self._plan()

    def _plan(self) -> None:
        self._next = time.monotonic() + self._random.uniform(*KILL_AFTER_SECONDS)


@pytest.fixture(scope="module")
def mortals(
    service: Service, scale: Callable[[int, int], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mortals]:
    with Mortals(service, tmp_path_factory.mktemp("mortals"), 2) as made:
        yield made


def test_each_job_ends_exactly_once(
    service: Service, mortals: Mortals, owner: httpx2.Client, laptop: Device, scale: Callable[[int, int], int]
) -> None:
    jobs_wanted, kills_wanted = scale(16, 500), scale(2, 60)
    entries = [
        stored(laptop, f"{number}.jpg", saved(picture((320, 200 + number)), "JPEG")) for number in range(jobs_wanted)
    ]
    jobs = asked(owner, entries[: jobs_wanted // 2], "rotate") + asked(owner, entries[jobs_wanted // 2 :], "strip")

    def all_done() -> bool:
        if mortals.kills < kills_wanted:
            mortals.maybe_kill()
        states = states_of(owner)
        assert states.keys() >= set(jobs)
        assert set(states.values()) <= {"waiting", "running", "done"}, states
        return set(states.values()) == {"done"}

    until(all_done, "all jobs", seconds=scale(300, 1_200))
    assert mortals.kills > 0
    outputs = [output for card in cards(owner) for output in card["outputs"]]
    assert len({output["id"] for output in outputs}) == jobs_wanted
    derived = laptop.entries(area="derived", limit="1000")
    assert {entry["id"] for entry in derived} == {output["id"] for output in outputs}
    for entry in derived:
        origin = owner.get(f"/api/v1/entries/{entry['id']}/derived").json()["origin"]
        assert origin["entry"]["id"] in set(entries)
        assert len(owner.get(f"/api/v1/entries/{entry['id']}/versions").json()["entries"]) == 1
    for entry_id in entries:
        assert rendition(owner, entry_id).status_code == 200
    counts = asyncio.run(counted(service))
    print(f"{jobs_wanted} jobs, {mortals.kills} kills of workers, counted: {counts}")
    assert counts["rotate", Outcome.DONE] + counts["strip", Outcome.DONE] == jobs_wanted
    assert not any(outcome is Outcome.FAILED for _, outcome in counts)


def states_of(owner: httpx2.Client) -> dict[str, str]:
    return {card["id"]: card["state"] for card in cards(owner)}


def cards(owner: httpx2.Client) -> Iterator[dict[str, Any]]:
    """All of the owner's jobs."""
    query = {"limit": "200"}
    while True:
        page = owner.get("/api/v1/jobs", params=query).json()
        yield from page["jobs"]
        if page["next"] is None:
            return
        query["cursor"] = page["next"]


async def counted(service: Service) -> dict[tuple[str, Outcome], int]:
    """The lifetime counters."""
    backend = LocalBackend(service.settings.storage_root)
    catalog = await Catalog.open(service.settings, Journal(backend), BlobStore.open(backend).store_id, 1)
    try:
        return {(one.recipe, one.outcome): one.jobs for one in await catalog.system.jobs.counts()}
    finally:
        await catalog.close()
        backend.close()
