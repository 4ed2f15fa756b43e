"""How this host and this server are: what `/health`, `/health.json` and `/metrics` tell."""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cas.replicated import Replicated
from catalog.condition import Condition
from catalog.errors import DatabaseUnavailable
from web.state import Services

OK: Final = "ok"
DEGRADED: Final = "degraded"
UNAVAILABLE: Final = "unavailable"
LATE: Final = "late"
NONE: Final = "none"
REPLICA_AGE_MAX: Final = timedelta(days=2)
"""It is made every night."""

_STARTED: Final = time.monotonic()
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Health:
    """Sizes in bytes, times in seconds. `condition` is None while the database is away."""

    status: str
    condition: Condition | None
    database_seconds: float
    """How long the catalog took to answer."""
    is_store_writable: bool
    uptime_seconds: float
    """Of this server process."""
    load_average: tuple[float, float, float]
    """Over 1, 5 and 15 minutes."""
    memory_total_bytes: int
    memory_free_bytes: int
    """What could be given to programs at once."""
    disk_total_bytes: int
    disk_free_bytes: int
    """Of the store's file system."""
    is_replicated: bool
    """Whether the settings name a second copy."""
    replicated: Replicated

    @property
    def replica_status(self) -> str:
        """`none` where none is wanted; `late` where copy or dump is older than two nights, or was never made."""
        return replica_status(self.replicated) if self.is_replicated else NONE


async def look(held: Services) -> Health:
    """Look at everything once."""
    began = time.monotonic()
    condition: Condition | None = None
    with suppress(DatabaseUnavailable):  # told by the status
        condition = await held.catalog.condition()
    took = time.monotonic() - began
    read_only = await held.readers.run(lambda: held.store.read_only_reason)
    disk = await held.readers.run(shutil.disk_usage, held.settings.storage_root)
    total, free = await held.readers.run(_memory)
    is_replicated, replicated = held.settings.replica is not None, await held.readers.run(held.store.replicated)
    is_late = is_replicated and replica_status(replicated) == LATE
    return Health(
        _status(condition, is_good=read_only is None and not is_late), condition, took, read_only is None,
        time.monotonic() - _STARTED, os.getloadavg(), total, free, disk.total, disk.free,
        is_replicated, replicated,
    )  # fmt: skip


def replica_status(replicated: Replicated) -> str:
    """`ok`, or `late`."""
    moments = (replicated.whole_at, replicated.dumped_at)
    oldest = datetime.now(UTC) - REPLICA_AGE_MAX
    return OK if all(moment is not None and moment > oldest for moment in moments) else LATE


def _status(condition: Condition | None, *, is_good: bool) -> str:
    if condition is None:
        return UNAVAILABLE
    is_whole = condition.damaged_blobs + condition.missing_blobs == 0
    return OK if is_good and is_whole else DEGRADED


def _memory() -> tuple[int, int]:
    """(total, available) of proc_meminfo(5)."""
    lines = (line.partition(":") for line in Path("/proc/meminfo").read_text("ascii").splitlines())
    values = {name: int(rest.split()[0]) * _KIB for name, _, rest in lines}
    return values["MemTotal"], values["MemAvailable"]
