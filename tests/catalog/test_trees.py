"""Whole folders in pages: order, moments, and that every page size gives the same, while others commit."""

import random
from datetime import UTC, datetime

import pytest

from catalog import cursors
from catalog.catalog import Catalog
from catalog.changes import AddDirectory, AddLink, PathChange
from catalog.database import Row, Transaction
from catalog.errors import BadCursor, BadRequest, NotFound
from catalog.trees import FOLDERS_AHEAD_MAX, PAGE_MAX, ROWS_AT_ONCE_MIN, TreeEntry
from catalog.values import Area, DeviceKind, EntryKind, EntryPath
from tests.catalog.conftest import Uploader, sign_in

pytestmark = pytest.mark.anyio


async def whole(laptop: Uploader, path: str = "", at: datetime | None = None, limit: int = PAGE_MAX) -> list[TreeEntry]:
    found: list[TreeEntry] = []
    cursor = None
    while True:
        page = await laptop.scope.trees.page(laptop.device_id, Area.ORIGINALS, EntryPath.parse(path), at, cursor, limit)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


async def paths(laptop: Uploader, path: str = "", at: datetime | None = None, limit: int = PAGE_MAX) -> list[str]:
    return [entry.path.decode() for entry in await whole(laptop, path, at, limit)]


def in_order(names: set[str]) -> list[str]:
    """With the folders above each, by name level by level."""
    with_folders = {"/".join(name.split("/")[:n]) for name in names for n in range(1, name.count("/") + 2)}
    return sorted(with_folders, key=lambda name: [part.encode() for part in name.split("/")])


async def test_parents_come_before_children_and_folders_are_followed_by_their_content(laptop: Uploader) -> None:
    names = {"b", "a/x", "a/b/c", "a-b", "a.txt", "c/d/e/f", "é/ü"}
    await laptop.add(*((name, name.encode()) for name in sorted(names)))
    assert await paths(laptop) == in_order(names)
    assert await paths(laptop, "a") == ["a/b", "a/b/c", "a/x"]
    assert await paths(laptop, "c/d/e") == ["c/d/e/f"]


async def test_every_page_size_gives_the_same(laptop: Uploader) -> None:
    rng = random.Random(3)
    folders = [""]
    for number in range(60):
        folders.append(f"{rng.choice(folders[-20:])}d{number}/")
    names = {f"{rng.choice(folders)}f{number}" for number in range(400)}
    await laptop.add(*((name, b"") for name in sorted(names)))
    expected = in_order(names)
    assert await paths(laptop) == expected
    for limit in (1, 2, 3, 7, 50, 333, len(expected), len(expected) + 1):
        assert await paths(laptop, limit=limit) == expected


async def test_more_folders_and_larger_ones_than_are_read_at_once(laptop: Uploader) -> None:
    """Of several folders read together, those cut off by the limit go on where they were cut."""
    names = {f"many/{n:04}/{m}" for n in range(FOLDERS_AHEAD_MAX + 30) for m in "ab"}
    names |= {f"{letter}/{n:04}" for letter in "xyz" for n in range(ROWS_AT_ONCE_MIN + 20)}
    await laptop.add(*((name, b"") for name in sorted(names)))
    expected = in_order(names)
    for limit in (PAGE_MAX, 300, 100):
        assert await paths(laptop, limit=limit) == expected


async def test_a_moment_is_a_moment(laptop: Uploader) -> None:
    before = datetime.now(UTC)
    first = await laptop.add(("a/one", b"1"), ("a/two", b"2"), ("gone/x", b"x"))
    assert first.manifest is not None
    (gone,) = [e for e in await whole(laptop) if e.path == b"gone"]
    await laptop.scope.entries.delete([gone.id])
    changed = await laptop.add(("a/one", b"one"), ("b", b"b"))
    assert changed.manifest is not None
    assert await paths(laptop) == ["a", "a/one", "a/two", "b"]
    assert await paths(laptop, at=first.manifest.at) == ["a", "a/one", "a/two", "gone", "gone/x"]
    assert await paths(laptop, at=changed.manifest.at) == await paths(laptop)
    assert await paths(laptop, at=before) == []
    sizes = {e.path: e.size_bytes for e in await whole(laptop, at=first.manifest.at) if e.kind is EntryKind.FILE}
    assert sizes[b"a/one"] == 1
    with pytest.raises(NotFound):
        await paths(laptop, "gone")
    assert await paths(laptop, "gone", at=first.manifest.at) == ["gone/x"]


async def test_the_first_page_fixes_the_moment(laptop: Uploader) -> None:
    await laptop.add(("a", b"1"), ("b/c", b"2"), ("d", b"3"))
    device, area, root = laptop.device_id, Area.ORIGINALS, EntryPath(())
    first = await laptop.scope.trees.page(device, area, root, limit=1)
    await laptop.scope.entries.delete([e.id for e in await whole(laptop) if e.path in {b"b", b"d"}])
    await laptop.add(("aa", b"new"), ("b/later", b"new"))
    rest = []
    cursor = first.next
    while cursor is not None:
        page = await laptop.scope.trees.page(device, area, root, cursor=cursor, limit=1)
        rest += [entry.path for entry in page.items]
        cursor = page.next
    assert [entry.path for entry in first.items] + rest == [b"a", b"b", b"b/c", b"d"]


async def test_what_an_entry_says(laptop: Uploader) -> None:
    changes: list[PathChange] = [
        AddDirectory(EntryPath.parse("empty"), 1_000_000_001, 0o750),
        AddLink(EntryPath.parse_bytes(b"l\xff"), b"../t\xfe", 5),
    ]
    await laptop.scope.manifests.commit(laptop.device_id, changes)
    await laptop.add(("z", b"content"), mtime_ns=1_234_567_890_123_456_789)
    folder, link, file = await whole(laptop)
    assert (folder.kind, folder.mode, folder.mtime_ns, folder.digest) == (
        EntryKind.DIRECTORY, 0o750, 1_000_000_001, None,
    )  # fmt: skip
    assert (link.kind, link.path, link.link_target) == (EntryKind.LINK, b"l\xff", b"../t\xfe")
    assert (file.size_bytes, file.mtime_ns) == (7, 1_234_567_890_123_456_789)
    assert file.digest is not None


async def test_cursors_are_checked_and_reach_nothing_of_others(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a/b", b"1"), ("c", b"2"))
    stranger = await sign_in(catalog, "stranger")
    theirs = Uploader(stranger, (await stranger.devices.create("phone", DeviceKind.PHONE, [])).id)
    # Ids count per tenant: the stranger's own folders have the ids that a cursor of the laptop's may name.
    await theirs.add(*((f"secret{n}/x", b"") for n in range(30)))
    other = Uploader(laptop.scope, (await laptop.scope.devices.create("other", DeviceKind.LAPTOP, [])).id)
    await other.add(("o/p", b"3"))
    (folder, *_) = await whole(other)
    seen = set()
    for node in range(folder.id + 40):
        forged = cursors.encode(2**40, node, "")
        try:
            page = await laptop.scope.trees.page(laptop.device_id, Area.ORIGINALS, EntryPath(()), cursor=forged)
        except BadCursor:
            continue
        seen |= {entry.path for entry in page.items}
    assert seen == {b"a", b"a/b", b"c"}
    for bad in ("x", cursors.encode(1, 2), cursors.encode(1, 2, "zz"), cursors.encode("1", 2, "")):
        with pytest.raises(BadCursor):
            await laptop.scope.trees.page(laptop.device_id, Area.ORIGINALS, EntryPath(()), cursor=bad)


async def test_limits_and_what_is_not_there(laptop: Uploader) -> None:
    for limit in (0, PAGE_MAX + 1):
        with pytest.raises(BadRequest):
            await whole(laptop, limit=limit)
    with pytest.raises(NotFound):
        await paths(laptop, "nowhere")
    with pytest.raises(NotFound):
        await whole(Uploader(laptop.scope, 999_999))


async def test_no_statement_sorts_or_scans(catalog: Catalog, laptop: Uploader) -> None:
    """Every statement over entries goes along an index in the order that is wanted."""
    await laptop.add(*((f"d{n}/f{m}", b"") for n in range(20) for m in range(20)))
    statements: list[tuple[str, object]] = []

    fetch_all = Transaction.fetch_all

    async def noted(self: Transaction, sql: str, params: tuple[object, ...] = ()) -> list[Row]:
        statements.append((sql, params))
        return await fetch_all(self, sql, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "fetch_all", noted)
        await whole(laptop, limit=150)
    over_entries = [(sql, params) for sql, params in statements if "FROM entry" in sql]
    assert len(over_entries) > 4
    async with laptop.scope._scope.database.reading() as tx:
        for sql, params in over_entries:
            plan = await tx.fetch_all("EXPLAIN " + sql, params)  # type: ignore[arg-type]
            for row in plan:
                assert row[3] in {"range", "ref", "eq_ref", "const"}, plan
                assert "filesort" not in (row[9] or ""), plan
