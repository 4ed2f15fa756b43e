"""One sentence about what a form did, carried to the next page in a cookie that holds a name and a number, no text."""

import re
from typing import Final

from starlette.responses import Response

from catalog.settings import Settings
from web.sessions import set_cookie

NOTICE_COOKIE: Final = "otb_notice"
_SECONDS: Final = 60
_VALUE: Final = re.compile(r"([a-z_]{1,40})\.(\d{1,9})", re.ASCII)

_GOOD: Final = {
    "deleted": ("One item was moved to Deleted.", "{:,} items were moved to Deleted."),
    "recovered": ("One item was recovered.", "{:,} items were recovered."),
    "saved": ("Saved.", "Saved."),
    "moved": ("One item was moved here.", "{:,} items were moved here."),
    "reverted": ("This version is the current one again. The others stay.",) * 2,
    "upload_stopped": ("The upload was stopped.",) * 2,
    "renamed": ("Renamed.", "Renamed."),
    "jobs_made": ("It is being made.", "{:,} files are being made."),
    "jobs_cleared": ("One card was cleared.", "{:,} cards were cleared."),
    "job_retry": ("It is tried again.",) * 2,
    "job_cancel": ("It is being cancelled.",) * 2,
    "job_delete": ("The card was removed. Files stay where they are.",) * 2,
    "token_revoked": ("The token was revoked.", "The token was revoked."),
    "connected": ("Approved. The computer finishes connecting by itself in a few seconds.",) * 2,
    "connection_refused": ("Refused. That computer gets nothing.",) * 2,
    "purged": ("One file was deleted for good.", "{:,} files were deleted for good."),
    "undone": ("Undone. This is the change that did it.",) * 2,
    "restored": ("One item was brought back to how it was.", "{:,} items were brought back to how they were."),
    "restored_nothing": ("Everything is already as it was then.",) * 2,
    "export_made": ("The export was made.", "The export was made."),
    "export_removed": ("The export was removed. Its files stay where they are.",) * 2,
    "nothing_new": ("Nothing was added since that export.",) * 2,
    "support_ended": ("Support access has ended. Nobody looks on any more.",) * 2,
    "session_ended": ("That session has ended.",) * 2,
    "sessions_ended": ("One other session has ended.", "{:,} other sessions have ended."),
    "device_removed": ("The device was removed.", "The device was removed."),
}
_BAD: Final = {"choose": "Choose one or more files first."}


def notice_of(cookie: str | None) -> dict[str, str] | None:
    """The notice that a cookie names, if it is one of ours."""
    match = _VALUE.fullmatch(cookie or "")
    if match is None:
        return None
    name, count = match[1], int(match[2])
    if name in _BAD:
        return {"tone": "bad", "text": _BAD[name]}
    if name in _GOOD:
        one, many = _GOOD[name]
        return {"tone": "good", "text": one if count == 1 else many.format(count)}
    return None


def with_notice(response: Response, settings: Settings, name: str, count: int = 1) -> Response:
    """The response, with the notice for the page after it."""
    set_cookie(response, settings, NOTICE_COOKIE, f"{name}.{count}", _SECONDS)
    return response
