"""Times in HTTP and JSON: RFC 3339 in UTC to the nanosecond, and HTTP dates to the second."""

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from catalog.errors import BadRequest

_NANOSECONDS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NS_MAX: Final = 2**63 - 1
"""Nanoseconds since 1970 fit 64 bits from 1677 to 2262."""


def parse_time(text: str, what: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time. `what` names it in the `BadRequest` raised."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise _bad(what, text)
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as e:
        raise _bad(what, text) from e
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    nanoseconds = seconds * _NANOSECONDS + int((fraction or "").ljust(9, "0"))
    if not -_NS_MAX <= nanoseconds <= _NS_MAX:
        raise BadRequest(f"{what} lies outside of the years 1678 to 2261.")
    return nanoseconds


def _bad(what: str, text: str) -> BadRequest:
    return BadRequest(f"{what} must be a time such as 2024-05-03T14:05:00Z, not {text[:40]!r}.")


def parse_moment(text: str, what: str) -> datetime:
    """The same as an aware datetime, to the microsecond."""
    return _EPOCH + timedelta(microseconds=parse_time(text, what) // 1_000)


def parse_http_date(text: str, what: str) -> int:
    """Nanoseconds since 1970 of an HTTP date (RFC 9110, 5.6.7). Raises `BadRequest`."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError) as e:
        raise BadRequest(f"{what} must be a date such as Fri, 03 May 2024 14:05:00 GMT.") from e
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1) * _NANOSECONDS


def parse_day(text: str, what: str) -> date:
    """A day such as 2024-05-03. Raises `BadRequest`."""
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError as e:
        raise BadRequest(f"{what} must be a day that exists, such as 2024-05-03.") from e


def time_text(nanoseconds: int) -> str:
    """RFC 3339 in UTC; a fraction only where there is one."""
    seconds, fraction = divmod(nanoseconds, _NANOSECONDS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def moment_text(moment: datetime) -> str:
    """RFC 3339 in UTC of an aware datetime."""
    return time_text((moment - _EPOCH) // timedelta(microseconds=1) * 1_000)


def http_date(nanoseconds: int) -> str:
    """For `Last-Modified`."""
    return format_datetime(_EPOCH + timedelta(seconds=nanoseconds // _NANOSECONDS), usegmt=True)
