"""Folders sorted and filtered, against a plain sort; and that MariaDB walks a key for what it is asked."""

import itertools
from collections.abc import Sequence
from datetime import date

import pytest

from catalog.database import Database, Row, Transaction
from catalog.errors import BadCursor, BadRequest, IndexBehind, NotFound
from catalog.folders import FolderOrder, FolderView
from catalog.names import fold, media_kind
from catalog.search_documents import KINDS
from catalog.settings import Settings
from catalog.values import Area, DateKind, Entry, EntryKind, EntryPath, MediaKind
from tests.catalog.conftest import Uploader

pytestmark = pytest.mark.anyio

ROOT = EntryPath(())
NAMES = ["b.jpg", "a.pdf", "c.mp4", "É.jpg", "e.txt", "d.jpg", "f", "a.jpg", "z.pdf", "B2.jpg"]


async def every(laptop: Uploader, view: FolderView, path: EntryPath = ROOT, limit: int = 3) -> list[Entry]:
    found: list[Entry] = []
    cursor = None
    while True:
        page = await laptop.scope.folders.page(laptop.device_id, Area.ORIGINALS, path, view, cursor, limit)
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


@pytest.fixture
async def filled(laptop: Uploader) -> Uploader:
    """Ten files of several sizes and days, ties among them, and three folders."""
    for number, name in enumerate(NAMES):
        await laptop.add((name, b"x" * (number % 4)), mtime_ns=(number * 7 % 5) * 86_400 * 10**9 + 10**18)
    for name in ("y", "x", "w"):
        await laptop.add((f"{name}/inside.txt", name.encode()))
    return laptop


def key(entry: Entry, order: FolderOrder, *, is_descending: bool) -> tuple[object, ...]:
    sign = -1 if is_descending else 1
    number = {
        FolderOrder.NAME: 0,
        FolderOrder.SIZE: sign * entry.size_bytes,
        FolderOrder.DATE: sign * entry.mtime_ns,
        FolderOrder.KIND: sign * KINDS.index(str(media_kind(entry.name))),
    }[order]
    return number, entry.id


@pytest.mark.parametrize(("order", "is_descending"), list(itertools.product(FolderOrder, [False, True])))
async def test_each_order_is_a_plain_sort_of_the_whole_folder(
    filled: Uploader, order: FolderOrder, is_descending: bool
) -> None:
    found = await every(filled, FolderView(order, is_descending))
    folders, files = found[:3], found[3:]
    assert all(entry.kind is EntryKind.DIRECTORY for entry in folders)
    falling_folders = is_descending and order is FolderOrder.NAME
    assert [entry.name for entry in folders] == sorted((b"w", b"x", b"y"), reverse=falling_folders)
    by_id = sorted(files, key=lambda entry: entry.id)
    by_name = sorted(by_id, key=lambda entry: fold(entry.name), reverse=is_descending)
    expected = by_name if order in {FolderOrder.NAME, FolderOrder.KIND} else by_id
    if order is not FolderOrder.NAME:
        expected = sorted(expected, key=lambda entry: key(entry, order, is_descending=is_descending)[0])  # type: ignore[arg-type,return-value]
    assert [entry.name for entry in files] == [entry.name for entry in expected]
    assert len(files) == len(NAMES)


async def test_filters_leave_folders_out(filled: Uploader) -> None:
    images = await every(filled, FolderView(media_kind=MediaKind.IMAGE))
    assert [entry.name.decode() for entry in images] == ["a.jpg", "b.jpg", "B2.jpg", "d.jpg", "É.jpg"]
    falling = await every(filled, FolderView(is_descending=True, media_kind=MediaKind.IMAGE))
    assert [entry.name for entry in falling] == [entry.name for entry in reversed(images)]
    # 10**18 ns are the evening of 8 September 2001 in Toronto; the files lie on that day and the four after it.
    two = FolderView(FolderOrder.DATE, first_day=date(2001, 9, 9), last_day=date(2001, 9, 10), by=DateKind.MODIFIED)
    some = await every(filled, two)
    assert [entry.mtime_ns for entry in some] == sorted(entry.mtime_ns for entry in some)
    assert {entry.name.decode() for entry in some} == {
        name for number, name in enumerate(NAMES) if number * 7 % 5 in {1, 2}
    }


async def test_a_folder_is_its_own_alone_and_follows_changes(filled: Uploader) -> None:
    view = FolderView(FolderOrder.SIZE)
    inside = await every(filled, view, EntryPath.parse("x"))
    assert [entry.path.raw for entry in inside] == [b"x/inside.txt"]
    await filled.scope.entries.delete([inside[0].id])
    assert await every(filled, view, EntryPath.parse("x")) == []
    with pytest.raises(NotFound):
        await every(filled, view, EntryPath.parse("nowhere"))
    with pytest.raises(NotFound):
        await filled.scope.folders.page(10**9, Area.ORIGINALS, ROOT, view)


async def test_what_cannot_be_is_refused(filled: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    page = filled.scope.folders.page
    for view in (FolderView(FolderOrder.SIZE), FolderView(is_descending=True)):
        with pytest.raises(BadCursor):
            await page(filled.device_id, Area.ORIGINALS, ROOT, view, "W10")
    with pytest.raises(BadRequest):
        await page(filled.device_id, Area.ORIGINALS, ROOT, FolderView(), limit=0)
    backwards = FolderView(first_day=date(2024, 1, 2), last_day=date(2024, 1, 1))
    with pytest.raises(BadRequest):
        await page(filled.device_id, Area.ORIGINALS, ROOT, backwards)
    monkeypatch.setattr("catalog.folders.INDEX_SECONDS_MAX", 0)
    with pytest.raises(IndexBehind):
        await page(filled.device_id, Area.ORIGINALS, ROOT, FolderView(FolderOrder.SIZE))


async def test_by_name_both_ways_walks_the_key(
    filled: Uploader, catalog_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sort and no other key, from the first page and from those further on."""
    asked: list[tuple[str, Sequence[object]]] = []
    fetch_all = Transaction.fetch_all

    async def listen(self: Transaction, sql: str, params: Sequence[object] = ()) -> list[Row]:
        if "ORDER BY" in sql and "name_fold" in sql:
            asked.append((sql, params))
        return await fetch_all(self, sql, params)

    monkeypatch.setattr(Transaction, "fetch_all", listen)
    for is_descending in (False, True):
        assert len(await every(filled, FolderView(is_descending=is_descending))) == len(NAMES) + 3
    monkeypatch.undo()
    assert len(asked) > 9
    connect: dict[str, object] = {"unix_socket": catalog_settings.mariadb_socket, "user": "root", "password": ""}
    database = await Database.open(connect=connect | {"database": catalog_settings.mariadb_db}, connections_max=1)
    async with database.reading() as tx:
        for sql, params in asked:
            (of_entry,) = [row for row in await tx.fetch_all(f"EXPLAIN {sql}", params) if row[2] == "e"]
            assert of_entry[5] == "listing", sql
            assert "filesort" not in of_entry[-1], sql
    await database.close()
