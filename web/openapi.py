"""`/api/v1/openapi.json`: the API in OpenAPI 3.1, written by hand; tests hold it to operations and to real answers."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from web.answers import json_answer
from web.limits import QUERY_BYTES_MAX
from web.openapi_derived import DERIVED_PATHS, DERIVED_SCHEMAS
from web.openapi_paths import JSON_LIMIT_TEXT, PATHS
from web.openapi_schemas import SCHEMAS
from web.openapi_uploads import UPLOAD_PATHS
from web.sessions import SESSION_COOKIE

OPENAPI_VERSION: Final = "3.1.0"
API_VERSION: Final = "1"

_DESCRIPTION: Final = (
    "Backup and storage for OutsideTheBox customers. A request comes with the session cookie of somebody who came"
    " through the portal, or with a device token, which reaches its own device alone; one that has both uses the token."
    " Unsafe methods with a cookie need `X-CSRF-Token`. Ids are strings, sizes bytes, times RFC 3339 in UTC, digests"
    " BLAKE3 in hex. What belongs to another account is not found. Errors are `application/problem+json`."
    f" {JSON_LIMIT_TEXT} A query has at most {QUERY_BYTES_MAX:,} bytes."
)

DOCUMENT: Final[dict[str, Any]] = {
    "openapi": OPENAPI_VERSION,
    "info": {"title": "OTB Cloud", "version": API_VERSION, "description": _DESCRIPTION},
    "paths": PATHS | UPLOAD_PATHS | DERIVED_PATHS,
    "components": {
        "schemas": SCHEMAS | DERIVED_SCHEMAS,
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
