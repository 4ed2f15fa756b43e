"""The operators' half: tenants, quotas, blobs as a scrub sees them, claims that were never committed."""

import uuid

import pytest

from catalog.catalog import Catalog
from catalog.changes import AddFile
from catalog.errors import BadRequest, ClaimLost, NotFound
from catalog.values import Actor, Claimable, EntryPath, VerificationRecord
from tests.catalog.conftest import Uploader, blob_for

pytestmark = pytest.mark.anyio

OPERATOR = Actor("operator", "root")


def facts(content: bytes) -> Claimable:
    blob = blob_for(content)
    return Claimable(blob.digest, blob.size_bytes, blob.stored_bytes, blob.crc32, blob.encoding)


async def test_quota_is_set_and_taken_back(catalog: Catalog, laptop: Uploader) -> None:
    tenant = laptop.scope.tenant
    await catalog.system.set_quota(tenant.id, 0, OPERATOR)
    assert (await catalog.system.tenant(tenant.id)).quota_bytes == 0
    await catalog.system.set_quota(tenant.id, None, OPERATOR)
    assert (await catalog.system.tenant(tenant.id)).quota_bytes == 1 << 40
    with pytest.raises(BadRequest):
        await catalog.system.set_quota(tenant.id, -1, OPERATOR)
    with pytest.raises(NotFound):
        await catalog.system.set_quota(10**9, 1, OPERATOR)


async def test_a_damaged_blob_counts_as_missing_until_it_is_sent_again(catalog: Catalog, laptop: Uploader) -> None:
    content = uuid.uuid4().bytes
    await laptop.add(("a.bin", content))
    digest = blob_for(content).digest
    row = await catalog.system.blob_by_digest(digest.raw)
    await catalog.system.record_verifications([VerificationRecord(row.id, "damaged")])
    assert await laptop.scope.blobs.missing([digest]) == [digest]
    await laptop.add(("a.bin", content))
    assert await laptop.scope.blobs.missing([digest]) == []


async def test_blobs_are_paged_by_id_and_pending_claims_left_out(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(*((f"f{i}", b"%d" % i) for i in range(5)))
    claims = await laptop.scope.blobs.claim([facts(uuid.uuid4().bytes)])
    seen: list[int] = []
    while page := await catalog.system.blobs_after(seen[-1] if seen else 0, 2):
        seen += [row.id for row in page]
    assert seen == sorted(set(seen))
    assert claims[0].blob_id not in seen
    assert len(seen) >= 5


async def test_unfinished_claims_are_taken_and_their_late_commit_is_refused(catalog: Catalog, laptop: Uploader) -> None:
    content = uuid.uuid4().bytes
    [claim] = await laptop.scope.blobs.claim([facts(content)])
    await laptop.add(("kept", b"kept"))
    taken = await catalog.system.take_unfinished(1_000)
    assert claim.blob_id in [row.id for row in taken]
    late = AddFile(EntryPath.parse("late.bin"), blob_for(content), claim.blob_id)
    with pytest.raises(ClaimLost):
        await laptop.scope.manifests.commit(laptop.device_id, [late])
    await catalog.system.forget([row.id for row in taken])
    with pytest.raises(ClaimLost):
        await laptop.scope.manifests.commit(laptop.device_id, [late])
    await laptop.add(("late.bin", content))
    assert await laptop.names() == ["kept", "late.bin"]
    assert await catalog.system.take_unfinished(1_000) == []


async def test_live_blobs_are_never_forgotten(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("kept", b"kept too"))
    row = await catalog.system.blob_by_digest(blob_for(b"kept too").digest.raw)
    await catalog.system.forget([row.id])
    assert await catalog.system.blob_by_digest(blob_for(b"kept too").digest.raw) == row


async def test_a_scrub_run_is_resumed_until_it_is_finished(catalog: Catalog) -> None:
    run_id = await catalog.system.start_scrub()
    await catalog.system.checkpoint_scrub(run_id, 42, {"good": 40, "damaged": 2})
    run = await catalog.system.unfinished_scrub()
    assert run is not None
    assert (run.id, run.last_blob_id, run.counts) == (run_id, 42, {"good": 40, "damaged": 2})
    await catalog.system.finish_scrub(run_id)
    assert await catalog.system.unfinished_scrub() is None
