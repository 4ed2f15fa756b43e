"""Moving entries, making folders, and bringing back a version: what they leave, and what they refuse."""

import pytest

from catalog.errors import BadPath, Conflict, NameTaken, NotFound, QuotaExceeded
from catalog.tenant import TenantScope
from catalog.values import PATH_LEVELS_MAX, Actor, Area, DeviceKind, EntryKind, EntryPath, Removal
from tests.catalog.conftest import Uploader

pytestmark = pytest.mark.anyio


def at(path: str) -> EntryPath:
    return EntryPath.parse(path)


async def id_at(laptop: Uploader, path: str) -> int:
    return (await laptop.scope.entries.by_path(laptop.device_id, Area.ORIGINALS, at(path))).id


async def test_a_file_moves_with_its_versions(laptop: Uploader) -> None:
    await laptop.add(("in/a.txt", b"one"))
    await laptop.add(("in/a.txt", b"two"))
    before = (await laptop.scope.usage()).used_bytes
    (moved,) = await laptop.scope.entries.move([await id_at(laptop, "in/a.txt")], at("new/deep"))
    assert str(moved.path) == "new/deep/a.txt"
    assert (await laptop.names("in"), await laptop.names("new/deep")) == ([], ["a.txt"])
    versions = await laptop.scope.entries.versions(moved.id)
    assert [version.removal for version in versions] == [None, Removal.RENAMED, Removal.REPLACED]
    assert (await laptop.scope.usage()).used_bytes == before
    assert (await laptop.scope.devices.get(laptop.device_id)).file_count == 1


async def test_a_folder_moves_as_one_row_with_all_that_is_in_it(laptop: Uploader) -> None:
    await laptop.add(("a/b/c/x.txt", b"x"), ("a/b/y.txt", b"y"), ("z/keep", b"k"))
    (manifest,) = [(await laptop.scope.manifests.page(laptop.device_id)).items[0].sequence]
    (moved,) = await laptop.scope.entries.move([await id_at(laptop, "a/b")], at("z"))
    last = (await laptop.scope.manifests.page(laptop.device_id)).items[0]
    assert (last.sequence, last.added, last.removed) == (manifest + 1, 1, 1)
    assert await laptop.names("z/b") == ["c", "y.txt"]
    assert str((await laptop.scope.entries.get(await id_at(laptop, "z/b/c/x.txt"))).path) == "z/b/c/x.txt"
    assert moved.kind is EntryKind.DIRECTORY
    assert (await laptop.scope.entries.move([moved.id], EntryPath(())))[0].path == at("b")


async def test_what_cannot_be_moved_stays(laptop: Uploader) -> None:
    await laptop.add(("a/b/x.txt", b"x"), ("c/x.txt", b"other"), ("file", b"f"))
    a, x, file = await id_at(laptop, "a"), await id_at(laptop, "a/b/x.txt"), await id_at(laptop, "file")
    for ids, target, error in (
        ([a], "a/b/new", Conflict),
        ([a], "a", Conflict),
        ([file, x], "c", NameTaken),
        ([x], "file/under", Conflict),
        ([x, 77_777], "c", NotFound),
    ):
        with pytest.raises(error):
            await laptop.scope.entries.move(ids, at(target))
    assert await laptop.names() == ["a", "c", "file"]
    assert await laptop.names("a/b") == ["x.txt"]
    (same,) = await laptop.scope.entries.move([x], at("a/b"))
    assert same.id == x


async def test_a_move_never_makes_a_path_too_long(laptop: Uploader) -> None:
    deep = "/".join(["d"] * (PATH_LEVELS_MAX - 4))
    await laptop.add((f"{deep}/x", b"x"), ("tree/1/2/3/y", b"y"))
    with pytest.raises(BadPath):
        await laptop.scope.entries.move([await id_at(laptop, "tree")], at(deep))
    (moved,) = await laptop.scope.entries.move([await id_at(laptop, "tree/1/2")], at(deep))
    assert str((await laptop.scope.entries.get(await id_at(laptop, f"{deep}/2/3/y"))).path) == f"{deep}/2/3/y"
    assert len(moved.path.names) == PATH_LEVELS_MAX - 3
    long = "/".join(["n" * 250] * 15)
    await laptop.add((f"{long}/x", b"x"), (f"wide/{'w' * 200}/{'v' * 200}", b"v"))
    with pytest.raises(BadPath):
        await laptop.scope.entries.move([await id_at(laptop, "wide")], at(long))


async def test_a_move_stays_on_its_device(laptop: Uploader) -> None:
    phone = Uploader(laptop.scope, (await laptop.scope.devices.create("phone", DeviceKind.PHONE, [])).id)
    mine = (await laptop.add(("a", b"a"))).entry_ids[0]
    theirs = (await phone.add(("b", b"b"))).entry_ids[0]
    with pytest.raises(Conflict):
        await laptop.scope.entries.move([mine, theirs], at("x"))


async def test_a_moved_folder_is_deleted_and_recovered_where_it_was_last(laptop: Uploader) -> None:
    await laptop.add(("a/b/x.txt", b"x"), ("z/keep", b"k"))
    (moved,) = await laptop.scope.entries.move([await id_at(laptop, "a/b")], at("z"))
    await laptop.scope.entries.delete([moved.id])
    assert await laptop.names("z") == ["keep"]
    await laptop.scope.entries.recover([moved.id])
    assert await laptop.names("z/b") == ["x.txt"]


async def test_a_folder_is_made_once(laptop: Uploader) -> None:
    folder = await laptop.scope.entries.create_folder(laptop.device_id, at("Photos/2026"))
    assert (folder.kind, str(folder.path)) == (EntryKind.DIRECTORY, "Photos/2026")
    with pytest.raises(NameTaken):
        await laptop.scope.entries.create_folder(laptop.device_id, at("Photos/2026"))
    await laptop.add(("notes", b"n"))
    with pytest.raises(Conflict):
        await laptop.scope.entries.create_folder(laptop.device_id, at("notes"))
    with pytest.raises(NotFound):
        await laptop.scope.entries.create_folder(77_777, at("x"))


async def test_an_old_version_comes_back_as_a_new_one(laptop: Uploader) -> None:
    first = (await laptop.add(("a.txt", b"one"), mtime_ns=5)).entry_ids[0]
    second = (await laptop.add(("a.txt", b"three"))).entry_ids[0]
    renamed = await laptop.scope.entries.rename(second, b"b")
    back = await laptop.scope.entries.revert(first)
    assert (str(back.path), back.size_bytes, back.mtime_ns, back.removal) == ("b.txt", 3, 5, None)
    assert [e.size_bytes for e in await laptop.scope.entries.versions(back.id)] == [3, 5, 5, 3]
    assert (await laptop.scope.usage()).used_bytes == 3 + 5 + 3
    assert (await laptop.scope.entries.revert(first)).id == back.id
    assert (await laptop.scope.entries.revert(renamed.id)).size_bytes == 5


async def test_a_version_of_a_deleted_file_is_not_brought_back(laptop: Uploader) -> None:
    first = (await laptop.add(("a.txt", b"one"))).entry_ids[0]
    await laptop.scope.entries.delete([(await laptop.add(("a.txt", b"two"))).entry_ids[0]])
    with pytest.raises(Conflict):
        await laptop.scope.entries.revert(first)


async def test_bringing_back_counts_in_the_quota(laptop: Uploader) -> None:
    quota = laptop.scope.tenant.quota_bytes
    first = (await laptop.add(("a.txt", b"x" * 100))).entry_ids[0]
    await laptop.add(("a.txt", b"y"))
    await _set_used(laptop.scope, quota - 50)
    with pytest.raises(QuotaExceeded):
        await laptop.scope.entries.revert(first)


async def _set_used(scope: TenantScope, used_bytes: int) -> None:
    async def work(tx: object) -> None:
        await tx.execute(  # type: ignore[attr-defined]
            "UPDATE ledger SET used_bytes = %s WHERE tenant_id = %s", (used_bytes, scope.tenant.id)
        )

    await scope._scope.database.run(work)


async def test_every_act_is_in_the_audit(laptop: Uploader) -> None:
    file = (await laptop.add(("a.txt", b"one"))).entry_ids[0]
    await laptop.add(("a.txt", b"two"))
    await laptop.scope.entries.create_folder(laptop.device_id, at("in"))
    await laptop.scope.entries.revert(file)
    await laptop.scope.entries.move([await id_at(laptop, "a.txt")], at("in"))
    events = (await laptop.scope.audit.page()).items
    assert [(e.action, e.subject) for e in events[:3]] == [
        ("move", "a.txt → /in"),
        ("revert", "a.txt"),
        ("folder", "in"),
    ]
    assert isinstance(laptop.scope.actor, Actor)
