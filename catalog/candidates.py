"""The queue of blobs that may have lost their last reference. Who takes a reference away puts the blob here; the sweep
looks whether anything still names it. Being here means nothing by itself."""

from collections.abc import Sequence
from typing import Final

from catalog import clock
from catalog.blob_rows import id_list
from catalog.database import Transaction

_PER_STATEMENT: Final = 1_000


async def let_go(tx: Transaction, tenant_id: int, blob_ids: Sequence[int]) -> None:
    """Before a tenant's possession of these blobs is removed: have the sweep look at them, and at the thumbnails and
    previews of them, which go with it."""
    if not blob_ids:
        return
    rows = await tx.fetch_all(
        "SELECT derived_id FROM rendition WHERE tenant_id = %s AND derived_id IS NOT NULL"
        f" AND source_id IN ({id_list(blob_ids)})",
        (tenant_id,),
    )
    await enqueue(tx, [*blob_ids, *(int(derived_id) for (derived_id,) in rows)])


async def enqueue(tx: Transaction, blob_ids: Sequence[int]) -> None:
    """Have the sweep look at these blobs; in the transaction that takes the reference away."""
    at = clock.to_db(clock.now())
    for start in range(0, len(blob_ids), _PER_STATEMENT):
        rows = ",".join(f"({blob_id:d},'{at}')" for blob_id in blob_ids[start : start + _PER_STATEMENT])
        await tx.execute(
            f"INSERT INTO sweep_candidate (blob_id, queued_at) VALUES {rows} ON DUPLICATE KEY UPDATE blob_id = blob_id"
        )
