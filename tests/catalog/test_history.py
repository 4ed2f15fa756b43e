"""History: what each manifest changed, undoing one, bringing a folder back, and moments that can no longer be shown."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from catalog import clock
from catalog.database import Row, Transaction
from catalog.errors import Conflict, HistoryGone, NotFound
from catalog.restoring import Wanted
from catalog.undoing import Why
from catalog.values import Area, Entry, EntryPath
from tests.catalog.conftest import Uploader

pytestmark = pytest.mark.anyio


async def tree(laptop: Uploader, at: datetime | None = None) -> dict[str, int]:
    """path → size of everything there is."""
    page = await laptop.scope.trees.page(laptop.device_id, Area.ORIGINALS, EntryPath(()), at)
    return {entry.path.decode(): entry.size_bytes for entry in page.items}


async def newest(laptop: Uploader) -> tuple[int, datetime]:
    manifest = (await laptop.scope.manifests.page(laptop.device_id)).items[0]
    return manifest.sequence, manifest.at


async def entry(laptop: Uploader, path: str) -> Entry:
    return await laptop.scope.entries.by_path(laptop.device_id, Area.ORIGINALS, EntryPath.parse(path))


async def changes(laptop: Uploader, sequence: int, limit: int = 100) -> list[tuple[str, str, str]]:
    """Kind, path, and the path before, through all pages."""
    found, cursor = [], None
    while True:
        page = await laptop.scope.history.changes(laptop.device_id, sequence, cursor, limit)
        found += [(str(c.kind), str(c.entry.path), str(c.before.path) if c.before else "") for c in page.items]
        if (cursor := page.next) is None:
            return found


async def test_what_a_manifest_changed(laptop: Uploader) -> None:
    await laptop.add(("d/a.txt", b"1"), ("d/b.txt", b"2"))
    first, _ = await newest(laptop)
    assert await changes(laptop, first) == [("added", "d", ""), ("added", "d/a.txt", ""), ("added", "d/b.txt", "")]
    await laptop.add(("d/a.txt", b"other"), ("d/c.txt", b"3"))
    second, _ = await newest(laptop)
    assert await changes(laptop, second) == [("replaced", "d/a.txt", "d/a.txt"), ("added", "d/c.txt", "")]
    await laptop.add(("d/a.txt", b"other"), mtime_ns=5)
    assert await changes(laptop, second + 1) == [("amended", "d/a.txt", "d/a.txt")]
    await laptop.scope.entries.rename((await entry(laptop, "d")).id, b"e")
    assert await changes(laptop, second + 2) == [("moved", "e", "d")]
    await laptop.scope.entries.delete([(await entry(laptop, "e")).id])
    gone = await changes(laptop, second + 3, limit=2)
    assert gone == [("removed", "e/b.txt", ""), ("removed", "e/c.txt", ""), ("removed", "e/a.txt", ""),
                    ("removed", "e", "")]  # fmt: skip
    (held,) = (await laptop.scope.entries.held()).items
    await laptop.scope.entries.recover([held.id])
    assert {kind for kind, _, _ in await changes(laptop, second + 4)} == {"recovered"}
    # Told as it was then, whatever the folder is called now.
    assert await changes(laptop, first) == [("added", "d", ""), ("added", "d/a.txt", ""), ("added", "d/b.txt", "")]
    with pytest.raises(NotFound):
        await laptop.scope.history.changes(laptop.device_id, 99)


async def test_an_upload_is_undone_and_the_undoing_too(laptop: Uploader) -> None:
    await laptop.add(("keep.txt", b"old"), ("d/stays.txt", b"1"))
    before = await tree(laptop)
    await laptop.add(("keep.txt", b"newer"), ("d/new.txt", b"2"), ("e/f/deep.txt", b"3"))
    after = await tree(laptop)
    upload, _ = await newest(laptop)
    done = await laptop.scope.undoing.undo(laptop.device_id, upload)
    assert (done.kept, done.conflicts) == (0, [])
    assert await tree(laptop) == before
    undo, _ = await newest(laptop)
    assert (await laptop.scope.history.manifest(laptop.device_id, undo)).note == f"undoes change {upload}"
    await laptop.scope.undoing.undo(laptop.device_id, undo)
    assert await tree(laptop) == after


async def test_a_delete_is_undone_with_all_that_was_inside(laptop: Uploader) -> None:
    await laptop.add(("d/a.txt", b"1"), ("d/e/b.txt", b"2"), ("c.txt", b"3"))
    before = await tree(laptop)
    await laptop.scope.entries.delete([(await entry(laptop, "d")).id, (await entry(laptop, "c.txt")).id])
    used = (await laptop.scope.usage()).used_bytes
    await laptop.scope.undoing.undo(laptop.device_id, (await newest(laptop))[0])
    assert await tree(laptop) == before
    assert (await laptop.scope.usage()).used_bytes == used


async def test_a_rename_and_a_move_are_undone(laptop: Uploader) -> None:
    await laptop.add(("d/a.txt", b"1"), ("x/other.txt", b"2"))
    before = await tree(laptop)
    await laptop.scope.entries.rename((await entry(laptop, "d/a.txt")).id, b"b")
    await laptop.scope.undoing.undo(laptop.device_id, (await newest(laptop))[0])
    assert await tree(laptop) == before
    await laptop.scope.entries.move([(await entry(laptop, "d")).id], EntryPath.parse("x"))
    assert "x/d/a.txt" in await tree(laptop)
    await laptop.scope.undoing.undo(laptop.device_id, (await newest(laptop))[0])
    assert await tree(laptop) == before


async def test_what_came_later_is_kept_and_told(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"), ("b.txt", b"1"), ("r.txt", b"r"))
    await laptop.add(("a.txt", b"22"), ("b.txt", b"22"), ("d/new.txt", b"new"), ("d/newer.txt", b"newer"))
    upload, _ = await newest(laptop)
    await laptop.add(("a.txt", b"333"), ("d/later.txt", b"later"), ("d/newer.txt", b"newest"))
    await laptop.scope.entries.delete([(await entry(laptop, "b.txt")).id])
    done = await laptop.scope.undoing.undo(laptop.device_id, upload)
    assert {(c.path, c.why) for c in done.conflicts} == {
        ("a.txt", Why.CHANGED_SINCE),
        ("b.txt", Why.DELETED_SINCE),
        ("d/newer.txt", Why.CHANGED_SINCE),
    }
    assert await tree(laptop) == {"a.txt": 3, "r.txt": 1, "d": 0, "d/later.txt": 5, "d/newer.txt": 6}
    await laptop.scope.entries.rename((await entry(laptop, "r.txt")).id, b"s")
    renamed, _ = await newest(laptop)
    await laptop.add(("r.txt", b"taken"))
    taken = await laptop.scope.undoing.undo(laptop.device_id, renamed)
    assert (taken.result, [c.why for c in taken.conflicts]) == (None, [Why.NAME_TAKEN])


async def test_what_was_deleted_comes_back_beside_what_has_its_name_now(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"))
    await laptop.scope.entries.delete([(await entry(laptop, "a.txt")).id])
    deletion, _ = await newest(laptop)
    await laptop.add(("a.txt", b"another"))
    await laptop.scope.undoing.undo(laptop.device_id, deletion)
    assert await tree(laptop) == {"a.txt": 7, "a-recovered.txt": 1}
    again = await laptop.scope.undoing.undo(laptop.device_id, deletion)
    assert (again.result, again.kept) == (None, 0)


async def test_a_folder_is_restored_in_place(laptop: Uploader) -> None:
    await laptop.add(("d/a.txt", b"1"), ("d/e/b.txt", b"2"), ("outside.txt", b"x"))
    before = await tree(laptop)
    _, at = await newest(laptop)
    await laptop.add(("d/a.txt", b"changed"), ("d/new/n.txt", b"new"), ("outside.txt", b"changed"))
    await laptop.scope.entries.delete([(await entry(laptop, "d/e")).id])
    wanted = Wanted(laptop.device_id, Area.ORIGINALS, EntryPath.parse("d"), at)
    done = await laptop.scope.restoring.restore(wanted)
    assert (done.added, done.replaced, done.removed, done.manifests) == (1, 1, 0, 1)
    kept = {"d/new": 0, "d/new/n.txt": 3, "outside.txt": 7}
    assert await tree(laptop) == before | kept
    assert (await laptop.scope.restoring.restore(wanted)).manifests == 0
    exact = await laptop.scope.restoring.restore(Wanted(laptop.device_id, Area.ORIGINALS, EntryPath(()), at, True))
    assert (exact.replaced, exact.removed) == (1, 2)
    assert await tree(laptop) == before
    early = Wanted(laptop.device_id, Area.ORIGINALS, EntryPath.parse("d"), at - timedelta(days=1))
    with pytest.raises(NotFound):
        await laptop.scope.restoring.restore(early)


async def test_a_restore_that_does_not_fit_changes_nothing(laptop: Uploader) -> None:
    await laptop.add(("d/a", b"1"), ("d/b", b"1"))
    _, at = await newest(laptop)
    await laptop.scope.entries.delete([(await entry(laptop, "d/b")).id])
    await laptop.add(("d/b/inside.txt", b"now a folder"))
    before = await tree(laptop)
    with pytest.raises(Conflict, match="b"):
        await laptop.scope.restoring.restore(Wanted(laptop.device_id, Area.ORIGINALS, EntryPath.parse("d"), at))
    assert await tree(laptop) == before


async def test_the_span_and_how_busy_it_was(laptop: Uploader) -> None:
    empty = await laptop.scope.history.span(laptop.device_id)
    assert (empty.manifests, empty.first_at, empty.horizon) == (0, None, None)
    for number in range(5):
        await laptop.add((f"{number}.txt", b"%d" % number))
    span = await laptop.scope.history.span(laptop.device_id)
    assert span.manifests == 5
    assert span.first_at is not None
    assert span.last_at is not None
    assert span.first_at < span.last_at
    counts = await laptop.scope.history.buckets(laptop.device_id, span.first_at, span.last_at, 7)
    assert (len(counts), sum(counts)) == (7, 5)
    assert [m.sequence for m in await laptop.scope.history.until(laptop.device_id, span.last_at, 2)] == [5, 4]
    with pytest.raises(NotFound):
        await laptop.scope.history.span(99_999)


async def test_a_moment_before_what_a_rule_deleted_for_good_is_refused(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"), ("b.txt", b"2"))
    _, uploaded = await newest(laptop)
    await laptop.scope.entries.delete([(await entry(laptop, "a.txt")).id])
    _, deleted = await newest(laptop)
    await laptop.scope.purge.entries([(await entry(laptop, "b.txt")).id])
    assert list(await tree(laptop, uploaded)) == ["a.txt"]  # its owner chose that b.txt be as if it never was
    database = laptop.scope._scope.database
    async with database.reading() as tx:
        await tx.execute(
            "UPDATE entry SET removed_at = %s WHERE tenant_id = %s AND removal = 'deleted'",
            (clock.to_db(deleted - timedelta(days=60)), laptop.scope.tenant.id),
        )
    assert (await laptop.scope.purge.expired()).entries == 1
    horizon = (await laptop.scope.history.span(laptop.device_id)).horizon
    assert horizon == deleted - timedelta(days=60)
    with pytest.raises(HistoryGone) as refused:
        await tree(laptop, horizon - timedelta(seconds=1))
    assert refused.value.horizon == horizon
    assert f"{horizon.year}" in str(refused.value)
    assert await tree(laptop, horizon) == {}
    assert datetime.now(UTC) > horizon


async def test_a_folder_at_a_moment_in_pages_while_it_is_emptied(
    laptop: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended later, and what ends between two statements of a page, is there once."""
    await laptop.add(*((f"f{number}.txt", b"%d" % number) for number in range(9)), ("d/x", b"x"))
    _, at = await newest(laptop)
    await laptop.scope.entries.delete([(await entry(laptop, f"f{number}.txt")).id for number in (2, 5)])
    await laptop.add(("f0.txt", b"other"), ("later.txt", b"later"))
    ending = [(await entry(laptop, name)).id for name in ("f1.txt", "f7.txt", "d")]
    fetch_all = Transaction.fetch_all

    async def emptying(self: Transaction, sql: str, params: Sequence[object] = ()) -> list[Row]:
        rows = await fetch_all(self, sql, params)
        if "removed_key = 0 AND e.added_seq" in sql and ending:
            await laptop.scope.entries.delete([ending.pop()])
        return rows

    monkeypatch.setattr(Transaction, "fetch_all", emptying)
    found, cursor = [], None
    while True:
        page = await laptop.scope.entries.page(laptop.device_id, Area.ORIGINALS, EntryPath(()), at, cursor, limit=3)
        found += [(item.name.decode(), item.size_bytes) for item in page.items]
        if (cursor := page.next) is None:
            break
    assert not ending
    assert found == [("d", 0), *((f"f{number}.txt", 1) for number in range(9))]
