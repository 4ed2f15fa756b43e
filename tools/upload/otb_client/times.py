"""Times as the API writes them: RFC 3339 in UTC, to the nanosecond."""

import re
from datetime import datetime, timedelta, timezone
from typing import Optional

from otb_client.errors import BadAnswer

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NS = 1_000_000_000
NS_MAX = 2**63 - 1
"""The API takes times from 1678 to 2261."""


def time_text(nanoseconds: int) -> Optional[str]:
    """RFC 3339 of nanoseconds since 1970; None for a time that the API cannot take."""
    if not -NS_MAX < nanoseconds < NS_MAX:
        return None
    seconds, fraction = divmod(nanoseconds, _NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}Z" if fraction else text + "Z"


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time. Raises `BadAnswer`."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise BadAnswer(f"{text[:40]!r} is not a time.")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as e:
        raise BadAnswer(f"{text[:40]!r} is not a time.") from e
    return (moment - _EPOCH) // timedelta(seconds=1) * _NS + int((fraction or "").ljust(9, "0"))
