"""Time as the catalog keeps it: naive UTC datetimes in the database, aware ones everywhere else."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NANOSECONDS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)


def to_db(moment: datetime) -> datetime:
    """As a DATETIME(6) column takes it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def from_db(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def to_ns(moment: datetime) -> int:
    """Nanoseconds since 1970, exact to the microsecond."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970: what cursors carry of a DATETIME(6)."""
    return (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """The naive UTC datetime of `microseconds`."""
    return (_EPOCH + timedelta(microseconds=count)).replace(tzinfo=None)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The moment the day begins in this zone (the first of two where a clock change repeats it)."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
