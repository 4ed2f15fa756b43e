"""Which downloads are in the audit already, so that the hundred ranges of one video are one event."""

import time
from collections import OrderedDict
from typing import Final

from web.limits import DOWNLOAD_LOG_SECONDS

_KEPT: Final = 10_000

Key = tuple[int, str, int | None, int]
"""Tenant, kind and id of the actor, entry."""


class DownloadLog:
    """Remembers recent downloads in this process. What it forgets is logged once more."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Key, float] = OrderedDict()

    def is_new(self, key: Key) -> bool:
        """Whether this download is to be logged."""
        return time.monotonic() - self._seen.get(key, -DOWNLOAD_LOG_SECONDS) >= DOWNLOAD_LOG_SECONDS

    def note(self, key: Key) -> None:
        """It is in the audit now."""
        self._seen[key] = time.monotonic()
        self._seen.move_to_end(key)
        while len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
