"""The OpenAPI document: devices and their tokens."""

from typing import Final

from catalog.values import DeviceKind
from web.openapi_parts import ABSENT, DEVICE, TAKEN, Spec, answer, change, get, json_body, path
from web.openapi_schemas import COUNT, ID, TEXT, TIME, Schema, list_of, nullable, one_of, page_of, record

SCHEMAS: Final[dict[str, Schema]] = {
    "Device": record(
        {
            "id": ID,
            "name": TEXT,
            "kind": one_of(DeviceKind),
            "source_directories": list_of(TEXT, 100),
            "created": TIME,
            "last_upload": nullable(TIME),
            "files": COUNT,
            "size": COUNT,
        }
    ),
    "Devices": page_of("devices", "Device"),
    "NewDevice": record(
        {"name": {"type": "string", "minLength": 1, "maxLength": 100}},
        {"kind": one_of(DeviceKind), "source_directories": list_of({"type": "string", "maxLength": 1024}, 100)},
    ),
    "DeviceChange": record(
        {},
        {
            "name": nullable({"type": "string", "minLength": 1, "maxLength": 100}),
            "kind": nullable(one_of(DeviceKind)),
            "source_directories": nullable(list_of({"type": "string", "maxLength": 1024}, 100)),
        },
    ),
    "Token": record({"id": ID, "label": TEXT, "created": TIME, "last_used": nullable(TIME)}),
    "Tokens": page_of("tokens", "Token"),
    "NewToken": record({}, {"label": {"type": "string", "maxLength": 100}}),
    "MadeToken": record({"id": ID, "token": TEXT}),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/devices": {
        "get": get("All devices", {"200": answer("Devices", "By name, on one page.")}),
        "post": change("Add a device", {"201": answer("Device", "Made.")} | TAKEN, body=json_body("NewDevice")),
    },
    "/api/v1/devices/{device}": {
        "get": get("One device", {"200": answer("Device", "It.")} | ABSENT, DEVICE),
        "patch": change(
            "Change a device",
            {"200": answer("Device", "As it is now.")} | ABSENT | TAKEN,
            DEVICE,
            body=json_body("DeviceChange"),
        ),
        "delete": change(
            "Remove an empty device; owners only",
            {"204": {"description": "Removed. Its tokens stop working."}} | ABSENT | TAKEN,
            DEVICE,
        ),
    },
    "/api/v1/devices/{device}/tokens": {
        "get": get("The device's tokens; owners only", {"200": answer("Tokens", "Newest first.")} | ABSENT, DEVICE),
        "post": change(
            "Make a device token; owners only",
            {"201": answer("MadeToken", "The token is shown this once.")} | ABSENT,
            DEVICE,
            body=json_body("NewToken"),
        ),
    },
    "/api/v1/devices/{device}/tokens/{token}": {
        "delete": change(
            "Revoke a device token; owners only",
            {"204": {"description": "It is refused from the next request on."}} | ABSENT,
            DEVICE,
            path("token", ID, "The token's id."),
        ),
    },
}
