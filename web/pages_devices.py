"""The pages of devices: naming them, their folders to back up, their tokens, and removing an empty one."""

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest, Conflict, NotAllowed
from catalog.values import Area, Device, DeviceKind, EntryPath
from web.answers import see_other
from web.bodies import Form, field
from web.client_files import offered_lines
from web.errors import problem_of
from web.limits import PAGE_ITEMS_MAX
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import parse_id, path_id
from web.sessions import Caller, is_owner, require_owner
from web.state import services

_REFUSED = (BadRequest, Conflict, NotAllowed)
"""What the page itself tells, above the form; everything else is an error page."""


async def devices_page(request: Request, caller: Caller, error: Exception | None = None, **typed: object) -> Response:
    """All devices, and the form for a new one."""
    return await person_page(
        request,
        caller,
        "devices.html",
        "devices",
        problem_of(error).status if error else 200,
        devices=await caller.scope.devices.all(),
        kinds=list(DeviceKind),
        problem=str(error) if error else None,
        form=typed,
    )


async def create_device(request: Request, caller: Caller, fields: Form) -> Response:
    typed = _typed(fields)
    try:
        device = await caller.scope.devices.create(typed["name"], _kind(typed), _lines(typed))
    except _REFUSED as error:
        return await devices_page(request, caller, error, **typed)
    return see_other(f"/files/{device.id}/{Area.ORIGINALS}/")


async def device_page(request: Request, caller: Caller) -> Response:
    return await _show(request, caller, await caller.scope.devices.get(path_id(request, "device")))


async def change_device(request: Request, caller: Caller, fields: Form) -> Response:
    """One of the page's forms; `do` says which."""
    device = await caller.scope.devices.get(path_id(request, "device"))
    acts = {"update": _update, "create_token": _create_token, "revoke_token": _revoke_token, "remove": _remove}
    act = acts.get(field(fields, "do"))
    if act is None:
        raise BadRequest("This form is not known. Load the page again.")
    try:
        return await act(request, caller, device, fields)
    except _REFUSED as error:
        typed = _typed(fields) if act is _update else {}
        return await _show(request, caller, device, error, form=typed)


async def _update(request: Request, caller: Caller, device: Device, fields: Form) -> Response:
    typed = _typed(fields)
    await caller.scope.devices.update(
        device.id, name=typed["name"], kind=_kind(typed), source_directories=_lines(typed)
    )
    return with_notice(see_other(f"/devices/{device.id}"), services(request).settings, "saved")


async def _create_token(request: Request, caller: Caller, device: Device, fields: Form) -> Response:
    """No redirect: the token is shown by this very answer and nowhere else."""
    require_owner(caller, "make device tokens")
    label = field(fields, "label")
    _, token = await caller.scope.devices.create_token(device.id, label)
    return await _show(request, caller, device, new_token={"label": label, "token": token})


async def _revoke_token(request: Request, caller: Caller, device: Device, fields: Form) -> Response:
    require_owner(caller, "revoke device tokens")
    await caller.scope.devices.revoke_token(device.id, parse_id(field(fields, "token"), "token"))
    return with_notice(see_other(f"/devices/{device.id}"), services(request).settings, "token_revoked")


async def _remove(request: Request, caller: Caller, device: Device, _fields: Form) -> Response:
    require_owner(caller, "remove devices")
    await caller.scope.devices.remove(device.id)
    return with_notice(see_other("/devices"), services(request).settings, "device_removed")


async def _show(
    request: Request, caller: Caller, device: Device, error: Exception | None = None, **context: object
) -> Response:
    may_manage = is_owner(caller)
    return await person_page(
        request,
        caller,
        "device.html",
        "devices",
        problem_of(error).status if error else 200,
        device=device,
        kinds=list(DeviceKind),
        tokens=await caller.scope.devices.tokens(device.id) if may_manage else [],
        removable=await _is_empty(caller, device),
        may_manage=may_manage,
        install=offered_lines(services(request)),
        problem=str(error) if error else None,
        **context,
    )


async def _is_empty(caller: Caller, device: Device) -> bool:
    """For what the page offers; the catalog decides when it is done."""
    if device.file_count:
        return False
    for area in Area:
        if (await caller.scope.entries.page(device.id, area, EntryPath(()), limit=1)).items:
            return False
    held = await caller.scope.entries.held(limit=PAGE_ITEMS_MAX)
    return all(entry.device_id != device.id for entry in held.items)


def _typed(fields: Form) -> dict[str, str]:
    return {name: field(fields, name) for name in ("name", "kind", "source_directories")}


def _kind(typed: dict[str, str]) -> DeviceKind:
    if typed["kind"] not in set(DeviceKind):
        raise BadRequest("Choose the kind of device from the list.")
    return DeviceKind(typed["kind"])


def _lines(typed: dict[str, str]) -> list[str]:
    return typed["source_directories"].splitlines()
