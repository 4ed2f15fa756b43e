"""`/api/v1/grants` and `/api/v1/sessions`: support access, and where people are signed in."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.audit import AuditFilter
from catalog.people import session_id
from web.answers import json_answer, no_content
from web.bodies import read_json
from web.pages_people import LOOKS_SHOWN, own_id
from web.parameters import parse_id, path_id
from web.sessions import Caller, is_owner, require_owner
from web.shapes import event_json, grant_json, session_json


class NewGrant(msgspec.Struct, forbid_unknown_fields=True):
    """`devices` left out or null: all, those to come included."""

    reason: str
    seconds: int
    devices: list[str] | None = None
    write: bool = False


async def list_grants(_request: Request, caller: Caller) -> Response:
    """The newest first, never the tokens. Only for an owner."""
    require_owner(caller, "see support access")
    return json_answer({"grants": [grant_json(grant) for grant in await caller.scope.grants.all()], "next": None})


async def issue_grant(request: Request, caller: Caller) -> Response:
    """The token is in this answer and nowhere else. Only for an owner."""
    require_owner(caller, "give support access")
    wanted = await read_json(request, NewGrant)
    devices = None if wanted.devices is None else {parse_id(text, "device") for text in wanted.devices}
    grant, token = await caller.scope.grants.issue(
        devices, may_write=wanted.write, seconds=wanted.seconds, reason=wanted.reason
    )
    return json_answer({"grant": grant_json(grant), "token": token}, 201)


async def get_grant(request: Request, caller: Caller) -> Response:
    """One of them, with the newest of what staff did. Only for an owner."""
    require_owner(caller, "see support access")
    grant = await caller.scope.grants.get(path_id(request, "grant"))
    events = (await caller.scope.audit.page(limit=LOOKS_SHOWN, wanted=AuditFilter(grant_id=grant.id))).items
    return json_answer({"grant": grant_json(grant), "events": [event_json(event) for event in events]})


async def end_grant(request: Request, caller: Caller) -> Response:
    """With the next request staff see nothing. Only by an owner."""
    require_owner(caller, "end support access")
    await caller.scope.grants.end(path_id(request, "grant"))
    return no_content()


async def list_sessions(_request: Request, caller: Caller) -> Response:
    """Where people are signed in: an owner sees everybody's sessions, a member their own."""
    sessions = await caller.scope.people.sessions(None if is_owner(caller) else own_id(caller))
    here = session_id(caller.session.id_hash) if caller.session else ""
    return json_answer({"sessions": [session_json(one, here) for one in sessions], "next": None})


async def end_session(request: Request, caller: Caller) -> Response:
    """Over with the next request. An owner ends anybody's, a member their own."""
    only = None if is_owner(caller) else own_id(caller)
    await caller.scope.people.end_session(request.path_params["session"], only)
    return no_content()
