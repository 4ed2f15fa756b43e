"""Checkpoints: what was purged really goes from the store, and what is rebuilt from them is the same."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import zstandard

from cas.journal import Journal
from catalog.catalog import Catalog
from catalog.checkpoints import Checkpoints, Made
from catalog.errors import HistoryGone
from catalog.values import Area, EntryPath
from tests.shared.dumps import dump
from tests.shared.settings import write_settings
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.history import Customer
from tests.tools.rebuild.test_rebuild import database_of, differences, dump_of, rebuilt, to_process
from tools.run.processes import python

pytestmark = pytest.mark.anyio


def everything_said(world: World) -> bytes:
    """Every file of the journal, unpacked."""
    files = [world.backend.root / info.key for info in world.backend.list("journal/")]
    return b"\n".join(zstandard.ZstdDecompressor().decompress(file.read_bytes()) for file in files)


async def checkpoint(world: World, *, even_if_not_due: bool = True, part_bytes: int = 20_000) -> list[Made]:
    made = []
    async with database_of(world.settings) as database:
        maker = Checkpoints(database, Journal(world.backend), part_bytes)
        for tenant in await world.catalog.system.tenants():
            names = [name for name in world.journal.chains() if name.startswith(f"{tenant.uuid}/")]
            made += await maker.tenant(tenant, names, even_if_not_due=even_if_not_due)
    return made


async def test_random_histories_come_back_equal_from_checkpoints(
    world: World, scale: Callable[[int, int], int]
) -> None:
    customers = [Customer(world, await world.sign_in(f"client-{seed}"), 100 + seed) for seed in range(scale(2, 30))]
    for customer in customers:
        await customer.act(scale(30, 100))
    for _ in range(2):
        assert await checkpoint(world)
        assert await differences(world.settings) == []
        for customer in customers:
            await customer.go_on(scale(12, 60))
    before = await dump_of(world.settings)
    settings, report, code = await rebuilt(world)
    assert (code, report.faults) == (0, [])
    assert sorted(set(before) ^ set(await dump_of(settings))) == []


@pytest.mark.parametrize("checkpoints", [0, 1])
async def test_what_can_no_longer_be_shown_is_not_shown_after_a_rebuild(world: World, checkpoints: int) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1"})
    await laptop.scope.entries.delete([(await laptop.ids())["a.txt"]])
    async with database_of(world.settings) as database, database.reading() as tx:
        await tx.execute("UPDATE entry SET removed_at = removed_at - INTERVAL 60 DAY WHERE removal = 'deleted'")
    assert (await laptop.scope.purge.expired()).entries == 1
    horizon = (await laptop.scope.history.span(laptop.device_id)).horizon
    assert horizon is not None
    for _ in range(checkpoints):
        assert await checkpoint(world)
    settings, _, code = await rebuilt(world)
    assert code == 0
    catalog = await Catalog.open(settings, Journal(world.backend), world.store.store_id)
    try:
        scope = catalog.tenant(await catalog.system.tenant_by_client("maple"), laptop.scope.actor)
        assert (await scope.history.span(laptop.device_id)).horizon == horizon
        with pytest.raises(HistoryGone):
            await scope.entries.page(laptop.device_id, Area.ORIGINALS, EntryPath(()), at=horizon - timedelta(seconds=1))
    finally:
        await catalog.close()
    async with database_of(settings) as database, database.reading() as tx:
        await tx.execute("UPDATE device SET history_from = NULL")
    [text] = await differences(settings)
    assert "moments before its horizon are shown" in text


async def test_what_was_purged_really_goes_and_stays_gone(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"secret name.txt": b"secret", "kept.txt": b"kept"})
    await laptop.put({"secret name.txt": b"secret, again"})
    assert await checkpoint(world, even_if_not_due=False) == []
    await checkpoint(world)
    await laptop.scope.purge.entries([(await laptop.ids())["secret name.txt"]])
    before = await dump_of(world.settings)
    assert b"c2VjcmV0IG5hbWU" in everything_said(world)  # names are base64 there
    [made] = await checkpoint(world, even_if_not_due=False)
    assert made.chain.endswith(f"device-{laptop.device_id}")
    said = everything_said(world)
    assert b"c2VjcmV0IG5hbWU" not in said
    assert b"a2VwdC50eHQ" in said
    assert await checkpoint(world, even_if_not_due=False) == []
    settings, report, code = await rebuilt(world)
    assert (code, report.faults) == (0, [])
    assert _without_heads(await dump_of(settings)) == _without_heads(before)
    assert not any(b"secret name".hex().upper() in line for line in await dump_of(settings))


async def test_an_id_that_was_purged_is_never_given_again(world: World) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    gone = (await laptop.put({"a.txt": b"1"})).entry_ids[0]
    await laptop.scope.purge.entries([gone])
    await checkpoint(world)
    settings, _, _ = await rebuilt(world)
    async with database_of(settings) as database, database.reading() as tx:
        [(next_id,)] = await tx.fetch_all("SELECT next_id FROM ledger")
    assert next_id > gone


class Stops(Exception):
    """The process dies here, as far as a test can show it."""


STEPS = ("settle", "add_part", "append", "erase")


@pytest.mark.parametrize("step", [*STEPS, "within erase"])
async def test_a_checkpoint_may_be_interrupted_at_any_step(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    for number in range(4):
        await laptop.put({f"{number}.txt": b"%d" % number, "same.txt": b"%d" % number})
    await laptop.scope.purge.entries([(await laptop.ids())["2.txt"]])
    before = await dump_of(world.settings)

    def dies(*given: object, **named: object) -> None:
        raise Stops

    if step == "within erase":
        monkeypatch.setattr(type(world.backend), "remove", dies)
    else:
        whole = getattr(Journal, step)

        def after(*given: object) -> None:
            whole(*given)
            dies()

        monkeypatch.setattr(Journal, step, after)
    with pytest.raises(Stops):
        await checkpoint(world)
    monkeypatch.undo()
    settings, report, code = await rebuilt(world)
    assert (code, report.faults) == (0, [])
    assert _without_heads(await dump_of(settings)) == _without_heads(before)
    await laptop.put({"after.txt": b"5"})
    await checkpoint(world)
    assert b"Mi50eHQ" not in everything_said(world)
    assert await differences(world.settings) == []
    now = await dump_of(world.settings)
    assert await dump_of((await rebuilt(world))[0]) == now


def _without_heads(lines: list[str]) -> list[str]:
    """A checkpoint is a record: the heads move, and nothing else does."""
    return [line for line in lines if not line.startswith("head ")]


async def test_the_program_itself(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1", "b.txt": b"2"})
    await laptop.scope.purge.entries([(await laptop.ids())["a.txt"]])
    given = write_settings(tmp_path_factory.mktemp("given") / "settings", world.values)
    made = await to_process(python("tools.journal", "checkpoint"), given)
    assert (made.returncode, made.stderr) == (0, "")
    assert "stands for records up to 2 in 2 parts, 2 files erased\n1 checkpoints" in made.stdout
    status = await to_process(python("tools.journal", "status"), given)
    assert status.stdout.splitlines()[1].split() == ["maple", "2", "4", "2"]
    async with database_of(world.settings) as database:
        assert await dump(database)
    assert await differences(world.settings) == []
