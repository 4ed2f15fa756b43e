"""Exports: what a selection and a folder lay down, in which order, and for whom."""

from datetime import UTC, datetime

import pytest

from catalog.catalog import Catalog
from catalog.errors import BadPath, BadRequest, NotFound, Purged
from catalog.export_values import Directory, Terms
from catalog.values import Actor, Area, Entry, EntryPath, Export
from tests.catalog.conftest import Uploader, sign_in
from web.threads import Workers
from web.zip_layout import ZipPlanner

pytestmark = pytest.mark.anyio

WORKERS = Workers(1, "zip")


def plan(name: str, at: datetime | None = None, part_bytes_max: int | None = None) -> tuple[Terms, ZipPlanner]:
    """Terms and a planner for one export."""
    return Terms(name, "UTC", at, part_bytes_max), ZipPlanner(UTC, WORKERS, part_bytes_max)


def folder(laptop: Uploader, path: str = "") -> Directory:
    return Directory(laptop.device_id, Area.ORIGINALS, EntryPath.parse(path))


async def names(laptop: Uploader, made: Export, part: int = 1) -> list[str]:
    return [member.name.decode() for member in await laptop.scope.exports.members(made.id, part)]


async def test_a_folder_with_all_that_is_in_it(laptop: Uploader) -> None:
    await laptop.add(("a/x.txt", b"1"), ("a/b/y.txt", b"22"), ("a/b/c/z.txt", b"333"), ("other.txt", b"4444"))
    made = await laptop.scope.exports.create_of_directory(folder(laptop, "a"), *plan("a"))
    members = await laptop.scope.exports.members(made.id)
    assert [str(m.chosen.path) for m in members] == ["b", "x.txt", "b/c", "b/y.txt", "b/c/z.txt"]
    assert (made.member_count, made.content_bytes, made.part_count) == (5, 6, 1)
    (part,) = await laptop.scope.exports.parts(made.id)
    assert part.size_bytes == made.size_bytes > 6
    assert await names(laptop, made) == ["b/", "x.txt", "b/c/", "b/y.txt", "b/c/z.txt"]


async def test_a_selection_and_its_pages(laptop: Uploader) -> None:
    done = await laptop.add(*((f"d/f{i:02}.txt", b"%d" % i) for i in range(9)), ("top.txt", b"t"))
    made = await laptop.scope.exports.create(done.entry_ids, *plan("choice"))
    seen = []
    after = -1
    while page := await laptop.scope.exports.members(made.id, after=after, limit=3):
        seen += [str(m.chosen.path) for m in page]
        after = page[-1].position
    assert seen == [f"f{i:02}.txt" for i in range(9)] + ["top.txt"]


async def test_a_large_folder_comes_in_order_without_gaps(laptop: Uploader) -> None:
    await laptop.add(*((f"many/f{i:05}.txt", b"same") for i in range(4_500)))
    made = await laptop.scope.exports.create_of_directory(folder(laptop), *plan("all"))
    assert made.member_count == 4_501
    members = await laptop.scope.exports.members(made.id, after=0, limit=4_500)
    assert [str(m.chosen.path) for m in members] == [f"many/f{i:05}.txt" for i in range(4_500)]


async def test_the_plan_names_the_content(laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    first = await laptop.scope.exports.create(done.entry_ids, *plan("x"))
    again = await laptop.scope.exports.create(done.entry_ids, *plan("x"))
    assert first.etag == again.etag
    changed = await laptop.add(("a.txt", b"2"))
    assert (await laptop.scope.exports.create(changed.entry_ids, *plan("x"))).etag != first.etag


async def test_what_was_deleted_or_never_was_cannot_be_exported(laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    await laptop.scope.entries.delete(done.entry_ids)
    with pytest.raises(NotFound):
        await laptop.scope.exports.create(done.entry_ids, *plan("x"))
    with pytest.raises(NotFound):
        await laptop.scope.exports.create([99_999], *plan("x"))
    with pytest.raises(BadRequest):
        await laptop.scope.exports.create([], *plan("x"))
    for bad in ("a/b", "x\ny"):
        with pytest.raises(BadPath):
            await laptop.scope.exports.create_of_directory(folder(laptop), *plan(bad))


async def test_another_tenants_export_is_not_found(catalog: Catalog, laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    made = await laptop.scope.exports.create(done.entry_ids, *plan("x"))
    other = await sign_in(catalog, f"other-of-{laptop.scope.tenant.billing_client}")
    with pytest.raises(NotFound):
        await other.exports.get(made.id)
    assert await other.exports.members(made.id) == []


async def test_a_device_token_sees_the_exports_made_with_it(catalog: Catalog, laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    by_person = await laptop.scope.exports.create(done.entry_ids, *plan("x"))
    _, token = await laptop.scope.devices.create_token(laptop.device_id, "t")
    view = await catalog.system.sessions.device_token(token)
    narrow = catalog.tenant(view.tenant, Actor("device", "laptop"), view.device_id)
    with pytest.raises(NotFound):
        await narrow.exports.get(by_person.id)
    own = await narrow.exports.create(done.entry_ids, *plan("y"))
    assert (await narrow.exports.get(own.id)).name == "y"


async def test_as_of_a_moment_and_only_what_is_new_since(laptop: Uploader) -> None:
    await laptop.add(("d/a.txt", b"1"), ("d/b.txt", b"2"))
    before = await laptop.scope.exports.create_of_directory(folder(laptop), *plan("all"))
    (manifest, *_) = (await laptop.scope.manifests.page(laptop.device_id)).items
    done = await laptop.add(("d/a.txt", b"changed"), ("d/c.txt", b"3"))
    (gone,) = [e for e in await entries_of(laptop, "d") if e.name == b"b.txt"]
    await laptop.scope.entries.delete([gone.id])
    then = await laptop.scope.exports.create_of_directory(folder(laptop), *plan("then", manifest.at))
    assert await names(laptop, then) == await names(laptop, before) == ["d/", "d/a.txt", "d/b.txt"]
    assert (then.etag, then.at) == (before.etag, manifest.at)
    new = await laptop.scope.exports.create_since(before.id, *plan("new"))
    assert await names(laptop, new) == ["d/a.txt", "d/c.txt"]
    assert (new.since, new.since_name) == (before.id, "all")
    again = await laptop.scope.exports.create_again(new.id, *plan("again"))
    assert await names(laptop, again) == ["d/", "d/a.txt", "d/c.txt"]
    with pytest.raises(NotFound):
        await laptop.scope.exports.create([done.entry_ids[1]], *plan("x", manifest.at))
    replaced = await laptop.scope.entries.versions(done.entry_ids[0])
    old = await laptop.scope.exports.create([replaced[-1].id], *plan("x", manifest.at))
    assert await names(laptop, old) == ["a.txt"]


async def test_a_selection_since_follows_its_files_through_versions(laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"), ("d/b.txt", b"2"))
    (root,) = [e for e in await entries_of(laptop, "") if e.name == b"d"]
    first = await laptop.scope.exports.create([done.entry_ids[0], root.id], *plan("x"))
    nothing = await laptop.scope.exports.create_since(first.id, *plan("nothing"))
    assert (nothing.member_count, await names(laptop, nothing)) == (0, [])
    await laptop.add(("a.txt", b"new"), ("d/c.txt", b"3"), ("elsewhere.txt", b"4"))
    assert await names(laptop, await laptop.scope.exports.create_since(first.id, *plan("y"))) == ["a.txt", "d/c.txt"]


async def test_what_is_committed_while_an_export_is_made_does_not_show(laptop: Uploader) -> None:
    await laptop.add(*((f"d/{i:04}.txt", b"same") for i in range(30)))
    terms, planner = plan("all")

    class Meddling(ZipPlanner):
        async def place(self, chosen):  # type: ignore[no-untyped-def]
            await laptop.add(("d/0000x.txt", b"late"), ("d/0001.txt", b"late"))
            return await planner.place(chosen)

        def finish(self):  # type: ignore[no-untyped-def]
            return planner.finish()

    made = await laptop.scope.exports.create_of_directory(folder(laptop), terms, Meddling(UTC, WORKERS))
    assert await names(laptop, made) == ["d/", *(f"d/{i:04}.txt" for i in range(30))]


async def test_an_export_that_fails_leaves_nothing(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"))

    class Failing(ZipPlanner):
        async def place(self, chosen):  # type: ignore[no-untyped-def]
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        await laptop.scope.exports.create_of_directory(folder(laptop), Terms("x", "UTC"), Failing(UTC, WORKERS))
    assert (await laptop.scope.exports.page()).items == []
    async with laptop.scope._scope.database.reading() as tx:
        assert await tx.fetch_all("SELECT 1 FROM export WHERE tenant_id = %s", (laptop.scope.tenant.id,)) == []


async def test_parts_are_short_enough_and_hold_everything(laptop: Uploader) -> None:
    big = b"x" * (600 << 10)
    await laptop.add(
        *((f"f{i}.bin", big + bytes([i])) for i in range(5)), ("huge.bin", bytes(3 << 20)), ("s.txt", b"s")
    )
    made = await laptop.scope.exports.create_of_directory(folder(laptop), *plan("all", None, 2 << 20))
    parts = await laptop.scope.exports.parts(made.id)
    found = [name for part in parts for name in await names(laptop, made, part.number)]
    assert found == [*(f"f{i}.bin" for i in range(5)), "huge.bin", "s.txt"]
    assert [part.size_bytes <= 2 << 20 for part in parts] == [True, True, False, True]
    assert [part.list_name for part in parts] == [b"B3SUMS", b"B3SUMS (2)", b"B3SUMS (3)", b"B3SUMS (4)"]
    with pytest.raises(NotFound):
        await laptop.scope.exports.part(made.id, 5)
    with pytest.raises(BadRequest):
        await laptop.scope.exports.create_of_directory(folder(laptop), *plan("all", None, 1000))


async def test_the_member_at_any_byte_is_found(laptop: Uploader) -> None:
    await laptop.add(*((f"{i}.txt", b"x" * i) for i in range(40)))
    made = await laptop.scope.exports.create_of_directory(folder(laptop), *plan("all"))
    (part,) = await laptop.scope.exports.parts(made.id)
    members = await laptop.scope.exports.members(made.id)
    for section in ("offset", "listed_at", "central_at"):
        for member in members:
            at = getattr(member, section)
            assert await laptop.scope.exports.position_at(made.id, part, section, at) == member.position
            assert await laptop.scope.exports.position_at(made.id, part, section, at + 1) == member.position


async def test_exports_are_listed_newest_first_and_can_be_removed(laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"))
    made = [await laptop.scope.exports.create(done.entry_ids, *plan(name)) for name in ("one", "two", "three")]
    page = await laptop.scope.exports.page(limit=2)
    assert [e.name for e in page.items] == ["three", "two"]
    assert [e.name for e in (await laptop.scope.exports.page(page.next)).items] == ["one"]
    await laptop.scope.exports.remove(made[1].id)
    assert [e.name for e in (await laptop.scope.exports.page()).items] == ["three", "one"]
    with pytest.raises(NotFound):
        await laptop.scope.exports.remove(made[1].id)


async def test_what_was_purged_is_named(laptop: Uploader) -> None:
    done = await laptop.add(("a.txt", b"1"), ("b.txt", b"2"))
    made = await laptop.scope.exports.create(done.entry_ids, *plan("both"))
    assert await laptop.scope.exports.purged(made.id) == []
    await laptop.scope.purge.entries([done.entry_ids[0]])
    assert await laptop.scope.exports.purged(made.id) == ["a.txt"]
    with pytest.raises(Purged):
        await laptop.scope.exports.members(made.id)
    again = await laptop.scope.exports.create_again(made.id, *plan("again"))
    assert await names(laptop, again) == ["b.txt"]


async def entries_of(laptop: Uploader, path: str) -> list[Entry]:
    return (await laptop.scope.entries.page(laptop.device_id, Area.ORIGINALS, EntryPath.parse(path))).items
