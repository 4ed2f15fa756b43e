"""`Folders`: a folder's content as a person wants to see it: sorted and filtered, however much is in it.

What always holds: folders come first, by name; then files and links in the chosen order, ties by id. By name and
without a filter MariaDB's own index has the order (`catalog/entries.py` for the rising one); all else comes from the
search index, which knows each entry's folder, so that no order needs an index of `entry`, which every upload would pay
for.
"""

import asyncio
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice
from typing import Final

import numpy as np

from catalog import cursors
from catalog.database import Transaction
from catalog.entries import ENTRY_COLUMNS, LISTING_TABLES, PAGE_MAX, Entries, entries_at
from catalog.errors import BadRequest, IndexBehind
from catalog.scope import Scope
from catalog.search import period_of, shown
from catalog.search_documents import FIRST_FILE_KIND, KINDS, Array
from catalog.search_match import View, Wanted, matching
from catalog.values import Area, DateKind, Entry, EntryKind, EntryPath, MediaKind, Page

INDEX_SECONDS_MAX: Final = 10.0
_DIRECTORY: Final = frozenset({KINDS.index(str(EntryKind.DIRECTORY))})
_REST: Final = frozenset(range(len(KINDS))) - _DIRECTORY
_FOLDERS, _FILES = 0, 1


class FolderOrder(StrEnum):
    """What files are sorted by: `date` is the one that `FolderView.by` says, `kind` sorts by name within a kind."""

    NAME = "name"
    SIZE = "size"
    DATE = "date"
    KIND = "kind"


@dataclass(frozen=True, slots=True)
class FolderView:
    """How a folder is looked at. With a filter (a kind or a day) its folders are left out. Days are the tenant's, both
    included, of the date `by`."""

    order: FolderOrder = FolderOrder.NAME
    is_descending: bool = False
    media_kind: MediaKind | None = None
    first_day: date | None = None
    last_day: date | None = None
    by: DateKind = DateKind.TAKEN

    @property
    def is_filtered(self) -> bool:
        return (self.media_kind, self.first_day, self.last_day) != (None, None, None)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an entry stands in a listing: folders or files, then a number (less is earlier), then a name, then the
    id."""

    group: int
    number: int
    name: str
    id: int


class Folders:
    """Folders as they are now."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def page(
        self,
        device_id: int,
        area: Area,
        path: EntryPath,
        view: FolderView,
        cursor: str | None = None,
        limit: int = 200,
    ) -> Page[Entry]:
        """A page of a folder. Raises NotFound, BadRequest, BadCursor, IndexBehind."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page has 1 to {PAGE_MAX:,} entries.")
        if view.order is FolderOrder.NAME and not view.is_filtered:
            if not view.is_descending:
                return await Entries(self._scope).page(device_id, area, path, None, cursor, limit)
            return await self._by_falling_name(device_id, area, path, cursor, limit)
        async with self._scope.database.reading() as tx:
            parent_id = await Entries(self._scope).directory_at(tx, device_id, area, path, None)
        after = Place(*cursors.decode(cursor, int, int, str, int)) if cursor else None  # type: ignore[arg-type]
        first, until = period_of(self._scope.zone, view.first_day, view.last_day)
        kinds = None if view.media_kind is None else frozenset({KINDS.index(str(view.media_kind))})
        wanted = Wanted(parent=parent_id, kinds=kinds, by=str(view.by), first=first, until=until)
        snapshot = await self._scope.searches.of(self._scope.tenant).caught_up(INDEX_SECONDS_MAX)
        if not snapshot.is_complete:
            raise IndexBehind
        places = await asyncio.to_thread(in_order, snapshot.views, wanted, view, after, limit + 1)
        entries = await shown(self._scope, [place.id for place in places])
        items = [entries[place.id] for place in places[:limit] if place.id in entries]
        last = places[limit - 1] if len(places) > limit else None
        return Page(items, cursors.encode(last.group, last.number, last.name, last.id) if last else None)

    async def _by_falling_name(
        self, device_id: int, area: Area, path: EntryPath, cursor: str | None, limit: int
    ) -> Page[Entry]:
        after = cursors.decode(cursor, str, str, int) if cursor else None
        kinds = list(EntryKind)
        rows: list[tuple[object, ...]] = []
        async with self._scope.database.reading() as tx:
            parent_id = await Entries(self._scope).directory_at(tx, device_id, area, path, None)
            for kind in kinds[kinds.index(EntryKind(str(after[0]))) if after and after[0] in set(EntryKind) else 0 :]:
                before = after[1:] if after is not None and after[0] == kind else None
                rows += await self._falling(tx, parent_id, kind, before, limit + 1 - len(rows))
                if len(rows) > limit:
                    break
        items = entries_at([row[:-1] for row in rows[:limit]], path)
        last = (items[-1], rows[limit - 1][-1]) if len(rows) > limit else None
        return Page(items, cursors.encode(str(last[0].kind), str(last[1]), last[0].id) if last else None)

    async def _falling(
        self, tx: Transaction, parent_id: int, kind: EntryKind, before: Sequence[str | int] | None, limit: int
    ) -> list[tuple[object, ...]]:
        """Entries of one kind, the last name first: a backward walk through the key `listing`."""
        sql = (
            f"SELECT {ENTRY_COLUMNS}, e.name_fold FROM {LISTING_TABLES}"
            " WHERE e.tenant_id = %s AND e.parent_id = %s AND e.removed_key = 0 AND e.kind = %s"
        )
        params: list[object] = [self._scope.tenant.id, parent_id, str(kind)]
        if before is not None:
            folded, last_id = before
            sql += " AND e.name_fold <= %s AND (e.name_fold < %s OR e.id < %s)"
            params += [folded, folded, last_id]
        return await tx.fetch_all(sql + " ORDER BY e.name_fold DESC, e.id DESC LIMIT %s", (*params, limit))


def in_order(views: Sequence[View], wanted: Wanted, view: FolderView, after: Place | None, limit: int) -> list[Place]:
    """The next entries of a folder, after a place. In a thread."""
    found: list[Place] = []
    for group in (_FOLDERS, _FILES):
        if (group == _FOLDERS and view.is_filtered) or (after is not None and after.group > group):
            continue
        of_group = Wanted(
            parent=wanted.parent, kinds=_DIRECTORY if group == _FOLDERS else wanted.kinds or _files(view),
            by=wanted.by, first=wanted.first, until=wanted.until,
        )  # fmt: skip
        rest = _Group.of(views, of_group, group, view)
        own_after = after if after is not None and after.group == group else None
        found += rest.places(own_after, limit - len(found))
        if len(found) >= limit:
            break
    return found


def _files(view: FolderView) -> frozenset[int]:
    """With a filter on days alone, files alone."""
    return frozenset(range(FIRST_FILE_KIND, len(KINDS))) if view.is_filtered else _REST


@dataclass(frozen=True, slots=True)
class _Group:
    """The folders, or the rest, of one folder: an item each in `numbers`, `ids`, `parts` (which view) and `slots`."""

    group: int
    views: Sequence[View]
    numbers: Array
    ids: Array
    parts: Array
    slots: Array
    has_names: bool
    is_descending: bool

    @classmethod
    def of(cls, views: Sequence[View], wanted: Wanted, group: int, view: FolderView) -> "_Group":
        slots = [matching(each, wanted) for each in views]
        order = FolderOrder.NAME if group == _FOLDERS else view.order
        is_descending = view.is_descending and group == _FILES
        numbers = _joined([_numbers(each, own, order, wanted.by) for each, own in zip(views, slots, strict=True)])
        has_names = order in {FolderOrder.NAME, FolderOrder.KIND}
        return cls(
            group,
            views,
            -numbers if is_descending else numbers,
            _joined([each.segment.ids[own] for each, own in zip(views, slots, strict=True)]),
            np.repeat(np.arange(len(views)), [len(own) for own in slots]),
            _joined(slots),
            has_names,
            is_descending and has_names,
        )

    def places(self, after: Place | None, limit: int) -> list[Place]:
        """The next places, after one of this group."""
        chosen = np.arange(len(self.ids))
        if after is not None:
            chosen = chosen[self.numbers >= after.number]
        if not self.has_names:
            return self._by_number(chosen, after, limit)
        found: list[Place] = []
        for number in np.unique(self.numbers[chosen]).tolist():
            same = chosen[self.numbers[chosen] == number]
            bound = (after.name, after.id) if after is not None and after.number == number else None
            found += self._by_name(same, number, bound, limit - len(found))
            if len(found) >= limit:
                break
        return found

    def _by_number(self, chosen: Array, after: Place | None, limit: int) -> list[Place]:
        if after is not None:
            chosen = chosen[(self.numbers[chosen] > after.number) | (self.ids[chosen] > after.id)]
        if len(chosen) > limit:
            edge = np.partition(self.numbers[chosen], limit - 1)[limit - 1]
            chosen = chosen[self.numbers[chosen] <= edge]
        order = chosen[np.lexsort((self.ids[chosen], self.numbers[chosen]))][:limit]
        return [
            Place(self.group, number, "", entry_id)
            for number, entry_id in zip(self.numbers[order].tolist(), self.ids[order].tolist(), strict=True)
        ]

    def _by_name(self, chosen: Array, number: int, bound: tuple[str, int] | None, limit: int) -> list[Place]:
        """Each segment knows the order of its names, so that few of them are read: those of the page, and some on the
        way to where it begins."""
        parts = [self._named(part, chosen[self.parts[chosen] == part], bound) for part in np.unique(self.parts[chosen])]
        merged = islice(heapq.merge(*parts, reverse=self.is_descending), limit)
        return [Place(self.group, number, name, entry_id) for name, entry_id in merged]

    def _named(self, part: int, chosen: Array, bound: tuple[str, int] | None) -> Iterator[tuple[str, int]]:
        """Names and ids in one segment, in order, after a bound."""
        segment, slots, ids = self.views[part].segment, self.slots, self.ids

        def key(item: int) -> tuple[str, int]:
            return segment.name(int(slots[item]))[:-1].decode(), int(ids[item])

        items = chosen[np.argsort(segment.rank[slots[chosen]])]
        if not self.is_descending:
            start = 0 if bound is None else bisect_right(items, bound, key=key)
            return map(key, items[start:])
        end = len(items) if bound is None else bisect_left(items, bound, key=key)
        return map(key, items[:end][::-1])


def _numbers(view: View, slots: Array, order: FolderOrder, by: str) -> Array:
    match order:
        case FolderOrder.SIZE:
            return view.segment.size[slots]
        case FolderOrder.DATE:
            return view.segment.dates(by)[slots]
        case FolderOrder.KIND:
            return view.segment.kind[slots].astype(np.int64)
        case _:
            return np.zeros(len(slots), np.int64)


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
