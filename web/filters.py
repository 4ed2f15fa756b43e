"""What pages show of a value: the Jinja filters of the portal, and nothing else.

Every filter takes a plain value and returns plain text; escaping stays the template engine's. Times are shown
in the time zone of the signed-in tenant (`me.time_zone`, an IANA name), or in UTC where nobody is signed in.
A name that came from a customer is shown only through `display_name`, which replaces what could disguise it.
Sizes count 1 KB as 1,024 bytes, as the customer's quota does; `web/static/js/format.js` words them the same
way.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, pass_context
from jinja2.runtime import Context

from catalog.names import split_extension
from web.activity import Event, action_icon, action_words, event_bytes, event_words, run_words, runs
from web.media import has_thumbnail, viewer_kind

Moment = datetime | int | None
"""A time: aware `datetime`, or nanoseconds since 1970-01-01 UTC, or none."""

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNITS: Final = ("KB", "MB", "GB", "TB", "PB", "EB")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DEVICE_KINDS: Final = {
    "laptop": "Laptop",
    "phone": "Phone",
    "tablet": "Tablet",
    "workpc": "Work PC",
    "homepc": "Home PC",
    "server": "Server",
    "other": "Other",
}
_MEDIA_KINDS: Final = {
    "image": "Images",
    "video": "Videos",
    "audio": "Audio",
    "document": "Documents",
    "other": "Other files",
}
_DISGUISES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories that reorder, hide or break a line: controls, formats (bidi marks and zero widths),
surrogates, private use, line and paragraph separators.
"""


def size(count_bytes: int) -> str:
    """`1.4 GB`, `12 KB`, `1 byte`: one digit after the point below ten, none above."""
    if count_bytes < 1024:
        return plural(count_bytes, "byte", "bytes")
    value = float(count_bytes)
    unit = ""
    for unit in _UNITS:  # noqa: B007 - the unit found is used after the loop
        value /= 1024
        if value < 1023.5:
            break
    text = f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
    return f"{text.removesuffix('.0')} {unit}"


def number(value: int) -> str:
    """`12,480`."""
    return f"{value:,}"


def plural(count: int, one: str, many: str) -> str:
    """`1 file`, `12,480 files`."""
    return f"{count:,} {one if count == 1 else many}"


def display_name(name: object) -> str:
    """A file's, folder's or person's name as text that cannot disguise itself.

    Bytes that are not UTF-8, control and bidirectional characters and line breaks become U+FFFD each. The
    zero width joiner stays between other characters, since emoji and several scripts are written with it.
    """
    text = bytes(name).decode("utf-8", "replace") if isinstance(name, bytes | bytearray) else str(name)
    if text.isprintable():
        return text  # as nearly every name is; nothing that can disguise it is printable
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}":
        return character
    return REPLACEMENT if unicodedata.category(character) in _DISGUISES else character


def urlpath(path: object) -> str:
    """A path inside a device (with `names`, one bytes each; or text), percent-encoded name by name and joined
    by `/`.
    """
    names = getattr(path, "names", None)
    if names is None:
        names = [name for name in str(path).split("/") if name]
    return "/".join(urlpath_name(name) for name in names)


def urlpath_name(name: object) -> str:
    """One name, percent-encoded so that it can stand as one part of a URL's path."""
    return quote(bytes(name) if isinstance(name, bytes | bytearray) else str(name), safe="")


def folder_names(path: object) -> list[bytes]:
    """The names along the path of a folder, outermost first."""
    names = getattr(path, "names", None)
    if names is None:
        return [name.encode() for name in str(path).split("/") if name]
    return list(names)


def device_kind(kind: str) -> str:
    """The words for a device's kind."""
    return _DEVICE_KINDS.get(kind, kind)


def media_kind(kind: str) -> str:
    """The words for a kind of file, plural."""
    return _MEDIA_KINDS.get(kind, kind)


def initials(name: str) -> str:
    """One or two capitals that stand for a person or company in a small circle."""
    words = [word for word in display_name(name).replace("@", " ").split() if word[0].isalnum()]
    letters = [words[0][0], words[-1][0]] if len(words) > 1 else [word[0] for word in words]
    return "".join(letters).upper() or "?"


def first_name(name: str) -> str:
    """The first word of a person's name; an e-mail address up to its @."""
    words = display_name(name).split()
    return words[0].split("@")[0] if words else ""


def file_stem(name: bytes) -> str:
    """The base name without its extension: what a rename may change."""
    return display_name(split_extension(name)[0])


def file_extension(name: bytes) -> str:
    """The extension with its dot, or nothing: what a rename keeps."""
    return display_name(split_extension(name)[1])


def days_before(day: date, days: int) -> date:
    """The day so many days earlier."""
    return day - timedelta(days=days)


def parts(portion: int, whole: int, of: int = 1000) -> int:
    """How many of `of` equal parts of `whole` the portion takes; at least 1 of what is not nothing; never
    more than all.
    """
    if portion <= 0 or whole <= 0:
        return 0
    return min(of, max(1, round(portion * of / whole)))


def iso(value: Moment) -> str:
    """RFC 3339 in UTC, to the second, for `<time datetime>`."""
    moment = _moment(value)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def datetime_text(value: Moment, zone: tzinfo) -> str:
    """`3 May 2024, 14:05`."""
    moment = _moment(value)
    if moment is None:
        return "unknown"
    local = moment.astimezone(zone)
    return f"{day_text(local.date())}, {local:%H:%M}"


def day_text(value: date) -> str:
    """`3 May 2024`."""
    return f"{value.day} {value:%B} {value.year}"


def day_of(value: Moment | date, zone: tzinfo) -> str:
    """The day of a moment in the zone, or of a date as it stands: `3 May 2024`."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return day_text(value)
    moment = _moment(value)
    return day_text(moment.astimezone(zone).date()) if moment else "unknown"


def when_text(value: Moment, zone: tzinfo, now: datetime) -> str:
    """`Today, 14:05`, `Yesterday, 14:05`, else the day: what a list shows, where the exact time stands in a
    tooltip.
    """
    moment = _moment(value)
    if moment is None:
        return "unknown"
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"Today, {local:%H:%M}"
    if local.date() == today - timedelta(days=1):
        return f"Yesterday, {local:%H:%M}"
    return day_text(local.date())


def day_heading(value: Moment, zone: tzinfo, now: datetime) -> str:
    """`Today`, `Yesterday`, else `Friday, 3 May 2024`: the heading of a day's events."""
    moment = _moment(value)
    if moment is None:
        return "unknown"
    day, today = moment.astimezone(zone).date(), now.astimezone(zone).date()
    if day == today:
        return "Today"
    return "Yesterday" if day == today - timedelta(days=1) else f"{day:%A}, {day_text(day)}"


def ago_text(value: Moment, now: datetime) -> str:
    """`just now`, `5 minutes ago`, `3 days ago`, `2 years ago`."""
    moment = _moment(value)
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    if seconds < 60:
        return "just now"
    return f"{_span(seconds)} ago"


def time_left_text(value: Moment, now: datetime) -> str:
    """`30 days left` (to the nearest day), `5 hours left`, `less than an hour left`, `due now`."""
    moment = _moment(value)
    if moment is None:
        return "unknown"
    seconds = int((moment - now).total_seconds())
    if seconds <= 0:
        return "due now"
    if seconds >= 2 * 86400:
        return f"{plural((seconds + 43200) // 86400, 'day', 'days')} left"
    return f"{_span(seconds)} left" if seconds >= 3600 else "less than an hour left"


def _span(seconds: int) -> str:
    for unit_seconds, one, many in (
        (365 * 86400, "year", "years"),
        (60 * 86400, "month", "months"),
        (86400, "day", "days"),
        (3600, "hour", "hours"),
        (60, "minute", "minutes"),
    ):
        if seconds >= unit_seconds:
            divisor = 30 * 86400 if one == "month" else unit_seconds
            return plural(seconds // divisor, one, many)
    return plural(seconds, "second", "seconds")


def _moment(value: Moment | date) -> datetime | None:
    """The aware moment, or none for what a calendar cannot hold (a file may claim any nanosecond since 1677)."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, int):
        return None
    try:
        return _EPOCH + timedelta(microseconds=value // 1000)
    except OverflowError:
        return None


@lru_cache(maxsize=64)
def zone_named(name: str) -> tzinfo:
    """The zone of that IANA name; UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _zone(context: Context) -> tzinfo:
    me = context.get("me")
    return zone_named(str(me["time_zone"] if isinstance(me, Mapping) else me.time_zone)) if me else UTC


@pass_context
def _datetime(context: Context, value: Moment) -> str:
    return datetime_text(value, _zone(context))


@pass_context
def _day(context: Context, value: Moment | date) -> str:
    return day_of(value, _zone(context))


@pass_context
def _when(context: Context, value: Moment) -> str:
    return when_text(value, _zone(context), datetime.now(UTC))


@pass_context
def _local(context: Context, value: Moment) -> str:
    """As a date and time field takes it, on the tenant's clock."""
    moment = _moment(value)
    return moment.astimezone(_zone(context)).strftime("%Y-%m-%dT%H:%M") if moment else ""


@pass_context
def _clock(context: Context, value: Moment) -> str:
    moment = _moment(value)
    return moment.astimezone(_zone(context)).strftime("%H:%M") if moment else ""


def span(seconds: float) -> str:
    """`5 minutes`, `3 days`; less than a minute is said so."""
    return _span(int(seconds)) if seconds >= 60 else "less than a minute"


def _ago(value: Moment) -> str:
    return ago_text(value, datetime.now(UTC))


def _event_words(event: Event) -> str:
    return display_name(event_words(event))


@pass_context
def _event_days(context: Context, events: Sequence[Any]) -> list[tuple[str, list[list[Event]]]]:
    """The events by day, newest first as they come: a heading and its runs each."""
    zone, now = _zone(context), datetime.now(UTC)
    by_day = groupby(events, key=lambda event: day_heading(event.at, zone, now))
    return [(day, runs(list(same))) for day, same in by_day]


def _time_left(value: Moment) -> str:
    return time_left_text(value, datetime.now(UTC))


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "action_icon": action_icon,
    "action_words": action_words,
    "ago": _ago,
    "bytes": size,
    "clock": _clock,
    "count": plural,
    "datetime": _datetime,
    "day": _day,
    "days_before": days_before,
    "device_kind": device_kind,
    "display_name": display_name,
    "event_bytes": event_bytes,
    "event_days": _event_days,
    "event_words": _event_words,
    "file_extension": file_extension,
    "file_stem": file_stem,
    "first_name": first_name,
    "folder_names": folder_names,
    "initials": initials,
    "iso": iso,
    "local": _local,
    "media_kind": media_kind,
    "number": number,
    "parts": parts,
    "run_words": run_words,
    "span": span,
    "time_left": _time_left,
    "has_thumbnail": has_thumbnail,
    "urlpath": urlpath,
    "urlpath_name": urlpath_name,
    "viewer_kind": viewer_kind,
    "when": _when,
}


def install(environment: Environment) -> None:
    """Give the environment every filter that the portal's templates use."""
    environment.filters.update(FILTERS)
