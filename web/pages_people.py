"""The page "People & access": who comes in, where they are signed in, which programs act for them, and support."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.audit import AuditFilter
from catalog.errors import BadRequest, NotAllowed, NotFound, TooMany
from catalog.people import session_id
from catalog.values import Grant
from web.answers import see_other
from web.bodies import Form, field
from web.errors import problem_of
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import parse_id
from web.sessions import Caller, is_owner, require_owner
from web.state import services

LASTS: Final = {"3600": "1 hour", "14400": "4 hours", "86400": "1 day", "259200": "3 days"}
"""Seconds → words, as the form offers them."""
LOOKS_SHOWN: Final = 10

_REFUSED = (BadRequest, NotFound, TooMany)


async def people_page(
    request: Request, caller: Caller, error: Exception | None = None, /, **context: object
) -> Response:
    """Everything for an owner; a member sees their own sessions."""
    scope, owner = caller.scope, is_owner(caller)
    own = caller.session.user.id if caller.session and caller.session.user else 0
    grants = await scope.grants.all() if owner else []
    now = datetime.now(UTC)
    return await person_page(
        request,
        caller,
        "people.html",
        "people",
        problem_of(error).status if error else 200,
        owner=owner,
        people=await scope.people.all() if owner else [],
        sessions=await scope.people.sessions(None if owner else own),
        here=session_id(caller.session.id_hash) if caller.session else "",
        own=own,
        tokens=await scope.people.tokens() if owner else [],
        devices=await scope.devices.all(),
        grants=[(grant, grant.state(now), await _looks(caller, grant)) for grant in grants],
        lasts=LASTS,
        problem=str(error) if error else None,
        **context,
    )


async def change_access(request: Request, caller: Caller, fields: Form) -> Response:
    """One of the page's forms; `do` says which."""
    acts: dict[str, Callable[[Request, Caller, Form], Awaitable[Response]]] = {
        "give": _give,
        "end_grant": _end_grant,
        "end_session": _end_session,
        "end_others": _end_others,
        "revoke_token": _revoke_token,
    }
    act = acts.get(field(fields, "do"))
    if act is None:
        raise BadRequest("This form is not known. Load the page again.")
    try:
        return await act(request, caller, fields)
    except _REFUSED as error:
        return await people_page(request, caller, error, form=_typed(fields))


async def _give(request: Request, caller: Caller, fields: Form) -> Response:
    """No redirect: the token is shown by this very answer and nowhere else."""
    require_owner(caller, "give support access")
    chosen = fields.get("device", [])
    everything = field(fields, "devices") == "all"
    if field(fields, "lasts") not in LASTS:
        raise BadRequest("Choose from the list how long support may stay.")
    grant, token = await caller.scope.grants.issue(
        None if everything else {parse_id(text, "device") for text in chosen},
        may_write=field(fields, "may") == "write",
        seconds=int(field(fields, "lasts")),
        reason=field(fields, "reason"),
    )
    return await people_page(request, caller, new_grant={"token": token, "grant": grant})


async def _end_grant(request: Request, caller: Caller, fields: Form) -> Response:
    require_owner(caller, "end support access")
    await caller.scope.grants.end(parse_id(field(fields, "grant"), "grant"))
    return with_notice(see_other("/people"), services(request).settings, "support_ended")


async def _end_session(request: Request, caller: Caller, fields: Form) -> Response:
    """An owner ends anybody's, a member their own."""
    await caller.scope.people.end_session(field(fields, "session"), None if is_owner(caller) else own_id(caller))
    return with_notice(see_other("/people"), services(request).settings, "session_ended")


async def _end_others(request: Request, caller: Caller, _fields: Form) -> Response:
    if caller.session is None:
        raise NotAllowed("Sign in to end your sessions.")
    ended = await caller.scope.people.end_other_sessions(own_id(caller), caller.session.id_hash)
    return with_notice(see_other("/people"), services(request).settings, "sessions_ended", ended)


async def _revoke_token(request: Request, caller: Caller, fields: Form) -> Response:
    require_owner(caller, "revoke device tokens")
    device_id, token_id = parse_id(field(fields, "device"), "device"), parse_id(field(fields, "token"), "token")
    await caller.scope.devices.revoke_token(device_id, token_id)
    return with_notice(see_other("/people"), services(request).settings, "token_revoked")


def own_id(caller: Caller) -> int:
    """The signed-in person's id. Raises `NotAllowed` for staff and devices."""
    if caller.session is None or caller.session.user is None:
        raise NotAllowed("Only the account's own people may do this.")
    return caller.session.user.id


async def _looks(caller: Caller, grant: Grant) -> list[object]:
    """The newest of what staff did with it; nothing before it was redeemed."""
    if grant.redeemed_at is None:
        return []
    page = await caller.scope.audit.page(limit=LOOKS_SHOWN, wanted=AuditFilter(grant_id=grant.id))
    return list(page.items)


def _typed(fields: Form) -> dict[str, object]:
    names = ("reason", "lasts", "may", "devices")
    return {name: field(fields, name) for name in names} | {"device": fields.get("device", [])}
