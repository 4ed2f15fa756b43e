"""Search: live entries by any part of the name, day, kind, device and size, newest first; and how many there are.

The index finds (`catalog/search_index.py`), MariaDB shows: a page's rows are read from it, and an entry that is not
there any more is not shown and leaves the index.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from catalog import clock, cursors
from catalog.blob_rows import id_list
from catalog.database import Transaction
from catalog.entries import ENTRY_COLUMNS, ENTRY_TABLES, PAGE_MAX, entries_of
from catalog.errors import BadRequest, NotFound
from catalog.names import fold
from catalog.scope import Scope
from catalog.search_counts import Counts, count
from catalog.search_documents import AREAS, KINDS, MONTHS_FROM_YEAR
from catalog.search_index import Snapshot
from catalog.search_match import Hit, Wanted, newest
from catalog.search_text import FIRST_DAY, LAST_DAY, Terms, parse
from catalog.values import Area, DateKind, Entry, MediaKind, Page

T = TypeVar("T")

CATCH_UP_SECONDS_MAX: Final = 2.0
"""What was just uploaded is waited for so long; after that a search answers with what is there, and says so."""
_ROUNDS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """All conditions hold together. `text`: see `catalog/search_text.py`. Days are the tenant's, both included."""

    text: str = ""
    device_id: int | None = None
    area: Area | None = None
    media_kind: MediaKind | None = None
    first_day: date | None = None
    last_day: date | None = None
    by: DateKind = DateKind.TAKEN


@dataclass(frozen=True, slots=True)
class FoundPage(Page[Entry]):
    """`is_complete`: false while entries of the tenant are still being read into the index."""

    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Facets:
    """How many hits there are. `devices` (by id), `kinds` (a MediaKind, `directory` or `link`) and `months` (`2024-05`,
    newest first) each count what fits all other conditions, so that another choice can be made. `is_exact`: false where
    `total` may be a few too many."""

    total: int
    is_exact: bool
    is_complete: bool
    devices: dict[int, int]
    kinds: dict[str, int]
    months: dict[str, int]


class Search:
    """Finds live entries, newest first by the chosen date."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self, query: SearchQuery, cursor: str | None = None, limit: int = 100) -> FoundPage:
        """A page of hits. Raises BadRequest, BadCursor; NotFound for a device out of reach."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page has 1 to {PAGE_MAX:,} entries.")
        before = None
        if cursor:
            at, last_id = (int(part) for part in cursors.decode(cursor, int, int))
            before = Hit(at, last_id)
        wanted = await self._wanted(query)
        snapshot = await self._snapshot()
        entries: list[Entry] = []
        hits: list[Hit] = []
        for _ in range(_ROUNDS_MAX):
            # Again only where some of the hits were purged by another process just now.
            missing = limit + 1 - len(hits)
            more = await _in_thread(newest, snapshot.views, wanted, missing, hits[-1] if hits else before)
            there = await shown(self._scope, [hit.id for hit in more])
            hits += [hit for hit in more if hit.id in there]
            entries += [there[hit.id] for hit in more if hit.id in there]
            if len(more) < missing or len(hits) > limit:
                break
        last = hits[limit - 1] if len(hits) > limit else None
        return FoundPage(entries[:limit], cursors.encode(last.at, last.id) if last else None, snapshot.is_complete)

    async def facets(self, query: SearchQuery) -> Facets:
        """How many hits there are, and where. Raises as `find`."""
        wanted = await self._wanted(query)
        snapshot = await self._snapshot()
        counts: Counts = await _in_thread(count, snapshot.views, wanted, self._scope.tenant.time_zone)
        return Facets(
            counts.total,
            counts.is_exact,
            snapshot.is_complete,
            dict(counts.devices.most_common()),
            {KINDS[kind]: number for kind, number in counts.kinds.most_common()},
            {_month_text(month): counts.months[month] for month in sorted(counts.months, reverse=True)},
        )

    async def _snapshot(self) -> Snapshot:
        return await self._scope.searches.of(self._scope.tenant).caught_up(CATCH_UP_SECONDS_MAX)

    async def _wanted(self, query: SearchQuery) -> Wanted:
        """The query in the index's terms. Raises BadRequest, NotFound."""
        terms = parse(query.text)
        first, until = self._days(query, terms)
        async with self._scope.database.reading() as tx:
            devices = await self._devices(tx, query, terms)
        kinds = (terms.kinds or frozenset(KINDS)) - terms.unwanted_kinds
        if query.media_kind is not None:
            kinds &= {str(query.media_kind)}
        area = query.area or terms.area
        if query.area is not None and terms.area not in {None, query.area}:
            kinds = frozenset()
        return Wanted(
            words=tuple(word.encode() for word in terms.words),
            unwanted=tuple(word.encode() for word in terms.unwanted),
            extensions=frozenset(e.encode() for e in terms.extensions) if terms.extensions else None,
            unwanted_extensions=frozenset(e.encode() for e in terms.unwanted_extensions),
            reach=self._scope.devices,
            devices=devices,
            kinds=frozenset(map(KINDS.index, kinds)) if len(kinds) < len(KINDS) else None,
            area=AREAS.index(str(area)) if area is not None else None,
            size_least=terms.size_least,
            size_most=terms.size_most,
            by=str(query.by),
            first=first,
            until=until,
        )

    async def _devices(self, tx: Transaction, query: SearchQuery, terms: Terms) -> frozenset[int] | None:
        """The devices that are asked for, by id or by name; None for all."""
        if query.device_id is None and not terms.devices and not terms.unwanted_devices:
            return None
        rows = await tx.fetch_all(
            f"SELECT id, name FROM device WHERE tenant_id = %s AND removed_key = 0{self._scope.within('id')}",
            (self._scope.tenant.id,),
        )
        names = {device_id: fold(name.encode()) for device_id, name in rows}
        chosen = frozenset(names)
        if query.device_id is not None:
            if self._scope.reach(query.device_id) not in names:
                raise NotFound("device")
            chosen &= {query.device_id}
        if terms.devices:
            chosen &= _named(names, terms.devices)
        return chosen - (_named(names, terms.unwanted_devices) if terms.unwanted_devices else frozenset())

    def _days(self, query: SearchQuery, terms: Terms) -> tuple[int | None, int | None]:
        return period_of(
            self._scope.zone, _of(max, query.first_day, terms.first_day), _of(min, query.last_day, terms.last_day)
        )


def period_of(zone: ZoneInfo, first: date | None, last: date | None) -> tuple[int | None, int | None]:
    """Days as nanoseconds: from the start of the first to the start of the day after the last. Raises `BadRequest`."""
    for day in (first, last):
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise BadRequest(f"A day lies between {FIRST_DAY} and {LAST_DAY}.")
    if first is not None and last is not None and last < first:
        raise BadRequest("The last day lies before the first. Exchange them.")
    return (
        None if first is None else clock.to_ns(clock.day_start(first, zone)),
        None if last is None else clock.to_ns(clock.day_start(last + timedelta(days=1), zone)),
    )


async def shown(scope: Scope, entry_ids: Sequence[int]) -> dict[int, Entry]:
    """The entries as MariaDB has them now, those that are live; the index forgets the others. At most a page and
    one."""
    if not entry_ids:
        return {}
    async with scope.database.reading() as tx:
        rows = await tx.fetch_all(
            f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND e.removed_seq IS NULL"
            f" AND e.id IN ({id_list(entry_ids)}){scope.within('e.device_id')}",
            (scope.tenant.id,),
        )
        entries = {entry.id: entry for entry in await entries_of(tx, scope.tenant.id, rows)}
    if gone := [entry_id for entry_id in entry_ids if entry_id not in entries]:
        scope.searches.of(scope.tenant).without(gone)
    return entries


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    return await asyncio.to_thread(work, *args)


def _named(names: dict[int, str], wanted: frozenset[str]) -> frozenset[int]:
    """The devices of these names, or whose names begin so. Raises `BadRequest` for a name that none has."""
    found: set[int] = set()
    for name in wanted:
        same = {device_id for device_id, own in names.items() if own == name}
        like = same or {device_id for device_id, own in names.items() if own.startswith(name)}
        if not like:
            there = ", ".join(sorted(names.values())[:5]) or "none yet"
            raise BadRequest(f"No device is named “{name}”. Your devices: {there}.")
        found |= like
    return frozenset(found)


def _of(choose: Callable[[date, date], date], left: date | None, right: date | None) -> date | None:
    if left is None or right is None:
        return left or right
    return choose(left, right)


def _month_text(month: int) -> str:
    return f"{MONTHS_FROM_YEAR + month // 12:04d}-{month % 12 + 1:02d}"
