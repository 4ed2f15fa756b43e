"""`Safety`: whether a tenant's files are well, for the first thing that a page says."""

from dataclasses import dataclass
from datetime import datetime

from catalog import clock
from catalog.scope import Scope


@dataclass(frozen=True, slots=True)
class Assurance:
    """`damaged`: live files whose stored copy is known to be damaged or missing. `verified_at`: when the last complete
    re-reading of everything stored began; None before the first. It tells of the store, not of this tenant."""

    damaged: int
    verified_at: datetime | None


class Safety:
    """How the tenant's files are, as far as the scope reaches."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def assurance(self) -> Assurance:
        """Cheap whatever the tenant holds: what is not good is rare, and has an index."""
        async with self._scope.database.reading() as tx:
            damaged = await tx.fetch_one(
                "SELECT COUNT(*) FROM verification v JOIN entry e ON e.blob_id = v.blob_id AND e.tenant_id = %s"
                f" AND e.removed_key = 0 WHERE v.outcome IN ('damaged', 'missing'){self._scope.within('e.device_id')}",
                (self._scope.tenant.id,),
            )
            run = await tx.fetch_one("SELECT MAX(started_at) FROM scrub_run WHERE finished_at IS NOT NULL")
        verified_at = run[0] if run else None
        return Assurance(int(damaged[0]) if damaged else 0, None if verified_at is None else clock.from_db(verified_at))
