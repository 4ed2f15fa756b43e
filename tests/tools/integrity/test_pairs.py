"""Pairs of operations of `docs/concurrency.md` that nothing else drives: one in the middle of the other."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cas.backend import ObjectInfo
from cas.digest import Digest
from cas.errors import StoreFailed
from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog import clock
from catalog.closing import erase_closed
from catalog.derived import JobTaken, Output
from catalog.errors import NotFound
from catalog.job_queue import Standing
from catalog.recipes import Lane
from catalog.replay import read_chain
from catalog.uploads import NewUpload
from catalog.values import Actor, Area, DeviceKind, EntryPath, VerificationRecord
from tests.shared.rig import Rig
from tests.shared.settings import GivenSettings
from tests.tools.rebuild.test_rebuild import differences
from tests.tools.sweep.test_sweep import fresh
from tools.journal.main import LOCK_NAME as JOURNAL_LOCK
from tools.journal.main import main as journal
from tools.rebuild.main import run as rebuild
from tools.rebuild.report import Report
from tools.replicate.main import LOCK_NAME as REPLICATE_LOCK
from tools.replicate.main import main as replicate
from tools.replicate.replica import Replication
from tools.verify.audit_chain import check_audit

pytestmark = pytest.mark.anyio

KIB = 1 << 10
OPERATOR = Actor("operator", "root")


# -- an account is closed


async def test_what_is_under_way_when_an_account_is_closed_changes_nothing(rig: Rig) -> None:
    """Requests that were let in before: each is refused by the ledger, and nothing stays behind."""
    await rig.upload("a", fresh())
    staged = rig.stage(single := fresh())
    claim = await rig.claim(staged)
    pack = await rig.place_pack(packed := fresh(KIB))
    await asked(rig, "a.jpg")
    [job] = await rig.catalog.system.jobs.claim("worker", Lane.LIGHT, 1, 60)
    output = await made(rig, "a-turned.jpg")
    await rig.scope.uploads.create(NewUpload(100, 100), timedelta(days=1))

    tenant = rig.scope.tenant
    await rig.catalog.system.suspend(tenant.id, OPERATOR)
    await rig.catalog.closing(tenant, OPERATOR).run()
    kept = Journal(rig.backend)
    await erase_closed(kept, tenant.uuid, [name for name in kept.chains() if name.startswith(f"{tenant.uuid}/")])

    with pytest.raises(NotFound):
        await rig.commit("b", rig.place(staged, claim), claim)
    with pytest.raises(NotFound):
        await rig.scope.blobs.receive(pack)
    with pytest.raises(NotFound):
        await rig.scope.derived.finish(job, [output], 1)
    with pytest.raises(NotFound):
        await rig.scope.devices.create("phone", DeviceKind.PHONE)
    with pytest.raises(NotFound):
        await rig.scope.uploads.create(NewUpload(100, 100), timedelta(days=1))
    assert await rig.catalog.system.uploads.parts() == frozenset()
    assert read_chain(kept, f"{tenant.uuid}/tenant").sequence == read_chain(kept, f"{tenant.uuid}/tenant").through + 1
    for _ in range(4):
        await rig.sweep()
    assert (await rig.state(single), await rig.state(packed)) == (None, None)
    assert await rig.fetch("SELECT 1 FROM possession WHERE tenant_id = %s", tenant.id) == []


async def test_a_closing_that_was_cut_short_is_gone_on_with(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies at each of its records in turn."""
    await rig.upload_batch({name: fresh(KIB) for name in "abc"})
    await rig.scope.devices.create("phone", DeviceKind.PHONE)
    tenant, whole = rig.scope.tenant, Journal.append
    await rig.catalog.system.suspend(tenant.id, OPERATOR)
    left = [0]

    def append(journal: Journal, *record: Any) -> Digest:
        left[0] -= 1
        if left[0] < 0:
            raise StoreFailed("the process dies here")
        return whole(journal, *record)

    monkeypatch.setattr(Journal, "append", append)
    for _ in range(2):
        left[0] = 0
        with pytest.raises(StoreFailed):
            await rig.catalog.closing(tenant, OPERATOR).run()
        left[0] = 1
        with suppress(StoreFailed):
            await rig.catalog.closing(tenant, OPERATOR).run()
    with pytest.raises(NotFound):
        await rig.catalog.system.tenant_by_client(tenant.billing_client)
    assert await rig.fetch("SELECT 1 FROM entry WHERE tenant_id = %s", tenant.id) == []
    monkeypatch.undo()
    await rig.sweeps()


# -- the replica


async def test_a_store_that_changes_while_it_is_copied_makes_a_whole_replica(rig: Rig, tmp_path: Path) -> None:
    """Uploads, batches, deletes, purges, a checkpoint and whole sweeps, which rewrite packs, come in the middle of the
    copying. The next run is equal again, and what it has is whole."""
    loop = asyncio.get_running_loop()
    rounds = iter(range(100))

    async def change() -> None:
        number = next(rounds)
        await rig.upload(f"single {number}", fresh())
        await rig.upload_batch({f"{number} {name}": fresh(KIB) for name in "abcd"})
        await rig.upload_bundle({f"{number} {name}": fresh(KIB) for name in "ef"})
        await rig.scope.entries.delete([(await rig.entry(f"{number} d")).id])
        await rig.purge(*(f"{number} {name}" for name in "abc"))
        chains = [name for name in Journal(rig.backend).chains() if name.startswith(rig.scope.tenant.uuid)]
        await rig.catalog.system.checkpoints(Journal(rig.backend)).tenant(
            rig.scope.tenant, chains, even_if_not_due=True
        )
        await rig.sweeps(2)

    class Changing(LocalBackend):
        left = 3

        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            for info in super().list(prefix):
                yield info
                if self.left and not prefix.startswith("trash/"):
                    self.left -= 1
                    asyncio.run_coroutine_threadsafe(change(), loop).result()

    await change()
    with closing(LocalBackend(tmp_path)) as copy, closing(Changing(rig.backend.root)) as source:
        first = await asyncio.to_thread(Replication(source, copy, lambda count: None).run, clock.now().date(), 30)
        assert source.left == 0
        second = await asyncio.to_thread(Replication(rig.backend, copy, lambda count: None).run, clock.now().date(), 30)
        assert first.faults == second.faults == []
        folders = ("blobs/", "packs/", "journal/")
        assert [[info.key for info in copy.list(folder)] for folder in folders] == [
            [info.key for info in rig.backend.list(folder)] for folder in folders
        ]
        store = BlobStore.open(copy)
        for (entry_id,) in await rig.fetch("SELECT id FROM entry WHERE tenant_id = %s", rig.scope.tenant.id):
            blob = (await rig.scope.entries.get(int(str(entry_id)))).blob
            if blob is not None:
                store.check(blob)


def test_one_replication_and_one_run_of_checkpoints_at_a_time(
    site: GivenSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTB_CLOUD_SETTINGS", str(site.with_values(REPLICA=str(tmp_path)).file))
    for name, main, command in ((REPLICATE_LOCK, replicate, "run"), (JOURNAL_LOCK, journal, "checkpoint")):
        with StoreLock(site.settings.storage_root, name) as lock:
            assert lock.try_alone()
            assert main([command]) == 2
        assert "another tools/" in capsys.readouterr().err


# -- comparing


async def test_comparing_beside_commits_disturbs_neither(rig: Rig) -> None:
    async def commits() -> None:
        for number in range(15):
            await rig.upload(f"{number}", fresh())
            await rig.scope.entries.delete([(await rig.entry(f"{number}")).id])

    beside = asyncio.create_task(commits())
    compared = 0
    while not beside.done():
        await rebuild(rig.settings, Report(), "compare")
        compared += 1
    await beside
    assert compared > 1
    assert await differences(rig.settings) == []


# -- the audit


async def test_events_written_at_once_are_one_chain(rig: Rig) -> None:
    await asyncio.gather(*(rig.scope.audit.record("download", f"{number}") for number in range(20)))
    report = await check_audit(rig.catalog.system.audit, Journal(rig.backend), None)
    assert [fault for fault in report.faults if rig.scope.tenant.uuid in fault] == []
    events = [event async for page in rig.scope.audit.each() for event in page]
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert len(events) >= 20


# -- jobs


async def asked(rig: Rig, *names: str) -> None:
    """A job for each of these files."""
    for name in names:
        await rig.upload(name, secrets.token_bytes(KIB))
    await rig.scope.jobs.ask([(await rig.entry(name)).id for name in names], "rotate", {})


async def made(rig: Rig, path: str) -> Output:
    """A derived file, placed under a claim."""
    staged = rig.stage(fresh())
    claim = await rig.claim(staged)
    return Output({}, EntryPath.parse(path), rig.place(staged, claim), claim.blob_id)


async def derived(rig: Rig) -> list[str]:
    page = await rig.scope.entries.page(rig.device_id, Area.DERIVED, EntryPath(()))
    return [str(entry.path) for entry in page.items]


async def test_a_worker_that_was_taken_for_dead_writes_nothing(rig: Rig) -> None:
    await asked(rig, "a.jpg")
    queue = rig.catalog.system.jobs
    [first] = await queue.claim("slow", Lane.LIGHT, 1, -1)
    assert await queue.reap() == 1
    [second] = await queue.claim("quick", Lane.LIGHT, 1, 60)
    assert (await queue.renew({first.id: first.claim}, {}, 60))[first.id] is Standing.LOST
    with pytest.raises(JobTaken):
        await rig.scope.derived.finish(first, [await made(rig, "a-late.jpg")], 1)
    await rig.scope.derived.finish(second, [await made(rig, "a-right.jpg")], 1)
    assert await derived(rig) == ["a-right.jpg"]


async def test_a_job_whose_source_is_purged_writes_nothing(rig: Rig) -> None:
    await asked(rig, "a.jpg")
    [job] = await rig.catalog.system.jobs.claim("worker", Lane.LIGHT, 1, 60)
    output = await made(rig, "a-turned.jpg")
    await rig.purge("a.jpg")
    assert (await rig.catalog.system.jobs.renew({job.id: job.claim}, {}, 60))[job.id] is Standing.LOST
    with pytest.raises(JobTaken):
        await rig.scope.derived.finish(job, [output], 1)
    assert await derived(rig) == []
    await rig.sweeps()


async def test_two_jobs_that_make_files_of_one_name_at_once_make_two(rig: Rig) -> None:
    await asked(rig, "a.jpg", "b.jpg")
    queue = rig.catalog.system.jobs
    jobs = [job for _ in range(2) for job in await queue.claim("worker", Lane.LIGHT, 1, 60)]
    outputs = [await made(rig, "same.jpg") for _ in jobs]
    await asyncio.gather(
        *(rig.scope.derived.finish(job, [output], 1) for job, output in zip(jobs, outputs, strict=True))
    )
    assert await derived(rig) == ["same-2.jpg", "same.jpg"]


# -- repair


async def test_a_repair_in_the_middle_of_an_upload_of_the_same_bytes(rig: Rig) -> None:
    """Both claim the row and place the file; whoever commits second finds it whole."""
    await rig.upload("a", data := fresh())
    row = await rig.catalog.system.blob_by_digest(Digest.of(data).raw)
    await rig.catalog.system.record_verifications([VerificationRecord(row.id, "damaged")])
    staged = rig.stage(data)
    claim = await rig.claim(staged)
    assert await rig.catalog.system.scrubbing.hold(row)
    healed = rig.store.place(rig.store.stage([data]))
    await rig.commit("b", rig.place(staged, claim), claim)
    assert await rig.catalog.system.scrubbing.heal(row.id, healed)
    assert await rig.scope.blobs.missing([healed.digest]) == []
    await rig.sweeps()
    assert await rig.read("a") == await rig.read("b") == data
