"""Search: by any part of the name and by day, over everything that is live."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from catalog import clock, cursors
from catalog.database import Transaction
from catalog.entries import ENTRY_COLUMNS, ENTRY_TABLES, PAGE_MAX, entries_of
from catalog.errors import BadRequest, NotFound
from catalog.names import fold
from catalog.scope import Scope
from catalog.values import Area, DateKind, Entry, MediaKind, Page

TEXT_CHARACTERS_MAX: Final = 200
WORDS_MAX: Final = 10
FIRST_DAY: Final = date(1700, 1, 1)
LAST_DAY: Final = date(2200, 12, 31)
"""Nanoseconds since 1970 fit 64 bits from 1677 to 2262."""

_DATE_COLUMN: Final = {
    DateKind.TAKEN: "IFNULL(e.taken_ns, e.mtime_ns)",
    DateKind.MODIFIED: "e.mtime_ns",
    DateKind.UPLOADED: "e.added_at",
}
_LIKE_SPECIAL: Final = re.compile(r"([%_\\])")


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """All conditions hold together. `text`: words, each any part of the name. Days are the tenant's, both included."""

    text: str = ""
    device_id: int | None = None
    area: Area | None = None
    media_kind: MediaKind | None = None
    first_day: date | None = None
    last_day: date | None = None
    by: DateKind = DateKind.TAKEN


class Search:
    """Finds live entries, newest first by the chosen date."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self, query: SearchQuery, cursor: str | None = None, limit: int = 100) -> Page[Entry]:
        """A page of hits. Raises BadRequest, BadCursor; NotFound for a device out of reach."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page has 1 to {PAGE_MAX:,} entries.")
        column = _DATE_COLUMN[query.by]
        conditions, params = self._conditions(query, column)
        if cursor:
            at, last_id = (int(part) for part in cursors.decode(cursor, int, int))
            moment = clock.from_microseconds(at) if query.by is DateKind.UPLOADED else at
            conditions.append(f"{column} <= %s AND ({column} < %s OR e.id < %s)")
            params += [moment, moment, last_id]
        sql = (
            f"SELECT {ENTRY_COLUMNS}, {column} FROM {ENTRY_TABLES}"
            f" WHERE {' AND '.join(conditions)}{self._scope.within('e.device_id')}"
            f" ORDER BY {column} DESC, e.id DESC LIMIT %s"
        )
        async with self._scope.database.reading() as tx:
            if query.device_id is not None:
                await self._require_device(tx, query.device_id)
            rows = await tx.fetch_all(sql, (*params, limit + 1))
            items = await entries_of(tx, self._scope.tenant.id, [row[:-1] for row in rows[:limit]])
        if len(rows) <= limit:
            return Page(items, None)
        last, at = rows[limit - 1][0], rows[limit - 1][-1]
        return Page(items, cursors.encode(at if isinstance(at, int) else clock.microseconds(at), last))

    async def _require_device(self, tx: Transaction, device_id: int) -> None:
        found = await tx.fetch_one(
            "SELECT 1 FROM device WHERE tenant_id = %s AND id = %s AND removed_key = 0",
            (self._scope.tenant.id, device_id),
        )
        if found is None:
            raise NotFound("device")

    def _conditions(self, query: SearchQuery, column: str) -> tuple[list[str], list[object]]:
        conditions, params = ["e.tenant_id = %s", "e.removed_key = 0"], [self._scope.tenant.id]
        bound: list[object] = list(params)

        def require(condition: str, value: object) -> None:
            conditions.append(condition)
            bound.append(value)

        for word in _words(query.text):
            require("e.name_fold LIKE %s", "%" + _LIKE_SPECIAL.sub(r"\\\1", word) + "%")
        if query.device_id is not None:
            require("e.device_id = %s", self._scope.reach(query.device_id))
        if query.area is not None:
            require("e.area = %s", str(query.area))
        if query.media_kind is not None:
            require("e.kind = 'file' AND e.media_kind = %s", str(query.media_kind))
        for condition, moment in self._days(query, column):
            require(condition, moment)
        return conditions, bound

    def _days(self, query: SearchQuery, column: str) -> list[tuple[str, object]]:
        """The days as moments in the tenant's zone: from the first's start to the start of the day after the last."""
        first, last = query.first_day, query.last_day
        if first is not None and last is not None and last < first:
            raise BadRequest("The last day lies before the first. Exchange them.")
        found: list[tuple[str, object]] = []
        for day, extra, condition in ((first, 0, f"{column} >= %s"), (last, 1, f"{column} < %s")):
            if day is not None:
                moment = clock.day_start(_checked(day) + timedelta(days=extra), self._scope.zone)
                found.append((condition, clock.to_db(moment) if query.by is DateKind.UPLOADED else clock.to_ns(moment)))
        return found


def _words(text: str) -> list[str]:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise BadRequest(f"A search has at most {TEXT_CHARACTERS_MAX} characters. Shorten it.")
    words = [fold(word.encode("utf-8", "replace")) for word in text.split()]
    if len(words) > WORDS_MAX:
        raise BadRequest(f"A search has at most {WORDS_MAX} words. Leave some out.")
    return [word for word in words if word]


def _checked(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise BadRequest(f"A day lies between {FIRST_DAY} and {LAST_DAY}.")
    return day
