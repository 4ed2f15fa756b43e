"""The one commit path: what each change leaves, what it counts, and that nothing is half done."""

import asyncio
from datetime import timedelta

import pytest

from catalog import database as module
from catalog import records
from catalog.catalog import Catalog
from catalog.changes import AddDirectory, AddKnown, AddLink, PathChange, RemovePath
from catalog.database import Database, Retry, StatementFailed
from catalog.devices import token_hash
from catalog.errors import BadPath, Conflict, NameTaken, NotFound, NotPossessed, QuotaExceeded
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, DeviceKind, EntryKind, EntryPath, Removal
from tests.catalog.conftest import Uploader, blob_for, sign_in
from tests.shared.journals import MemoryJournal

pytestmark = pytest.mark.anyio


async def used(scope: TenantScope) -> int:
    return (await scope.usage()).used_bytes


async def entry_id(laptop: Uploader, path: str) -> int:
    return (await laptop.scope.entries.by_path(laptop.device_id, Area.ORIGINALS, EntryPath.parse(path))).id


async def test_upload_makes_the_folders_and_shows_the_file(laptop: Uploader) -> None:
    done = await laptop.add(("Photos/2024/a.jpg", b"a"), ("Photos/b.jpg", b"bb"), ("notes.txt", b""))
    assert (done.added, done.replaced, done.unchanged, done.removed) == (3, 0, 0, 0)
    assert await laptop.names() == ["Photos", "notes.txt"]
    assert await laptop.names("Photos") == ["2024", "b.jpg"]
    entry = await laptop.scope.entries.get(done.entry_ids[0])
    assert (str(entry.path), entry.size_bytes, entry.device_name) == ("Photos/2024/a.jpg", 1, "laptop")
    assert await used(laptop.scope) == 3


async def test_the_same_upload_twice_changes_nothing(laptop: Uploader) -> None:
    first = await laptop.add(("a.txt", b"same"))
    again = await laptop.add(("a.txt", b"same"))
    assert (again.manifest, again.unchanged, again.entry_ids) == (None, 1, first.entry_ids)
    assert len((await laptop.scope.manifests.page(laptop.device_id)).items) == 1
    assert await used(laptop.scope) == 4


async def test_another_mtime_keeps_one_copy_of_the_bytes(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"same"))
    done = await laptop.add(("a.txt", b"same"), mtime_ns=1_800_000_000_000_000_000)
    assert done.replaced == 1
    assert await used(laptop.scope) == 4


async def test_a_new_version_replaces_and_both_count(laptop: Uploader) -> None:
    first = await laptop.add(("a.txt", b"one"))
    done = await laptop.add(("a.txt", b"three"))
    assert done.replaced == 1
    versions = await laptop.scope.entries.versions(done.entry_ids[0])
    assert [v.id for v in versions] == [done.entry_ids[0], first.entry_ids[0]]
    assert versions[1].removal is Removal.REPLACED
    assert await used(laptop.scope) == 8
    device = await laptop.scope.devices.get(laptop.device_id)
    assert (device.file_count, device.size_bytes) == (1, 5)


async def test_the_device_as_it_was(laptop: Uploader) -> None:
    first = await laptop.add(("a.txt", b"1"), ("b/c.txt", b"2"))
    await laptop.scope.manifests.commit(laptop.device_id, [RemovePath(EntryPath.parse("a.txt"))])
    await laptop.add(("d.txt", b"3"))
    assert first.manifest is not None
    assert await laptop.names(at=first.manifest.at) == ["b", "a.txt"]
    assert await laptop.names("b", at=first.manifest.at) == ["c.txt"]
    assert await laptop.names(at=first.manifest.at - timedelta(seconds=1)) == []
    assert await laptop.names() == ["b", "d.txt"]


async def test_delete_takes_a_folder_with_its_content_and_recover_brings_it_back(laptop: Uploader) -> None:
    await laptop.add(("a/b/c.txt", b"1"), ("a/d.txt", b"22"), ("e.txt", b"333"))
    folder = await entry_id(laptop, "a")
    [gone] = await laptop.scope.entries.delete([folder])
    assert gone.removed == 4
    assert await laptop.names() == ["e.txt"]
    assert await used(laptop.scope) == 6
    held = (await laptop.scope.entries.held()).items
    assert [str(entry.path) for entry in held] == ["a"]
    await laptop.scope.entries.recover([folder])
    assert await laptop.names() == ["a", "e.txt"]
    assert await laptop.names("a") == ["b", "d.txt"]
    assert await laptop.names("a/b") == ["c.txt"]
    assert await used(laptop.scope) == 6
    assert (await laptop.scope.entries.held()).items == []
    device = await laptop.scope.devices.get(laptop.device_id)
    assert (device.file_count, device.size_bytes) == (3, 6)


async def test_recover_one_file_of_a_deleted_folder_brings_back_its_folders_alone(laptop: Uploader) -> None:
    await laptop.add(("a/b/c.txt", b"1"), ("a/d.txt", b"22"))
    wanted = await entry_id(laptop, "a/b/c.txt")
    await laptop.scope.entries.delete([await entry_id(laptop, "a")])
    await laptop.scope.entries.recover([wanted])
    assert await laptop.names("a") == ["b"]
    assert await laptop.names("a/b") == ["c.txt"]
    held = {str(e.path) for e in (await laptop.scope.entries.held()).items}
    assert held == {"a/d.txt"}


async def test_recover_where_the_name_is_taken(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"old"))
    old = await entry_id(laptop, "a.txt")
    await laptop.scope.entries.delete([old])
    await laptop.add(("a.txt", b"new"))
    await laptop.scope.entries.recover([old])
    assert await laptop.names() == ["a-recovered.txt", "a.txt"]


async def test_uploading_deleted_bytes_again_makes_the_file_live(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"same"))
    old = await laptop.scope.entries.get(await entry_id(laptop, "a.txt"))
    await laptop.scope.entries.delete([old.id])
    await laptop.add(("a.txt", b"same"))
    assert (await laptop.scope.entries.held()).items == []
    assert await used(laptop.scope) == 4
    back = await laptop.scope.entries.get(await entry_id(laptop, "a.txt"))
    assert back.node_id == old.node_id


async def test_delete_of_a_folder_and_what_is_in_it_at_once(laptop: Uploader) -> None:
    await laptop.add(("a/b.txt", b"1"))
    ids = [await entry_id(laptop, "a/b.txt"), await entry_id(laptop, "a")]
    await laptop.scope.entries.delete(ids)
    assert await laptop.names() == []
    await laptop.scope.entries.recover(ids)
    assert await laptop.names("a") == ["b.txt"]


async def test_rename_keeps_the_extension_and_the_versions(laptop: Uploader) -> None:
    await laptop.add(("IMG_1.jpg", b"one"))
    await laptop.add(("IMG_1.jpg", b"two"))
    renamed = await laptop.scope.entries.rename(await entry_id(laptop, "IMG_1.jpg"), b"Lake")
    assert renamed.name == b"Lake.jpg"
    assert await laptop.names() == ["Lake.jpg"]
    assert len(await laptop.scope.entries.versions(renamed.id)) == 3
    assert await used(laptop.scope) == 6


async def test_renaming_a_folder_keeps_its_content(laptop: Uploader) -> None:
    await laptop.add(("Trip/a.jpg", b"1"))
    await laptop.scope.entries.rename(await entry_id(laptop, "Trip"), b"Lake Huron")
    assert await laptop.names("Lake Huron") == ["a.jpg"]
    hit = await laptop.scope.entries.get(await entry_id(laptop, "Lake Huron/a.jpg"))
    assert str(hit.path) == "Lake Huron/a.jpg"
    await laptop.add(("Lake Huron/b.jpg", b"2"))
    assert await laptop.names("Lake Huron") == ["a.jpg", "b.jpg"]


async def test_rename_refuses_a_taken_or_an_impossible_name(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"1"), ("b.txt", b"2"))
    target = await entry_id(laptop, "a.txt")
    with pytest.raises(NameTaken):
        await laptop.scope.entries.rename(target, b"b")
    for bad in (b"", b"x/y", b"x" * 252):
        with pytest.raises(BadPath):
            await laptop.scope.entries.rename(target, bad)
    assert await laptop.names() == ["a.txt", "b.txt"]


async def test_a_file_never_takes_a_folders_place_nor_a_folder_a_files(laptop: Uploader) -> None:
    await laptop.add(("a/b.txt", b"1"), ("c", b"2"))
    for path in ("a", "c/d.txt"):
        with pytest.raises(Conflict):
            await laptop.add((path, b"x"))
    assert await laptop.names() == ["a", "c"]


async def test_links_folders_and_known_bytes(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"hello"))
    root = laptop.scope.manifests
    blob = blob_for(b"hello")
    done = await root.commit(
        laptop.device_id,
        [
            AddKnown(EntryPath.parse("copy/b.txt"), blob.digest, 5),
            AddKnown(EntryPath.parse("copy/empty"), blob_for(b"").digest, 0),
            AddDirectory(EntryPath.parse("nothing/in here"), 1_600_000_000_000_000_000, 0o750),
            AddLink(EntryPath.parse("copy/link"), b"../a.txt"),
        ],
    )
    assert done.added == 3
    assert await laptop.names("copy") == ["b.txt", "empty", "link"]
    link = await laptop.scope.entries.get(done.entry_ids[3])
    assert (link.kind, link.link_target) == (EntryKind.LINK, b"../a.txt")
    empty = await laptop.scope.entries.get(done.entry_ids[2])
    assert (empty.kind, empty.mtime_ns, empty.mode) == (EntryKind.DIRECTORY, 1_600_000_000_000_000_000, 0o750)


async def test_what_is_sent_twice_without_a_time_changes_nothing(laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"hello"))
    changes: list[PathChange] = [
        AddDirectory(EntryPath.parse("folder")),
        AddKnown(EntryPath.parse("folder/b.txt"), blob_for(b"hello").digest, 5),
        AddLink(EntryPath.parse("folder/link"), b"b.txt"),
    ]
    await laptop.scope.manifests.commit(laptop.device_id, changes)
    again = await laptop.scope.manifests.commit(laptop.device_id, changes)
    assert (again.manifest, again.unchanged) == (None, 3)


async def test_names_are_bytes_exactly(laptop: Uploader) -> None:
    blob = blob_for(b"known")
    await laptop.add(("a", b"known"))
    nfc, nfd, raw = "é".encode(), "e\u0301".encode(), b"caf\xe9"
    paths = [EntryPath.parse_bytes(name) for name in (nfc, nfd, raw, b"tab\there", b"a ", b"A")]
    await laptop.scope.manifests.commit(laptop.device_id, [AddKnown(path, blob.digest, 5) for path in paths])
    page = await laptop.scope.entries.page(laptop.device_id, Area.ORIGINALS, EntryPath(()))
    assert {entry.name for entry in page.items} == {nfc, nfd, raw, b"tab\there", b"a ", b"A", b"a"}


async def test_digests_that_were_never_sent_change_nothing(laptop: Uploader, catalog: Catalog) -> None:
    other = await sign_in(catalog, f"other-of-{laptop.scope.tenant.billing_client}")
    theirs = Uploader(other, (await other.devices.create("pc", (await laptop.scope.devices.all())[0].kind)).id)
    await theirs.add(("secret.txt", b"theirs"))
    digest = blob_for(b"theirs").digest
    assert await laptop.scope.blobs.missing([digest]) == [digest]
    with pytest.raises(NotPossessed) as refused:
        await laptop.scope.manifests.commit(laptop.device_id, [AddKnown(EntryPath.parse("x"), digest, 6)])
    assert refused.value.digests == [digest]
    assert await laptop.names() == []


async def test_the_quota_holds_and_refuses_whole(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a", b"12345"))
    await catalog.system.set_quota(laptop.scope.tenant.id, 8, Actor("operator", "root"))
    limited = await sign_in(catalog, laptop.scope.tenant.billing_client)
    small = Uploader(limited, laptop.device_id)
    with pytest.raises(QuotaExceeded):
        await small.add(("b", b"12"), ("c", b"34"))
    assert await laptop.names() == ["a"]
    await small.add(("b", b"123"))
    assert await used(limited) == 8
    with pytest.raises(QuotaExceeded):
        await limited.blobs.check_room(1)


async def test_the_journal_has_each_manifest_before_it_commits(laptop: Uploader, journal: MemoryJournal) -> None:
    await laptop.add(("a/b.txt", b"1"))
    await laptop.scope.entries.delete([await entry_id(laptop, "a")])
    chain = journal.chains[f"{laptop.scope.tenant.uuid}/device-{laptop.device_id}"]
    assert list(chain) == [1, 2]
    first, second = (records.decode(body) for _, _, body in chain.values())
    assert [type(line).__name__ for line in first] == ["ManifestLine", "AddLine", "AddLine"]
    assert [type(line).__name__ for line in second] == ["ManifestLine", "RemoveLine", "RemoveLine"]
    added = next(line for line in first if isinstance(line, records.AddLine) and line.kind == "file")
    assert added.blob is not None
    assert added.blob.digest == blob_for(b"1").digest.hex
    assert journal.chains[f"{laptop.scope.tenant.uuid}/tenant"][1][2].startswith(b'{"fact":"device"')


async def test_a_change_of_several_devices_names_each_record_in_all_of_them(
    laptop: Uploader, journal: MemoryJournal
) -> None:
    phone = Uploader(laptop.scope, (await laptop.scope.devices.create("phone", DeviceKind.PHONE)).id)
    mine = (await laptop.add(("a.txt", b"1"))).entry_ids + (await phone.add(("b.txt", b"2"))).entry_ids
    await laptop.scope.entries.delete(mine)
    first, second = (
        records.decode(journal.chains[f"{laptop.scope.tenant.uuid}/device-{device}"][2][2])[0]
        for device in (laptop.device_id, phone.device_id)
    )
    assert isinstance(first, records.ManifestLine)
    assert isinstance(second, records.ManifestLine)
    assert first.commit == second.commit != ""
    assert first.shared_with == second.shared_with == {str(laptop.device_id): 2, str(phone.device_id): 2}


async def test_tokens_and_what_operators_decide_are_in_the_tenants_chain(
    catalog: Catalog, laptop: Uploader, journal: MemoryJournal
) -> None:
    token_id, token = await laptop.scope.devices.create_token(laptop.device_id, "mine")
    await laptop.scope.devices.revoke_token(laptop.device_id, token_id)
    await catalog.system.set_quota(laptop.scope.tenant.id, 1234, Actor("operator", "root"))
    await catalog.system.suspend(laptop.scope.tenant.id, Actor("operator", "root"))
    chain = journal.chains[f"{laptop.scope.tenant.uuid}/tenant"]
    _, made, revoked, quota, suspended = (records.decode(body)[0] for _, _, body in chain.values())
    assert isinstance(made, records.TokenLine)
    assert (made.id, made.device, made.label) == (token_id, laptop.device_id, "mine")
    assert made.token_hash == token_hash(token)
    assert isinstance(revoked, records.TokenRevokedLine)
    assert revoked.id == token_id
    assert isinstance(quota, records.TenantLine)
    assert (quota.quota_bytes, quota.status) == (1234, "active")
    assert isinstance(suspended, records.TenantLine)
    assert (suspended.quota_bytes, suspended.status) == (1234, "suspended")


async def test_a_journal_that_cannot_write_leaves_nothing(laptop: Uploader, journal: MemoryJournal) -> None:
    journal.fault = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        await laptop.add(("a.txt", b"1"))
    journal.fault = None
    assert await laptop.names() == []
    assert await used(laptop.scope) == 0
    await laptop.add(("a.txt", b"1"))
    assert await laptop.names() == ["a.txt"]


async def test_a_record_beyond_the_head_is_abandoned(laptop: Uploader, journal: MemoryJournal) -> None:
    chain = f"{laptop.scope.tenant.uuid}/device-{laptop.device_id}"
    journal.append(chain, 1, None, b"of a commit that failed")
    await laptop.add(("a.txt", b"1"))
    assert journal.abandoned == [b"of a commit that failed"]


async def test_parallel_uploads_to_one_device_all_stand(laptop: Uploader) -> None:
    await asyncio.gather(*(laptop.add((f"d{i % 3}/f{i}.txt", b"%d" % i)) for i in range(24)))
    names = [name for folder in ("d0", "d1", "d2") for name in await laptop.names(folder)]
    assert len(names) == 24
    history = (await laptop.scope.manifests.page(laptop.device_id)).items
    assert [m.sequence for m in history] == list(range(24, 0, -1))
    assert [m.at for m in history] == sorted((m.at for m in history), reverse=True)


async def test_the_same_bytes_in_parallel_are_one_blob(laptop: Uploader) -> None:
    await asyncio.gather(*(laptop.add((f"same-{i}.txt", b"one and the same")) for i in range(16)))
    assert len(await laptop.names()) == 16
    claim = await laptop.scope.blobs.missing([blob_for(b"one and the same").digest])
    assert claim == []


async def test_entries_of_another_tenant_are_not_found(laptop: Uploader, catalog: Catalog) -> None:
    for i in range(40):
        await laptop.add((f"mine-{i}.txt", b"%d" % i))
    high = await entry_id(laptop, "mine-39.txt")
    other = await sign_in(catalog, f"other-of-{laptop.scope.tenant.billing_client}")
    with pytest.raises(NotFound):
        await other.entries.get(high)
    with pytest.raises(NotFound):
        await other.entries.delete([high])
    with pytest.raises(NotFound):
        await other.manifests.commit(laptop.device_id, [AddDirectory(EntryPath.parse("x"))])
    assert (await other.entries.held()).items == []


async def test_a_commit_of_unknown_outcome_is_looked_up(laptop: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server commits, and is lost before it says so: the caller hears of the one commit that stands."""
    translated = module._translated
    lost: list[str] = []

    async def lose_the_first_commit(awaitable):  # type: ignore[no-untyped-def]
        name = getattr(awaitable, "__qualname__", "")
        result = await translated(awaitable)
        if name.endswith("commit") and not lost:
            lost.append(name)
            raise Retry("lost") from OSError("gone")
        return result

    monkeypatch.setattr(module, "_translated", lose_the_first_commit)
    done = await laptop.scope.manifests.commit(laptop.device_id, [AddDirectory(EntryPath.parse("x"))])
    assert lost
    assert done.manifest is not None
    assert done.manifest.sequence == 1
    assert len((await laptop.scope.manifests.page(laptop.device_id)).items) == 1


async def test_the_application_cannot_change_the_audit(catalog: Catalog, laptop: Uploader) -> None:
    database: Database = catalog._database
    for statement in (
        "UPDATE audit_event SET action = 'x'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "DROP TABLE audit_event",
        "ALTER TABLE audit_event ADD COLUMN x INT",
        "CREATE TABLE other (x INT)",
    ):
        with pytest.raises(StatementFailed):
            async with database.reading() as tx:
                await tx.execute(statement)
    actions = [event.action for event in (await laptop.scope.audit.page()).items]
    assert actions == ["device.create", "sign_in"]
