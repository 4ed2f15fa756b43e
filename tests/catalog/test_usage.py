"""Usage: every byte in its place, repetitions once, days for billing, and nothing of anybody else."""

from datetime import UTC, datetime, timedelta

import pytest

from catalog.catalog import Catalog
from catalog.errors import NotAllowed
from catalog.usage import UsageRecords
from catalog.values import Actor, DeviceKind
from tests.catalog.conftest import Uploader, sign_in

pytestmark = pytest.mark.anyio


async def test_every_byte_is_in_its_place(laptop: Uploader) -> None:
    device = await laptop.scope.devices.create("phone", DeviceKind.PHONE, [])
    phone = Uploader(laptop.scope, device.id)
    await laptop.add(("a.jpg", b"x" * 100), ("copy of a.jpg", b"x" * 100), ("b.pdf", b"y" * 30), ("c.mp4", b"old"))
    await laptop.add(("c.mp4", b"newer"))
    await phone.add(("a.jpg", b"x" * 100))
    done = await phone.add(("gone.txt", b"z" * 7))
    await laptop.scope.entries.delete(done.entry_ids)
    found = await laptop.scope.usages.breakdown()
    assert found is not None
    first, second = found.devices
    assert {(share.kind, share.files, share.size_bytes) for share in first.kinds} == {
        ("image", 2, 200),
        ("document", 1, 30),
        ("video", 1, 5),
    }
    assert (first.version_bytes, first.held_bytes) == (3, 0)
    assert (second.version_bytes, second.held_bytes, second.live_bytes) == (0, 7, 100)
    assert (found.live_bytes, found.held_bytes, found.version_bytes) == (335, 7, 3)
    assert (found.unique_bytes, found.shared_bytes, found.repeated_bytes) == (145, 100, 200)
    assert [share.kind for share in found.kinds()] == ["image", "document", "video"]
    used = (await laptop.scope.usage()).used_bytes
    assert found.live_bytes + found.held_bytes + found.version_bytes == used


async def test_what_others_store_changes_nothing(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.bin", b"the same bytes"))
    alone = await laptop.scope.usages.breakdown()
    other = await sign_in(catalog, f"other-of-{laptop.scope.tenant.billing_client}")
    device = await other.devices.create("laptop", DeviceKind.LAPTOP, [])
    await Uploader(other, device.id).add(("b.bin", b"the same bytes"))
    theirs = await other.usages.breakdown()
    assert alone is not None
    assert theirs is not None
    assert (theirs.unique_bytes, theirs.shared_bytes) == (alone.unique_bytes, alone.shared_bytes) == (14, 0)
    assert await laptop.scope.usages.breakdown() == alone


async def test_it_is_counted_again_only_when_something_changed(laptop: Uploader) -> None:
    await laptop.add(("a.bin", b"1"))
    first = await laptop.scope.usages.breakdown()
    assert await laptop.scope.usages.breakdown() == first
    database = laptop.scope._scope.database
    await laptop.add(("b.bin", b"22"))
    assert await laptop.scope.usages.breakdown() == first  # some minutes old at most
    records = UsageRecords(database)
    await records.record(laptop.scope.tenant)
    again = await laptop.scope.usages.breakdown()
    assert again is not None
    assert again.live_bytes == 3


async def test_the_most_of_a_day_counts(laptop: Uploader) -> None:
    records = UsageRecords(laptop.scope._scope.database)
    done = await laptop.add(("a.bin", b"x" * 50))
    await records.record(laptop.scope.tenant)
    await laptop.scope.purge.entries(done.entry_ids)
    used = await records.record(laptop.scope.tenant)
    assert used.logical_bytes == 0
    today = datetime.now(UTC).date()
    (day,) = await laptop.scope.usages.days(today - timedelta(days=1), today)
    assert (day.logical_bytes, day.file_count) == (50, 0)
    client = laptop.scope.tenant.billing_client
    assert (client, day) in await records.of_day(today)
    assert client not in [found for found, _ in await records.of_day(today, client)]


async def test_a_device_token_sees_none_of_it(catalog: Catalog, laptop: Uploader) -> None:
    narrow = catalog.tenant(laptop.scope.tenant, Actor("device", "laptop"), laptop.device_id)
    with pytest.raises(NotAllowed):
        await narrow.usages.breakdown()
    with pytest.raises(NotAllowed):
        await narrow.usages.days(datetime.now(UTC).date(), datetime.now(UTC).date())
