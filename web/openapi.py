"""`/api/v1/openapi.json`: the API in OpenAPI 3.1, written by hand; tests hold it to operations and to real answers."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from web import (
    openapi_account,
    openapi_audit,
    openapi_blobs,
    openapi_connect,
    openapi_derived,
    openapi_devices,
    openapi_entries,
    openapi_exports,
    openapi_files,
    openapi_folders,
    openapi_health,
    openapi_history,
    openapi_parts,
    openapi_people,
    openapi_search,
    openapi_uploads,
)
from web.answers import json_answer
from web.limits import JSON_BODY_BYTES_MAX, QUERY_BYTES_MAX
from web.sessions import SESSION_COOKIE

OPENAPI_VERSION: Final = "3.1.0"
API_VERSION: Final = "1"

_DESCRIPTION: Final = (
    "Backup and storage for OutsideTheBox customers. A request comes with the session cookie of somebody who came"
    " through the portal, or with a device token, which reaches its own device alone; one that has both uses the token."
    " Unsafe methods with a cookie need `X-CSRF-Token`. Ids are strings, sizes bytes, times RFC 3339 in UTC, digests"
    " BLAKE3 in hex. What belongs to another account is not found. Errors are `application/problem+json`."
    f" A JSON body has at most {JSON_BODY_BYTES_MAX >> 20} MiB where nothing else is said."
    f" A query has at most {QUERY_BYTES_MAX:,} bytes."
)

_SUBJECTS: Final = (
    openapi_account,
    openapi_devices,
    openapi_connect,
    openapi_files,
    openapi_uploads,
    openapi_blobs,
    openapi_history,
    openapi_folders,
    openapi_entries,
    openapi_search,
    openapi_exports,
    openapi_derived,
    openapi_people,
    openapi_audit,
    openapi_health,
)


def _paths() -> dict[str, Any]:
    """All of them. That there were too many requests may be any one's answer."""
    paths = {path: item for subject in _SUBJECTS for path, item in subject.PATHS.items()}
    too_fast = {"429": openapi_parts.problem("Too many requests came from here. `Retry-After` says when to go on.")}
    return {
        path: {
            method: {**operation, "responses": too_fast | operation["responses"]} for method, operation in item.items()
        }
        for path, item in paths.items()
    }


DOCUMENT: Final[dict[str, Any]] = {
    "openapi": OPENAPI_VERSION,
    "info": {"title": "OTB Cloud", "version": API_VERSION, "description": _DESCRIPTION},
    "paths": _paths(),
    "components": {
        "schemas": openapi_parts.SCHEMAS | {name: s for subject in _SUBJECTS for name, s in subject.SCHEMAS.items()},
        "securitySchemes": {
            "session": {"type": "apiKey", "in": "cookie", "name": f"__Host-{SESSION_COOKIE}"},
            "device": {"type": "http", "scheme": "bearer"},
        },
    },
    "security": [{"session": []}, {"device": []}],
}


async def get_openapi(_request: Request) -> Response:
    """The document."""
    return json_answer(DOCUMENT)
