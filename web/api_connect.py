"""`/api/v1/connect`: a computer asks to be connected, and fetches its token (RFC 8628, as JSON).

Open to all, since whoever asks has no token yet. The person's half is web/pages_connect.py.
"""

from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.values import DeviceKind, System
from web.answers import json_answer
from web.bodies import read_json
from web.limits import CONNECT_BODY_BYTES_MAX
from web.sessions import address
from web.state import services


class NewConnection(msgspec.Struct, forbid_unknown_fields=True):
    """`name`: as the computer calls itself; `kind`: its guess, which the person may correct."""

    name: str
    system: System
    kind: DeviceKind = DeviceKind.OTHER


class Collection(msgspec.Struct, forbid_unknown_fields=True):
    device_code: str


async def start_connection(request: Request) -> Response:
    """201 with the code that the person types, and the one that the computer keeps (RFC 8628, 3.2)."""
    wanted = await read_json(request, NewConnection, CONNECT_BODY_BYTES_MAX)
    held = services(request)
    started = await held.catalog.system.connections.start(wanted.name, wanted.system, wanted.kind, address(request))
    page = f"{held.settings.public_url}/connect"
    return json_answer(
        {
            "device_code": started.device_code,
            "user_code": started.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?code={quote(started.user_code)}",
            "expires_in": started.expires_in_seconds,
            "interval": started.interval_seconds,
        },
        201,
    )


async def collect_token(request: Request) -> Response:
    """200 with the device token, once. Until the owner decides, 400 with `error` as RFC 8628, 3.5 has it."""
    wanted = await read_json(request, Collection, CONNECT_BODY_BYTES_MAX)
    connected = await services(request).catalog.system.connections.collect(wanted.device_code)
    return json_answer(
        {
            "token": connected.token,
            "device": {"id": str(connected.device_id), "name": connected.device_name},
            "tenant": connected.tenant_label,
        }
    )
