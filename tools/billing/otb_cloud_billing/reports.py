"""Telling OTB Cloud that a customer is suspended, cancelled, or active again; heeded with their next request."""

import urllib.error
import urllib.request
from typing import Final, Literal
from urllib.parse import urlsplit

from otb_cloud_billing.signing import HandoffSigner

Status = Literal["active", "suspended", "cancelled"]

SECONDS_MAX: Final = 10.0
_ANSWER_BYTES_MAX: Final = 10_000
_NOT_FOUND: Final = 404


class ReportFailed(Exception):
    """OTB Cloud did not take the report; the text says what it answered. Try again, with a new call, until it does."""


def report_status(signer: HandoffSigner, cloud_url: str, client: str, status: Status) -> bool:
    """Report it. False where the customer has no account there yet: nothing is to be done then, as long as no handoff
    is signed for a customer who is not active. Raises `ReportFailed`.
    """
    if urlsplit(cloud_url).scheme not in {"http", "https"}:
        raise ReportFailed(f"{cloud_url} is no address of OTB Cloud.")
    request = urllib.request.Request(  # noqa: S310 - the scheme is looked at above
        f"{cloud_url}/api/v1/billing/status",
        signer.sign_report(client, status).encode("ascii"),
        {"Content-Type": "application/jwt"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:  # noqa: S310
            answer.read(_ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as refused:
        if refused.code == _NOT_FOUND:
            return False
        told = refused.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace")
        raise ReportFailed(f"OTB Cloud answered {refused.code}: {told}") from refused
    except OSError as lost:
        raise ReportFailed(f"OTB Cloud cannot be reached: {lost}") from lost
    return True
