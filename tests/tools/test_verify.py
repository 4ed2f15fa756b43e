"""tools/verify on a real store and MariaDB: everything wrong is found, nothing right is touched, and it resumes."""

import asyncio
import io
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from cas.backend import ObjectReader
from cas.blob import Blob, Encoding, parsed_pack_location
from cas.digest import Digest
from cas.errors import BlobUnreadable
from cas.journal import Journal
from cas.layout import blob_key, pack_key, pieces_key
from cas.lock import VERIFY_LOCK_NAME, StoreLock
from cas.memory import MemoryBackend
from cas.packreader import OpenPack
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.changes import AddFile
from catalog.packs import NewPack
from catalog.uploads import NewUpload
from catalog.values import BlobRow, Claimable, DeviceKind, EntryPath, ScrubRun, VerificationRecord
from tests.cas.samples import KIB, MIB, noise, prose
from tests.catalog.conftest import sign_in
from tests.shared.settings import GivenSettings, values_for, write_settings
from tests.shared.stores import SparseBackend, new_store
from tools.run.mariadb import PrivateMariaDB
from tools.verify.orphans import find_orphans
from tools.verify.pace import Pace, Stopped
from tools.verify.progress import Progress
from tools.verify.report import Report
from tools.verify.rest import looking_at_files
from tools.verify.scrub import Scrub

RUN_SECONDS_MAX = 120


@dataclass
class Shop:
    """A store and a catalog that tools/verify is let loose on."""

    given: GivenSettings
    report_file: Path
    client: str = field(default_factory=lambda: f"client-{uuid.uuid4()}")

    @property
    def root(self) -> Path:
        return self.given.settings.storage_root

    def fill(self, *contents: bytes) -> list[Blob]:
        """Upload these, as the service does."""
        return asyncio.run(self.with_catalog(lambda store, catalog: self._upload(store, catalog, contents)))

    def fill_pack(self, *contents: bytes) -> tuple[Blob, ...]:
        """Upload these in one batch, as the service does."""

        async def upload(store: BlobStore, catalog: Catalog) -> tuple[Blob, ...]:
            scope = await sign_in(catalog, self.client)
            with store.pack() as writer:
                for data in contents:
                    writer.add(data)
                await scope.blobs.begin_pack(writer.pack_id)
                staged = writer.finish()
            blobs = store.place_pack(staged)
            await scope.blobs.receive(NewPack(staged.pack_id, staged.stored_bytes, blobs))
            return blobs

        return cast(tuple[Blob, ...], asyncio.run(self.with_catalog(upload)))

    def missing(self, blobs: list[Blob]) -> list[Blob]:
        """Those that the tenant would be asked to send again."""

        async def ask(store: BlobStore, catalog: Catalog) -> list[Blob]:
            scope = await sign_in(catalog, self.client)
            lacking = set(await scope.blobs.missing([blob.digest for blob in blobs]))
            return [blob for blob in blobs if blob.digest in lacking]

        return asyncio.run(self.with_catalog(ask))

    def verify(self, *arguments: str, module: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, module=module),
            env=self.given.environ, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX,
        )  # fmt: skip

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = self.command("--progress", *arguments)
        return subprocess.Popen(command, env=self.given.environ, stderr=subprocess.PIPE, text=True)

    def command(self, *arguments: str, module: bool = True) -> list[str]:
        program = ["-m", "tools.verify"] if module else ["tools/verify"]
        return [sys.executable, *program, "--report", str(self.report_file), *arguments]

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report_file.read_text())
        return found

    def path(self, blob: Blob) -> Path:
        return self.root / blob_key(blob.digest, blob.encoding)

    async def with_catalog(self, work: Callable[[BlobStore, Catalog], Any]) -> Any:
        with closing(SparseBackend(self.root)) as backend:
            store = BlobStore.open(backend)
            catalog = await Catalog.open(self.given.settings, Journal(backend), store.store_id)
            try:
                return await work(store, catalog)
            finally:
                await catalog.close()

    async def _upload(self, store: BlobStore, catalog: Catalog, contents: tuple[bytes, ...]) -> list[Blob]:
        scope = await sign_in(catalog, self.client)
        device = await scope.devices.create(f"device {uuid.uuid4()}", DeviceKind.LAPTOP, [])
        staged = [store.stage([data]) for data in contents]
        facts = [Claimable(s.digest, s.size_bytes, s.stored_bytes, s.crc32, s.encoding) for s in staged]
        claims = await scope.blobs.claim(facts)
        blobs = [store.place(each) for each in staged]
        changes = [
            AddFile(EntryPath.parse(f"file {number}"), blob, claim.blob_id, 0)
            for number, (blob, claim) in enumerate(zip(blobs, claims, strict=True))
        ]
        await scope.manifests.commit(device.id, changes)
        return blobs


@pytest.fixture
def shop(mariadb: PrivateMariaDB, tmp_path: Path) -> Shop:
    root = tmp_path / "store"
    root.mkdir()
    new_store(root)[0].close()
    name = f"verify_{secrets.token_hex(4)}"
    given = write_settings(tmp_path / "settings", values_for(tmp_path, mariadb.socket, name))
    subprocess.run([sys.executable, "-m", "tools.migrate"], env=given.environ, check=True, capture_output=True)
    return Shop(given, tmp_path / "report.json")


def rewrite(path: Path, change: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.chmod(0o600)
    path.write_bytes(data)


def flip(place: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[place] ^= 1

    return change


# -- what it finds


def test_a_healthy_store_is_clean(shop: Shop) -> None:
    shop.fill(b"", noise(10), noise(5 * MIB), prose(3 * MIB))
    for module in (True, False):
        done = shop.verify(module=module)
        assert (done.returncode, done.stderr) == (0, "")
        assert "blobs: 4 good" in done.stdout
        found = shop.report()
        assert (found["complete"], found["resumed"], found["counts"]) == (True, False, {"good": 4})
        assert (found["problems"], found["orphans"], found["journal_faults"]) == ([], [], [])
        assert found["journal_chains"] >= 1
        assert found["journal_records"] >= 1
        assert found["bytes_read"] > 5 * MIB


def test_every_damage_is_found_and_nothing_else(shop: Shop, scale: Callable[[int, int], int]) -> None:
    count = scale(60, 2000)
    dice = random.Random(2026)
    contents = [(noise if dice.random() < 0.5 else prose)(dice.choice([1, 5 * KIB, 60 * KIB]), n) for n in range(count)]
    blobs = shop.fill(*(b"%d " % number + data for number, data in enumerate(contents)))
    harms: list[Callable[[Path], object]] = [
        lambda path: rewrite(path, lambda data: flip(dice.randrange(len(data)))(data)),
        lambda path: rewrite(path, lambda data: data.pop()),
        lambda path: rewrite(path, lambda data: data.clear()),
        lambda path: rewrite(path, lambda data: data.extend(b"x")),
        lambda path: rewrite(path, lambda data: data.__setitem__(slice(None), bytes(len(data)))),
        lambda path: path.unlink(),
    ]
    harmed: dict[str, bool] = {}
    for number, blob in enumerate(dice.sample(blobs, 4 * len(harms))):
        harms[number % len(harms)](shop.path(blob))
        harmed[blob.digest.hex] = number % len(harms) == len(harms) - 1
    swapped = [blob for blob in blobs if blob.digest.hex not in harmed and blob.encoding is Encoding.IDENTITY][:2]
    swap(*(shop.path(blob) for blob in swapped))
    harmed |= {blob.digest.hex: False for blob in swapped}
    done = shop.verify()
    assert done.returncode == 1
    found = shop.report()
    assert {problem["digest"]: problem["outcome"] == "missing" for problem in found["problems"]} == harmed
    assert all(problem["quarantined"] == (problem["outcome"] == "damaged") for problem in found["problems"])
    missing = sum(harmed.values())
    # Every catalog has the row of the empty blob.
    assert found["counts"] == {
        "good": count + 1 - len(harmed), "damaged": len(harmed) - missing, "missing": missing,
    }  # fmt: skip
    assert len(list((shop.root / "quarantine").iterdir())) == len(harmed) - missing
    assert {blob.digest.hex for blob in shop.missing(blobs)} == set(harmed)
    for digest in harmed:
        assert digest in done.stdout


def swap(first: Path, second: Path) -> None:
    between = first.with_name("between")
    first.rename(between)
    second.rename(first)
    between.rename(second)


def test_an_upload_heals_what_was_found(shop: Shop) -> None:
    contents = [noise(5 * MIB), prose(70 * KIB), noise(10)]
    blobs = shop.fill(*contents)
    for blob in blobs[:2]:
        rewrite(shop.path(blob), flip(-1))
    shop.path(blobs[2]).unlink()
    assert shop.verify().returncode == 1
    assert shop.missing(blobs) == blobs
    # Not yet healed, they are missing, and said to be so again.
    assert shop.verify().returncode == 1
    assert shop.report()["counts"] == {"good": 1, "missing": 3}
    assert shop.fill(*contents) == blobs
    assert shop.missing(blobs) == []
    assert shop.verify().returncode == 0


def test_piece_digests_are_made_again(shop: Shop) -> None:
    first, second = shop.fill(noise(5 * MIB), noise(9 * MIB))
    rewrite(shop.root / pieces_key(first.digest), flip(3))
    (shop.root / pieces_key(second.digest)).unlink()
    assert shop.verify().returncode == 0
    assert shop.report()["counts"] == {"good": 1, "mended": 2}
    assert {problem["outcome"] for problem in shop.report()["problems"]} == {"mended"}
    assert shop.verify().returncode == 0
    assert shop.report()["counts"] == {"good": 3}


def test_files_without_a_row_are_reported_and_left_alone(shop: Shop) -> None:
    (blob,) = shop.fill(noise(5 * MIB))
    with closing(SparseBackend(shop.root)) as backend:
        store = BlobStore.open(backend)
        orphan = store.place(store.stage([noise(5 * MIB, 2)]))
    twin = shop.path(blob).with_name(f"{blob.digest.hex}.zst")
    twin.write_bytes(b"twin")
    stray = twin.with_name("stray")
    stray.write_bytes(b"stray")
    expected = {
        blob_key(orphan.digest, orphan.encoding),
        pieces_key(orphan.digest),
        *(f"{path.relative_to(shop.root)}" for path in (twin, stray)),
    }
    for _ in range(2):
        assert shop.verify().returncode == 0
        found = shop.report()
        assert {orphan["key"] for orphan in found["orphans"]} == expected
        assert (found["orphan_count"], found["orphan_bytes"]) == (4, 5 * MIB + 96 + 9)
    assert all((shop.root / key).exists() for key in expected)


def test_a_broken_journal_is_damage(shop: Shop) -> None:
    shop.fill(b"x")
    record = next((shop.root / "journal").glob("**/*.zst"))
    rewrite(record, flip(-1))
    done = shop.verify()
    assert done.returncode == 1
    assert record.name in done.stdout
    assert len(shop.report()["journal_faults"]) == 1


def test_a_read_only_store_is_still_verified(shop: Shop) -> None:
    (blob,) = shop.fill(noise(10))
    rewrite(shop.path(blob), flip(0))
    (shop.root / "READ_ONLY").write_text("the disk is on fire")
    assert shop.verify().returncode == 1
    (problem,) = shop.report()["problems"]
    assert (problem["outcome"], problem["quarantined"]) == ("damaged", False)
    assert "on fire" in problem["detail"]
    assert shop.path(blob).exists()


def test_parts_of_uploads_that_can_be_resumed_are_left_alone(shop: Shop) -> None:
    async def begin(store: BlobStore, catalog: Catalog) -> str:
        scope = await sign_in(catalog, shop.client)
        upload = await scope.uploads.create(NewUpload(100, 100), timedelta(days=1))
        with closing(store.resume(upload.part)) as part:
            part.write(noise(50))
            part.sync()
        store.stage([noise(10)])
        return upload.part

    known = asyncio.run(shop.with_catalog(begin))
    assert len(list((shop.root / "incoming").iterdir())) == 2
    assert shop.verify().returncode == 0
    assert [file.name for file in (shop.root / "incoming").iterdir()] == [known]


def test_what_nobody_writes_any_more_is_told_beside_others_and_cleared_alone(shop: Shop) -> None:
    with closing(SparseBackend(shop.root)) as backend:
        store = BlobStore.open(backend)
        dead, busy = (store.stage([noise(size)]).parts.blob.name for size in (10, 20))
    long_ago = time.time() - 3600 * (shop.given.settings.sweep_grace_hours + 1)
    os.utime(shop.root / "incoming" / dead, (long_ago, long_ago))
    with StoreLock(shop.root) as server:
        server.share(lambda: None)
        done = shop.verify()
        assert done.returncode == 0
        assert f"left over: incoming/{dead} (10 bytes)" in done.stdout
        assert [orphan["key"] for orphan in shop.report()["orphans"]] == [f"incoming/{dead}"]
        assert {file.name for file in (shop.root / "incoming").iterdir()} == {dead, busy}
    assert shop.verify().returncode == 0
    assert (shop.report()["cleared"], shop.report()["orphans"]) == (2, [])
    assert list((shop.root / "incoming").iterdir()) == []


# -- packs


def place_of(blob: Blob) -> tuple[str, int]:
    """Pack id and offset."""
    place = parsed_pack_location(blob.location)
    assert place is not None
    return place


def test_packed_blobs_are_checked_and_heal(shop: Shop) -> None:
    contents = [b"%d " % number + (noise, prose)[number % 2](9 * KIB, number) for number in range(40)]
    shop.fill(noise(5 * MIB))
    blobs = shop.fill_pack(*contents)
    assert shop.verify().returncode == 0
    assert (shop.report()["counts"], shop.report()["packs"]) == ({"good": 42}, 1)
    assert shop.report()["orphans"] == []
    path = shop.root / pack_key(place_of(blobs[0])[0])
    harmed = [blobs[number] for number in (0, 17, 18, 39)]
    for blob in harmed:
        rewrite(path, flip(place_of(blob)[1] + blob.stored_bytes // 2))
    for _ in range(2):
        done = shop.verify()
        assert done.returncode == 1
        found = shop.report()
        assert found["counts"] == {"good": 38, "damaged": 4}
        assert {problem["digest"] for problem in found["problems"]} == {blob.digest.hex for blob in harmed}
        assert all((problem["outcome"], problem["quarantined"]) == ("damaged", True) for problem in found["problems"])
        assert len(list((shop.root / "quarantine").iterdir())) == 4
        assert "now in quarantine" in done.stdout
    assert path.exists()
    assert shop.missing(list(blobs)) == harmed
    healed = shop.fill_pack(*(data for data, blob in zip(contents, blobs, strict=True) if blob in harmed))
    assert shop.missing([*blobs, *healed]) == []
    assert shop.verify().returncode == 0
    assert (shop.report()["counts"], shop.report()["packs"]) == ({"good": 42}, 2)


def test_a_lost_pack_is_all_its_blobs_missing(shop: Shop) -> None:
    lost, kept = shop.fill_pack(noise(10), prose(9 * KIB)), shop.fill_pack(noise(20))
    (shop.root / pack_key(place_of(lost[0])[0])).unlink()
    assert shop.verify().returncode == 1
    assert shop.report()["counts"] == {"good": 2, "missing": 2}
    assert shop.missing([*lost, *kept]) == list(lost)


def test_packs_without_a_row_are_reported_and_left_alone(shop: Shop) -> None:
    shop.fill_pack(noise(10))
    with closing(SparseBackend(shop.root)) as backend:
        store = BlobStore.open(backend)
        with store.pack() as writer:
            writer.add(noise(20))
            staged = writer.finish()
        store.place_pack(staged)
    orphan = shop.root / pack_key(staged.pack_id)
    stray = orphan.with_name("stray.pack")
    stray.write_bytes(b"stray")
    assert shop.verify().returncode == 0
    found = shop.report()
    assert {orphan["key"] for orphan in found["orphans"]} == {str(f.relative_to(shop.root)) for f in (orphan, stray)}
    assert (found["orphan_count"], found["orphan_bytes"]) == (2, staged.stored_bytes + 5)
    assert orphan.exists()
    assert stray.exists()


def test_a_broken_index_is_damage_and_harms_no_blob(shop: Shop) -> None:
    (blob,) = shop.fill_pack(noise(10))
    rewrite(shop.root / pack_key(place_of(blob)[0]), flip(place_of(blob)[1] + 12))
    done = shop.verify()
    assert done.returncode == 1
    assert shop.report()["counts"] == {"good": 2}
    (fault,) = shop.report()["pack_faults"]
    assert place_of(blob)[0] in fault
    assert f"pack fault: {fault}" in done.stdout


# -- interruptions


def wait_for_reading(process: "subprocess.Popen[str]", count: int) -> None:
    """Until it says that so many blobs were done."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("reading") and int(line.split()[1]) >= count:
            return
    raise AssertionError("it ended early")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on_where_it_was(shop: Shop, number: signal.Signals) -> None:
    # They get their ids in order of their digests, and are read in order of their ids.
    blobs = sorted(shop.fill(*(noise(MIB, seed) for seed in range(24))), key=lambda blob: blob.digest)
    rewrite(shop.path(blobs[0]), flip(0))
    rewrite(shop.path(blobs[-1]), flip(0))
    process = shop.start("--rate-limit", str(4 * MIB))
    wait_for_reading(process, 1)
    time.sleep(3)  # past a checkpoint
    process.send_signal(number)
    process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == (-9 if number is signal.SIGKILL else 1)
    if number is not signal.SIGKILL:
        first = shop.report()
        assert (first["complete"], len(first["problems"])) == (False, 1)
    assert shop.verify().returncode == 1
    second = shop.report()
    assert (second["complete"], second["resumed"]) == (True, True)
    assert second["counts"] == {"good": 23, "damaged": 2}
    assert second["bytes_read"] < 20 * MIB
    assert {problem["digest"] for problem in second["problems"]} == {blobs[0].digest.hex, blobs[-1].digest.hex}
    # The run is over; the next one begins anew and reads everything.
    assert shop.verify().returncode == 1
    assert (shop.report()["resumed"], shop.report()["counts"]) == (False, {"good": 23, "missing": 2})


def test_an_interruption_without_damage_is_neither_clean_nor_damage(shop: Shop) -> None:
    shop.fill(*(noise(MIB, seed) for seed in range(6)))
    process = shop.start("--rate-limit", str(MIB // 2))
    wait_for_reading(process, 0)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == 130
    assert time.monotonic() - started < 5
    assert shop.verify("--fresh").returncode == 0
    assert shop.report()["resumed"] is False


def test_the_rate_limit_is_kept(shop: Shop) -> None:
    shop.fill(*(noise(MIB, seed) for seed in range(6)))
    started = time.monotonic()
    assert shop.verify("--rate-limit", str(2 * MIB), "--threads", "4").returncode == 0
    assert time.monotonic() - started >= 2


# -- when it cannot run


def test_it_says_why_it_cannot_run(shop: Shop) -> None:
    shop.fill(b"x")
    with StoreLock(shop.root, VERIFY_LOCK_NAME) as lock:
        assert lock.try_alone()
        done = shop.verify()
        assert (done.returncode, "another tools/verify is running" in done.stderr) == (2, True)
    for arguments, words in (
        (["--rate-limit", "0"], "above 0"),
        (["--threads", "99"], "from 1 to 32"),
        (["--report", "/nowhere/at/all"], "/nowhere/at"),
    ):
        done = shop.verify(*arguments)
        assert (done.returncode, words in done.stderr) == (2, True)
    format_file = shop.root / "FORMAT"
    format_file.rename(shop.root / "format")
    done = shop.verify()
    assert (done.returncode, "FORMAT is missing" in done.stderr) == (2, True)
    (shop.root / "format").rename(format_file)
    nowhere = shop.given.with_values(MARIADB_SOCKET="/nowhere.sock")
    done = Shop(nowhere, shop.report_file).verify()
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


# -- races, with a catalog that changes in between


class FakeCatalog:
    """The rows of a catalog, by id; passes for `catalog.system` where `tools.verify` is concerned."""

    def __init__(self, blobs: list[Blob]) -> None:
        self.rows = {number: BlobRow(number, blob, "live") for number, blob in enumerate(blobs, 1)}
        self.packs: set[str] = set()
        self.outcomes: dict[int, list[str]] = {}
        self.before_looking_again: Callable[[], object] = lambda: None

    async def blobs_after(self, after_blob_id: int, limit: int) -> list[BlobRow]:
        return [row for number, row in sorted(self.rows.items()) if number > after_blob_id][:limit]

    async def blobs_by_digest(self, digests: Sequence[Digest]) -> dict[Digest, BlobRow]:
        self.before_looking_again()
        return {row.blob.digest: row for row in self.rows.values() if row.blob.digest in digests}

    async def known_packs(self, pack_ids: Sequence[str]) -> set[str]:
        return self.packs & set(pack_ids)

    async def unhealthy(self, limit: int) -> list[tuple[Digest, str]]:
        return []

    async def record_verifications(self, outcomes: Any) -> None:
        for outcome in outcomes:
            assert isinstance(outcome, VerificationRecord)
            self.outcomes.setdefault(outcome.blob_id, []).append(str(outcome.outcome))

    async def start_scrub(self, selection: str | None = None) -> int:
        return 1

    async def checkpoint_scrub(self, run_id: int, last_blob_id: int, counts: dict[str, int]) -> None:
        assert run_id == 1

    async def finish_scrub(self, run_id: int) -> None:
        assert run_id == 1

    async def unfinished_scrub(self) -> ScrubRun | None:
        return None


@dataclass
class Bench:
    """A store in memory with one damaged blob, and the catalog that names it."""

    backend: MemoryBackend
    store: BlobStore
    blob: Blob
    catalog: FakeCatalog
    report: Report

    def scrub(self) -> None:
        pace = Pace()
        asyncio.run(Scrub(self.catalog, self.store, pace, self.report, Progress(self.report, pace, False)).run(0, 2))


@pytest.fixture
def bench() -> Bench:
    backend = MemoryBackend()
    store = BlobStore.open(backend, BlobStore.initialise(backend))
    blob = store.place(store.stage([b"content"]))
    backend.corrupt(blob_key(blob.digest, blob.encoding), b"CONTENT")
    return Bench(backend, store, blob, FakeCatalog([blob]), Report(store.store_id, 1, "now"))


def test_damage_is_marked_before_it_is_moved(bench: Bench) -> None:
    bench.scrub()
    assert bench.report.counts == {"damaged": 1}
    assert bench.catalog.outcomes == {1: ["damaged"]}
    assert bench.report.problems[0].quarantined


def test_what_an_upload_heals_meanwhile_is_good(bench: Bench) -> None:
    def heal() -> None:
        bench.store.place(bench.store.stage([b"content"]))

    bench.catalog.before_looking_again = heal
    bench.scrub()
    assert bench.report.counts == {"good": 1}
    assert bench.catalog.outcomes == {1: ["good"]}
    assert list(bench.backend.list("quarantine/")) == []


def test_what_is_healed_between_mark_and_move_is_good(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bench.store.quarantine

    def quarantine(blob: Blob) -> bool:
        bench.store.place(bench.store.stage([b"content"]))
        return real(blob)

    monkeypatch.setattr(bench.store, "quarantine", quarantine)
    bench.scrub()
    assert bench.report.counts == {"good": 1}
    assert bench.catalog.outcomes == {1: ["damaged", "good"]}
    bench.store.check(bench.blob)


def test_what_the_catalog_let_go_of_is_no_damage(bench: Bench) -> None:
    bench.catalog.before_looking_again = bench.catalog.rows.clear
    bench.scrub()
    assert bench.report.counts == {"gone": 1}
    assert (bench.catalog.outcomes, bench.report.problems) == ({}, [])
    assert list(bench.backend.list("quarantine/")) == []


def test_a_row_that_moved_to_another_encoding_is_read_there(bench: Bench) -> None:
    packed = bench.store.place(bench.store.stage([prose(10 * KIB)]))
    stale = Blob(packed.digest, packed.size_bytes, packed.size_bytes, packed.crc32, Encoding.IDENTITY, packed.location)
    bench.catalog.rows = {1: BlobRow(1, stale, "live")}

    def move() -> None:
        bench.catalog.rows = {1: BlobRow(1, packed, "live")}

    bench.catalog.before_looking_again = move
    bench.scrub()
    assert bench.report.counts == {"good": 1}


@pytest.fixture
def packed(bench: Bench) -> tuple[Blob, ...]:
    """Blobs of one pack, which are all that the catalog knows; their ids are not in the order in which they lie."""
    with bench.store.pack() as writer:
        for number in range(50):
            writer.add(noise(KIB, number))
        blobs = bench.store.place_pack(writer.finish())
    rows = enumerate(sorted(blobs, key=lambda blob: blob.digest), 1)
    bench.catalog.rows = {number: BlobRow(number, blob, "live") for number, blob in rows}
    return blobs


def test_a_pack_is_read_from_front_to_back(
    bench: Bench, packed: tuple[Blob, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = [], OpenPack.check

    def check(self: OpenPack, blob: Blob, progress: Callable[[int], None] | None = None) -> None:
        seen.append(blob)
        real(self, blob, progress)

    monkeypatch.setattr(OpenPack, "check", check)
    bench.scrub()
    assert seen == list(packed)
    assert bench.report.counts == {"good": 50}
    assert bench.catalog.outcomes == {number: ["good"] for number in range(1, 51)}


def test_a_pack_that_the_medium_refuses_is_unreadable_and_stays(
    bench: Bench, packed: tuple[Blob, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bench.backend.open

    def refusing(key: str) -> ObjectReader:
        if key.startswith("packs/"):
            raise BlobUnreadable(f"{key} cannot be opened", key)
        return real(key)

    monkeypatch.setattr(bench.backend, "open", refusing)
    bench.scrub()
    assert bench.report.counts == {"unreadable": len(packed)}
    assert bench.catalog.outcomes == {}
    assert list(bench.backend.list("quarantine/")) == []


def test_a_blob_that_moved_to_another_pack_is_read_there(bench: Bench, packed: tuple[Blob, ...]) -> None:
    """The sweep rewrites a pack while it is read."""

    with bench.store.pack() as writer:
        for number in range(1, 50):
            writer.add(noise(KIB, number))
        moved = {blob.digest: blob for blob in bench.store.place_pack(writer.finish())}

    def repack() -> None:
        for number, row in bench.catalog.rows.items():
            bench.catalog.rows[number] = BlobRow(number, moved.get(row.blob.digest, row.blob), "live")

    bench.store.trash_pack(place_of(packed[0])[0], date(2024, 5, 3))
    bench.catalog.before_looking_again = repack
    bench.scrub()
    assert bench.report.counts == {"good": 49, "missing": 1}


def test_a_pack_under_way_is_no_orphan(bench: Bench, packed: tuple[Blob, ...]) -> None:
    bench.catalog.packs = {place_of(packed[0])[0]}
    blob = bench.store.place(bench.store.stage([b"content"]))
    bench.catalog.rows[99] = BlobRow(99, blob, "live")
    empty = bench.store.place(bench.store.stage([]))
    bench.catalog.rows[100] = BlobRow(100, empty, "live")
    asyncio.run(find_orphans(bench.catalog, bench.backend.list, bench.report))
    assert bench.report.orphans == []
    bench.catalog.packs.clear()
    asyncio.run(find_orphans(bench.catalog, bench.backend.list, bench.report))
    assert bench.report.orphan_count == 1


def test_a_file_of_its_own_beside_a_packed_blob_is_an_orphan(bench: Bench, packed: tuple[Blob, ...]) -> None:
    bench.catalog.packs = {place_of(packed[0])[0]}
    twin = bench.store.place(bench.store.stage([noise(KIB, 0)]))
    asyncio.run(find_orphans(bench.catalog, bench.backend.list, bench.report))
    assert blob_key(twin.digest, twin.encoding) in [orphan.key for orphan in bench.report.orphans]


def test_an_upload_under_way_is_no_orphan(bench: Bench) -> None:
    claimed = bench.store.place(bench.store.stage([b"claimed after the rows were read"]))
    empty = bench.store.place(bench.store.stage([]))
    late = {2: BlobRow(2, claimed, "pending"), 3: BlobRow(3, empty, "live")}
    bench.catalog.before_looking_again = lambda: bench.catalog.rows.update(late)
    asyncio.run(find_orphans(bench.catalog, bench.backend.list, bench.report))
    assert bench.report.orphan_count == 0


def test_an_error_ends_the_look_at_files_beside_it(bench: Bench, tmp_path: Path) -> None:
    pace = Pace()
    (tmp_path / "blobs/ab").mkdir(parents=True)

    async def fail() -> None:
        async with looking_at_files(bench.catalog, tmp_path, pace, bench.report) as files:
            await asyncio.sleep(0)
            assert not files.done()
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(fail())
    with pytest.raises(Stopped):
        pace.read(0)


def test_pace_stops_whoever_waits() -> None:
    pace = Pace(10)
    pace.stop()
    with pytest.raises(Stopped):
        pace.read(1000)


class Screen(io.StringIO):
    """A stream that is a terminal or not."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(("is_terminal", "wanted", "lines"), [(False, False, 0), (False, True, 2), (True, False, 1)])
def test_progress_is_shown_on_a_terminal_or_where_asked_for(is_terminal: bool, wanted: bool, lines: int) -> None:
    screen, pace, report = Screen(is_terminal), Pace(), Report("store", 1, "now", counts={"good": 7, "damaged": 2})
    progress = Progress(report, pace, wanted, screen)
    pace.read(3_000_000_000)
    for _ in range(100):
        progress.show("reading")
    progress.end()
    text = screen.getvalue()
    assert text.count("\n") == lines
    assert ("9 blobs, 3.00 GB read" in text) == (lines > 0)
    assert ("2 damaged" in text) == (lines > 0)
