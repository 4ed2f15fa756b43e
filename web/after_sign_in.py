"""Where somebody wanted to go who had to sign in first: kept in a cookie while they are at the portal.

It names one of our pages and a code of known form, never an address, so that it cannot lead anywhere else.
"""

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.connections import parse_user_code, written
from catalog.errors import BadRequest
from web.bodies import field
from web.parameters import query_of
from web.sessions import cookie_name, forget_cookie, set_cookie
from web.state import services

CONNECT_PATH: Final = "/connect"
_COOKIE: Final = "otb_after"
_SECONDS: Final = 600
_VALUE: Final = re.compile(r"connect(?:\.([A-Z]{8}))?", re.ASCII)


def is_remembered(request: Request) -> bool:
    """Whether the request was for a page worth coming back to."""
    return bool(request.scope["path"] == CONNECT_PATH)


def remember(request: Request, answer: Response) -> None:
    """Set the cookie."""
    code = _code(request)
    set_cookie(answer, services(request).settings, _COOKIE, f"connect.{code}" if code else "connect", _SECONDS)


def destination(request: Request) -> str:
    """Where the browser goes after signing in: the page that was remembered, else the first one."""
    match = _VALUE.fullmatch(request.cookies.get(cookie_name(services(request).settings, _COOKIE), ""))
    if match is None:
        return "/"
    return f"{CONNECT_PATH}?code={written(match[1])}" if match[1] else CONNECT_PATH


def forget(request: Request, answer: Response) -> None:
    """It leads there once."""
    settings = services(request).settings
    if cookie_name(settings, _COOKIE) in request.cookies:
        forget_cookie(answer, settings, _COOKIE)


def _code(request: Request) -> str | None:
    """The code in the query, if it can be one."""
    try:
        return parse_user_code(field(query_of(request), "code"))
    except BadRequest:
        return None
