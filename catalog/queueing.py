"""Putting jobs into the queue: fair between tenants, and each rendition once.

Fairness is start-time fair queueing (Goyal, Vin, Cheng 1996) with every job as one unit of work: a job's `turn` is one
more than the tenant's last one that waits, but at least where the queue stands now. So who queues 10,000 files first
does not make others wait for them, and nobody's idle time is saved up. Claiming is then a plain walk along an index.
"""

from collections.abc import Sequence
from typing import Final

from catalog import clock
from catalog.blob_rows import id_list
from catalog.database import Transaction
from catalog.recipes import Lane, Recipe, canonical

WANTED_NOW: Final = 0
"""Somebody looks at the place where the picture will be."""
ASKED: Final = 1
THUMBNAILS: Final = 2
PREVIEWS: Final = 3

_UPLOAD: Final = "upload"


async def queue_renditions(
    tx: Transaction, tenant_id: int, recipe: Recipe, source_ids: Sequence[int], priority: int
) -> None:
    """One waiting job for each source that has neither this rendition whole nor a job for it; one that waits is
    hastened to `priority`."""
    wanted = sorted(set(source_ids))
    if not wanted:
        return
    ids = id_list(wanted)
    made = await tx.fetch_all(
        "SELECT r.source_id FROM rendition r"
        " LEFT JOIN verification v ON v.blob_id = r.derived_id AND v.outcome <> 'good'"
        f" WHERE r.tenant_id = %s AND r.recipe = %s AND r.source_id IN ({ids}) AND v.blob_id IS NULL",
        (tenant_id, recipe.name),
    )
    await tx.execute(
        "UPDATE job SET priority = %s WHERE tenant_id = %s AND recipe = %s AND state = 'waiting' AND priority > %s"
        f" AND rendition_of IN ({ids})",
        (priority, tenant_id, recipe.name, priority),
    )
    there = {row[0] for row in made}
    turn = await next_turn(tx, tenant_id, recipe.lane, priority)
    rows = [
        (tenant_id, recipe.name, recipe.version, canonical({}), source_id, source_id, str(recipe.lane), priority,
         turn + number, _UPLOAD)
        for number, source_id in enumerate(source_id for source_id in wanted if source_id not in there)
    ]  # fmt: skip
    if rows:
        # IGNORE: a job for the same rendition is waiting or running already, or the tenant let go of the source.
        await tx.execute_many(
            "INSERT IGNORE INTO job (tenant_id, recipe, version, parameters, source_id, rendition_of, lane, priority,"
            " turn, asked_by, state, not_before, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
            rows,
        )


async def next_turn(tx: Transaction, tenant_id: int, lane: Lane, priority: int) -> int:
    """The turn of the tenant's next job of this lane and priority."""
    where = "state = 'waiting' AND lane = %s AND priority = %s"
    row = await tx.fetch_one(
        f"SELECT (SELECT turn FROM job WHERE {where} ORDER BY turn LIMIT 1),"
        f" (SELECT turn FROM job WHERE {where} AND tenant_id = %s ORDER BY turn DESC LIMIT 1)",
        (str(lane), priority, str(lane), priority, tenant_id),
    )
    stands_at, last = row or (None, None)
    return max(int(stands_at or 0), int(last or 0) + 1)


async def insert_job(
    tx: Transaction, tenant_id: int, recipe: Recipe, parameters: str, source_id: int, entry_id: int, device_id: int,
    asked_by: str,
) -> int:  # fmt: skip
    """A job that somebody asked for; returns its id."""
    now = clock.to_db(clock.now())
    return await tx.insert(
        "INSERT INTO job (tenant_id, recipe, version, parameters, source_id, entry_id, device_id, lane, priority, turn,"
        " asked_by, state, not_before, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting', %s, %s)",
        (tenant_id, recipe.name, recipe.version, parameters, source_id, entry_id, device_id, str(recipe.lane), ASKED,
         await next_turn(tx, tenant_id, recipe.lane, ASKED), asked_by[:200], now, now),
    )  # fmt: skip
