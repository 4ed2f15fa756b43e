"""`Documents`: live entries as columns, on their way from MariaDB's rows into a segment of the search index, or back
out.

What always holds: the columns have one length and one order, that of rising entry ids once `sorted_by_id` was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from catalog import clock
from catalog.database import Row
from catalog.values import Area, DateKind, EntryKind, MediaKind

Array = npt.NDArray[Any]

KINDS: Final = ("directory", "link", *(str(kind) for kind in MediaKind))
"""What the column `kind` numbers: folders and links, and files by what a person would call their content."""
FIRST_FILE_KIND: Final = 2
AREAS: Final = tuple(str(area) for area in Area)
DATES: Final = tuple(str(kind) for kind in DateKind)

MONTHS_FROM_YEAR: Final = 1678
_MONTHS_TO_YEAR: Final = 2261
"""Whole years within 64 bits of nanoseconds around 1970."""

_NUMBERS: Final = ("ids", "taken", "modified", "uploaded", "size", "parent", "device")
_CODES: Final = ("kind", "area")

DOCUMENT_COLUMNS: Final = (
    "e.id, IFNULL(e.taken_ns, e.mtime_ns), e.mtime_ns, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', e.added_at),"
    " e.size_bytes, e.parent_id, e.device_id, e.kind, e.media_kind, e.area, e.name_fold"
)
"""Of `entry e`, as `from_rows` takes them."""


@dataclass(frozen=True, slots=True)
class Documents:
    """`taken` (else modified), `modified`, `uploaded`: nanoseconds since 1970; `size` in bytes; `kind` and `area`:
    places in KINDS and AREAS; `names`: folded, UTF-8, without NUL."""

    ids: Array
    taken: Array
    modified: Array
    uploaded: Array
    size: Array
    parent: Array
    device: Array
    kind: Array
    area: Array
    names: list[bytes]

    def __len__(self) -> int:
        return len(self.names)

    def taking(self, order: Array) -> "Documents":
        """The documents at these places, in this order."""
        names = self.names
        columns = {name: getattr(self, name)[order] for name in (*_NUMBERS, *_CODES)}
        return Documents(**columns, names=[names[place] for place in order.tolist()])

    def in_parts(self, count: int) -> "list[Documents]":
        """The same in parts of at most so many."""
        if len(self) <= count:
            return [self]
        return [self.taking(np.arange(start, min(start + count, len(self)))) for start in range(0, len(self), count)]

    def sorted_by_id(self) -> "Documents":
        if len(self) < 2 or bool(np.all(self.ids[1:] > self.ids[:-1])):
            return self
        return self.taking(np.argsort(self.ids, kind="stable"))


def from_rows(rows: Sequence[Row]) -> Documents:
    """Rows of `DOCUMENT_COLUMNS`."""
    if not rows:
        return joined([])
    ids, taken, modified, uploaded, size, parent, device, kind, media, area, names = zip(*rows, strict=True)
    numbers = {
        name: np.array(values, np.int64)
        for name, values in zip(_NUMBERS, (ids, taken, modified, uploaded, size, parent, device), strict=True)
    }
    numbers["uploaded"] *= 1_000
    codes = [KINDS.index(m if k == EntryKind.FILE else k) for k, m in zip(kind, media, strict=True)]
    return Documents(
        **numbers,
        kind=np.array(codes, np.uint8),
        area=np.array([AREAS.index(name) for name in area], np.uint8),
        names=[name.encode() for name in names],
    )


def joined(parts: Sequence[Documents]) -> Documents:
    """All of these, one after the other."""
    columns = {
        name: np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)]).astype(kind, copy=False)
        for name, kind in [*((name, np.int64) for name in _NUMBERS), *((name, np.uint8) for name in _CODES)]
    }
    return Documents(**columns, names=[name for part in parts for name in part.names])


def months_of(moments: Array, zone: str) -> Array:
    """The month of each moment in a time zone, counted from January of `MONTHS_FROM_YEAR`; what lies outside, at the
    ends."""
    bounds = month_bounds(zone)
    return np.clip(np.searchsorted(bounds, moments, side="right") - 1, 0, len(bounds) - 1).astype(np.uint16)


@lru_cache(maxsize=64)
def month_bounds(zone: str) -> Array:
    """When each month begins there, in nanoseconds since 1970."""
    there = ZoneInfo(zone)
    return np.array(
        [
            clock.to_ns(clock.day_start(date(year, month, 1), there))
            for year in range(MONTHS_FROM_YEAR, _MONTHS_TO_YEAR + 1)
            for month in range(1, 13)
        ],
        np.int64,
    )
