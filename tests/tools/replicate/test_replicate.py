"""A replica holds what the store holds, checked; it is never half a store, and it alone brings the service back."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cas.backend import Backend
from cas.errors import StoreNotReady
from cas.format import StoreFormat
from cas.journal import Journal
from cas.local import LocalBackend
from cas.replicated import read_replicated
from cas.s3 import S3Backend
from cas.store import BlobStore
from tests.shared.s3 import new_bucket, s3_server
from tests.shared.settings import GivenSettings, write_settings
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.history import Customer
from tests.tools.rebuild.test_rebuild import dump_of, to_process
from tools.rebuild.main import run
from tools.rebuild.report import Report
from tools.replicate.replica import Counts, Replication, TooManyDeletes, put_bytes, read_bytes
from tools.run.processes import python

pytestmark = pytest.mark.anyio

TODAY = date(2026, 11, 28)


@pytest.fixture(params=["folder", "s3"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "folder":
        with closing(LocalBackend(tmp_path)) as folder:
            yield folder
        return
    url: str = request.getfixturevalue("s3_url")
    with closing(S3Backend(new_bucket(url).open(), tmp_path)) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


def replicate(world: World, replica: Backend, day: date = TODAY, grace_days: int = 30) -> Counts:
    return Replication(world.backend, replica, lambda count: None).run(day, grace_days)


def content(backend: Backend) -> dict[str, bytes]:
    """Every object of a store that belongs into a replica."""
    return {
        info.key: read_bytes(backend, info.key)
        for prefix in ("FORMAT", "blobs/", "packs/", "journal/")
        for info in backend.list(prefix)
    }


async def used(world: World, seed: int = 7, times: int = 25) -> Customer:
    customer = Customer(world, await world.sign_in("maple"), seed)
    await customer.act(times)
    await customer.computers[0].put(
        {"large.bin": random.Random(seed).randbytes(9 << 20), "text.txt": b"hello " * 99_999}
    )
    return customer


async def test_a_replica_is_equal_and_the_next_run_takes_only_what_is_new(world: World, replica: Backend) -> None:
    customer = await used(world)
    first = replicate(world, replica)
    assert (first.faults, first.same) == ([], 0)
    assert content(replica) == content(world.backend)
    again = replicate(world, replica)
    assert (again.copied, again.same) == (0, first.copied - 1)  # FORMAT is looked at by itself
    await customer.computers[0].put({"one more.txt": b"one more"})
    assert replicate(world, replica).copied == 2  # the blob, and the record that names it
    assert content(replica) == content(world.backend)


async def test_the_catalog_comes_back_from_the_replica_alone(world: World, tmp_path: Path) -> None:
    await used(world)
    with closing(LocalBackend(tmp_path)) as replica:
        replicate(world, replica)
    before = await dump_of(world.settings)
    shutil.rmtree(world.backend.root)
    twin = await world.empty_twin()
    settings = type(twin)(**{name: getattr(twin, name) for name in twin.__slots__} | {"storage_root": tmp_path})
    report = Report()
    assert (await run(settings, report, "rebuild"), report.faults) == (0, [])
    assert await dump_of(settings) == before


# -- what goes


async def test_what_left_the_source_waits_in_the_replicas_trash(world: World, replica: Backend) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"a", "b.txt": b"b"})
    replicate(world, replica)
    gone = next(info.key for info in world.backend.list("blobs/") if read_bytes(world.backend, info.key) == b"a")
    world.backend.remove(gone)
    assert replicate(world, replica).trashed == 1
    assert content(replica) == content(world.backend)
    assert read_bytes(replica, f"trash/{TODAY}/{gone}") == b"a"
    assert replicate(world, replica, TODAY + timedelta(days=30)).emptied == 0
    assert replicate(world, replica, TODAY + timedelta(days=31)).emptied == 1
    assert list(replica.list("trash/")) == []


async def test_much_that_is_missing_at_once_is_taken_for_a_mistake(
    world: World, replica: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.replicate.replica.FREE_DELETES", 3)
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({f"{number}.txt": b"%d" % number for number in range(8)})
    replicate(world, replica)
    before = content(replica)
    for info in list(world.backend.list("blobs/")):
        world.backend.remove(info.key)
    with pytest.raises(TooManyDeletes, match="--allow-many-deletes"):
        replicate(world, replica)
    assert content(replica) == before
    counts = Replication(world.backend, replica, lambda count: None).run(TODAY, 30, allow_many_deletes=True)
    assert counts.trashed == 9


async def test_a_replica_belongs_to_one_store(
    world: World, replica: Backend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    replicate(world, replica)
    with closing(LocalBackend(tmp_path_factory.mktemp("other"))) as other:
        other.prepare([])
        put_bytes(other, "FORMAT", StoreFormat.new().encode())
        with pytest.raises(StoreNotReady, match="one of store"):
            Replication(other, replica, lambda count: None).run(TODAY, 30)


async def test_what_a_checkpoint_erased_goes_from_the_replica_too(world: World, tmp_path: Path) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    for number in range(4):
        await laptop.put({f"{number}.txt": b"%d" % number})
    chain = f"{laptop.scope.tenant.uuid}/device-{laptop.device_id}"
    with closing(LocalBackend(tmp_path)) as replica:
        replicate(world, replica)
        for through in (2, 3):
            world.journal.erase(chain, through, ())
            replicate(world, replica)
            assert content(replica) == content(world.backend)
        assert [record.body is None for record in Journal(replica).records(chain)] == [True, True, True, False]


# -- damage and interruption


def damaged(data: bytes, at: float) -> bytes:
    position = min(int(len(data) * at), len(data) - 1)
    return data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 1.0])
async def test_damage_at_the_source_is_told_and_never_replicated(world: World, tmp_path: Path, at: float) -> None:
    await used(world, times=8)
    with closing(LocalBackend(tmp_path)) as replica:
        replicate(world, replica)
        good = content(replica)
        for key, data in good.items():
            if data and key != "FORMAT" and not key.endswith(".pieces"):
                path = world.backend.root / key
                path.chmod(0o600)
                path.write_bytes(damaged(data, at))
        assert replicate(world, replica).copied == 0  # by name and size nothing is new
        for info in list(replica.list("")):
            replica.remove(info.key)
        counts = replicate(world, replica)
        copied = content(replica)
    wrong = {key for key, data in good.items() if data and key != "FORMAT" and not key.endswith(".pieces")}
    assert len(counts.faults) == len(wrong)
    assert copied == {key: data for key, data in good.items() if key not in wrong}


class Stops(Exception):
    """The run is stopped here."""


async def test_a_run_that_is_stopped_leaves_no_half_store_and_is_gone_on_with(world: World, tmp_path: Path) -> None:
    await used(world)
    total = replicate_into(world, tmp_path / "whole")
    steps = random.Random(3).sample(range(1, total), 12)
    for number, after in enumerate(sorted(steps)):
        folder = tmp_path / "stopped"
        folder.mkdir(exist_ok=True)
        with closing(LocalBackend(folder)) as replica:
            with pytest.raises(Stops):
                Replication(world.backend, replica, stopping(after // (number + 1) + 1)).run(TODAY, 30)
            for key, data in content(replica).items():
                assert data == read_bytes(world.backend, key)
            if not any(True for _ in replica.list("FORMAT")):
                with pytest.raises(StoreNotReady):
                    BlobStore.open(replica)
    with closing(LocalBackend(tmp_path / "stopped")) as replica:
        assert replicate(world, replica).faults == []
        assert content(replica) == content(world.backend)


def replicate_into(world: World, folder: Path) -> int:
    """How many steps a whole run takes."""
    folder.mkdir()
    steps: list[int] = []
    with closing(LocalBackend(folder)) as replica:
        Replication(world.backend, replica, steps.append).run(TODAY, 30)
    return len(steps)


def stopping(after: int) -> Callable[[int], None]:
    left = [after]

    def counted(_count: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stops

    return counted


async def test_a_record_is_never_there_before_its_blobs(world: World, tmp_path: Path) -> None:
    """An upload comes while the journal is being copied: neither it nor its record is in this run, or both are."""
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"a"})

    class Late(LocalBackend):
        def list(self, prefix: str):  # type: ignore[no-untyped-def]
            yield from super().list(prefix)
            if prefix == "packs/":
                (world.backend.root / "journal/late").mkdir(exist_ok=True)
                put_bytes(world.backend, "journal/late/record", b"names a blob that came after the blobs were copied")

    with closing(LocalBackend(tmp_path)) as replica, closing(Late(world.backend.root)) as source:
        Replication(source, replica, lambda count: None).run(TODAY, 30)
        assert "journal/late/record" not in content(replica)


# -- the program


async def test_the_program_and_the_drill(
    world: World, tmp_path: Path, quick_folder: Path, s3_url: str, scale: Callable[[list[str], list[str]], list[str]]
) -> None:
    await used(world, times=12)
    place = new_bucket(s3_url)
    values = world.values | {
        "REPLICA_S3_ENDPOINT": s3_url,
        "REPLICA_S3_ACCESS_KEY": "test",
        "REPLICA_S3_SECRET_KEY": "test-secret",
        "REPLICA_SPOOL": str(tmp_path),
    }
    (tmp_path / "replica").mkdir()
    bucket, folder = f"s3://{place.bucket}/{place.prefix}", str(tmp_path / "replica")
    for replica in scale([bucket], [bucket, folder]):
        given = write_settings(tmp_path / "settings", values | {"REPLICA": replica})
        await check_replicated(world, given)
        drilled = quick_folder / "drill"  # a whole store has 65,792 folders: in memory where there is room
        await check_drilled(given, drilled)
        assert not any(name.name.startswith("otb-replica-") for name in tmp_path.iterdir())
        shutil.rmtree(drilled)


async def check_replicated(world: World, given: GivenSettings) -> None:
    never = await to_process(python("tools.replicate", "status"), given)
    assert (never.returncode, "nothing was ever replicated" in never.stderr) == (2, True)
    done = await to_process(python("tools.replicate", "run"), given)
    assert done.stderr == ""
    assert done.returncode == 0
    assert "dumped the database to dumps/" in done.stdout
    assert "0 faults" in done.stdout
    status = await to_process(python("tools.replicate", "status"), given)
    assert world.store.store_id in status.stdout
    note = read_replicated(world.backend)
    assert note.whole_at is not None
    assert note.dumped_at is not None
    assert note.dumped_at < note.whole_at < datetime.now(UTC)
    assert f"whole at   {datetime.now(UTC):%Y-%m-%d}" in status.stdout


async def check_drilled(given: GivenSettings, folder: Path) -> None:
    drill = await to_process(python("tools.replicate", "drill", str(folder)), given)
    assert (drill.returncode, drill.stderr) == (0, "")
    for step in (
        "each checked", "rebuilt the catalog from the journal", "re-read every blob", "the server runs on it",
        "the dump agrees with the journal", "the drill passed",
    ):  # fmt: skip
        assert step in drill.stdout
    refused = await to_process(python("tools.replicate", "drill", str(folder)), given)
    assert (refused.returncode, "is not empty" in refused.stderr) == (2, True)


async def test_without_a_replica_the_program_says_what_to_set(world: World, tmp_path: Path) -> None:
    given = write_settings(tmp_path / "settings", world.values)
    done = await to_process(python("tools.replicate", "run"), given)
    assert (done.returncode, done.stderr) == (
        2,
        "tools/replicate: REPLICA is not set: name a folder, or s3://bucket/prefix\n",
    )
