"""A pack whose commit was cut off goes while the server runs, unless it was committed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import cast

import pytest

from catalog.changes import AddKnown, PathChange
from catalog.errors import ClaimLost, DatabaseUnavailable
from catalog.packs import NewPack
from catalog.values import EntryPath
from tests.shared.worlds import Computer, World
from tools.run.mariadb import PrivateMariaDB
from web.batches import store_pack
from web.state import Services
from web.threads import Workers
from web.unsettled import UnsettledPacks

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def world(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await World.make(mariadb, tmp_path_factory.mktemp("unsettled"))
    yield made
    await made.close()


@pytest.fixture(scope="module")
async def laptop(world: World) -> Computer:
    return await Computer.make(world, await world.sign_in("maple"), "laptop")


@pytest.fixture
def unsettled(held: Services) -> UnsettledPacks:
    return held.unsettled


@pytest.fixture
async def held(world: World) -> AsyncIterator[Services]:
    """What storing a pack needs of the app's services."""
    writers = Workers(1, "write")
    packs = UnsettledPacks(world.store, world.catalog.system, writers)
    yield cast("Services", SimpleNamespace(store=world.store, writers=writers, unsettled=packs))
    writers.close()


class Storing:
    """A pack of one blob, stored as a request does it; then the database is lost, before its commit or after it."""

    def __init__(self, held: Services, laptop: Computer, content: bytes) -> None:
        self._held = held
        self._laptop = laptop
        self._content = content
        self.pack_id = ""

    async def store(self, *, is_committed: bool) -> None:
        with self._held.store.pack() as pack:
            blob = pack.add(self._content)
            staged = pack.finish()
        self.pack_id = staged.pack_id
        beginning = asyncio.create_task(self._laptop.scope.blobs.begin_pack(staged.pack_id))
        change = AddKnown(EntryPath((self._content,)), blob.digest, blob.size_bytes)

        async def keep(new: NewPack | None) -> None:
            if is_committed:
                await self.commit(new, [change])
            raise DatabaseUnavailable("It was lost, for a test's sake.")

        with suppress(DatabaseUnavailable):
            await store_pack(self._held, self._laptop.scope, staged, beginning, keep)

    async def commit(self, pack: NewPack | None, changes: list[PathChange]) -> None:
        await self._laptop.scope.manifests.commit(self._laptop.device_id, changes, pack=pack)

    def has_file(self, world: World) -> bool:
        return (world.settings.storage_root / "packs" / self.pack_id[:2] / f"{self.pack_id}.pack").exists()


async def test_what_was_not_committed_goes_with_its_row(
    held: Services, unsettled: UnsettledPacks, world: World, laptop: Computer
) -> None:
    lost = Storing(held, laptop, b"lost")
    await lost.store(is_committed=False)
    assert lost.has_file(world)
    assert await unsettled.settle() == 1
    assert not lost.has_file(world)
    assert await world.catalog.system.known_packs([lost.pack_id]) == set()
    assert await unsettled.settle() == 0


async def test_what_was_committed_stays(
    held: Services, unsettled: UnsettledPacks, world: World, laptop: Computer
) -> None:
    kept = Storing(held, laptop, b"kept")
    await kept.store(is_committed=True)
    assert await unsettled.settle() == 0
    assert kept.has_file(world)
    assert "kept" in await laptop.ids()


async def test_what_was_given_up_cannot_be_committed_any_more(held: Services, world: World, laptop: Computer) -> None:
    late = Storing(held, laptop, b"late")
    await late.store(is_committed=False)
    assert await world.catalog.system.give_up_pack(late.pack_id)
    (blob,) = world.store.read_index(late.pack_id)
    new = NewPack(late.pack_id, blob.stored_bytes, (blob,))
    with pytest.raises(ClaimLost):
        await late.commit(new, [AddKnown(EntryPath((b"late",)), blob.digest, blob.size_bytes)])


async def test_what_cannot_be_looked_up_now_waits(
    held: Services, unsettled: UnsettledPacks, world: World, laptop: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Storing(held, laptop, b"lost again")
    await lost.store(is_committed=False)

    async def away(_pack_id: str) -> bool:
        raise DatabaseUnavailable("It is away, for a test's sake.")

    with monkeypatch.context() as patched:
        patched.setattr(world.catalog.system, "give_up_pack", away)
        with pytest.raises(DatabaseUnavailable):
            await unsettled.settle()
    assert lost.has_file(world)
    assert await unsettled.settle() == 1
