"""The page of what the account uses."""

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from web.page_context import person_page
from web.sessions import Caller

DAYS_SHOWN: Final = 30


async def usage_page(request: Request, caller: Caller) -> Response:
    """The account's bytes as pictures and as a table."""
    today = datetime.now(UTC).date()
    days = await caller.scope.usages.days(today - timedelta(days=DAYS_SHOWN - 1), today)
    return await person_page(
        request, caller, "usage.html", "usage", breakdown=await caller.scope.usages.breakdown(), days=days
    )
