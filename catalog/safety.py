"""`Safety`: whether a tenant's files are well, for the first thing that a page says."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from catalog import clock
from catalog.database import Transaction
from catalog.scope import Scope

CONTENTS_COUNTED_MAX: Final = 20_000
"""Of an account that holds more, the re-readings are not counted: a page would wait for them."""


@dataclass(frozen=True, slots=True)
class Reread:
    """Of the `contents` that the tenant holds, each counted once, so many were read again since they arrived and found
    good, the longest ago at `oldest_at`."""

    contents: int
    verified: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Assurance:
    """`damaged`: live files whose stored copy is known to be damaged or missing. `verified_at`: when the last complete
    re-reading of the whole store began; None before the first. `own`: the tenant's own part of it; None where that is
    too much to count, or where the scope does not reach all devices."""

    damaged: int
    verified_at: datetime | None
    own: Reread | None = None


class Safety:
    """How the tenant's files are, as far as the scope reaches."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def assurance(self) -> Assurance:
        """Cheap whatever the tenant holds: what is not good is rare, and has an index; the rest is bounded."""
        async with self._scope.database.reading() as tx:
            damaged = await tx.fetch_one(
                "SELECT COUNT(*) FROM verification v JOIN entry e ON e.blob_id = v.blob_id AND e.tenant_id = %s"
                f" AND e.removed_key = 0 WHERE v.outcome IN ('damaged', 'missing'){self._scope.within('e.device_id')}",
                (self._scope.tenant.id,),
            )
            run = await tx.fetch_one("SELECT MAX(started_at) FROM scrub_run WHERE finished_at IS NOT NULL")
            own = await self._own(tx) if self._scope.devices is None else None
        return Assurance(int(damaged[0]) if damaged else 0, clock.from_db(run[0]) if run and run[0] else None, own)

    async def _own(self, tx: Transaction) -> Reread | None:
        row = await tx.fetch_one(
            "SELECT COUNT(*), COUNT(v.blob_id), MIN(v.verified_at) FROM (SELECT blob_id FROM possession"
            " WHERE tenant_id = %s AND leased_until IS NULL LIMIT %s) AS held"
            " LEFT JOIN verification v ON v.blob_id = held.blob_id AND v.outcome = 'good'",
            (self._scope.tenant.id, CONTENTS_COUNTED_MAX + 1),
        )
        if row is None or not 0 < row[0] <= CONTENTS_COUNTED_MAX:
            return None
        return Reread(int(row[0]), int(row[1]), clock.from_db(row[2]) if row[2] else None)
