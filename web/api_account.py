"""`/api/v1/me`: who is signed in."""

from starlette.requests import Request
from starlette.responses import Response

from web.answers import json_answer
from web.sessions import Caller
from web.shapes import Json, device_json, tenant_json, usage_json, user_json
from web.times import moment_text


async def get_me(_request: Request, caller: Caller) -> Response:
    """The tenant, who acts in it, what it uses, and the session's CSRF token."""
    scope, session = caller.scope, caller.session
    usage = await scope.usage()
    shape: Json = {
        "tenant": tenant_json(scope.tenant),
        "user": user_json(session.user) if session and session.user else None,
        "device": None if scope.token_device is None else device_json(await scope.devices.get(scope.token_device)),
        "usage": usage_json(usage),
        "quota": usage.quota_bytes,
        "csrf_token": caller.csrf_token,
        "support": _support(caller),
    }
    return json_answer(shape)


def _support(caller: Caller) -> Json | None:
    """By whose leave staff are here, and for how long; None for everybody else."""
    grant = caller.scope.grant
    if grant is None:
        return None
    return {
        "staff": caller.scope.actor.name,
        "issued_by": grant.issued_by,
        "write": grant.may_write,
        "expires": moment_text(grant.expires_at),
    }
