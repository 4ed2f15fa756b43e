"""`/auth/handoff`: the way in from the portal.

The token comes in, a session goes out, and no address keeps the token.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import DatabaseUnavailable, HandoffReplayed, TenantSuspended
from catalog.values import HandoffClaims
from web import after_sign_in
from web.answers import no_content, request_id, see_other
from web.bodies import field, parse_form, read_form
from web.errors import TooLarge
from web.handoff import HandoffRefused, Refusal
from web.limits import HANDOFF_TOKEN_BYTES_MAX, RETRY_AFTER_SECONDS
from web.rates import network
from web.sessions import SESSION_COOKIE, address, session_token, set_cookie
from web.state import services

UNAVAILABLE: Final = "unavailable"


async def handoff(request: Request) -> Response:
    """303 to the first page with a session, or a page that says why not. HEAD spends nothing."""
    if request.method == "HEAD":
        return no_content()
    try:
        return await _sign_in(request, await _token(request))
    except DatabaseUnavailable:
        answer = _refused(request, UNAVAILABLE, 503)
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return answer


async def _sign_in(request: Request, token: str) -> Response:
    held, client = services(request), network(address(request))
    held.rates.refused_sign_ins.check(client)
    try:
        claims = held.verifier.verify(token)
    except HandoffRefused as refused:
        held.rates.refused_sign_ins.take(client)
        await held.catalog.system.sessions.refuse(refused.reason, None, address(request))
        return _refused(request, refused.reason, 400 if refused.reason is Refusal.MISSING else 403)
    try:
        session = await _session(request, claims)
    except HandoffReplayed:
        held.rates.refused_sign_ins.take(client)
        return _refused(request, Refusal.REPLAYED, 403)
    except TenantSuspended:
        return _refused(request, Refusal.SUSPENDED, 403)
    answer = see_other(after_sign_in.destination(request))
    after_sign_in.forget(request, answer)
    set_cookie(answer, held.settings, SESSION_COOKIE, session, held.settings.session_seconds_max)
    return answer


async def _session(request: Request, claims: HandoffClaims) -> str:
    """The new session's token; the one this browser had ends with it. The catalog's audit has every outcome."""
    user_agent = request.headers.get("user-agent", "")
    sessions = services(request).catalog.system.sessions
    return await sessions.handoff(claims, address(request), user_agent, session_token(request))


async def _token(request: Request) -> str:
    if request.method == "POST":
        return field(await read_form(request), "token")
    query = request.scope["query_string"]
    if len(query) > HANDOFF_TOKEN_BYTES_MAX:
        raise TooLarge(HANDOFF_TOKEN_BYTES_MAX, "A handoff")
    return field(parse_form(query), "token")


def _refused(request: Request, reason: str, status: int) -> Response:
    return services(request).pages.render("handoff_refused.html", status, reason=reason, request_id=request_id(request))
