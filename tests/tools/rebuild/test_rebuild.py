"""The catalog comes back from the store alone, equal in all that the journal covers."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cas.blob import Encoding
from cas.digest import Digest
from cas.errors import StoreNotReady
from cas.journal import Journal
from cas.layout import blob_key
from cas.lock import StoreLock
from catalog import records
from catalog.blob_rows import BLOB_COLUMNS, blob_of
from catalog.catalog import Catalog
from catalog.changes import AddKnown, AddLink
from catalog.database import Database
from catalog.errors import DatabaseUnavailable, NotRebuilt, SchemaMismatch
from catalog.opening import connect_options
from catalog.rebuild import Rebuild
from catalog.settings import Settings
from catalog.values import Actor, EntryPath
from tests.shared.dumps import dump, next_ids
from tests.shared.settings import GivenSettings, write_settings
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.history import Customer
from tools.rebuild.main import run
from tools.rebuild.report import Report
from tools.run.processes import python

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def database_of(settings: Settings) -> AsyncIterator[Database]:
    database = await Database.open(connect=connect_options(settings), connections_max=2)
    try:
        yield database
    finally:
        await database.close()


async def dump_of(settings: Settings) -> list[str]:
    async with database_of(settings) as database:
        return await dump(database)


async def rebuilt(world: World) -> tuple[Settings, Report, int]:
    """A new catalog from the world's store."""
    settings, report = await world.empty_twin(), Report()
    return settings, report, await run(settings, report, "rebuild")


async def differences(settings: Settings) -> list[str]:
    report = Report()
    assert await run(settings, report, "compare") == (1 if report.faults else 0)
    return report.faults


async def to_process(command: list[str], given: GivenSettings) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run, command, env=given.environ, capture_output=True, text=True, check=False, timeout=600
    )


async def test_random_histories_come_back_equal(world: World, scale: Callable[[int, int], int]) -> None:
    for seed in range(scale(4, 60)):
        customer = Customer(world, await world.sign_in(f"client-{seed}"), seed)
        await customer.act(scale(40, 150))
    before = await dump_of(world.settings)
    assert sum(line.startswith("entry ") for line in before) > 100
    assert await differences(world.settings) == []
    settings, report, code = await rebuilt(world)
    assert (code, report.faults) == (0, [])
    after = await dump_of(settings)
    assert sorted(set(before) ^ set(after)) == []
    assert after == before
    async with database_of(world.settings) as old, database_of(settings) as new:
        had, has = await next_ids(old), await next_ids(new)
    assert all(had[uuid] >= has[uuid] for uuid in has)
    async with database_of(settings) as database, database.reading() as tx:
        rows = await tx.fetch_all(f"SELECT {BLOB_COLUMNS} FROM `blob` b")
    for row in rows:
        world.store.check(blob_of(*row))


async def test_the_service_goes_on_with_what_was_rebuilt(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a/b.txt": b"one", "c.txt": b"two"})
    _, token = await laptop.scope.devices.create_token(laptop.device_id, "nightly")
    settings, _, _ = await rebuilt(world)
    catalog = await Catalog.open(settings, Journal(world.backend), world.store.store_id)
    try:
        view = await catalog.system.sessions.device_token(token)
        scope = catalog.tenant(view.tenant, Actor("device", "nightly"), view.device_id)
        again = Computer(world, scope, view.device_id)
        assert sorted(await again.ids()) == ["a", "a/b.txt", "c.txt"]
        assert (await again.put({"c.txt": b"two"})).unchanged == 1
        assert (await again.put_packed({"d.txt": b"two", "e.txt": b"five"})).added == 2
        assert await differences(settings) == []
    finally:
        await catalog.close()


async def test_a_change_of_two_devices_that_was_cut_short_comes_back_on_neither(world: World) -> None:
    scope = await world.sign_in("maple")
    laptop, phone = await Computer.make(world, scope, "laptop"), await Computer.make(world, scope, "phone")
    both = (await laptop.put({"a.txt": b"1"})).entry_ids + (await phone.put({"b.txt": b"2"})).entry_ids
    before = await dump_of(world.settings)
    with world.failing_journal(after=1):
        await scope.entries.delete(both)
    assert sum(1 for _ in Journal(world.backend).records(f"{scope.tenant.uuid}/device-{laptop.device_id}")) == 2
    settings, report, code = await rebuilt(world)
    assert code == 0
    assert any("never committed" in note for note in report.notes)
    assert await dump_of(settings) == before
    await scope.entries.delete(both)
    assert sum(line.count("'deleted'") for line in await dump_of((await rebuilt(world))[0])) == 2


async def test_a_change_of_one_device_that_was_never_answered_comes_back(world: World) -> None:
    """Its record was durable; whether the commit stood, nobody can tell without the database."""
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1"})
    chain = f"{laptop.scope.tenant.uuid}/device-{laptop.device_id}"
    [record] = world.journal.records(chain)
    line = records.ManifestLine(laptop.device_id, 2, datetime.now(UTC), "user", "Olive", "never answered")
    folder = records.AddLine(900, 901, 3, "originals", b"new", "directory", 5)
    made = records.DerivationFact(Digest.of(b"1").hex, "rotate", 1, '{"degrees":90}', datetime.now(UTC))
    bytes_of = records.BlobFacts(Digest.of(b"1").hex, 1, 1, 2212294583, "identity")
    copy = records.AddLine(902, 903, 3, "originals", b"copy", "file", 5, size_bytes=1, blob=bytes_of, derivation=made)
    world.journal.append(chain, 2, record.digest, records.encode([line, folder, copy]))
    assert await differences(world.settings) == []
    settings, _, code = await rebuilt(world)
    assert code == 0
    async with database_of(settings) as database:
        assert min((await next_ids(database)).values()) == 904
        async with database.reading() as tx:
            assert await tx.fetch_all("SELECT recipe, parameters FROM derivation") == [("rotate", '{"degrees":90}')]
            await tx.execute("DELETE FROM derivation")
    assert [text for text in await differences(settings) if "how it was made" in text]


# -- what is broken is named


async def test_gaps_are_named_exactly_and_nothing_of_the_account_is_taken(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    spruce = await Computer.make(world, await world.sign_in("spruce"), "pc")
    await spruce.put({"x.txt": b"x"})
    for number in range(8):
        await laptop.put({f"{number}.txt": b"%d" % number})
    chain = f"{laptop.scope.tenant.uuid}/device-{laptop.device_id}"
    files = [world.backend.root / info.key for info in world.backend.list(f"journal/{chain}/")]
    for number in (3, 5, 6):
        files[number - 1].unlink()
    settings, report, code = await rebuilt(world)
    assert code == 1
    assert report.faults == [f"{chain}: record 3 is missing", f"{chain}: records 5 to 6 are missing"]
    with pytest.raises(SchemaMismatch, match="tools/rebuild"):
        await Catalog.open(settings, world.journal, world.store.store_id)
    assert not [line for line in await dump_of(settings) if "maple" in line]

    until = Report()
    assert await run(settings, until, "rebuild", until_gap=True) == 1
    assert until.faults == report.faults
    catalog = await Catalog.open(settings, world.journal, world.store.store_id)
    try:
        scope = catalog.tenant(await catalog.system.tenant_by_client("maple"), Actor("user", "Olive"))
        assert sorted(await Computer(world, scope, laptop.device_id).ids()) == ["0.txt", "1.txt"]
    finally:
        await catalog.close()


async def test_bytes_that_no_file_holds_are_named_and_healed_by_an_upload(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"lost", "b.txt": b"there"})
    (world.backend.root / blob_key(Digest.of(b"lost"), Encoding.IDENTITY)).unlink()
    settings, report, code = await rebuilt(world)
    assert code == 1
    assert report.faults == [f"blob {Digest.of(b'lost')}: entries name it, and no file holds it"]
    catalog = await Catalog.open(settings, Journal(world.backend), world.store.store_id)
    try:
        scope = catalog.tenant(await catalog.system.tenant_by_client("maple"), Actor("user", "Olive"))
        digests = [Digest.of(b"lost"), Digest.of(b"there")]
        assert await scope.blobs.missing(digests) == [Digest.of(b"lost")]
        await Computer(world, scope, laptop.device_id).put({"a.txt": b"lost"})
        assert await scope.blobs.missing(digests) == []
    finally:
        await catalog.close()


async def test_what_no_entry_names_has_no_row_and_counts_as_dead(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.send([b"named", b"never named"])
    named = AddKnown(EntryPath.parse("a.txt"), Digest.of(b"named"), 5, None)
    await laptop.scope.manifests.commit(laptop.device_id, [named])
    world.store.place(world.store.stage([b"an upload that was cut short"]))
    settings, report, code = await rebuilt(world)
    assert (code, report.faults) == (0, [])
    assert "3 blobs in the store are named by no entry" in report.notes  # the empty one, too
    async with database_of(settings) as database, database.reading() as tx:
        assert await tx.fetch_all("SELECT digest, state FROM `blob`") == [(Digest.of(b"named").raw, "live")]
        assert await tx.fetch_all("SELECT blob_count, dead_bytes FROM pack") == [(2, len(b"never named"))]


async def test_an_interrupted_rebuild_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for client in ("ash", "birch", "cedar"):
        computer = await Computer.make(world, await world.sign_in(client), "laptop")
        await computer.put({"a/b.txt": client.encode(), "c.txt": b"the same"})
    before, settings = await dump_of(world.settings), await world.empty_twin()
    whole, left = Rebuild._insert_account, [2]

    async def fails(self: Rebuild, *given: object) -> None:
        if not left[0]:
            raise DatabaseUnavailable("lost, for a test's sake")
        left[0] -= 1
        await whole(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Rebuild, "_insert_account", fails)
    with pytest.raises(DatabaseUnavailable):
        await run(settings, Report(), "rebuild")
    monkeypatch.undo()
    with pytest.raises(SchemaMismatch):
        await Catalog.open(settings, world.journal, world.store.store_id)
    report = Report()
    assert await run(settings, report, "rebuild") == 0
    assert report.tenants == 1
    assert await dump_of(settings) == before


async def test_a_catalog_that_is_in_use_is_never_rebuilt_into(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1"})
    before = await dump_of(world.settings)
    with pytest.raises(NotRebuilt, match="1 tenants"):
        await run(world.settings, Report(), "rebuild")
    assert await dump_of(world.settings) == before
    with StoreLock(world.backend.root) as lock:
        lock.share(lambda: None)
        with pytest.raises(StoreNotReady):
            await run(await world.empty_twin(), Report(), "rebuild")


# -- compare

TAMPERINGS = {
    "UPDATE entry SET size_bytes = size_bytes + 1 WHERE kind = 'file' LIMIT 1": "size_bytes is 4 and should be 3",
    "UPDATE entry SET name = 'z', name_fold = 'z' WHERE kind = 'file' LIMIT 1": "name is another",
    "UPDATE entry SET removal = 'replaced' WHERE removal = 'deleted'": "removal is another",
    "DELETE FROM entry WHERE kind = 'link'": "the catalog does not have entry",
    "UPDATE manifest SET note = 'x' WHERE sequence = 1": "manifest 1: note is another",
    "UPDATE ledger SET used_bytes = used_bytes + 1": "bytes in the quota, the ledger",
    "UPDATE ledger SET next_id = 2": "the ledger gives id 2 next",
    "UPDATE device SET file_count = 7": "file_count is 7 and should be 1",
    "UPDATE journal_head SET sequence = sequence + 1 WHERE device_id > 0": "its head in the catalog stands at 4",
    "UPDATE tenant SET quota_bytes = 5": "quota_bytes is 5 and should be None",
    "UPDATE device_token SET revoked_at = UTC_TIMESTAMP(6)": "is not in both",
    "DELETE FROM possession": "the tenant does not possess it",
    "UPDATE `blob` SET crc32 = 1 WHERE size_bytes > 0": "size or CRC-32 is another",
    "INSERT INTO directory (tenant_id, id, device_id, area) SELECT tenant_id, 999, id, 'derived' FROM device": (
        "the journal does not know directory 999"
    ),
    "INSERT INTO entry (tenant_id, id, device_id, area, node_id, parent_id, name, name_fold, kind, media_kind,"
    " mtime_ns, link_target, added_seq, added_at) SELECT tenant_id, 999, device_id, area, 999, parent_id, 'new', 'new',"
    " 'link', 'other', 5, 'x', added_seq, added_at FROM entry LIMIT 1": "the journal does not know entry 999",
}


async def test_compare_names_every_kind_of_difference(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"one", "b.txt": b"two"})
    await laptop.scope.devices.create_token(laptop.device_id, "nightly")
    link = AddLink(EntryPath.parse("link"), b"a.txt")
    await laptop.scope.manifests.commit(laptop.device_id, [link])
    await laptop.scope.entries.delete([(await laptop.ids())["b.txt"]])
    assert await differences(world.settings) == []
    admin = dict(connect_options(world.settings)) | {"user": "root", "password": ""}
    database = await Database.open(connect=admin, connections_max=1)
    try:
        for statement, sentence in TAMPERINGS.items():
            async with database.reading() as tx:
                await tx.execute("SET SESSION foreign_key_checks = 0")
                columns = await tx.fetch_all(
                    "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
                    " AND TABLE_NAME = %s AND IS_GENERATED = 'NEVER' ORDER BY ORDINAL_POSITION",
                    (_table(statement).strip("`"),),
                )
                names = [name for (name,) in columns]
                saved = await tx.fetch_all(f"SELECT {', '.join(names)} FROM {_table(statement)}")
                assert await tx.execute(statement) > 0, statement
            found = await differences(world.settings)
            assert any(sentence in text for text in found), (statement, found)
            assert not any("a.txt" in text or "nightly" in text for text in found)
            async with database.reading() as tx:
                await tx.execute(f"DELETE FROM {_table(statement)}")
                marks = ", ".join(["%s"] * len(names))
                await tx.execute_many(f"INSERT INTO {_table(statement)} ({', '.join(names)}) VALUES ({marks})", saved)
        assert await differences(world.settings) == []
    finally:
        await database.close()


def _table(statement: str) -> str:
    words = statement.split()
    return words[1] if words[0] == "UPDATE" else words[2]


async def test_a_catalog_that_is_older_than_the_journal_is_named(world: World) -> None:
    """A dump of yesterday: what customers were told since is safe must not be taken for commits that failed."""
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1"})
    before = await world.empty_twin()
    assert await run(before, Report(), "rebuild") == 0
    await laptop.put({"b.txt": b"2"})
    report = Report()
    assert await run(before, report, "compare") == 0
    assert any("or the catalog is older" in note for note in report.notes)
    await laptop.put({"c.txt": b"3"})
    [text] = await differences(before)
    assert "has 2 records more than the catalog, which is older than the journal" in text
    assert await run(before, Report(), "compare", may_be_older=True) == 0


async def test_an_account_that_one_side_lacks_is_named(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1"})
    assert await differences(await world.empty_twin()) == [
        f"{laptop.scope.tenant.uuid}: the catalog does not have this account"
    ]
    world.journal.forget(laptop.scope.tenant.uuid)
    [text] = await differences(world.settings)
    assert "the journal has no chain of this account" in text


async def test_the_program_itself(world: World, tmp_path: Path) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1"})
    given = write_settings(tmp_path / "settings", world.values)
    compared = await to_process(python("tools.rebuild", "compare"), given)
    assert (compared.returncode, compared.stderr) == (0, "")
    assert "compared: 1 tenants, 1 entries" in compared.stdout
    refused = await to_process(python("tools.rebuild"), given)
    assert refused.returncode == 2
    assert "tools/rebuild: This catalog holds 1 tenants." in refused.stderr
