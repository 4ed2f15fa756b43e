"""Exports: what a selection and a folder lay down, in which order, and for whom."""

import pytest

from catalog.catalog import Catalog
from catalog.errors import BadPath, BadRequest, NotFound
from catalog.values import Actor, Area, EntryPath
from tests.catalog.conftest import Uploader, sign_in

pytestmark = pytest.mark.anyio


async def test_a_folder_with_all_that_is_in_it(laptop: Uploader) -> None:
    await laptop.add(("a/x.txt", b"1"), ("a/b/y.txt", b"22"), ("a/b/c/z.txt", b"333"), ("other.txt", b"4444"))
    made = await laptop.scope.exports.create_of_directory(laptop.device_id, Area.ORIGINALS, EntryPath.parse("a"), "a")
    members = await laptop.scope.exports.members(made.id)
    assert [str(m.path) for m in members] == ["b", "x.txt", "b/c", "b/y.txt", "b/c/z.txt"]
    assert (made.member_count, made.content_bytes, made.size_bytes) == (5, 6, None)
    await laptop.scope.exports.set_size(made.id, 1234)
    assert (await laptop.scope.exports.get(made.id)).size_bytes == 1234


async def test_a_selection_and_its_pages(laptop: Uploader) -> None:
    done = await laptop.add(*((f"d/f{i:02}.txt", b"%d" % i) for i in range(9)), ("top.txt", b"t"))
    made = await laptop.scope.exports.create(done.entry_ids, "choice")
    seen = []
    after = -1
    while page := await laptop.scope.exports.members(made.id, after, limit=3):
        seen += [str(m.path) for m in page]
        after = page[-1].position
    assert seen == [f"f{i:02}.txt" for i in range(9)] + ["top.txt"]


async def test_a_large_folder_comes_in_order_without_gaps(laptop: Uploader) -> None:
    await laptop.add(*((f"many/f{i:05}.txt", b"same") for i in range(4_500)))
    made = await laptop.scope.exports.create_of_directory(laptop.device_id, Area.ORIGINALS, EntryPath(()), "all")
    assert made.member_count == 4_501
    members = await laptop.scope.exports.members(made.id, 0, limit=4_500)
    assert [str(m.path) for m in members] == [f"many/f{i:05}.txt" for i in range(4_500)]


async def test_the_plan_names_the_content(laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    first = await laptop.scope.exports.create(done.entry_ids, "x")
    again = await laptop.scope.exports.create(done.entry_ids, "x")
    assert first.etag == again.etag
    changed = await laptop.add(("a.txt", b"2"))
    assert (await laptop.scope.exports.create(changed.entry_ids, "x")).etag != first.etag


async def test_what_was_deleted_or_never_was_cannot_be_exported(laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    await laptop.scope.entries.delete(done.entry_ids)
    with pytest.raises(NotFound):
        await laptop.scope.exports.create(done.entry_ids, "x")
    with pytest.raises(NotFound):
        await laptop.scope.exports.create([99_999], "x")
    with pytest.raises(BadRequest):
        await laptop.scope.exports.create([], "x")
    for bad in ("a/b", "x\ny"):
        with pytest.raises(BadPath):
            await laptop.scope.exports.create_of_directory(laptop.device_id, Area.ORIGINALS, EntryPath(()), bad)


async def test_another_tenants_export_is_not_found(catalog: Catalog, laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    made = await laptop.scope.exports.create(done.entry_ids, "x")
    other = await sign_in(catalog, f"other-of-{laptop.scope.tenant.billing_client}")
    with pytest.raises(NotFound):
        await other.exports.get(made.id)
    assert await other.exports.members(made.id) == []


async def test_a_device_token_sees_the_exports_made_with_it(catalog: Catalog, laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    by_person = await laptop.scope.exports.create(done.entry_ids, "x")
    _, token = await laptop.scope.devices.create_token(laptop.device_id, "t")
    view = await catalog.system.sessions.device_token(token)
    narrow = catalog.tenant(view.tenant, Actor("device", "laptop"), view.device_id)
    with pytest.raises(NotFound):
        await narrow.exports.get(by_person.id)
    own = await narrow.exports.create(done.entry_ids, "y")
    assert (await narrow.exports.get(own.id)).name == "y"
