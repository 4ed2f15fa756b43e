"""A claim that is over: what its worker still says or hears of it touches neither the job nor a newer claim."""

import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from catalog.job_queue import Standing
from catalog.job_values import ClaimedJob
from catalog.recipes import Lane
from tests.shared.rig import Rig, make_site, open_rig
from tests.shared.settings import GivenSettings
from tests.tools.worker.corpus import picture, saved
from tools.run.mariadb import PrivateMariaDB
from tools.worker.sandbox import Sandbox
from tools.worker.slot import Slot, Tools
from tools.worker.worker import Worker

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def site(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> GivenSettings:
    return await make_site(mariadb, tmp_path_factory.mktemp("claims"), "claims")


@pytest.fixture
async def rig(site: GivenSettings) -> AsyncIterator[Rig]:
    async with open_rig(site) as opened:
        yield opened


async def asked(rig: Rig) -> int:
    """A job that somebody asked for."""
    await rig.upload("photo.jpg", saved(picture(), "JPEG", comment=secrets.token_hex(8)))
    (job,) = await rig.scope.jobs.ask([(await rig.entry("photo.jpg")).id], "rotate", {"angle": "90"})
    return job.id


async def claimed(rig: Rig, job_id: int) -> ClaimedJob:
    (job,) = await rig.catalog.system.jobs.claim("worker", Lane.LIGHT, 1, 60)
    assert job.id == job_id
    return job


async def test_a_job_is_cancelled_only_where_somebody_asked(rig: Rig) -> None:
    queue, job_id = rig.catalog.system.jobs, await asked(rig)
    first = await claimed(rig, job_id)
    await queue.stopped(first, 5)
    assert (await rig.scope.jobs.get(job_id)).state == "waiting"
    second = await claimed(rig, job_id)
    await queue.stopped(first, 5)
    assert (await rig.scope.jobs.get(job_id)).state == "running", "the claim is another's"
    await rig.scope.jobs.cancel(job_id)
    await queue.stopped(first, 5)
    assert (await rig.scope.jobs.get(job_id)).state == "running"
    await queue.stopped(second, 5)
    assert (await rig.scope.jobs.get(job_id)).state == "cancelled"


async def test_the_answer_about_an_earlier_claim_stops_no_newer_one(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease ran out; while the worker asks, it lets go of the job and takes it again."""
    queue, job_id = rig.catalog.system.jobs, await asked(rig)
    worker = Worker(Tools(rig.settings, rig.catalog, rig.store), "worker", tmp_path)
    slot = Slot(worker.tools, Sandbox(tmp_path / "slot", "bwrap"), lambda _job: None)
    worker._held[job_id] = (await claimed(rig, job_id), slot)
    renew = queue.renew

    async def late(claims: Mapping[int, int], progress: Mapping[int, int], lease: float) -> dict[int, Standing]:
        await queue.give_back([worker._held[job_id][0]])
        answer = await renew(claims, progress, lease)
        worker._held[job_id] = (await claimed(rig, job_id), slot)
        return answer

    monkeypatch.setattr(queue, "renew", late)
    await worker._renew()
    assert slot.stopping == set()
    monkeypatch.undo()
    await queue.give_back([worker._held[job_id][0]])
    await worker._renew()
    assert slot.stopping == {job_id}, "a claim that is lost is stopped"
    await rig.scope.jobs.cancel(job_id)
