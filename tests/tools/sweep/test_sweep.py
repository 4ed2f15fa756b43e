"""The sweep on a real store and MariaDB: what nothing names goes, in its steps; everything else stays, whatever runs
beside it."""

import asyncio
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cas.blob import OWN_FILE, Blob, Location, parsed_pack_location
from cas.digest import Digest
from cas.errors import BlobMissing
from cas.layout import blob_key, pack_key
from cas.lock import SWEEP_LOCK_NAME, StoreLock
from cas.trash import Trash
from catalog import clock
from catalog.changes import AddKnown
from catalog.database import Database, Transaction
from catalog.errors import ClaimLost, NotPossessed
from catalog.packs import NewPack
from catalog.references import references
from catalog.values import BlobRow, EntryPath, Retention, VerificationRecord
from tests.cas.samples import KIB, MIB, prose
from tests.shared.rig import Rig, open_rig
from tests.shared.settings import GivenSettings
from tools.run.mariadb import PrivateMariaDB
from tools.sweep.blobs import BlobSweep
from tools.sweep.packs import LOOSE_BLOBS_MIN
from tools.sweep.report import Report

pytestmark = pytest.mark.anyio


def fresh(size: int = 3 * KIB) -> bytes:
    """Bytes that no other test has."""
    return secrets.token_bytes(size)


def pack_of(rig: Rig, location: Location) -> str:
    place = parsed_pack_location(location)
    assert place is not None
    return place[0]


@pytest.mark.parametrize("data", [fresh(), prose(2 * MIB) + fresh(), fresh(9 * MIB)], ids=["small", "zstd", "pieces"])
async def test_what_was_purged_goes_step_by_step_and_its_bytes_come_back(rig: Rig, data: bytes) -> None:
    blob = await rig.upload("a", data)
    await rig.upload("kept", kept := fresh())
    key = blob_key(blob.digest, blob.encoding)
    await rig.purge("a")
    assert await rig.state(data) == "live", "a purge touches no blob"
    await rig.sweep()
    assert (await rig.state(data), key in rig.files()) == ("condemned", True)
    second = await rig.sweep()
    assert (await rig.state(data), key in rig.files()) == (None, False)
    assert second.trashed >= 1
    assert second.emptied_bytes >= blob.stored_bytes, "TRASH_DAYS is 0 here"
    assert rig.files("trash") == []
    assert await rig.read("kept") == kept
    assert await rig.missing() == []


async def test_the_trash_waits_and_is_then_emptied(site: GivenSettings) -> None:
    async with open_rig(site, trash_days=3) as rig:
        data = fresh()
        await rig.upload("a", data)
        await rig.purge("a")
        await rig.sweeps(3)
        [trashed] = Trash(rig.backend).all()
        assert (trashed.digest, trashed.size_bytes) == (Digest.of(data), len(data))
        old = datetime.now(UTC).date() - timedelta(days=4)
        shutil.move(rig.backend.root / "trash" / trashed.day.isoformat(), rig.backend.root / "trash" / old.isoformat())
        assert (await rig.sweep()).emptied_bytes == len(data)
        assert rig.files("trash") == []


async def test_within_the_grace_nothing_is_taken(site: GivenSettings) -> None:
    async with open_rig(site, sweep_grace_hours=1) as rig:
        await rig.upload("a", data := fresh())
        await rig.purge("a")
        await rig.sweeps(3)
        assert await rig.state(data) == "live"
        await rig.fetch("UPDATE sweep_candidate SET queued_at = queued_at - INTERVAL 2 HOUR")
        await rig.sweeps(1)
        assert await rig.state(data) == "live", "it was touched within the grace"
        await rig.fetch("UPDATE sweep_candidate SET queued_at = queued_at - INTERVAL 2 HOUR")
        await rig.fetch("UPDATE `blob` SET touched_at = touched_at - INTERVAL 2 HOUR")
        await rig.sweeps(2)
        assert await rig.state(data) == "condemned", "it waits once more"
        await rig.fetch("UPDATE `blob` SET touched_at = touched_at - INTERVAL 2 HOUR")
        await rig.sweeps(1)
        assert await rig.state(data) is None


async def test_the_queue_alone_is_enough_for_what_was_purged(rig: Rig) -> None:
    await rig.upload("a", data := fresh())
    await rig.purge("a")
    await rig.sweep(full=False)
    await rig.sweep(full=False)
    assert await rig.state(data) is None


async def test_the_full_check_finds_what_the_queue_does_not_know(rig: Rig) -> None:
    await rig.upload("a", data := fresh())
    await rig.purge("a")
    await rig.fetch("DELETE FROM sweep_candidate")
    await rig.sweep(full=False)
    await rig.sweep(full=False)
    assert await rig.state(data) == "live"
    await rig.sweeps(2)
    assert await rig.state(data) is None


async def test_what_another_account_has_stays(site: GivenSettings, rig: Rig) -> None:
    async with open_rig(site) as other:
        data = fresh()
        await rig.upload("a", data)
        await other.upload("b", data)
        await rig.purge("a")
        await rig.sweeps()
        assert await other.read("b") == data


async def test_a_lease_counts_until_it_ends(rig: Rig) -> None:
    data = [fresh(KIB) for _ in range(3)]
    await rig.send_batch(*data)
    await rig.sweeps()
    assert [await rig.state(one) for one in data] == ["live"] * 3
    await rig.fetch(
        "UPDATE possession SET leased_until = leased_until - INTERVAL 25 HOUR WHERE tenant_id = %s", rig.scope.tenant.id
    )
    report = await rig.sweep()
    assert report.leases_dropped == 3
    assert (await rig.scope.usage()).used_bytes == 0
    await rig.sweeps()
    assert [await rig.state(one) for one in data] == [None] * 3


async def test_the_hold_and_the_rule_for_versions_end_by_the_sweep(rig: Rig) -> None:
    for content in (first := fresh(), fresh(), last := fresh()):
        await rig.upload("a", content)
    await rig.upload("b", gone := fresh())
    await rig.scope.entries.delete([(await rig.entry("b")).id])
    await rig.scope.retention.set(Retention(versions_kept=1))
    await rig.fetch(
        "UPDATE entry SET removed_at = removed_at - INTERVAL 31 DAY WHERE tenant_id = %s", rig.scope.tenant.id
    )
    report = await rig.sweep()
    assert (report.purged_files, report.freed_quota_bytes) == (1, 6 * KIB)
    await rig.sweeps()
    assert (await rig.state(first), await rig.state(gone)) == (None, None)
    assert await rig.read("a") == last


async def test_an_upload_of_what_is_condemned_brings_it_back(rig: Rig) -> None:
    await rig.upload("a", data := fresh())
    await rig.purge("a")
    await rig.sweep()
    assert await rig.state(data) == "condemned"
    await rig.upload("b", data)
    assert await rig.state(data) == "live"
    await rig.sweeps()
    assert await rig.read("b") == data


async def test_a_batch_with_what_is_condemned_brings_it_back(rig: Rig) -> None:
    await rig.upload("a", data := fresh(KIB))
    await rig.purge("a")
    await rig.sweep()
    await rig.upload_batch({"b": data})
    await rig.sweeps()
    assert await rig.read("b") == data


async def test_an_upload_waits_while_its_blob_is_deleting(rig: Rig) -> None:
    """The claim is asked for between `deleting` and the end of it, and goes on with a new row."""
    await rig.upload("a", data := fresh())
    [(old_id,)] = await rig.fetch("SELECT id FROM `blob` WHERE digest = %s", Digest.of(data).raw)
    await rig.purge("a")
    await rig.sweep()
    sweep = BlobSweep(rig.catalog.system.sweep, rig.store, timedelta(0), clock.now, Report("store"))
    await sweep.doom()
    assert await rig.state(data) == "deleting"
    upload = asyncio.create_task(rig.upload("b", data))
    done, _ = await asyncio.wait({upload}, timeout=0.5)
    assert done == set(), "it waits"
    await sweep.remove()
    await upload
    [(new_id,)] = await rig.fetch("SELECT id FROM `blob` WHERE digest = %s", Digest.of(data).raw)
    assert new_id != old_id
    await rig.sweeps()
    assert await rig.read("b") == data


async def test_a_batch_waits_while_one_of_its_blobs_is_deleting(rig: Rig) -> None:
    await rig.upload("a", data := fresh(KIB))
    await rig.purge("a")
    await rig.sweep()
    sweep = BlobSweep(rig.catalog.system.sweep, rig.store, timedelta(0), clock.now, Report("store"))
    await sweep.doom()
    upload = asyncio.create_task(rig.upload_batch({"b": data, "c": fresh(KIB)}))
    done, _ = await asyncio.wait({upload}, timeout=0.5)
    assert done == set(), "it waits"
    await sweep.remove()
    await upload
    await rig.sweeps()
    assert await rig.read("b") == data


async def test_a_claim_that_slept_through_a_sweep_starts_over(rig: Rig) -> None:
    staged = rig.stage(data := fresh())
    claim = await rig.claim(staged)
    await rig.sweeps()  # without a grace even a claim of just now counts as given up
    assert await rig.state(data) is None
    blob = rig.place(staged, claim)
    with pytest.raises(ClaimLost):
        await rig.commit("a", blob, claim)
    await rig.upload("a", data)
    assert await rig.read("a") == data
    await rig.sweeps()
    assert await rig.read("a") == data


async def test_a_claim_that_slept_while_the_bytes_came_and_went_again_starts_over(rig: Rig) -> None:
    """Between claim and commit the row is swept and made anew by another: its id tells."""
    staged = rig.stage(data := fresh())
    claim = await rig.claim(staged)
    await rig.sweeps()
    await rig.upload("other", data)
    with pytest.raises(ClaimLost):
        await rig.commit("a", rig.place(staged, claim), claim)
    assert await rig.read("other") == data


async def test_a_manifest_that_names_what_was_purged_is_told_to_send_it_again(rig: Rig) -> None:
    await rig.upload("a", data := fresh(KIB))
    await rig.purge("a")
    with pytest.raises(NotPossessed):
        await rig.scope.manifests.commit(rig.device_id, [AddKnown(EntryPath.parse("b"), Digest.of(data), len(data), 1)])
    await rig.sweeps()


async def test_an_interrupted_sweep_is_gone_on_with(rig: Rig) -> None:
    """Killed after `deleting`, and killed after the file was moved."""
    contents = [fresh(), fresh()]
    for number, data in enumerate(contents):
        await rig.upload(f"{number}", data)
    await rig.purge("0", "1")
    await rig.sweep()
    sweep = BlobSweep(rig.catalog.system.sweep, rig.store, timedelta(0), clock.now, Report("store"))
    await sweep.doom()
    doomed = [row for row in await rig.catalog.system.sweep.doomed() if row.blob.digest == Digest.of(contents[0])]
    rig.store.trash(doomed[0].blob, clock.now().date())
    await rig.sweeps(1)
    assert [await rig.state(data) for data in contents] == [None, None]


async def test_while_it_is_re_read_a_blob_stays(rig: Rig) -> None:
    await rig.upload("a", data := fresh())
    blob = (await rig.entry("a")).blob
    assert blob is not None
    await rig.purge("a")
    await rig.sweep()
    reader = rig.store.read(blob)
    reader.verify()
    held = await rig.sweep()
    assert (held.held, await rig.state(data)) == (1, "deleting")
    reader.close()
    await rig.sweep()
    assert await rig.state(data) is None


async def test_every_reference_of_the_schema_counts(rig: Rig) -> None:
    """A table that refers to blobs is heeded without a word here, unless its rows go along with the blob."""
    async with rig.catalog._database.reading() as tx:
        found = await references(tx)
    assert {("entry", "blob_id"), ("possession", "blob_id")} <= set(found)
    assert ("verification", "blob_id") not in found


async def test_a_new_kind_of_reference_keeps_a_blob(site: GivenSettings, mariadb: PrivateMariaDB) -> None:
    """As a later migration may bring it: one table that refers, one whose rows go along."""
    async with open_rig(site) as rig, as_root(mariadb, site) as root:
        for table, rule in (("new_reference", ""), ("new_fact", " ON DELETE CASCADE")):
            await root.execute(
                f"CREATE TABLE {table} (other BIGINT UNSIGNED PRIMARY KEY,"
                f" FOREIGN KEY (other) REFERENCES `blob` (id){rule}) ENGINE = InnoDB"
            )
            await root.execute(f"GRANT SELECT, INSERT, DELETE ON {table} TO {site.settings.mariadb_user}")
        await rig.upload("a", kept := fresh())
        await rig.upload("b", gone := fresh())
        for table, data in (("new_reference", kept), ("new_fact", gone)):
            await rig.fetch(f"INSERT INTO {table} SELECT id FROM `blob` WHERE digest = %s", Digest.of(data).raw)
        await rig.purge("a", "b")
        await rig.sweeps()
        assert (await rig.state(kept), await rig.state(gone)) == ("live", None)
        for table in ("new_reference", "new_fact"):
            await root.execute(f"DROP TABLE {table}")


@asynccontextmanager
async def as_root(mariadb: PrivateMariaDB, site: GivenSettings) -> AsyncIterator[Transaction]:
    connect: dict[str, object] = {"unix_socket": mariadb.socket, "user": "root", "password": ""}
    database = await Database.open(connect=connect | {"database": site.settings.mariadb_db}, connections_max=1)
    async with database.reading() as tx:
        yield tx
    await database.close()


# -- packs -----------------------------------------------------------------------------------------------------------


async def test_a_pack_that_is_mostly_dead_is_rewritten(rig: Rig) -> None:
    files = {f"{number}": fresh(2 * KIB) for number in range(20)}
    old = pack_of(rig, (await rig.upload_batch(files))[0].location)
    await rig.purge(*(name for name in files if int(name) >= 5))
    await rig.sweep()
    report = await rig.sweep()  # slices are dead, and the pack is rewritten in the same run
    assert (report.dead_slices, report.packs_rewritten, report.blobs_moved) == (15, 1, 5)
    blobs = [(await rig.entry(str(number))).blob for number in range(5)]
    [new] = {pack_of(rig, blob.location) for blob in blobs if blob is not None}
    assert new != old
    await rig.sweeps(2)
    assert pack_key(old) not in rig.files("packs")
    assert [await rig.read(str(number)) for number in range(5)] == [files[str(number)] for number in range(5)]
    assert len(rig.store.check_pack(new)) == 5
    assert await rig.fetch("SELECT dead_bytes FROM pack WHERE id = %s", bytes.fromhex(new)) == [(0,)]


async def test_a_pack_without_a_living_blob_goes(rig: Rig) -> None:
    files = {f"{number}": fresh(KIB) for number in range(4)}
    pack = pack_of(rig, (await rig.upload_batch(files))[0].location)
    await rig.purge(*files)
    await rig.sweeps(4)
    assert pack_key(pack) not in rig.files("packs")
    assert await rig.fetch("SELECT 1 FROM pack WHERE id = %s", bytes.fromhex(pack)) == []


@pytest.mark.parametrize("is_batch", [False, True], ids=["alone", "batch"])
async def test_a_pack_whose_damaged_blobs_were_sent_again_goes(rig: Rig, is_batch: bool) -> None:
    """Healed elsewhere, their slices are dead: the room comes back."""
    [blob] = await rig.upload_batch({"a": (data := fresh(KIB))})
    row = await rig.catalog.system.blob_by_digest(blob.digest.raw)
    await rig.catalog.system.record_verifications([VerificationRecord(row.id, "damaged")])
    await (rig.upload_batch({"b": data}) if is_batch else rig.upload("b", data))
    await rig.sweeps(4)
    assert pack_key(pack_of(rig, blob.location)) not in rig.files("packs")
    assert await rig.read("a") == await rig.read("b") == data


async def test_a_pack_that_is_mostly_alive_stays(rig: Rig) -> None:
    files = {f"{number}": fresh(KIB) for number in range(4)}
    pack = pack_of(rig, (await rig.upload_batch(files))[0].location)
    await rig.purge("0")
    await rig.sweeps(4)
    assert pack_key(pack) in rig.files("packs")
    assert await rig.fetch("SELECT dead_bytes FROM pack WHERE id = %s", bytes.fromhex(pack)) == [(KIB,)]


async def test_a_pack_with_damage_is_not_rewritten(rig: Rig) -> None:
    """Its damaged blob would be lost for a repair; the operator is told."""
    files = {f"{number}": fresh(KIB) for number in range(4)}
    blobs = await rig.upload_batch(files)
    pack = pack_of(rig, blobs[0].location)
    path = rig.backend.root / pack_key(pack)
    path.chmod(0o600)
    place = parsed_pack_location((await _blob(rig, "0")).location)
    assert place is not None
    with path.open("r+b") as file:
        file.seek(place[1])
        file.write(b"\0" * 16)
    await rig.purge("1", "2", "3")
    await rig.sweep()
    report = await rig.sweep()
    assert [alarm for alarm in report.alarms if pack in alarm]
    assert pack_key(pack) in rig.files("packs")
    await rig.purge("0")
    for _ in range(3):
        await rig.sweep()


async def _blob(rig: Rig, path: str) -> Blob:
    blob = (await rig.entry(path)).blob
    assert blob is not None
    return blob


async def test_small_files_are_gathered_into_a_pack(rig: Rig) -> None:
    files = {f"{number}": fresh(KIB) for number in range(LOOSE_BLOBS_MIN)}
    for name, data in files.items():
        await rig.upload(name, data)
    report = await rig.sweep()
    assert report.blobs_gathered >= LOOSE_BLOBS_MIN
    for name, data in files.items():
        blob = await _blob(rig, name)
        assert blob.location != OWN_FILE
        assert blob_key(blob.digest, blob.encoding) not in rig.files()
        assert await rig.read(name) == data


async def test_a_claim_on_a_packed_copy_survives_its_rewriting(rig: Rig) -> None:
    """Claimed in the old pack, rewritten, committed: the entry finds the bytes where they are now."""
    files = {f"{number}": fresh(KIB) for number in range(4)}
    await rig.upload_batch(files)
    staged = rig.stage(files["0"])
    claim = await rig.claim(staged)
    assert claim.packed is not None
    await rig.purge("1", "2", "3")
    for _ in range(4):
        await rig.sweep()
    await rig.commit("again", rig.place(staged, claim), claim)
    await rig.sweeps(2)
    assert await rig.read("again") == files["0"]


async def test_a_packed_claim_that_slept_through_condemnation_does_not_point_into_a_dead_pack(rig: Rig) -> None:
    files = {f"{number}": fresh(KIB) for number in range(4)}
    await rig.upload_batch(files)
    staged = rig.stage(files["0"])
    claim = await rig.claim(staged)
    await rig.purge("1", "2", "3")
    await rig.sweep()
    await rig.sweep()
    await rig.purge("0")  # only the claim, which is no reference, knows of it now
    await rig.sweep()
    assert await rig.state(files["0"]) == "condemned"
    await rig.commit("again", rig.place(staged, claim), claim)
    await rig.sweeps(3)
    assert await rig.read("again") == files["0"]


async def test_a_pack_that_was_given_up_goes_and_a_late_batch_is_refused(rig: Rig) -> None:
    with rig.store.pack() as writer:
        writer.add(data := fresh(KIB))
        await rig.scope.blobs.begin_pack(writer.pack_id)
        staged = writer.finish()
    blobs = rig.store.place_pack(staged)
    await rig.sweeps(2)
    assert pack_key(staged.pack_id) not in rig.files("packs")
    with pytest.raises(ClaimLost):
        await rig.scope.blobs.receive(NewPack(staged.pack_id, staged.stored_bytes, blobs))
    assert await rig.state(data) is None


# -- leftovers and the trash -----------------------------------------------------------------------------------------


async def test_a_file_that_no_row_names_goes_and_what_a_row_names_stays(rig: Rig) -> None:
    orphan = rig.store.place(rig.store.stage([fresh()]))
    await rig.upload("a", data := fresh())
    report = await rig.sweep()
    assert report.leftovers >= 1
    assert blob_key(orphan.digest, orphan.encoding) not in rig.files()
    assert await rig.read("a") == data


async def test_a_young_leftover_stays(site: GivenSettings) -> None:
    async with open_rig(site, sweep_grace_hours=1) as rig:
        orphan = rig.store.place(rig.store.stage([fresh()]))
        await rig.sweep()
        assert blob_key(orphan.digest, orphan.encoding) in rig.files()
    async with open_rig(site) as rig:
        await rig.sweep()
        assert blob_key(orphan.digest, orphan.encoding) not in rig.files()


async def test_a_leftover_that_an_upload_takes_over_meanwhile_stays(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload places its file after the sweep has asked the catalog, and before it moves the leftover."""
    data = fresh()
    rig.store.place(rig.store.stage([data]))
    asked = rig.catalog.system.sweep.settled

    async def ask_then_upload(digests: list[Digest], before: datetime) -> dict[Digest, BlobRow | None]:
        found = await asked(digests, before)
        if Digest.of(data) in digests and Digest.of(data) not in found:
            await rig.upload("a", data)
        return found

    monkeypatch.setattr(rig.catalog.system.sweep, "settled", ask_then_upload)
    await rig.sweep()
    assert await rig.read("a") == data


async def test_a_second_copy_of_a_damaged_blob_stays(rig: Rig) -> None:
    await rig.upload_batch({"a": (data := fresh(KIB))})
    twin = rig.store.place(rig.store.stage([data]))
    row = await rig.catalog.system.blob_by_digest(Digest.of(data).raw)
    await rig.catalog.system.record_verifications([VerificationRecord(row.id, "damaged")])
    await rig.sweep()
    assert blob_key(twin.digest, twin.encoding) in rig.files()
    await rig.upload("b", data)


async def test_what_is_named_comes_back_out_of_the_trash_with_an_alarm(rig: Rig) -> None:
    """A fault that must not be: the file is in the trash, its row is live."""
    await rig.upload("a", data := fresh())
    rig.store.trash(await _blob(rig, "a"), datetime.now(UTC).date())
    with pytest.raises(BlobMissing):
        await rig.read("a")
    report = await rig.sweep()
    assert len(report.alarms) == 1
    assert report.exit_code == 1
    assert await rig.read("a") == data


async def test_a_pack_that_is_named_comes_back_out_of_the_trash_with_an_alarm(rig: Rig) -> None:
    [blob] = await rig.upload_batch({"a": (data := fresh(KIB))})
    rig.store.trash_pack(pack_of(rig, blob.location), datetime.now(UTC).date())
    report = await rig.sweep()
    assert len(report.alarms) == 1
    assert await rig.read("a") == data


async def test_what_is_deleting_and_named_stays_with_an_alarm(rig: Rig) -> None:
    """A fault that must not be: the row is `deleting`, its file is in the trash, and an entry names it."""
    await rig.upload("a", data := fresh())
    await rig.fetch("UPDATE `blob` SET state = 'deleting' WHERE digest = %s", Digest.of(data).raw)
    rig.store.trash(await _blob(rig, "a"), datetime.now(UTC).date())
    report = await rig.sweep()
    assert len(report.alarms) == 2, "of the row, and of the file"
    assert (await rig.state(data), await rig.read("a")) == ("live", data)


async def test_verify_may_record_what_was_swept_meanwhile(rig: Rig) -> None:
    await rig.upload("a", data := fresh())
    row = await rig.catalog.system.blob_by_digest(Digest.of(data).raw)
    await rig.upload("b", other := fresh())
    kept = await rig.catalog.system.blob_by_digest(Digest.of(other).raw)
    await rig.purge("a")
    await rig.sweeps()
    await rig.catalog.system.record_verifications(
        [VerificationRecord(row.id, "good"), VerificationRecord(kept.id, "good")]
    )
    assert await rig.fetch("SELECT outcome FROM verification WHERE blob_id = %s", kept.id) == [("good",)]


# -- the program -----------------------------------------------------------------------------------------------------


def run(site: GivenSettings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tools.sweep", *arguments],
        env=site.environ, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


async def test_the_program_says_what_it_did_and_keeps_a_history(site: GivenSettings, rig: Rig, tmp_path: Path) -> None:
    await rig.sweeps(3)
    await rig.upload("a", data := fresh())
    await rig.purge("a")
    looked = run(site, "--dry-run")
    assert "blobs condemned: 1" in looked.stdout
    assert await rig.state(data) == "live", "looking changes nothing"
    assert (await asyncio.to_thread(run, site)).returncode == 0
    done = run(site, "--full", "--progress", "--report", str(tmp_path / "report.json"))
    assert (done.returncode, "looking at every blob" in done.stderr) == (0, True)
    assert f"came back from the trash: {len(data):,} bytes in 1 files" in done.stdout
    assert '"emptied_bytes": 3072' in (tmp_path / "report.json").read_text()
    assert await rig.state(data) is None
    [(finished, counts)] = await rig.fetch("SELECT finished_at, counts FROM sweep_run ORDER BY id DESC LIMIT 1")
    assert finished is not None
    assert '"emptied_bytes":3072' in str(counts)


def test_one_sweep_at_a_time(site: GivenSettings, folder: Path) -> None:
    with StoreLock(folder, SWEEP_LOCK_NAME) as lock:
        assert lock.try_alone()
        done = run(site)
    assert (done.returncode, "another tools/sweep is running" in done.stderr) == (2, True)
