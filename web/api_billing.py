"""`/api/v1/billing/status`: OTB Billing reports that a customer is suspended, cancelled, or active again.

The whole report is a signed, one-time token (docs/handoff.md), so nobody else can make one, change one, or send one
again.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import HandoffReplayed
from web.answers import json_answer
from web.bodies import media_type, read_body
from web.errors import ReportRefused, WrongMediaType
from web.handoff import HandoffRefused
from web.limits import HANDOFF_TOKEN_BYTES_MAX
from web.sessions import address
from web.shapes import billing_status_json
from web.state import services

REPORT_TYPE: Final = "application/jwt"


async def report_status(request: Request) -> Response:
    """What the account's status is from now on."""
    if media_type(request) != REPORT_TYPE:
        raise WrongMediaType(REPORT_TYPE)
    held = services(request)
    body = await read_body(request, HANDOFF_TOKEN_BYTES_MAX)
    try:
        report = held.verifier.verify_report(body.decode("ascii", "replace"))
        tenant = await held.catalog.system.billing.apply(report, address(request))
    except HandoffRefused as refused:
        raise ReportRefused(str(refused)) from refused
    except HandoffReplayed as replayed:
        raise ReportRefused("This report came before. Sign a new one for each call.") from replayed
    return json_answer(billing_status_json(tenant))
