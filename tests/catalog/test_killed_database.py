"""MariaDB killed at every statement of a commit, and clocks that jump: what was answered stands, nothing is half done,
and the journal agrees with the catalog afterwards."""

import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from catalog import clock
from catalog import database as module
from catalog.changes import AddKnown
from catalog.errors import CatalogError, DatabaseUnavailable
from catalog.values import EntryPath
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.test_rebuild import differences, dump_of, rebuilt
from tools.run.mariadb import PrivateMariaDB

pytestmark = pytest.mark.anyio

T = TypeVar("T")


@dataclass
class Killer:
    """Counts the driver's calls of the transactions under test; kills the server before or after the one that is aimed
    at, and has it started again at once, as systemd would."""

    server: PrivateMariaDB
    calls: int = 0
    aim: tuple[int, str] | None = None

    async def translated(self, whole: Callable[[Awaitable[T]], Awaitable[T]], awaitable: Awaitable[T]) -> T:
        number, self.calls = self.calls, self.calls + 1
        if self.aim == (number, "before"):
            self._kill()
        result = await whole(awaitable)
        if self.aim == (number, "after"):
            self._kill()
        return result

    def _kill(self) -> None:
        # A child ends with the thread that started it, so it is started from this one.
        self.server.kill()
        self.server.start()


@pytest.fixture
async def world(own_mariadb: PrivateMariaDB, quick_folder: Path) -> AsyncIterator[World]:
    folder = quick_folder / "killed-world"
    folder.mkdir()
    made = await World.make(own_mariadb, folder)
    yield made
    await made.close()
    shutil.rmtree(folder)


@pytest.fixture
def killer(own_mariadb: PrivateMariaDB, monkeypatch: pytest.MonkeyPatch) -> Killer:
    made, whole = Killer(own_mariadb), module._translated
    monkeypatch.setattr(module, "_translated", lambda awaitable: made.translated(whole, awaitable))
    return made


async def everywhere(laptop: Computer, phone: Computer) -> list[set[str]]:
    return [set(await laptop.ids()), set(await phone.ids())]


async def test_the_server_killed_at_every_statement_of_a_commit(
    world: World, killer: Killer, scale: Callable[[int, int], int]
) -> None:
    scope = await world.sign_in("maple")
    laptop = await Computer.make(world, scope, "laptop")
    staged = await laptop.send([b"%d" % number for number in range(400)])
    assert len(staged) == 400

    async def commit(number: int) -> None:
        """Two files in a new folder, whose bytes are there already: one transaction."""
        await scope.manifests.commit(
            laptop.device_id,
            [
                AddKnown(EntryPath.parse(path), blob.digest, blob.size_bytes)
                for path, blob in zip((f"{number}/a", f"{number}/b"), staged[2 * number :], strict=False)
            ],
        )

    killer.calls = 0
    await commit(0)
    statements = killer.calls
    assert statements > 8
    aims = list(itertools.product(range(statements), ("before", "after")))
    answered = 0
    for number, aim in enumerate(aims[:: scale(max(1, len(aims) // 7), 1)], start=1):
        killer.calls, killer.aim = 0, aim
        was_answered = False
        with suppress(DatabaseUnavailable):
            await commit(number)
            was_answered = True
        killer.aim = None
        there = set(await laptop.ids())
        mine = {f"{number}", f"{number}/a", f"{number}/b"}
        assert there & mine in (set(), mine), (aim, "half done")
        assert not was_answered or mine <= there, (aim, "answered and lost")
        answered += was_answered
        assert await differences(world.settings) == [], aim
    assert answered, "a server that comes back at once is waited for"
    before = await dump_of(world.settings)
    settings, _, code = await rebuilt(world)
    assert code == 0
    assert [line for line in await dump_of(settings) if line.startswith("entry")] == [
        line for line in before if line.startswith("entry")
    ]


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("is_new", [True, False])
async def test_a_bundle_whose_commit_has_no_answer_is_answered_as_it_stands(
    world: World, own_mariadb: PrivateMariaDB, monkeypatch: pytest.MonkeyPatch, *, is_new: bool, is_committed: bool
) -> None:
    """Where names change their manifest tells whether it was committed; where none does, the pack's own row."""
    laptop = await Computer.make(world, await world.sign_in("willow"), "laptop")
    old, new = {"a": b"aaa", "b": b"bbb"}, {"c": b"ccc", "d": b"ddd"}
    assert (await laptop.bundle(old)).added == 2
    whole = module._translated
    killed: list[object] = []

    async def killing(awaitable: Awaitable[T]) -> T:
        """The server dies at the first COMMIT, before it or with the answer on its way."""
        if getattr(awaitable, "__name__", "") != "commit" or killed:
            return await whole(awaitable)
        killed.append(awaitable)
        if is_committed:
            await whole(awaitable)
        own_mariadb.kill()
        own_mariadb.start()
        if is_committed:
            raise module.Retry("the server went away before it answered")
        return await whole(awaitable)

    monkeypatch.setattr(module, "_translated", killing)
    result = await laptop.bundle(new if is_new else old)
    assert killed
    assert (result.added, result.unchanged) == ((2, 0) if is_new else (0, 2))
    assert (await laptop.ids()).keys() == (old | new if is_new else old).keys()
    assert await world.catalog.system.unfinished_packs(10) == []
    assert await differences(world.settings) == []


async def test_a_delete_on_two_devices_under_kills_is_on_both_or_on_neither(
    world: World, killer: Killer, scale: Callable[[int, int], int]
) -> None:
    scope = await world.sign_in("spruce")
    laptop, phone = await Computer.make(world, scope, "laptop"), await Computer.make(world, scope, "phone")
    await laptop.put_packed({f"{number}": b"l%d" % number for number in range(120)})
    await phone.put_packed({f"{number}": b"p%d" % number for number in range(120)})
    ids = [await laptop.ids(), await phone.ids()]
    killer.calls = 0
    await scope.entries.delete([found["0"] for found in ids])
    aims = list(itertools.product(range(killer.calls), ("before", "after")))
    for number, aim in enumerate(aims[:: scale(max(1, len(aims) // 5), 1)], start=1):
        killer.calls, killer.aim = 0, aim
        was_answered = False
        with suppress(CatalogError):
            await scope.entries.delete([found[str(number)] for found in ids])
            was_answered = True
        killer.aim = None
        left = [str(number) in names for names in await everywhere(laptop, phone)]
        assert left in ([True, True], [False, False]), (aim, "half done")
        assert not was_answered or left == [False, False], (aim, "answered and lost")
        assert await differences(world.settings) == [], aim


async def test_clocks_that_jump_leave_the_order_of_changes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    laptop = await Computer.make(world, await world.sign_in("ash"), "laptop")
    real = datetime.now(UTC)
    for number, jump in enumerate((0, -3600, 86_400 * 3650, -86_400 * 3650, 5, 0)):
        monkeypatch.setattr(clock, "now", lambda jump=jump: datetime.now(UTC) + timedelta(seconds=jump))
        done = await laptop.put({"same.txt": b"%d" % number, f"{number}.txt": b"x%d" % number})
        assert done.manifest is not None
    monkeypatch.undo()
    history = (await laptop.scope.manifests.page(laptop.device_id)).items
    moments = [manifest.at for manifest in reversed(history)]
    assert moments == sorted(set(moments))
    assert moments[2] > real + timedelta(days=3600)
    assert await differences(world.settings) == []
    before = await dump_of(world.settings)
    settings, _, code = await rebuilt(world)
    assert code == 0
    assert await dump_of(settings) == before
