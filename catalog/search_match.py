"""What a search asks of the index's segments, and how it is answered: the newest hits, and counts of all hits.

What always holds: a segment's answer is a bool for each slot, or for each of few slots; conditions that a facet counts
across (device, kind, date) are kept apart from the rest. All of it is arithmetic on arrays: it runs in a worker thread.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from catalog.search_documents import DATES, FIRST_FILE_KIND, KINDS, Array
from catalog.search_segment import GRAM_BYTES_MAX, Segment, Stored, gram_keys

NAMES_READ_MAX: Final = 20_000
"""Of words longer than a gram so many names are read to count exactly; beyond, candidates count (`Counts.is_exact`)."""
_READ_AT_FIRST: Final = 256


@dataclass(frozen=True, eq=False)
class View:
    """A segment, and which of its documents are alive: None for all. `stored`: its file, if it is not in memory
    alone."""

    segment: Segment
    alive: Array | None = None
    stored: Stored | None = None

    @cached_property
    def count(self) -> int:
        return len(self.segment) if self.alive is None else int(np.count_nonzero(self.alive))

    @cached_property
    def file_counts(self) -> dict[int, int]:
        """device → how many living files are here."""
        alive = _and(self.segment.kind >= FIRST_FILE_KIND, self.alive)
        counts = np.bincount(self.segment.device[alive], minlength=len(self.segment.devices))
        return dict(zip(self.segment.devices.tolist(), counts.tolist(), strict=True))

    def ids_of_device(self, device_id: int) -> Array:
        """The living entries of a device."""
        mask = _and(_devices(self.segment, frozenset({device_id}))[self.segment.device], self.alive)
        return self.segment.ids[mask]

    def slots_of(self, ids: Array) -> Array:
        """The slots of those of the entries that are alive here."""
        span = self.segment.ranges["ids"]
        slots = self.segment.slots_of(ids[(ids >= span.least) & (ids <= span.most)])
        return slots if self.alive is None else slots[self.alive[slots]]

    def without(self, ids: Array) -> "View":
        """The same, without these entries."""
        slots = self.slots_of(ids)
        if not len(slots):
            return self
        alive = np.ones(len(self.segment), np.bool_) if self.alive is None else self.alive.copy()
        alive[slots] = False
        return View(self.segment, alive, self.stored)


@dataclass(frozen=True)
class Wanted:
    """All conditions hold together. Words are folded bytes; `first` and `until` nanoseconds, the latter excluded."""

    words: tuple[bytes, ...] = ()
    unwanted: tuple[bytes, ...] = ()
    extensions: frozenset[bytes] | None = None
    unwanted_extensions: frozenset[bytes] = frozenset()
    reach: frozenset[int] | None = None
    """The devices that the scope reaches."""
    devices: frozenset[int] | None = None
    kinds: frozenset[int] | None = None
    area: int | None = None
    parent: int | None = None
    size_least: int = 0
    size_most: int | None = None
    by: str = DATES[0]
    first: int | None = None
    until: int | None = None

    @cached_property
    def grams(self) -> Array:
        keys = [gram_keys(word) for word in self.words]
        return np.unique(np.concatenate(keys)) if keys else np.empty(0, np.uint32)

    @cached_property
    def _long(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        wanted, unwanted = ([w for w in words if len(w) > GRAM_BYTES_MAX] for words in (self.words, self.unwanted))
        return tuple(wanted), tuple(unwanted)

    @property
    def reads_names(self) -> bool:
        """Whether the lists alone cannot tell."""
        return any(self._long)

    def fits(self, name: bytes) -> bool:
        """Whether a candidate's name really holds the long words and none of the unwanted."""
        wanted, unwanted = self._long
        return all(word in name for word in wanted) and not any(word in name for word in unwanted)


@dataclass(frozen=True, slots=True)
class Hit:
    """Sorted by date, then id."""

    at: int
    id: int


@dataclass(slots=True)
class Counts:
    """`devices`, `kinds` (places in KINDS) and `months` each count what fits all conditions but the one on themselves.
    `is_exact`: false where too many names had to be read, so that a few hits too many may be counted."""

    total: int = 0
    is_exact: bool = True
    devices: Counter[int] = field(default_factory=Counter)
    kinds: Counter[int] = field(default_factory=Counter)
    months: Counter[int] = field(default_factory=Counter)


Mask = Array | None
"""A bool per item, or None: all."""


@dataclass(slots=True)
class _Found:
    """A segment's candidates: `at` picks them out of a column, the masks have an item for each."""

    at: Array | slice
    count: int
    base: Mask
    device: Mask
    kind: Mask
    date: Mask

    def slots(self, mask: Mask) -> Array:
        if mask is None:
            return np.arange(self.count) if isinstance(self.at, slice) else self.at
        return np.flatnonzero(mask) if isinstance(self.at, slice) else self.at[mask]

    @property
    def every(self) -> Mask:
        return _and(self.base, self.device, self.kind, self.date)


def newest(views: Sequence[View], wanted: Wanted, limit: int, before: Hit | None = None) -> list[Hit]:
    """The first `limit` hits from the newest on, after `before`."""
    best: list[Hit] = []
    for view in sorted(views, key=lambda v: v.segment.ranges[wanted.by].most, reverse=True):
        threshold = best[-1].at if len(best) == limit else None
        most = view.segment.ranges[wanted.by]
        if threshold is not None and most.most < threshold:
            break
        if before is not None and most.least > before.at:
            continue
        own = _newest_here(view, wanted, limit, before, threshold)
        if own:
            best = sorted([*best, *own], key=lambda hit: (hit.at, hit.id), reverse=True)[:limit]
    return best


def _newest_here(view: View, wanted: Wanted, limit: int, before: Hit | None, threshold: int | None) -> list[Hit]:
    found = _find(view, wanted)
    if found is None:
        return []
    segment = view.segment
    dates = segment.dates(wanted.by)[found.at]
    mask = found.every
    if before is not None:
        earlier = dates < before.at
        mask = _and(mask, earlier | ((dates == before.at) & (segment.ids[found.at] < before.id)))
    if threshold is not None:
        mask = _and(mask, dates >= threshold)
    hits: list[Hit] = []
    for slot in _by_date(segment, found.slots(mask), wanted.by, limit):
        if not wanted.reads_names or wanted.fits(segment.name(slot)):
            hits.append(Hit(int(segment.dates(wanted.by)[slot]), int(segment.ids[slot])))
            if len(hits) == limit:
                break
    return hits


def _by_date(segment: Segment, slots: Array, by: str, limit: int) -> Iterator[int]:
    """Slots from the newest on; sorted in portions, since most are never asked for."""
    portion = max(limit, _READ_AT_FIRST)
    dates = segment.dates(by)[slots]
    while len(slots):
        if len(slots) > portion:
            # Ties at the edge come along, so that ids decide among them.
            edge = np.partition(dates, len(dates) - portion)[len(dates) - portion]
            chosen = dates >= edge
        else:
            chosen = np.ones(len(slots), np.bool_)
        part = slots[chosen]
        yield from part[np.lexsort((segment.ids[part], dates[chosen]))[::-1]].tolist()
        slots, dates, portion = slots[~chosen], dates[~chosen], portion * 4


def matching(view: View, wanted: Wanted) -> Array:
    """The slots of all hits in a segment."""
    found = _find(view, wanted)
    if found is None:
        return np.empty(0, np.intp)
    slots = found.slots(found.every)
    return _read(view.segment, slots, wanted) if wanted.reads_names else slots


def count(views: Sequence[View], wanted: Wanted) -> Counts:
    """How many hits there are, in all and by device, kind and month of the date that was asked for."""
    counts, may_read = Counts(), NAMES_READ_MAX
    for view in views:
        found = _find(view, wanted)
        if found is None:
            continue
        if wanted.reads_names:
            slots = found.slots(found.base)
            if len(slots) <= may_read:
                may_read -= len(slots)
                found = _conditions(view.segment, _read(view.segment, slots, wanted), None, wanted)
            else:
                counts.is_exact = False
        _count_here(view.segment, found, wanted, counts)
    return counts


def _count_here(segment: Segment, found: _Found, wanted: Wanted, counts: Counts) -> None:
    across_devices = _and(found.base, found.kind, found.date)
    across_kinds = _and(found.base, found.device, found.date)
    across_dates = _and(found.base, found.device, found.kind)
    slots_of: dict[int, Array] = {}
    for numbers, mask, into in (
        (segment.device, across_devices, counts.devices),
        (segment.kind, across_kinds, counts.kinds),
        (segment.months(wanted.by), across_dates, counts.months),
    ):
        if mask is not None or not isinstance(found.at, slice):
            # Without a condition on one of the three, all three count the same.
            if id(mask) not in slots_of:
                slots_of[id(mask)] = found.slots(mask)
            numbers = numbers[slots_of[id(mask)]]  # noqa: PLW2901
        occurring = np.bincount(numbers)
        places = np.flatnonzero(occurring)
        names = segment.devices[places] if into is counts.devices else places
        into.update(dict(zip(names.tolist(), occurring[places].tolist(), strict=True)))
    every = found.every
    counts.total += found.count if every is None else int(np.count_nonzero(every))


def _find(view: View, wanted: Wanted) -> _Found | None:
    """The candidates of a segment, or None where it is plain that there is none."""
    segment = view.segment
    if not len(segment):
        return None
    having = segment.having(wanted.grams)
    if having is None or having.dtype == np.bool_:
        return _conditions(segment, slice(None), _and(having, view.alive), wanted)
    if not len(having):
        return None
    return _conditions(segment, having, None if view.alive is None else view.alive[having], wanted)


def _conditions(segment: Segment, at: Array | slice, base: Mask, wanted: Wanted) -> _Found:
    for word in wanted.unwanted:
        if len(word) <= GRAM_BYTES_MAX:
            base = _and(base, ~_mask_of(segment, gram_keys(word))[at])
    if wanted.extensions is not None:
        base = _and(base, _extensions(segment, wanted.extensions)[segment.extension[at]])
    if wanted.unwanted_extensions:
        base = _and(base, ~_extensions(segment, wanted.unwanted_extensions)[segment.extension[at]])
    if wanted.reach is not None:
        base = _and(base, _devices(segment, wanted.reach)[segment.device[at]])
    if wanted.area is not None:
        base = _and(base, segment.area[at] == wanted.area)
    if wanted.parent is not None:
        base = _and(base, segment.parent[at] == wanted.parent)
    if wanted.size_least > 0 or wanted.size_most is not None:
        base = _and(base, segment.kind[at] >= FIRST_FILE_KIND, segment.size[at] >= wanted.size_least)
        if wanted.size_most is not None:
            base = _and(base, segment.size[at] <= wanted.size_most)
    device = None if wanted.devices is None else _devices(segment, wanted.devices)[segment.device[at]]
    kind = None if wanted.kinds is None else np.isin(np.arange(len(KINDS)), list(wanted.kinds))[segment.kind[at]]
    date = _dates(segment, at, wanted)
    return _Found(at, len(segment) if isinstance(at, slice) else len(at), base, device, kind, date)


def _dates(segment: Segment, at: Array | slice, wanted: Wanted) -> Mask:
    span, dates = segment.ranges[wanted.by], segment.dates(wanted.by)
    mask = None
    if wanted.first is not None and span.least < wanted.first:
        mask = dates[at] >= wanted.first
    if wanted.until is not None and span.most >= wanted.until:
        mask = _and(mask, dates[at] < wanted.until)
    return mask


def _mask_of(segment: Segment, keys: Array) -> Array:
    found = segment.having(keys)
    if found is not None and found.dtype == np.bool_:
        return found
    mask = np.zeros(len(segment), np.bool_)
    mask[found] = True
    return mask


def _devices(segment: Segment, devices: frozenset[int]) -> Array:
    """For each place in the segment's devices, whether it is one of these."""
    return np.isin(segment.devices, list(devices))


def _extensions(segment: Segment, extensions: frozenset[bytes]) -> Array:
    return np.array([extension in extensions for extension in segment.extensions], np.bool_)


def _read(segment: Segment, slots: Array, wanted: Wanted) -> Array:
    """Those of the slots whose names fit."""
    return np.array([slot for slot in slots.tolist() if wanted.fits(segment.name(slot))], np.intp)


def _and(*masks: Mask) -> Mask:
    left = None
    for mask in masks:
        if mask is not None:
            left = mask if left is None else left & mask
    return left
