"""`/api/v1/devices`: devices and their tokens."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.values import DeviceKind
from web.answers import json_answer, no_content
from web.bodies import read_json
from web.parameters import path_id
from web.sessions import Caller, require_owner
from web.shapes import device_json, token_json


class NewDevice(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    kind: DeviceKind = DeviceKind.OTHER
    source_directories: list[str] = []


class DeviceChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    name: str | None = None
    kind: DeviceKind | None = None
    source_directories: list[str] | None = None


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    label: str = ""


async def list_devices(_request: Request, caller: Caller) -> Response:
    """All devices, by name. There are few, so this list has one page."""
    return json_answer({"devices": [device_json(device) for device in await caller.scope.devices.all()], "next": None})


async def create_device(request: Request, caller: Caller) -> Response:
    wanted = await read_json(request, NewDevice)
    device = await caller.scope.devices.create(wanted.name, wanted.kind, wanted.source_directories)
    return json_answer(device_json(device), 201, {"Location": f"/api/v1/devices/{device.id}"})


async def get_device(request: Request, caller: Caller) -> Response:
    return json_answer(device_json(await caller.scope.devices.get(path_id(request, "device"))))


async def change_device(request: Request, caller: Caller) -> Response:
    change = await read_json(request, DeviceChange)
    device = await caller.scope.devices.update(
        path_id(request, "device"),
        name=change.name,
        kind=change.kind,
        source_directories=change.source_directories,
    )
    return json_answer(device_json(device))


async def remove_device(request: Request, caller: Caller) -> Response:
    """Only when it holds nothing, and only by an owner."""
    require_owner(caller, "remove devices")
    await caller.scope.devices.remove(path_id(request, "device"))
    return no_content()


async def list_tokens(request: Request, caller: Caller) -> Response:
    """Never the tokens themselves. Only for an owner."""
    require_owner(caller, "see device tokens")
    tokens = await caller.scope.devices.tokens(path_id(request, "device"))
    return json_answer({"tokens": [token_json(token) for token in tokens], "next": None})


async def create_token(request: Request, caller: Caller) -> Response:
    """The token is in this answer and nowhere else. Only for an owner."""
    require_owner(caller, "make device tokens")
    wanted = await read_json(request, NewToken)
    token_id, token = await caller.scope.devices.create_token(path_id(request, "device"), wanted.label)
    return json_answer({"id": str(token_id), "token": token}, 201)


async def revoke_token(request: Request, caller: Caller) -> Response:
    """With the next request it is refused. Only by an owner."""
    require_owner(caller, "revoke device tokens")
    await caller.scope.devices.revoke_token(path_id(request, "device"), path_id(request, "token"))
    return no_content()
