"""Where a blob is that is not where a reader was told: asked before it counts as missing.

The sweep moves blobs between packs while people read, so a reader's place may be a moment old: the row is asked again.
If the row still names that place, the file may be in the trash, where it should not be: then it comes back, and the log
says so loudly.
"""

import asyncio
import logging
from concurrent.futures import TimeoutError as Waited
from datetime import UTC, datetime
from typing import Final

from cas.blob import Blob
from cas.errors import CasError
from cas.trash import Trash
from catalog.errors import CatalogError
from catalog.system import SystemScope
from catalog.values import BlobRow

log: Final = logging.getLogger("otb.web")

SECONDS_MAX: Final = 10.0
_KEPT: Final = frozenset({"live", "condemned"})


class SecondLook:
    """Called in a reader's thread; the catalog is asked on the event loop `loop`."""

    def __init__(self, system: SystemScope, trash: Trash, loop: asyncio.AbstractEventLoop) -> None:
        self._system = system
        self._trash = trash
        self._loop = loop

    def __call__(self, blob: Blob) -> Blob | None:
        """The blob where it is now; None if nothing knows better than that it is missing."""
        row = self._row(blob)
        if row is None or row.state not in _KEPT:
            return None
        if (row.blob.location, row.blob.encoding) != (blob.location, blob.encoding):
            return row.blob
        return blob if self._is_restored(blob) else None

    def _row(self, blob: Blob) -> BlobRow | None:
        asking = asyncio.run_coroutine_threadsafe(self._system.blobs_by_digest([blob.digest]), self._loop)
        try:
            return asking.result(SECONDS_MAX).get(blob.digest)
        except (CatalogError, Waited):
            asking.cancel()
            log.exception("blob %s is not in its place, and the catalog could not be asked again", blob.digest)
            return None

    def _is_restored(self, blob: Blob) -> bool:
        try:
            if not self._trash.restore(blob, datetime.now(UTC).date()):
                return False
        except CasError:
            log.exception("blob %s could not be brought back out of the trash", blob.digest)
            return False
        log.critical("blob %s was in the trash while its row names it; it was put back", blob.digest)
        return True
