"""Who calls: a person by the session cookie, or a device by its bearer token.

What always holds: a request with both uses the bearer token, so that a page cannot lend its cookie to one; an
unsafe request by cookie comes with the session's CSRF token; every request looks the session or token up
again, so that what is revoked is refused at once.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import NotAllowed, NotFound
from catalog.settings import Settings
from catalog.tenant import TenantScope
from catalog.values import Actor, Role, SessionView
from web.csrf import SAFE_METHODS, check_csrf, csrf_token
from web.errors import NotSignedIn, StaffWithoutGrant
from web.limits import SESSION_TOKEN_CHARACTERS_MAX
from web.rates import network
from web.state import Services, services

SESSION_COOKIE: Final = "otb_session"
_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """A person or device with a tenant: whose data it may touch, and the CSRF token of its session."""

    scope: TenantScope
    session: SessionView | None
    csrf_token: str | None

    @property
    def key(self) -> Hashable:
        """Tells one session or device token from another."""
        return self.session.id_hash if self.session else ("device token", self.scope.actor.id)


def cookie_name(settings: Settings, name: str = SESSION_COOKIE) -> str:
    """`__Host-` ties a cookie to this host and to https, where there is https (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{name}" if settings.is_https else name


def set_cookie(response: Response, settings: Settings, name: str, value: str, seconds: int) -> None:
    """A cookie that scripts cannot read and other sites' forms do not send."""
    response.set_cookie(
        cookie_name(settings, name), value, max_age=seconds, path="/", secure=settings.is_https, httponly=True,
        samesite="lax",
    )  # fmt: skip


def forget_cookie(response: Response, settings: Settings, name: str) -> None:
    response.delete_cookie(
        cookie_name(settings, name), path="/", secure=settings.is_https, httponly=True, samesite="lax"
    )


def session_token(request: Request) -> str | None:
    """The session cookie's value, if one came that can be one."""
    token = request.cookies.get(cookie_name(services(request).settings), "")
    return token if 0 < len(token) <= SESSION_TOKEN_CHARACTERS_MAX else None


def address(request: Request) -> str | None:
    """The client's address, for the audit."""
    return request.client.host if request.client else None


async def find_session(request: Request) -> SessionView:
    """The live session of the cookie. Raises `NotSignedIn`, `TenantSuspended`."""
    token = session_token(request)
    if token is None:
        raise NotSignedIn
    wrong, client = services(request).rates.wrong_credentials, network(address(request))
    wrong.check(client)
    try:
        return await services(request).catalog.system.sessions.find(token)
    except NotFound as e:
        wrong.take(client)
        raise NotSignedIn(expired=True) from e


async def find_person(request: Request) -> Caller:
    """The signed-in person of a tenant, or staff whom a grant lets in.

    Raises `NotSignedIn`, `TenantSuspended`, `StaffWithoutGrant`.
    """
    if _bearer(request) is not None:
        raise NotSignedIn
    return _person(request, await find_session(request))


async def find_caller(request: Request) -> Caller:
    """The person or device behind an API call, its CSRF token checked.

    Raises as `find_person`, and `CsrfRefused`.
    """
    token = _bearer(request)
    if token is not None:
        return await _device(request, token)
    caller = _person(request, await find_session(request))
    if request.method not in SAFE_METHODS:
        check_caller_csrf(caller, request.headers.get("x-csrf-token"))
    return caller


def check_caller_csrf(caller: Caller, *sent: str | None) -> None:
    """Raises `CsrfRefused` unless one of these is the CSRF token of the caller's session."""
    check_csrf(caller.csrf_token or "", *sent)


def is_owner(caller: Caller) -> bool:
    """Whether the caller is a signed-in owner of the account."""
    return caller.session is not None and caller.session.user is not None and caller.session.user.role is Role.OWNER


def require_owner(caller: Caller, what: str) -> None:
    """Raise `NotAllowed` for anyone but an owner: so that malware on a device, or a guest, cannot take more."""
    if not is_owner(caller):
        raise NotAllowed(f"Only the account's owner, signed in through the portal, may {what}.")


def token_of(services: Services, session: SessionView) -> str:
    """The session's CSRF token."""
    return csrf_token(services.settings.secret_key, session.id_hash)


def _person(request: Request, session: SessionView) -> Caller:
    if session.tenant is None:
        raise StaffWithoutGrant(session)
    scope = services(request).catalog.tenant(session.tenant, actor_of(request, session), grant=session.grant)
    return Caller(scope, session, token_of(services(request), session))


def actor_of(request: Request, session: SessionView) -> Actor:
    """Who acts in a session, for the audit: staff with the name of the owner who let them in."""
    if session.staff is not None:
        staff, grant = session.staff, session.grant
        issued_by, grant_id = (grant.issued_by, grant.id) if grant else (None, None)
        return Actor("staff", staff.name or staff.email, staff.id, address(request), issued_by, grant_id)
    user = session.user
    return Actor("user", (user.name or user.email) if user else "", user.id if user else None, address(request))


async def _device(request: Request, token: str) -> Caller:
    system = services(request).catalog.system
    wrong, client = services(request).rates.wrong_credentials, network(address(request))
    wrong.check(client)
    try:
        view = await system.sessions.device_token(token)
    except NotFound as e:
        wrong.take(client)
        raise NotSignedIn(bearer=True) from e
    actor = Actor("device", view.label, view.token_id, address(request))
    return Caller(services(request).catalog.tenant(view.tenant, actor, view.device_id), None, None)


def _bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer`. Raises `NotSignedIn` for any other authorization."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    token = header[len(_BEARER) :].strip()
    if not header.lower().startswith(_BEARER) or not 0 < len(token) <= SESSION_TOKEN_CHARACTERS_MAX:
        raise NotSignedIn(bearer=True)
    return token
