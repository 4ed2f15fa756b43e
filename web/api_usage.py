"""`/api/v1/usage`: what the account uses, by device and kind, and day by day."""

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest
from catalog.usage import DAYS_MAX
from web.answers import json_answer
from web.bodies import field
from web.parameters import query_of
from web.sessions import Caller
from web.shapes import account_usage_json
from web.times import parse_day

DAYS_SHOWN: Final = 30


async def get_usage(request: Request, caller: Caller) -> Response:
    """The newest breakdown, and the recorded days (the last 30, where none are named)."""
    query, today = query_of(request), datetime.now(UTC).date()
    first, last = field(query, "from"), field(query, "to")
    end = parse_day(last, "to") if last else today
    begin = parse_day(first, "from") if first else end - timedelta(days=DAYS_SHOWN - 1)
    if not timedelta() <= end - begin < timedelta(days=DAYS_MAX):
        raise BadRequest(f"Name from 1 to {DAYS_MAX} days, the first one first.")
    usage = await caller.scope.usage()
    breakdown = await caller.scope.usages.breakdown()
    return json_answer(account_usage_json(usage, breakdown, await caller.scope.usages.days(begin, end)))
