"""Resumable uploads in the catalog: the quota holds, one writer moves the offset, and what is old goes."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cas.digest import Digest
from catalog.catalog import Catalog
from catalog.errors import (
    BadRequest,
    Conflict,
    NotFound,
    QuotaExceeded,
    TooManyUploads,
    UploadExpired,
    UploadLost,
)
from catalog.tenant import TenantScope
from catalog.uploads import METADATA_BYTES_MAX, NewUpload
from catalog.values import Actor, EntryPath
from tests.catalog.conftest import Uploader

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)
PAST = timedelta(seconds=-1)


def of(size: int, path: str | None = None, device_id: int | None = None) -> NewUpload:
    return NewUpload(size, size, device_id, None if path is None else EntryPath.parse(path))


async def test_an_upload_goes_its_way(scope: TenantScope, laptop: Uploader) -> None:
    wanted = replace(
        of(100, "a/b.txt", laptop.device_id), mtime_ns=-5, mode=0o640, digest=Digest.of(b"x"), metadata="k"
    )
    made = await scope.uploads.create(wanted, DAY)
    assert await scope.uploads.get(made.id) == made
    mine = await scope.uploads.take_over(made.id, DAY)
    assert (mine.wanted, mine.epoch, mine.offset_bytes) == (wanted, 1, 0)
    mine = await scope.uploads.move(mine, 60, DAY)
    again = await scope.uploads.get(made.id)
    assert (again.offset_bytes, again.is_finished) == (60, False)
    assert [u.id for u in (await scope.uploads.page()).items] == [made.id]
    await scope.uploads.finish(mine, Digest.of(b"y"), 7, DAY)
    done = await scope.uploads.get(made.id)
    assert (done.offset_bytes, done.is_finished, done.entry_id, done.wanted.digest) == (100, True, 7, Digest.of(b"y"))
    assert (await scope.uploads.page()).items == []
    assert (await scope.uploads.take_over(made.id, DAY)).epoch == mine.epoch
    await scope.uploads.remove(made.id)
    with pytest.raises(NotFound):
        await scope.uploads.get(made.id)


async def test_the_newest_writer_alone_moves_it(scope: TenantScope) -> None:
    made = await scope.uploads.create(of(100), DAY)
    older = await scope.uploads.take_over(made.id, DAY)
    newer = await scope.uploads.take_over(made.id, DAY)
    moves: list[Callable[[], Awaitable[object]]] = [
        lambda: scope.uploads.move(older, 50, DAY),
        lambda: scope.uploads.announce(older, 100),
        lambda: scope.uploads.reserve(older, 100),
        lambda: scope.uploads.finish(older, Digest.of(b"x"), None, DAY),
    ]
    for move in moves:
        with pytest.raises(UploadLost):
            await move()
    assert (await scope.uploads.get(made.id)).offset_bytes == 0
    # What changes nothing is no loss: the same values, by the rightful one.
    newer = await scope.uploads.move(newer, 50, DAY)
    assert (await scope.uploads.reserve(newer, 100)).offset_bytes == 50


async def test_the_last_byte_is_acknowledged_by_finish_alone(scope: TenantScope) -> None:
    made = await scope.uploads.create(of(100), DAY)
    with pytest.raises(AssertionError):
        await scope.uploads.move(made, 100, DAY)


async def test_open_uploads_count_in_the_quota(scope: TenantScope) -> None:
    quota = scope.tenant.quota_bytes
    first = await scope.uploads.create(of(quota - 10), DAY)
    with pytest.raises(QuotaExceeded) as refused:
        await scope.uploads.create(of(11), DAY)
    assert (refused.value.used_bytes, refused.value.wanted_bytes) == (quota - 10, 11)
    with pytest.raises(QuotaExceeded):
        await scope.uploads.create(of(10), DAY, others_bytes=1)
    with pytest.raises(QuotaExceeded):
        await scope.blobs.check_room(11)
    await scope.blobs.check_room(10)
    later = await scope.uploads.create(NewUpload(None, 0), DAY)
    later = await scope.uploads.reserve(later, 10)
    with pytest.raises(QuotaExceeded):
        await scope.uploads.reserve(later, 11)
    with pytest.raises(QuotaExceeded):
        await scope.uploads.announce(later, 11)
    await scope.uploads.finish(first, Digest.of(b"x"), None, DAY)
    assert (await scope.uploads.announce(later, 20)).size_bytes == 20
    with pytest.raises(BadRequest):
        await scope.uploads.announce(await scope.uploads.get(later.id), 21)


async def test_a_size_is_no_less_than_what_came(scope: TenantScope) -> None:
    made = await scope.uploads.move(await scope.uploads.create(NewUpload(None, 100), DAY), 50, DAY)
    with pytest.raises(BadRequest):
        await scope.uploads.announce(made, 49)


async def test_an_expired_upload_is_told_of_and_then_gone(catalog: Catalog, scope: TenantScope) -> None:
    old = await scope.uploads.create(of(5), PAST)
    for call in (scope.uploads.get(old.id), scope.uploads.take_over(old.id, DAY)):
        with pytest.raises(UploadExpired):
            await call
    assert old.part in await catalog.system.uploads.parts()
    (found,) = [u for u in await catalog.system.uploads.expired(1_000) if u.part == old.part]
    assert await catalog.system.uploads.remove(found)
    assert not await catalog.system.uploads.remove(found)
    assert old.part not in await catalog.system.uploads.parts()
    with pytest.raises(NotFound):
        await scope.uploads.get(old.id)


async def test_an_upload_that_was_gone_on_with_is_not_removed(catalog: Catalog, scope: TenantScope) -> None:
    made = await scope.uploads.move(await scope.uploads.create(of(5), DAY), 1, PAST)
    (found,) = [u for u in await catalog.system.uploads.expired(1_000) if u.part == made.part]
    await scope.uploads.move(made, 2, DAY)
    assert not await catalog.system.uploads.remove(found)
    assert (await scope.uploads.get(made.id)).offset_bytes == 2


async def test_names_in_the_way_are_told_at_the_beginning(scope: TenantScope, laptop: Uploader) -> None:
    await laptop.add(("folder/file", b"x"))
    for path in ("folder", "folder/file/below", "folder/file/far/below"):
        with pytest.raises(Conflict):
            await scope.uploads.create(of(1, path, laptop.device_id), DAY)
    for path in ("folder/file", "folder/other", "new/one"):
        await scope.uploads.create(of(1, path, laptop.device_id), DAY)
    with pytest.raises(NotFound):
        await scope.uploads.create(of(1, "x", 999_999), DAY)


async def test_a_device_reaches_its_own(catalog: Catalog, scope: TenantScope, laptop: Uploader) -> None:
    actor = Actor("device", "token", 1, None)
    by_token = catalog.tenant(scope.tenant, actor, laptop.device_id)
    by_other = catalog.tenant(scope.tenant, actor, 999_999)
    to_device = await scope.uploads.create(of(1, "a", laptop.device_id), DAY)
    of_token = await by_token.uploads.create(of(1), DAY)
    of_person = await scope.uploads.create(of(1), DAY)
    for upload in (to_device, of_token):
        assert await by_token.uploads.get(upload.id) == await scope.uploads.get(upload.id)
    assert [u.id for u in (await by_token.uploads.page()).items] == [to_device.id, of_token.id]
    for reach, upload in ((by_token, of_person), (by_other, to_device), (by_other, of_token)):
        assert await reach.uploads.remove(upload.id) is None
        for call in (reach.uploads.get(upload.id), reach.uploads.take_over(upload.id, DAY)):
            with pytest.raises(NotFound):
                await call
    with pytest.raises(NotFound):
        await by_other.uploads.create(of(1, "a", laptop.device_id), DAY)
    assert (await by_other.uploads.page()).items == []


async def test_limits(scope: TenantScope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.uploads.UPLOADS_OPEN_MAX", 3)
    made = [await scope.uploads.create(of(1), DAY) for _ in range(3)]
    with pytest.raises(TooManyUploads):
        await scope.uploads.create(of(1), DAY)
    first = await scope.uploads.page(limit=2)
    second = await scope.uploads.page(first.next, limit=2)
    assert [u.id for u in (*first.items, *second.items)] == [u.id for u in made]
    await scope.uploads.remove(made[0].id)
    await scope.uploads.create(replace(of(1), metadata="k" * METADATA_BYTES_MAX), DAY)
    for bad in ("k" * (METADATA_BYTES_MAX + 1), "é"):
        with pytest.raises(BadRequest):
            await scope.uploads.create(replace(of(1), metadata=bad), DAY)
    for limit in (0, 1_001):
        with pytest.raises(BadRequest):
            await scope.uploads.page(limit=limit)
