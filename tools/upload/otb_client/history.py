"""`History`: which of the device's manifests are ours, while several are on their way at once.

What the cache believes holds only while nobody else changes the device. So each post is announced to the cache before
it goes; what is answered out of turn counts once the gap before it is filled; a gap that stays is somebody else's.
"""

import threading
from collections.abc import Iterable
from typing import Any

from otb_client.cache import Cache

NOTE = "otb-cloud upload"
OURS_UNDER_WAY_MAX = 16
"""More manifests than ever are on their way at once."""


class History:
    """May be used from several threads."""

    def __init__(self, cache: Cache, sequence: int) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._sequence = sequence
        """Up to here all manifests are known."""
        self._beyond: set[int] = set()
        """Ours, answered before one with a lower number."""
        self._under_way = 0

    @property
    def is_alone(self) -> bool:
        """Whether nobody else committed to the device meanwhile. Ask when nothing is under way."""
        return not self._beyond

    def begin(self) -> None:
        """A manifest goes."""
        with self._lock:
            self._under_way += 1
            self._tell()

    def end(self, answer: Any) -> None:
        """It is answered (`manifest`: its number, or nothing where nothing changed), or it failed (None)."""
        text = answer.get("manifest") if isinstance(answer, dict) else None
        with self._lock:
            self._under_way -= 1
            if isinstance(text, str) and text.isdigit():
                self._beyond.add(int(text))
            while self._sequence + 1 in self._beyond:
                self._sequence += 1
                self._beyond.remove(self._sequence)
            if answer is not None:  # what failed may have been committed all the same
                self._tell()

    def _tell(self) -> None:
        under_way = self._under_way + len(self._beyond)
        self._cache.set_state(self._sequence, self._sequence + under_way if under_way else 0)


def is_ours(manifests: Iterable[Any], known: int, pending: int) -> bool:
    """Whether all manifests after `known` are of a run that was killed with `pending` as the highest that it could have
    made. `manifests`: newest first, as many as there are or `OURS_UNDER_WAY_MAX` and one more."""
    expected = None
    for manifest in manifests:
        sequence = int(manifest["id"])
        if sequence <= known:
            break
        if sequence > pending or manifest.get("note") != NOTE or manifest.get("actor_kind") != "device":
            return False
        expected = sequence
    return expected is None or expected == known + 1
