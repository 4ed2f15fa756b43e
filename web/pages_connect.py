"""The page "Connect this computer": the line to install otb-cloud, the code that the computer shows, and the decision.

Only an owner looks a code up and decides, as with device tokens: what is approved reads and adds files without a
sign-in.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest, Conflict, NotFound, TooMany, TooOften
from catalog.values import Connection, Device, DeviceKind
from web.answers import see_other
from web.bodies import Form, field
from web.client_files import offered_lines
from web.errors import problem_of
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import parse_id, query_of
from web.sessions import Caller, is_owner, require_owner
from web.state import services

NEW: Final = "new"
"""In place of a device's id."""
_CODE: Final = "code"
_CODE_GONE: Final = (
    "No computer waits with this code. Compare it with the computer’s screen. A code works once, for ten minutes: if"
    " that is over, run the line on the computer again."
)


async def connect_page(request: Request, caller: Caller) -> Response:
    """The instructions and the field for the code; with `code` in the query, what that computer asks for."""
    code = field(query_of(request), "code")
    if not code or not is_owner(caller):
        return await _ask_for_code(request, caller, code)
    try:
        connection = await services(request).catalog.system.connections.find(code, caller.scope.tenant)
    except (NotFound, TooOften) as error:
        return await _ask_for_code(request, caller, code, error)
    return await _ask_for_decision(request, caller, connection)


async def decide(request: Request, caller: Caller, fields: Form) -> Response:
    """One of the decision's buttons; `do` says which. Sent twice, the second finds the code used."""
    require_owner(caller, "connect computers")
    do, code = field(fields, "do"), field(fields, "code")
    if do not in {"approve", "refuse"}:
        raise BadRequest("This form is not known. Load the page again.")
    try:
        connection = await services(request).catalog.system.connections.find(code, caller.scope.tenant)
        if do == "approve":
            return await _approve(request, caller, connection, fields)
        await caller.scope.approvals.refuse(connection)
    except TooOften as error:
        return await _ask_for_code(request, caller, code, error)
    except NotFound as error:
        if error.what != _CODE:
            raise
        return await _ask_for_code(request, caller, code, error)
    return with_notice(see_other("/connect"), services(request).settings, "connection_refused")


async def _approve(request: Request, caller: Caller, connection: Connection, fields: Form) -> Response:
    typed = {name: field(fields, name) for name in ("device", "name", "kind")}
    try:
        device = await _device(caller, connection, typed)
    except (BadRequest, Conflict, TooMany) as error:
        return await _ask_for_decision(request, caller, connection, error, typed)
    return with_notice(see_other(f"/devices/{device.id}"), services(request).settings, "connected")


async def _device(caller: Caller, connection: Connection, typed: dict[str, str]) -> Device:
    """The device that the computer becomes."""
    if typed["device"] != NEW:
        return await caller.scope.approvals.approve(connection, parse_id(typed["device"], "device"))
    if typed["kind"] not in set(DeviceKind):
        raise BadRequest("Choose the kind of device from the list.")
    return await caller.scope.approvals.approve_new(connection, typed["name"], DeviceKind(typed["kind"]))


async def _ask_for_code(request: Request, caller: Caller, code: str, error: Exception | None = None) -> Response:
    sentence = _CODE_GONE if isinstance(error, NotFound) else str(error) if error else None
    return await person_page(
        request,
        caller,
        "connect.html",
        "devices",
        problem_of(error).status if error else 200,
        install=offered_lines(services(request)),
        may_approve=is_owner(caller),
        code=code[:40],
        problem=sentence,
    )


async def _ask_for_decision(
    request: Request,
    caller: Caller,
    connection: Connection,
    error: Exception | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    devices = await caller.scope.devices.all()
    return await person_page(
        request,
        caller,
        "connect_decide.html",
        "devices",
        problem_of(error).status if error else 200,
        connection=connection,
        devices=devices,
        kinds=list(DeviceKind),
        form=typed or _proposed(connection, devices),
        problem=str(error) if error else None,
    )


def _proposed(connection: Connection, devices: list[Device]) -> dict[str, str]:
    """What is chosen at first: the device of the computer's own name, if there is one, else a new one."""
    same = [device for device in devices if device.name.casefold() == connection.name.casefold()]
    return {"device": str(same[0].id) if same else NEW, "name": connection.name, "kind": str(connection.kind)}
