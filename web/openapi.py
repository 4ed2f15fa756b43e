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
    f" A query has at most {QUERY_BYTES_MAX:,} bytes; an empty field of it is as if it were not sent."
)

_SUBJECTS: Final = {
    "The account": openapi_account,
    "Devices and their tokens": openapi_devices,
    "Connecting a computer": openapi_connect,
    "Files": openapi_files,
    "Resumable uploads": openapi_uploads,
    "Small files by the batch": openapi_blobs,
    "Changes": openapi_history,
    "Folders": openapi_folders,
    "Entries": openapi_entries,
    "Search": openapi_search,
    "Exports": openapi_exports,
    "Derived files and jobs": openapi_derived,
    "People": openapi_people,
    "Audit": openapi_audit,
    "Health": openapi_health,
}


def _paths() -> dict[str, Any]:
    """All of them. That there were too many requests may be any one's answer."""
    return {
        path: {
            method: {"tags": [title], **operation, "responses": openapi_parts.TOO_FAST | operation["responses"]}
            for method, operation in item.items()
        }
        for title, subject in _SUBJECTS.items()
        for path, item in subject.PATHS.items()
    }


DOCUMENT: Final[dict[str, Any]] = {
    "openapi": OPENAPI_VERSION,
    "info": {"title": "OTB Cloud", "version": API_VERSION, "description": _DESCRIPTION},
    "tags": [{"name": title} for title in _SUBJECTS],
    "paths": _paths(),
    "components": {
        "schemas": openapi_parts.SCHEMAS
        | {name: s for subject in _SUBJECTS.values() for name, s in subject.SCHEMAS.items()},
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
