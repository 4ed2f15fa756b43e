"""The search page: the form, what was found, and where else to look: devices, kinds and months with their counts.

Everything is in the address, so that a search can be shared, kept and gone back to. A script asks for the same page as
one types and puts the part `#found` in place (`web/static/js/search.js`).
"""

from calendar import month_name
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest
from catalog.search import Facets, FoundPage
from catalog.search_text import parse_period
from catalog.values import DateKind, Device, MediaKind
from web.bodies import Form, field
from web.errors import problem_of
from web.page_context import person_page
from web.parameters import cursor_of, query_of
from web.queries import search_query
from web.sessions import Caller
from web.views import remember_view, view_of

SEARCH_FIELDS: Final = ("q", "from", "to", "by", "device", "area", "kind")
HITS_SHOWN: Final = 50
"""On a page: they fill three tall screens and are drawn in half the time of a hundred. More follow as one scrolls."""
DEVICES_SHOWN: Final = 12
_BAR: Final = 1_000


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that the search can be narrowed to. `href` takes it, or gives it up where it is `chosen`; `bar`: of
    1,000."""

    words: str
    count: int
    href: str
    chosen: bool
    bar: int = 0


@dataclass(frozen=True, slots=True)
class Year:
    """A year of the timeline, its months newest first."""

    choice: Choice
    months: Sequence[Choice]
    is_open: bool


async def search_page(request: Request, caller: Caller) -> Response:
    """The form, and what was found. What cannot be understood is told above the form."""
    query = query_of(request)
    cursor, asked = cursor_of(query), any(field(query, name) for name in SEARCH_FIELDS if name != "by")
    page, facets, error = FoundPage([], None), None, None
    devices = await caller.scope.devices.all()
    try:
        wanted = search_query(query)
        if asked:
            page = await caller.scope.search.find(wanted, cursor, HITS_SHOWN)
        facets = await caller.scope.search.facets(wanted)
    except BadRequest as e:
        error = e
    given = {name: field(query, name) for name in SEARCH_FIELDS if field(query, name)}
    view = view_of(request)
    answer = await person_page(
        request,
        caller,
        "search.html",
        "search",
        problem_of(error).status if error else 200,
        query=_as_asked(query),
        asked=asked,
        query_string=urlencode(given),
        devices=devices,
        kinds=list(MediaKind),
        today=_today(caller),
        entries=page.items,
        next=page.next,
        cursor=cursor,
        problem=str(error) if error else None,
        facets=facets,
        is_complete=page.is_complete and (facets is None or facets.is_complete),
        device_choices=_devices(given, devices, facets) if facets else [],
        kind_choices=_kinds(given, facets) if facets else [],
        years=_years(given, facets) if facets else [],
        view=view,
    )
    return remember_view(request, answer, view)


def _devices(given: dict[str, str], devices: Sequence[Device], facets: Facets) -> list[Choice]:
    names = {device.id: device.name for device in devices}
    counted = [
        (str(device_id), names[device_id], count) for device_id, count in facets.devices.items() if device_id in names
    ]
    return [_choice(given, {"device": key}, words, count) for key, words, count in counted[:DEVICES_SHOWN]]


def _kinds(given: dict[str, str], facets: Facets) -> list[Choice]:
    """Files by kind; folders and links cannot be asked for here, only by `kind:folder`."""
    return [
        _choice(given, {"kind": kind}, kind, count) for kind, count in facets.kinds.items() if kind in set(MediaKind)
    ]


def _years(given: dict[str, str], facets: Facets) -> list[Year]:
    most = max(facets.months.values(), default=1)
    years: list[Year] = []
    for year, months in groupby(facets.months.items(), key=lambda item: item[0][:4]):
        choices = [
            _period(given, month, month_name[int(month[5:])], count, count * _BAR // most) for month, count in months
        ]
        choice = _period(given, year, year, sum(each.count for each in choices))
        years.append(Year(choice, choices, choice.chosen or any(each.chosen for each in choices) or not years))
    return years


def _period(given: dict[str, str], period: str, words: str, count: int, bar: int = 0) -> Choice:
    first, last = parse_period(period)
    return _choice(given, {"from": first.isoformat(), "to": last.isoformat()}, words, count, bar)


def _choice(given: dict[str, str], value: dict[str, str], words: str, count: int, bar: int = 0) -> Choice:
    chosen = all(given.get(name) == each for name, each in value.items())
    rest = {name: each for name, each in given.items() if name not in value}
    return Choice(words, count, "/search?" + urlencode(rest if chosen else rest | value), chosen, bar)


def _as_asked(query: Form) -> dict[str, str]:
    return {
        "q": field(query, "q"),
        "from_day": field(query, "from"),
        "to_day": field(query, "to"),
        "by": field(query, "by") or DateKind.TAKEN,
        "device": field(query, "device"),
        "area": field(query, "area"),
        "kind": field(query, "kind"),
    }


def _today(caller: Caller) -> date:
    return datetime.now(UTC).astimezone(ZoneInfo(caller.scope.tenant.time_zone)).date()
