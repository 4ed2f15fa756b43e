"""The OpenAPI document: whole files in and out."""

from typing import Final

from catalog.values import Area
from web.limits import BODY_RATES, UPLOADS_AT_ONCE, UPLOADS_AT_ONCE_OF_TENANT
from web.openapi_parts import (
    ABSENT,
    BYTES,
    COMMON,
    CSRF,
    DEVICE,
    ENTRY,
    INLINE,
    RANGE,
    RANGED,
    Spec,
    answer,
    change,
    get,
    header,
    path,
    problem,
)
from web.openapi_schemas import BINARY, COUNT, DIGEST, FLAG, ID, PATH, TEXT, TIME, Schema, one_of, record

_UPLOAD: Final[Spec] = {
    "summary": "Upload one file",
    "description": (
        "The body is the file's bytes as they are. The answer comes when all of it is durable. An upload may have at"
        f" most `UPLOAD_BYTES_MAX` bytes (a setting). {UPLOADS_AT_ONCE} uploads run at once,"
        f" {UPLOADS_AT_ONCE_OF_TENANT} of one account: 503 beyond. Less than"
        f" {' or '.join(map(str, BODY_RATES))} ends it with 408."
        " A missing folder is made. Bytes that are there already change nothing but the time."
    ),
    "parameters": [
        DEVICE,
        path("area", {"type": "string", "enum": ["originals"]}, "Files are uploaded to originals only."),
        path("path", PATH, "Each name percent-encoded by itself; `%2F` inside a name is refused."),
        CSRF,
        header("Repr-Digest", TEXT, "RFC 9530: `blake3=:BASE64:` or `sha-256=:BASE64:` of the bytes; checked."),
        header("X-OTB-Digest", DIGEST, "The same as hex, BLAKE3 only."),
        header("X-OTB-Mtime", TIME, "When the file was changed; to the nanosecond."),
        header("Last-Modified", TEXT, "The same to the second, where the other is not sent."),
    ],
    "requestBody": {"required": True, "content": {BYTES: {"schema": BINARY}}},
    "responses": {
        "200": answer("Uploaded", "It replaced what was there, or was there already."),
        "201": answer("Uploaded", "A new file."),
        "408": problem("The bytes came too slowly; nothing was kept."),
        "409": problem("A folder has that name, or a file stands where a folder is needed."),
        "413": problem("The file is larger than allowed."),
        "415": problem("A Content-Encoding; send the bytes as they are."),
        "422": problem("The bytes do not match the digest; nothing was kept."),
        "507": problem("The account's space, or the server's storage, is full; nothing was kept."),
    }
    | ABSENT
    | COMMON,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Uploaded": record({"entry": ID, "digest": DIGEST, "size": COUNT, "deduplicated": FLAG}),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/devices/{device}/files/{area}/{path}": {
        "put": _UPLOAD,
        "get": get(
            "Download a file",
            RANGED | ABSENT,
            DEVICE,
            path("area", one_of(Area), "originals or derived."),
            path("path", PATH, "As for the upload."),
            INLINE,
            *RANGE,
        ),
        "delete": change(
            "Delete a file, or a folder with all that is in it: into the hold",
            {"204": {"description": "It can be recovered until the hold ends."}} | ABSENT,
            DEVICE,
            path("area", one_of(Area), "originals or derived."),
            path("path", PATH, "As for the upload."),
        ),
    },
    "/api/v1/entries/{entry}/content": {
        "get": get("Download an entry, also an old version", RANGED | ABSENT, ENTRY, INLINE, *RANGE)
    },
}
