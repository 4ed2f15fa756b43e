"""What a search asks of the index's segments, and how it is answered: which fit, and the newest of them.

What always holds: a segment's answer is a bool for each slot, or for each of few slots; conditions that a facet counts
across (device, kind, date) are kept apart from the rest. All of it is arithmetic on arrays: it runs in a worker thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from catalog.search_documents import DATES, FIRST_FILE_KIND, Array
from catalog.search_grams import GRAM_BYTES_MAX, gram_keys
from catalog.search_segment import Segment, Stored

_READ_AT_FIRST: Final = 256
_COMPARED_MAX: Final = 8
"""A column is compared with so many numbers, one after the other; with more, each item is looked up."""


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
        alive = all_of(self.segment.kind >= FIRST_FILE_KIND, self.alive)
        counts = np.bincount(self.segment.device[alive], minlength=len(self.segment.devices))
        return dict(zip(self.segment.devices.tolist(), counts.tolist(), strict=True))

    def ids_of_device(self, device_id: int) -> Array:
        """The living entries of a device."""
        mask = all_of(_any_of(self.segment.device, self.segment.places_of_devices(frozenset({device_id}))), self.alive)
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
    def long_words(self) -> tuple[bytes, ...]:
        """Those that no list answers exactly."""
        return tuple(word for word in self.words if len(word) > GRAM_BYTES_MAX)

    @cached_property
    def long_unwanted(self) -> tuple[bytes, ...]:
        return tuple(word for word in self.unwanted if len(word) > GRAM_BYTES_MAX)

    @property
    def reads_names(self) -> bool:
        """Whether the lists alone cannot tell."""
        return bool(self.long_words or self.long_unwanted)

    def fits(self, name: bytes) -> bool:
        """Whether a candidate's name really holds the long words and none of the unwanted."""
        return all(word in name for word in self.long_words) and not any(word in name for word in self.long_unwanted)


@dataclass(frozen=True, slots=True)
class Hit:
    """Sorted by date, then id."""

    at: int
    id: int


Mask = Array | None
"""A bool per item, or None: all."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """A segment's documents that fit but for device, kind, date and long words: `at` picks them out of a column, `mask`
    has an item for each picked."""

    segment: Segment
    at: Array | slice
    mask: Mask

    def slots(self, mask: Mask) -> Array:
        if mask is None:
            return np.arange(len(self.segment)) if isinstance(self.at, slice) else self.at
        return np.flatnonzero(mask) if isinstance(self.at, slice) else self.at[mask]

    def by_group(self, mask: Mask, by: str) -> Array:
        """How many of the picked that the mask leaves are in each of the segment's groups."""
        groups = self.segment.groups(by)
        return groups.counts_where(mask) if isinstance(self.at, slice) else groups.counts(self.slots(mask))

    def every(self, wanted: Wanted) -> Mask:
        """Which of the picked fit, all conditions together."""
        segment = self.segment
        mask = all_of(self.mask, self.dated(wanted))
        if wanted.devices is not None:
            mask = all_of(mask, _any_of(segment.device[self.at], segment.places_of_devices(wanted.devices)))
        if wanted.kinds is not None:
            mask = all_of(mask, _any_of(segment.kind[self.at], sorted(wanted.kinds)))
        return mask

    def dated(self, wanted: Wanted) -> Mask:
        """Which of the picked have a date that fits."""
        span, dates = self.segment.ranges[wanted.by], self.segment.dates(wanted.by)
        mask = None
        if wanted.first is not None and span.least < wanted.first:
            mask = dates[self.at] >= wanted.first
        if wanted.until is not None and span.most >= wanted.until:
            mask = all_of(mask, dates[self.at] < wanted.until)
        return mask


def newest(views: Sequence[View], wanted: Wanted, limit: int, before: Hit | None = None) -> list[Hit]:
    """The first `limit` hits from the newest on, after `before`."""
    best: list[Hit] = []
    for view in sorted(views, key=lambda v: v.segment.ranges[wanted.by].most, reverse=True):
        if not may_date(view.segment, wanted):
            continue
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
    found = candidates(view, wanted)
    if found is None:
        return []
    segment = view.segment
    dates = segment.dates(wanted.by)[found.at]
    mask = found.every(wanted)
    if before is not None:
        earlier = dates < before.at
        mask = all_of(mask, earlier | ((dates == before.at) & (segment.ids[found.at] < before.id)))
    if threshold is not None:
        mask = all_of(mask, dates >= threshold)
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
    """The slots of all hits in a segment, rising."""
    found = candidates(view, wanted)
    if found is None:
        return np.empty(0, np.intp)
    slots = found.slots(found.every(wanted))
    return reading(view.segment, slots, wanted) if wanted.reads_names else slots


def reading(segment: Segment, slots: Array, wanted: Wanted) -> Array:
    """Those of the slots whose names fit."""
    for word in wanted.long_words:
        slots = slots[segment.holds(slots, word)]
    for word in wanted.long_unwanted:
        slots = slots[~segment.holds(slots, word)]
    return slots


def candidates(view: View, wanted: Wanted) -> Candidates | None:
    """What may fit in a segment, or None where it is plain that nothing does."""
    segment = view.segment
    inside = segment.in_folder(wanted.parent) if wanted.parent is not None else None
    if not len(segment) or (wanted.parent is not None and inside is None):
        return None
    having = segment.having(wanted.grams)
    if having is None or having.dtype == np.bool_:
        at: Array | slice = slice(None)
        mask = all_of(having, view.alive, inside)
    elif not len(having):
        return None
    else:
        at = having
        mask = all_of(*(None if each is None else each[at] for each in (view.alive, inside)))
    return Candidates(segment, at, all_of(mask, *_conditions(segment, at, wanted)))


def _conditions(segment: Segment, at: Array | slice, wanted: Wanted) -> Iterator[Array]:
    for word in wanted.unwanted:
        if len(word) <= GRAM_BYTES_MAX:
            yield ~_mask_of(segment, gram_keys(word))[at]
    if wanted.extensions is not None:
        yield _any_of(segment.extension[at], segment.places_of_extensions(wanted.extensions))
    if wanted.unwanted_extensions:
        yield ~_any_of(segment.extension[at], segment.places_of_extensions(wanted.unwanted_extensions))
    if wanted.reach is not None:
        yield _any_of(segment.device[at], segment.places_of_devices(wanted.reach))
    if wanted.area is not None:
        yield segment.area[at] == wanted.area
    if wanted.size_least > 0 or wanted.size_most is not None:
        yield segment.kind[at] >= FIRST_FILE_KIND
        yield segment.size[at] >= wanted.size_least
        if wanted.size_most is not None:
            yield segment.size[at] <= wanted.size_most


def _mask_of(segment: Segment, keys: Array) -> Array:
    found = segment.having(keys)
    if found is not None and found.dtype == np.bool_:
        return found
    mask = np.zeros(len(segment), np.bool_)
    mask[found] = True
    return mask


def may_date(segment: Segment, wanted: Wanted) -> bool:
    """Whether any date of the segment may fit."""
    span = segment.ranges[wanted.by]
    is_late_enough = wanted.first is None or span.most >= wanted.first
    return is_late_enough and (wanted.until is None or span.least < wanted.until)


def _any_of(column: Array, places: Sequence[int]) -> Array:
    """Of each item of a column, whether it is one of these numbers."""
    if len(places) > _COMPARED_MAX:
        chosen = np.zeros(int(column.max(initial=0)) + 1, np.bool_)
        chosen[[place for place in places if place < len(chosen)]] = True
        there: Array = chosen[column]
        return there
    mask = np.zeros(len(column), np.bool_)
    for place in places:
        mask |= column == place
    return mask


def all_of(*masks: Mask) -> Mask:
    """What every mask leaves."""
    left = None
    for mask in masks:
        if mask is not None:
            left = mask if left is None else left & mask
    return left
