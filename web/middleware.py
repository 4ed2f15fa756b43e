"""What surrounds every request: its id, the checks that need no session, the headers of every answer, and the
last net.

Pure ASGI. What always holds: every answer carries the security headers, errors included; no error reaches the
server; no answer of an unexpected error says what it was.
"""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catalog.errors import BadPath
from catalog.logs import JSON, REQUEST_ID
from catalog.settings import LOOPBACK_HOSTS, Settings
from web.answers import REQUEST_ID_KEY
from web.csrf import check_site
from web.errors import Disconnected, TooLarge, WrongHost
from web.limits import QUERY_BYTES_MAX
from web.paths import has_control_characters
from web.proxy import PROXIED_KEY, Proxies, given_request_id
from web.routing import ROUTE_KEY

log: Final = logging.getLogger("otb.web")
request_log: Final = logging.getLogger("otb.request")

HANDOFF_PATH: Final = "/auth/handoff"

ErrorAnswer = Callable[[Request, Exception], Awaitable[Response]]

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self';"
    " connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?", re.ASCII)
_HSTS: Final = "max-age=31536000; includeSubDomains"


class Guard:
    """The outermost middleware. `answer_error` makes the answer to any exception."""

    def __init__(self, app: ASGIApp, settings: Settings, answer_error: ErrorAnswer) -> None:
        self._app = app
        self._hosts = allowed_hosts(settings)
        self._proxies = Proxies(settings)
        self._logs_requests = settings.log_format == JSON
        self._answer_error = answer_error
        self._headers = base_headers()
        if settings.is_https:
            self._headers["Strict-Transport-Security"] = _HSTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # Lifespan. There are no WebSockets here: the server refuses them without an application's answer.
            await self._app(scope, receive, send)
            return
        scope[PROXIED_KEY] = self._proxies.sent(scope)
        scope[REQUEST_ID_KEY] = given_request_id(scope) or secrets.token_hex(8)
        REQUEST_ID.set(scope[REQUEST_ID_KEY])  # each request has a task of its own, and so a context
        began = time.monotonic()
        status = await self._guarded(scope, receive, send)
        if self._logs_requests:
            _log_request(scope, status, time.monotonic() - began)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> int | None:
        """The status that was answered; None where nobody was there to be answered."""
        status: int | None = None

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, scope[REQUEST_ID_KEY])
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, guarded_send)
        except Disconnected:
            pass  # nobody is there to be answered
        except Exception as error:
            if status is not None:
                # The status is out, so all that is left is to break off: the server closes an unfinished answer.
                log.exception("request %s broke off", scope[REQUEST_ID_KEY])
                return status
            request = Request(scope, receive)
            await (await self._answer_error(request, error))(scope, receive, guarded_send)
        return status

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        # Two would be two readings of one request (RFC 9112, 3.2).
        if len(hosts) > 1 or _host_name("".join(hosts)) not in self._hosts:
            raise WrongHost
        if has_control_characters(scope["path"]):
            raise BadPath("A name must not contain control characters such as tab or line feed. Rename the file.")
        if len(scope["query_string"]) > QUERY_BYTES_MAX and scope["path"] != HANDOFF_PATH:
            raise TooLarge(QUERY_BYTES_MAX, "The part of the address behind the “?”")
        if scope["path"] != HANDOFF_PATH:
            check_site(scope["method"], headers.get("sec-fetch-site"))

    def _add_headers(self, message: Message, request_id: str) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers["X-Request-Id"] = request_id


def _log_request(scope: Scope, status: int | None, seconds: float) -> None:
    """What was asked for by its route, never by its address."""
    fields = {
        "method": scope["method"],
        "route": scope.get(ROUTE_KEY),
        "status": status,
        "milliseconds": round(seconds * 1_000, 1),
    }
    request_log.info("answered", extra={"fields": fields})


def base_headers() -> dict[str, str]:
    """The security headers of every answer."""
    return dict(_HEADERS)


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """The names this server answers to: its public one, and loopback's while it is served over plain HTTP."""
    public = urlsplit(settings.public_url).hostname or ""
    return frozenset({public} if settings.is_https else {public, *LOOPBACK_HOSTS})


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; nothing for what is none (RFC 9110, 7.2)."""
    match = _HOST.fullmatch(host)
    return "" if match is None else (match[1] or match[2]).lower()
