"""The queue of blobs that may have lost their last reference. Who takes a reference away puts the blob here; the sweep
looks whether anything still names it. Being here means nothing by itself."""

from collections.abc import Sequence
from typing import Final

from catalog import clock
from catalog.database import Transaction

_PER_STATEMENT: Final = 1_000


async def enqueue(tx: Transaction, blob_ids: Sequence[int]) -> None:
    """Have the sweep look at these blobs; in the transaction that takes the reference away."""
    at = clock.to_db(clock.now())
    for start in range(0, len(blob_ids), _PER_STATEMENT):
        rows = ",".join(f"({blob_id:d},'{at}')" for blob_id in blob_ids[start : start + _PER_STATEMENT])
        await tx.execute(
            f"INSERT INTO sweep_candidate (blob_id, queued_at) VALUES {rows} ON DUPLICATE KEY UPDATE blob_id = blob_id"
        )
