"""The story of one file: what happened, where else its bytes are, how they are kept; and never another tenant's."""

import uuid

import pytest

from catalog.catalog import Catalog
from catalog.database import Transaction
from catalog.errors import NotFound
from catalog.trail import What
from catalog.values import Area, DeviceKind, EntryPath, VerificationRecord
from tests.catalog.conftest import Uploader, sign_in

pytestmark = pytest.mark.anyio


async def test_what_happened_newest_first(laptop: Uploader) -> None:
    entries = laptop.scope.entries
    await laptop.add(("a.txt", b"one"))
    await laptop.add(("a.txt", b"two"))
    await laptop.add(("a.txt", b"two"), mtime_ns=9)
    live = await entries.by_path(laptop.device_id, Area.ORIGINALS, EntryPath.parse("a.txt"))
    renamed = await entries.rename(live.id, b"b")
    (moved,) = await entries.move([renamed.id], EntryPath.parse("in"))
    await entries.delete([moved.id])
    await entries.recover([moved.id])
    back = await entries.by_path(laptop.device_id, Area.ORIGINALS, EntryPath.parse("in/b.txt"))
    await laptop.scope.audit.record("download", "in/b.txt", {"entry": str(back.id)}, device_id=laptop.device_id)
    steps = await laptop.scope.trail.steps(back)
    assert [step.what for step in steps] == [
        What.DOWNLOADED,
        What.RECOVERED,
        What.DELETED,
        What.MOVED,
        What.RENAMED,
        What.AMENDED,
        What.REPLACED,
        What.ADDED,
    ]
    assert steps[4].before == b"a.txt"
    assert {step.actor for step in steps} == {"Olive Owner"}
    assert [step.manifest for step in steps] == [None, 7, 6, 5, 4, 3, 2, 1]


async def test_the_places_of_the_same_bytes(catalog: Catalog, laptop: Uploader) -> None:
    phone = Uploader(laptop.scope, (await laptop.scope.devices.create("phone", DeviceKind.PHONE, [])).id)
    stranger = await sign_in(catalog, f"client-{uuid.uuid4()}")
    other = Uploader(stranger, (await stranger.devices.create("laptop", DeviceKind.LAPTOP, [])).id)
    content = uuid.uuid4().bytes
    await laptop.add(("b/copy.txt", content), ("a.txt", content), ("else.txt", b"else"))
    await phone.add(("sdcard/a.txt", content))
    theirs = (await other.add(("secret.txt", content))).entry_ids[0]
    entry = await laptop.scope.entries.by_path(laptop.device_id, Area.ORIGINALS, EntryPath.parse("a.txt"))
    places = await laptop.scope.trail.places(entry)
    assert [(p.device_name, str(p.path)) for p in places] == [
        ("laptop", "a.txt"),
        ("laptop", "b/copy.txt"),
        ("phone", "sdcard/a.txt"),
    ]
    assert [str(p.path) for p in await stranger.trail.places(await stranger.entries.get(theirs))] == ["secret.txt"]
    with pytest.raises(NotFound):
        await laptop.scope.trail.keeping(await stranger.entries.get(theirs))


async def blob_of(uploader: Uploader, entry_id: int) -> int:
    """The number of the entry's blob."""

    async def work(tx: Transaction) -> int:
        row = await tx.fetch_one("SELECT blob_id FROM entry WHERE id = %s AND device_id = %s AND tenant_id = %s",
                                 (entry_id, uploader.device_id, uploader.scope.tenant.id))  # fmt: skip
        assert row
        return int(row[0])

    return await uploader.scope._scope.database.run(work)


async def test_how_much_of_the_account_was_read_again(catalog: Catalog, laptop: Uploader) -> None:
    stranger = await sign_in(catalog, f"client-{uuid.uuid4()}")
    assert (await stranger.safety.assurance()).own is None
    other = Uploader(stranger, (await stranger.devices.create("laptop", DeviceKind.LAPTOP, [])).id)
    shared = uuid.uuid4().bytes
    mine = (await laptop.add(("a.txt", shared), ("copy.txt", shared), ("b.txt", uuid.uuid4().bytes))).entry_ids
    await other.add(("theirs.txt", uuid.uuid4().bytes))
    own = (await laptop.scope.safety.assurance()).own
    assert own
    before = own.contents
    assert (own.verified, own.oldest_at) == (0, None)
    await catalog.system.record_verifications([VerificationRecord(await blob_of(laptop, mine[0]), "good")])
    own = (await laptop.scope.safety.assurance()).own
    assert own
    assert (own.contents, own.verified) == (before, 1)
    assert own.oldest_at is not None
    theirs = (await stranger.safety.assurance()).own
    assert theirs
    assert (theirs.contents, theirs.verified) == (1, 0)


async def test_when_it_was_last_found_good(catalog: Catalog, laptop: Uploader) -> None:
    entry_id = (await laptop.add(("a.txt", uuid.uuid4().bytes))).entry_ids[0]
    entry = await laptop.scope.entries.get(entry_id)
    keeping = await laptop.scope.trail.keeping(entry)
    assert (keeping.verified_at, keeping.is_damaged) == (None, False)

    number = await blob_of(laptop, entry_id)
    await catalog.system.record_verifications([VerificationRecord(number, "good")])
    assert (await laptop.scope.trail.keeping(entry)).verified_at is not None
    await catalog.system.record_verifications([VerificationRecord(number, "damaged")])
    keeping = await laptop.scope.trail.keeping(entry)
    assert (keeping.verified_at, keeping.is_damaged) == (None, True)
