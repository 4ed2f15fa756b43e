"""How many hits a search has: in all, and by device, kind and month, as facets need it.

What always holds: each segment is looked at once (twice where days cut months), which gives a number for each of its
groups (`catalog/search_groups.py`); conditions on device, kind and whole months then choose among groups, not hits.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from catalog.search_documents import KINDS, Array, month_bounds
from catalog.search_match import Candidates, View, Wanted, all_of, candidates, may_date, reading

NAMES_READ_MAX: Final = 25_000
"""Of words longer than a gram so many names are read to count exactly; beyond, candidates count (`Counts.is_exact`)."""

_NONE: Final = np.empty(0, np.int64)


@dataclass(slots=True)
class Counts:
    """`devices`, `kinds` (places in KINDS) and `months` each count what fits all conditions but the one on themselves.
    `is_exact`: false where too many names had to be read, so that a few hits too many may be counted."""

    total: int = 0
    is_exact: bool = True
    devices: Counter[int] = field(default_factory=Counter)
    kinds: Counter[int] = field(default_factory=Counter)
    months: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Table:
    """The groups of all segments, an item each: `device` is a place in `devices`; `free` and `dated` are numbers of
    hits, of any date and of the dates that are wanted."""

    devices: Array
    month: Array
    kind: Array
    device: Array
    free: Array
    dated: Array


def count(views: Sequence[View], wanted: Wanted, zone: str) -> Counts:
    """How many hits there are, in all and by device, kind and month (of the time zone) of the date that was asked
    for."""
    found, is_exact = [each for view in views if (each := candidates(view, wanted)) is not None], True
    if wanted.reads_names:
        found, is_exact = _read(found, wanted)
    table = _table(found, wanted, zone)
    of_device = _any_of(table.devices, wanted.devices)[table.device]
    of_kind = _any_of(np.arange(len(KINDS)), wanted.kinds)[table.kind]
    devices = _sums(table.device, table.dated * of_kind)
    return Counts(
        int(table.dated[of_device & of_kind].sum()),
        is_exact,
        Counter({int(table.devices[place]): hits for place, hits in devices.items()}),
        Counter(_sums(table.kind, table.dated * of_device)),
        Counter(_sums(table.month, table.free * (of_device & of_kind))),
    )


def _read(found: list[Candidates], wanted: Wanted) -> tuple[list[Candidates], bool]:
    """Only what really fits, unless too many names would have to be read; and whether that was done."""
    slots = [each.slots(each.mask) for each in found]
    if sum(map(len, slots)) > NAMES_READ_MAX:
        return found, False
    read = [reading(each.segment, own, wanted) for each, own in zip(found, slots, strict=True)]
    return [Candidates(each.segment, own, None) for each, own in zip(found, read, strict=True)], True


def _table(found: Sequence[Candidates], wanted: Wanted, zone: str) -> _Table:
    devices = np.unique(np.concatenate([_NONE, *(each.segment.devices for each in found)]))
    months = _whole_months(wanted, zone)
    parts: list[tuple[Array, ...]] = [(_NONE,) * 5]
    for each in found:
        groups = each.segment.groups(wanted.by)
        free = each.by_group(each.mask, wanted.by)
        if not may_date(each.segment, wanted):
            dated = np.zeros_like(free)
        elif months is not None:
            dated = free * ((groups.months >= months.start) & (groups.months < months.stop))
        else:
            in_time = each.dated(wanted)
            dated = free if in_time is None else each.by_group(all_of(each.mask, in_time), wanted.by)
        device = np.searchsorted(devices, each.segment.devices)[groups.devices]
        parts.append((groups.months, groups.kinds, device, free, dated))
    return _Table(devices, *(np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)))


def _whole_months(wanted: Wanted, zone: str) -> range | None:
    """The months that the dates are, where they begin and end with months; None where they do not."""
    bounds = month_bounds(zone)
    first, until = 0, len(bounds)
    if wanted.first is not None:
        first = int(np.searchsorted(bounds, wanted.first))
    if wanted.until is not None:
        until = int(np.searchsorted(bounds, wanted.until))
    for moment, place in ((wanted.first, first), (wanted.until, until)):
        if moment is not None and (place == len(bounds) or bounds[place] != moment):
            return None
    return range(first, until)


def _any_of(values: Array, chosen: frozenset[int] | None) -> Array:
    """For each of the values, whether it is one of the chosen; None are all."""
    return np.ones(len(values), np.bool_) if chosen is None else np.isin(values, list(chosen))


def _sums(places: Array, numbers: Array) -> dict[int, int]:
    """The sum of the numbers at each place, where there is any. Sums are below 2^53, so that floats hold them."""
    sums = np.bincount(places, weights=numbers)
    there = np.flatnonzero(sums)
    return dict(zip(there.tolist(), sums[there].astype(np.int64).tolist(), strict=True))
