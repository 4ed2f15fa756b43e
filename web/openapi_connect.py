"""The OpenAPI document: connecting a computer."""

from typing import Final

from catalog.connections import CODE_SECONDS, WAITING_MAX, WAITING_OF_NETWORK_MAX
from catalog.values import DeviceKind, System
from web.openapi_parts import COMMON, LARGE, TYPED, Spec, answer, json_body, problem
from web.openapi_schemas import COUNT, ID, TEXT, URI, Schema, one_of, record

SCHEMAS: Final[dict[str, Schema]] = {
    "NewConnection": record(
        {"name": {"type": "string", "minLength": 1, "maxLength": 100}, "system": one_of(System)},
        {"kind": one_of(DeviceKind)},
    ),
    "StartedConnection": record(
        {
            "device_code": TEXT,
            "user_code": {"type": "string", "pattern": "^[A-Z]{4}-[A-Z]{4}$"},
            "verification_uri": URI,
            "verification_uri_complete": URI,
            "expires_in": COUNT,
            "interval": COUNT,
        }
    ),
    "DeviceCode": record({"device_code": TEXT}),
    "Connected": record({"token": TEXT, "device": record({"id": ID, "name": TEXT}), "tenant": TEXT}),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/connect": {
        "post": {
            "summary": "A computer asks to be connected: the device authorization grant (RFC 8628), as JSON",
            "description": (
                f"The code lives {CODE_SECONDS // 60} minutes. The account's owner types it at `verification_uri`. At"
                f" most {WAITING_MAX:,} computers wait at once, {WAITING_OF_NETWORK_MAX} of one address."
            ),
            "security": [],
            "requestBody": json_body("NewConnection"),
            "responses": {
                "201": answer("StartedConnection", "Ask `/api/v1/connect/token` every `interval` seconds now."),
                "400": COMMON["400"],
                "429": problem("Too many wait already, of this address."),
                "503": COMMON["503"],
            }
            | LARGE
            | TYPED,
        }
    },
    "/api/v1/connect/token": {
        "post": {
            "summary": "The token of a computer that was approved",
            "security": [],
            "requestBody": json_body("DeviceCode"),
            "responses": {
                "200": answer("Connected", "The token is shown this once."),
                "400": problem(
                    "`error` says why not, as RFC 8628 has it: `authorization_pending`; `slow_down`, with the longer"
                    " `interval` from now on; `access_denied`; `expired_token`, also of a code that was used."
                ),
                "503": COMMON["503"],
            }
            | LARGE
            | TYPED,
        }
    },
}
