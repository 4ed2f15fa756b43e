"""Devices: their names, source directories, tokens, and that only empty ones go."""

import asyncio

import pytest

from catalog.catalog import Catalog
from catalog.errors import BadRequest, NameTaken, NotAllowed, NotEmpty, NotFound, TooMany
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, DeviceKind, EntryPath
from tests.catalog.conftest import Uploader

pytestmark = pytest.mark.anyio


async def test_create_change_and_list(scope: TenantScope) -> None:
    made = await scope.devices.create(" laptop ", DeviceKind.LAPTOP, ["/home/a", "", "/home/a", " /home/b "])
    assert (made.name, made.source_directories) == ("laptop", ["/home/a", "/home/b"])
    changed = await scope.devices.update(made.id, name="workhorse", source_directories=["C:\\Users"])
    assert (changed.name, changed.kind, changed.source_directories) == ("workhorse", DeviceKind.LAPTOP, ["C:\\Users"])
    assert await scope.devices.all() == [changed]


async def test_names_are_unique_whatever_their_case_even_in_parallel(scope: TenantScope) -> None:
    done = await asyncio.gather(
        *(scope.devices.create(name, DeviceKind.PHONE) for name in ("phone", "Phone", "PHONE")), return_exceptions=True
    )
    assert sum(isinstance(result, NameTaken) for result in done) == 2


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\tb", "a\x00b", "\u202eabc"])
async def test_bad_names(scope: TenantScope, name: str) -> None:
    with pytest.raises(BadRequest):
        await scope.devices.create(name, DeviceKind.OTHER)


async def test_bad_source_directories(scope: TenantScope) -> None:
    with pytest.raises(TooMany):
        await scope.devices.create("a", DeviceKind.OTHER, [f"/{i}" for i in range(101)])
    with pytest.raises(BadRequest):
        await scope.devices.create("a", DeviceKind.OTHER, ["/x\ny"])
    assert await scope.devices.all() == []


async def test_only_an_empty_device_goes_and_its_name_is_free_again(laptop: Uploader) -> None:
    scope = laptop.scope
    await laptop.add(("a.txt", b"1"))
    with pytest.raises(NotEmpty):
        await scope.devices.remove(laptop.device_id)
    page = await scope.entries.page(laptop.device_id, Area.ORIGINALS, EntryPath(()))
    await scope.entries.delete([page.items[0].id])
    with pytest.raises(NotEmpty, match="recovered"):
        await scope.devices.remove(laptop.device_id)
    empty = await scope.devices.create("spare", DeviceKind.TABLET)
    _, token = await scope.devices.create_token(empty.id, "t")
    await scope.devices.remove(empty.id)
    with pytest.raises(NotFound):
        await scope.devices.get(empty.id)
    with pytest.raises(NotFound):
        await scope.entries.page(empty.id, Area.ORIGINALS, EntryPath(()))
    assert token
    again = await scope.devices.create("spare", DeviceKind.TABLET)
    assert again.id != empty.id


async def test_a_device_token_may_not_manage_devices(catalog: Catalog, laptop: Uploader) -> None:
    _, token = await laptop.scope.devices.create_token(laptop.device_id, "t")
    view = await catalog.system.sessions.device_token(token)
    narrow = catalog.tenant(view.tenant, Actor("device", "laptop"), view.device_id)
    attempts = [
        narrow.devices.create("x", DeviceKind.OTHER),
        narrow.devices.update(laptop.device_id, name="x"),
        narrow.devices.remove(laptop.device_id),
        narrow.devices.tokens(laptop.device_id),
        narrow.devices.create_token(laptop.device_id, "more"),
        narrow.devices.revoke_token(laptop.device_id, 1),
    ]
    for attempt in attempts:
        with pytest.raises(NotAllowed):
            await attempt
    assert [device.id for device in await narrow.devices.all()] == [laptop.device_id]


async def test_token_limit_and_label(laptop: Uploader) -> None:
    with pytest.raises(BadRequest):
        await laptop.scope.devices.create_token(laptop.device_id, "x" * 101)
    for _ in range(50):
        await laptop.scope.devices.create_token(laptop.device_id, "")
    with pytest.raises(TooMany):
        await laptop.scope.devices.create_token(laptop.device_id, "")
    assert len(await laptop.scope.devices.tokens(laptop.device_id)) == 50


async def test_an_unknown_device(scope: TenantScope) -> None:
    for attempt in (
        scope.devices.get(99),
        scope.devices.update(99, name="x"),
        scope.devices.remove(99),
        scope.devices.tokens(99),
        scope.devices.create_token(99, "x"),
        scope.manifests.page(99),
    ):
        with pytest.raises(NotFound):
            await attempt
