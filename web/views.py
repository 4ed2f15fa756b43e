"""List or gallery: how somebody likes to see files. Remembered in a cookie, so that a page comes as it should."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from web.bodies import field
from web.parameters import query_of
from web.sessions import cookie_name, set_cookie
from web.state import services

VIEW_COOKIE: Final = "otb_view"
VIEWS: Final = ("list", "gallery")
_SECONDS: Final = 365 * 86_400


def view_of(request: Request) -> str:
    """What the query asks for, else what was chosen last, else the list."""
    asked = field(query_of(request), "view") or request.cookies.get(
        cookie_name(services(request).settings, VIEW_COOKIE)
    )
    return asked if asked in VIEWS else VIEWS[0]


def remember_view(request: Request, answer: Response, view: str) -> Response:
    """The answer, which keeps a choice that was just made."""
    if field(query_of(request), "view"):
        set_cookie(answer, services(request).settings, VIEW_COOKIE, view, _SECONDS)
    return answer
