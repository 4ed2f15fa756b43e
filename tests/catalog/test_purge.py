"""Purges: what goes, what stays, what it counts, and that nothing is half done."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from cas.digest import Digest
from catalog import clock, purge, records
from catalog.audit import AuditFilter
from catalog.catalog import Catalog
from catalog.changes import RemovePath
from catalog.errors import BadRequest, NotAllowed, NotFound, Purged
from catalog.values import Actor, Area, Entry, EntryPath, Retention
from tests.catalog.conftest import Uploader, sign_in
from tests.catalog.test_exports import plan
from tests.shared.journals import MemoryJournal

pytestmark = pytest.mark.anyio


async def entry(laptop: Uploader, path: str) -> Entry:
    return await laptop.scope.entries.by_path(laptop.device_id, Area.ORIGINALS, EntryPath.parse(path))


async def used(laptop: Uploader) -> int:
    return (await laptop.scope.usage()).used_bytes


async def queued(catalog: Catalog) -> int:
    async with catalog._database.reading() as tx:
        row = await tx.fetch_one("SELECT COUNT(*) FROM sweep_candidate")
    assert row is not None
    return int(row[0])


async def counted(catalog: Catalog, laptop: Uploader) -> int:
    """What the quota should count, added up from the entries."""
    async with catalog._database.reading() as tx:
        row = await tx.fetch_one(
            "SELECT COALESCE(SUM(size_bytes), 0) FROM entry WHERE tenant_id = %s AND kind = 'file'"
            " AND (removal IS NULL OR removal IN ('deleted', 'replaced'))",
            (laptop.scope.tenant.id,),
        )
    assert row is not None
    return int(row[0])


async def age(catalog: Catalog, laptop: Uploader, days: int) -> None:
    """Let everything that ended have ended so many days earlier."""
    async with catalog._database.reading() as tx:
        await tx.execute(
            "UPDATE entry SET removed_at = removed_at - INTERVAL %s DAY WHERE tenant_id = %s",
            (days, laptop.scope.tenant.id),
        )


async def all_expired(laptop: Uploader) -> int:
    purged = 0
    while (done := await laptop.scope.purge.expired()).entries:
        purged += done.entries
    return purged


async def test_a_held_file_goes_with_all_its_versions(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"one"))
    await laptop.add(("a.txt", b"three"))
    gone = await entry(laptop, "a.txt")
    await laptop.scope.entries.delete([gone.id])
    before = await queued(catalog)
    done = await laptop.scope.purge.entries([gone.id])
    assert (done.entries, done.files, done.freed_bytes) == (2, 1, 8)
    assert await used(laptop) == 0 == await counted(catalog, laptop)
    assert (await laptop.scope.entries.held()).items == []
    with pytest.raises(NotFound):
        await laptop.scope.entries.get(gone.id)
    assert await queued(catalog) == before + 2


async def test_the_tenant_possesses_no_longer_what_it_purged(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"alone"), ("b.txt", b"twice"), ("c.txt", b"twice"))
    first, second = await entry(laptop, "a.txt"), await entry(laptop, "b.txt")
    assert first.blob is not None
    assert second.blob is not None
    await laptop.scope.purge.entries([first.id, second.id])
    digests = [first.blob.digest, second.blob.digest]
    assert await laptop.scope.blobs.missing(digests) == [first.blob.digest]
    assert await laptop.names() == ["c.txt"]


async def test_a_live_file_leaves_the_devices_counts(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"123"), ("b.txt", b"4567"))
    await laptop.scope.purge.entries([(await entry(laptop, "a.txt")).id])
    device = await laptop.scope.devices.get(laptop.device_id)
    assert (device.file_count, device.size_bytes, await used(laptop)) == (1, 4, 4)


async def test_an_old_version_goes_alone(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"one"))
    first = await entry(laptop, "a.txt")
    await laptop.add(("a.txt", b"one"), mtime_ns=1_800_000_000_000_000_000)
    second = await entry(laptop, "a.txt")
    await laptop.add(("a.txt", b"three"))
    done = await laptop.scope.purge.entries([second.id])
    assert (done.entries, done.freed_bytes) == (2, 3), "the same bytes under another time are the same version"
    for entry_id in (first.id, second.id):
        with pytest.raises(NotFound):
            await laptop.scope.entries.get(entry_id)
    assert await laptop.names() == ["a.txt"]
    assert await used(laptop) == 5 == await counted(catalog, laptop)


async def test_a_former_name_of_a_live_file_takes_no_bytes_along(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"one"))
    former = await entry(laptop, "a.txt")
    await laptop.scope.entries.rename(former.id, b"b")
    done = await laptop.scope.purge.entries([former.id])
    assert (done.entries, done.freed_bytes) == (1, 0)
    assert await laptop.names() == ["b.txt"]
    assert await used(laptop) == 3 == await counted(catalog, laptop)


async def test_a_folder_goes_with_all_that_ever_lay_in_it(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a/b/c.txt", b"1"), ("a/d.txt", b"22"), ("e.txt", b"333"))
    await laptop.add(("a/d.txt", b"4444"))
    await laptop.scope.entries.delete([(await entry(laptop, "a/b")).id])
    folder = await entry(laptop, "a")
    done = await laptop.scope.purge.entries([folder.id])
    assert (done.files, done.freed_bytes) == (2, 7)
    assert await laptop.names() == ["e.txt"]
    assert (await laptop.scope.entries.held()).items == []
    assert await used(laptop) == 3 == await counted(catalog, laptop)
    async with catalog._database.reading() as tx:
        rows = await tx.fetch_all(
            "SELECT id FROM directory WHERE tenant_id = %s AND is_root = 0", (laptop.scope.tenant.id,)
        )
    assert rows == []


async def test_a_purge_of_a_large_folder_that_was_cut_short_is_whole_manifests_and_can_be_repeated(
    catalog: Catalog, laptop: Uploader, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await laptop.add(*((f"a/{number}.txt", b"%d" % number) for number in range(7)), ("kept.txt", b"kept"))
    monkeypatch.setattr(purge, "NODES_AT_ONCE", 2)
    whole, left = journal.append, [2]

    def append(*record: Any) -> Digest:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(5, "Input/output error")
        return whole(*record)

    folder = await entry(laptop, "a")
    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", append)
        with pytest.raises(OSError, match="Input/output"):
            await laptop.scope.purge.entries([folder.id])
    assert len(await laptop.names("a")) == 7 - 2 * 2, "two manifests of two files each are whole"
    assert await used(laptop) == 3 + len(b"kept") == await counted(catalog, laptop)
    await laptop.scope.purge.entries([folder.id])
    assert (await laptop.names(), await used(laptop)) == (["kept.txt"], 4)


async def test_what_was_recovered_out_of_a_folder_stays(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a/b.txt", b"1"), ("a/c.txt", b"22"))
    folder, wanted = await entry(laptop, "a"), await entry(laptop, "a/b.txt")
    await laptop.scope.entries.delete([folder.id])
    await laptop.scope.entries.recover([wanted.id])
    [rest] = (await laptop.scope.entries.held()).items
    await laptop.scope.purge.entries([rest.id])
    assert await laptop.names("a") == ["b.txt"]
    assert await used(laptop) == 1 == await counted(catalog, laptop)


async def test_what_moved_out_of_a_folder_stays(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a/b.txt", b"1"), ("a/c.txt", b"22"), ("a/d/e.txt", b"333"), ("z/x.txt", b"4"))
    await laptop.add(("a/b.txt", b"55555"))
    for path in ("a/b.txt", "a/d"):
        await laptop.scope.entries.move([(await entry(laptop, path)).id], EntryPath.parse("z"))
    done = await laptop.scope.purge.entries([(await entry(laptop, "a")).id])
    assert await laptop.names() == ["z"]
    assert await laptop.names("z") == ["d", "b.txt", "x.txt"]
    assert await laptop.names("z/d") == ["e.txt"]
    assert done.freed_bytes == 3, "c.txt, and the version of b.txt that was made here"
    assert await used(laptop) == 9 == await counted(catalog, laptop)


async def test_a_held_folder_that_something_moved_out_of_ends_with_its_hold(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a/b.txt", b"1"), ("a/c.txt", b"22"), ("z/x.txt", b"4"))
    await laptop.scope.entries.move([(await entry(laptop, "a/b.txt")).id], EntryPath.parse("z"))
    await laptop.scope.entries.delete([(await entry(laptop, "a")).id])
    await age(catalog, laptop, 31)
    assert await all_expired(laptop) == 3
    assert (await laptop.scope.entries.held()).items == []
    assert await laptop.names("z") == ["b.txt", "x.txt"]
    assert await used(laptop) == 2 == await counted(catalog, laptop)


async def test_one_that_is_not_there_keeps_all(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"))
    with pytest.raises(NotFound):
        await laptop.scope.purge.entries([(await entry(laptop, "a.txt")).id, 999_999])
    assert await laptop.names() == ["a.txt"]


async def test_a_device_token_purges_nothing(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"))
    wanted = (await entry(laptop, "a.txt")).id
    by_token = catalog.tenant(laptop.scope.tenant, Actor("device", "backup", 1), laptop.device_id)
    with pytest.raises(NotAllowed):
        await by_token.purge.entries([wanted])
    with pytest.raises(NotAllowed):
        await by_token.retention.set(Retention(0, 0))
    assert await laptop.names() == ["a.txt"]


async def test_another_tenants_entry_is_not_found(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"))
    stranger = await sign_in(catalog, "a-stranger")
    with pytest.raises(NotFound):
        await stranger.purge.entries([(await entry(laptop, "a.txt")).id])


async def test_the_journal_and_the_history_tell_of_it(laptop: Uploader, journal: MemoryJournal) -> None:
    await laptop.add(("a.txt", b"1"))
    gone = await entry(laptop, "a.txt")
    await laptop.scope.purge.entries([gone.id])
    [newest, *_] = (await laptop.scope.manifests.page(laptop.device_id)).items
    assert (newest.added, newest.removed, newest.purged) == (0, 1, 1)
    chain = journal.chains[f"{laptop.scope.tenant.uuid}/device-{laptop.device_id}"]
    head, line = records.decode(chain[max(chain)][2])
    assert line == records.PurgeLine([gone.id], live=1)
    assert isinstance(head, records.ManifestLine)
    assert (head.sequence, head.at) == (newest.sequence, newest.at)
    [event, *_] = (await laptop.scope.audit.page(wanted=AuditFilter(action="purge"))).items
    assert (event.subject, event.detail["files"], event.detail["bytes"]) == ("a.txt", 1, 1)


async def test_a_journal_that_fails_undoes_it(laptop: Uploader, journal: MemoryJournal) -> None:
    await laptop.add(("a.txt", b"1"))
    journal.fault = OSError("no disk")
    with pytest.raises(OSError, match="no disk"):
        await laptop.scope.purge.entries([(await entry(laptop, "a.txt")).id])
    journal.fault = None
    assert await laptop.names() == ["a.txt"]
    assert await used(laptop) == 1


async def test_an_export_of_it_says_that_it_was_purged(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"), ("b.txt", b"2"))
    gone = await entry(laptop, "a.txt")
    export = await laptop.scope.exports.create([gone.id, (await entry(laptop, "b.txt")).id], *plan("both"))
    await laptop.scope.purge.entries([gone.id])
    with pytest.raises(Purged):
        await laptop.scope.exports.members(export.id)


async def test_the_hold_ends_by_itself_and_not_before(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a/b/c.txt", b"1"), ("a/d.txt", b"22"), ("e.txt", b"333"))
    await laptop.scope.entries.delete([(await entry(laptop, "a")).id])
    assert await all_expired(laptop) == 0
    await age(catalog, laptop, 29)
    assert await all_expired(laptop) == 0
    await age(catalog, laptop, 1)
    assert await all_expired(laptop) == 4
    assert await laptop.names() == ["e.txt"]
    assert (await laptop.scope.entries.held()).items == []
    assert await used(laptop) == 3 == await counted(catalog, laptop)


async def test_what_was_recovered_has_no_end(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"))
    gone = await entry(laptop, "a.txt")
    await laptop.scope.entries.delete([gone.id])
    await age(catalog, laptop, 40)
    await laptop.scope.entries.recover([gone.id])
    assert await all_expired(laptop) == 0
    assert await laptop.names() == ["a.txt"]


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (Retention(), 4),
        (Retention(versions_kept=1), 2),
        (Retention(versions_kept=0), 1),
        (Retention(days_kept=30), 4),
        (Retention(days_kept=5), 1),
        (Retention(versions_kept=2, days_kept=5), 3),
        (Retention(versions_kept=0, days_kept=30), 4),
    ],
)
async def test_old_versions_go_by_the_owners_rule(
    catalog: Catalog, laptop: Uploader, rule: Retention, left: int
) -> None:
    for content in (b"1", b"22", b"333", b"4444"):
        await laptop.add(("a.txt", content))
    await age(catalog, laptop, 10)
    await laptop.scope.retention.set(rule)
    assert await laptop.scope.retention.get() == rule
    while (await laptop.scope.purge.outdated(rule)).entries:
        pass
    kept = await laptop.scope.entries.versions((await entry(laptop, "a.txt")).id)
    assert [version.size_bytes for version in kept] == [4, 3, 2, 1][:left]
    assert await used(laptop) == await counted(catalog, laptop)


async def test_a_rule_outside_its_limits_is_refused(laptop: Uploader) -> None:
    with pytest.raises(BadRequest):
        await laptop.scope.retention.set(Retention(versions_kept=-1))
    assert (await laptop.scope.retention.get()).keeps_all


async def test_purges_beside_uploads_and_deletes_keep_the_count(catalog: Catalog, laptop: Uploader) -> None:
    """Everybody changes the same few files at once."""

    async def upload(number: int) -> None:
        await laptop.add((f"d/{number % 3}.txt", b"x" * (number + 1)))

    async def remove(number: int) -> None:
        await laptop.scope.manifests.commit(laptop.device_id, [RemovePath(EntryPath.parse(f"d/{number % 3}.txt"))])

    async def purge(number: int) -> None:
        held = (await laptop.scope.entries.held()).items
        try:
            await laptop.scope.purge.entries([held[number % len(held)].id] if held else [])
        except (BadRequest, NotFound):  # there was nothing, or somebody was faster
            return

    await upload(0)
    await asyncio.gather(*(act(number) for number in range(8) for act in (upload, remove, purge)))
    assert await used(laptop) == await counted(catalog, laptop)
    device = await laptop.scope.devices.get(laptop.device_id)
    page = await laptop.scope.entries.page(laptop.device_id, Area.ORIGINALS, EntryPath.parse("d"))
    assert device.file_count == len(page.items)


async def test_the_past_before_a_purge_shows_what_is_left(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"), ("b.txt", b"2"))
    moment = clock.now() + timedelta(seconds=1)
    await laptop.scope.purge.entries([(await entry(laptop, "a.txt")).id])
    assert await laptop.names(at=moment) == ["b.txt"]
