"""The OpenAPI document: resumable uploads. What the headers mean: tus 1.0.0."""

from typing import Final

from web.limits import (
    BODY_RATES,
    PAGE_ITEMS_MAX,
    UPLOAD_METADATA_BYTES_MAX,
    UPLOAD_METADATA_KEYS_MAX,
    UPLOADS_OPEN_MAX,
)
from web.openapi_parts import CSRF, CURSOR, JSON, LARGE, Spec, limit, path, problem
from web.openapi_schemas import BINARY, COUNT, ID, PATH, TEXT, TIME, Schema, nullable, page_of, record, ref
from web.tus_headers import ALGORITHMS, CHUNK_TYPE, EXTENSIONS

_CHUNK: Final[Spec] = {"content": {CHUNK_TYPE: {"schema": BINARY}}}


def _header(name: str, schema: Schema, text: str, *, required: bool = False) -> Spec:
    return {"name": name, "in": "header", "schema": schema, "description": text, "required": required}


_ID: Final = path("upload", ID, "The upload's id.")
_VERSION: Final = _header("Tus-Resumable", {"type": "string", "enum": ["1.0.0"]}, "The version.", required=True)
_CHECKSUM: Final = _header("Upload-Checksum", TEXT, f"One of {ALGORITHMS}, a space, and the body's digest in base64.")
_DIGEST: Final = _header(
    "Repr-Digest",
    TEXT,
    "`blake3=:BASE64:` of the whole file, with the request that brings its last byte: compared before anything is kept,"
    " for a client that hashes while it sends. `X-OTB-Digest` with hex digits does the same.",
)
_LENGTH: Final = _header("Upload-Length", COUNT, "The file's bytes in all; at most `UPLOAD_BYTES_MAX` (a setting).")

_COMMON: Final[Spec] = {
    "400": problem("A header cannot be understood, or a value is outside of its limits."),
    "401": problem("Not signed in, or the token is not valid."),
    "403": problem("The account is suspended, or the CSRF token is missing."),
    "412": problem("`Tus-Resumable` is missing, or another version."),
    "503": problem("The database is away, or the storage takes no writes. `Retry-After` says when to try again."),
}
_ABSENT: Final[Spec] = {
    "404": problem("There is no such upload in this account, or not any more."),
    "410": problem("The upload was left alone for too long (`UPLOAD_EXPIRES_HOURS`)."),
}
_BYTES: Final[Spec] = {
    "408": problem(f"Less than {' or '.join(map(str, BODY_RATES))}. What came is kept."),
    "409": problem(
        "The upload stands at another offset (`Upload-Offset` says where), a newer request goes on with it, or, at its"
        " end, a folder has that name. `upload` then says whether it is `kept` or was `removed`."
    ),
    "413": problem("More bytes than announced, or than a file may have."),
    "415": problem(f"The body is not {CHUNK_TYPE}, or it is coded."),
    "422": problem("The file does not match the digest that was told. The upload was removed."),
    "460": problem("The body does not match its checksum. It was discarded; the offset is as it was."),
    "507": problem("The account's space, or the server's storage, is full."),
}
_OPTIONS: Final[Spec] = {
    "summary": "What this server can do",
    "security": [],
    "responses": {"204": {"description": f"`Tus-Version`, `Tus-Max-Size`, and `Tus-Extension`: {EXTENSIONS}."}},
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Upload": record(
        {
            "id": ID,
            "device": nullable(ID),
            "path": nullable(PATH),
            "size": nullable(COUNT),
            "offset": COUNT,
            "created": TIME,
            "expires": TIME,
        }
    ),
    "Uploads": page_of("uploads", "Upload"),
}

PATHS: Final[dict[str, dict[str, Spec]]] = {
    "/api/v1/uploads": {
        "options": _OPTIONS,
        "get": {
            "summary": "Resumable uploads under way",
            "parameters": [
                CURSOR,
                limit(PAGE_ITEMS_MAX),
            ],
            "responses": {
                "200": {"description": "Oldest first.", "content": {JSON: {"schema": ref("Uploads")}}},
                **{status: _COMMON[status] for status in ("400", "401", "403", "503")},
                **LARGE,
            },
        },
        "post": {
            "summary": "Begin a resumable upload (tus 1.0.0), maybe with its first bytes",
            "description": (
                f"At most {UPLOADS_OPEN_MAX:,} of one account are open at once, and their lengths count in its quota."
                " With `device` and `filename` or `relativePath` in the metadata the finished upload becomes a file of"
                " that device; `mtime` (RFC 3339, or milliseconds since 1970), `mode` (420 or 0644) and `digest`"
                " (BLAKE3 in hex, compared at the end) belong to it. Without a device its bytes are kept for a while,"
                " for a manifest to name."
            ),
            "parameters": [
                _VERSION,
                _LENGTH,
                _header("Upload-Defer-Length", {"type": "string", "enum": ["1"]}, "Instead of the length: told later."),
                _header(
                    "Upload-Metadata",
                    TEXT,
                    "Pairs of a key and its value in base64, joined by commas: at most"
                    f" {UPLOAD_METADATA_KEYS_MAX} keys and {UPLOAD_METADATA_BYTES_MAX:,} bytes.",
                ),
                _CHECKSUM,
                CSRF,
            ],
            "requestBody": {"required": False, **_CHUNK},
            "responses": {
                "201": {"description": "`Location` is the upload's address. One of length 0 is finished."},
                "404": problem("There is no such device in this account."),
                "429": problem("Too many uploads are open."),
                **_BYTES,
                **_COMMON,
            },
        },
    },
    "/api/v1/uploads/{upload}": {
        "options": {
            **_OPTIONS,
            "parameters": [_ID],
            "responses": {**_OPTIONS["responses"], "400": problem("A control character in the address.")},
        },
        "head": {
            "summary": "Where a resumable upload stands",
            "parameters": [_ID, _VERSION],
            "responses": {
                "200": {"description": "`Upload-Offset` bytes are durable; all of them once the file is committed."},
                "409": problem("A newer request goes on with it."),
                **_ABSENT,
                **_COMMON,
            },
        },
        "patch": {
            "summary": "Send the bytes that follow",
            "description": "A newer request on the same upload stops an older one. The last bytes finish the upload.",
            "parameters": [
                _ID,
                _VERSION,
                _header("Upload-Offset", COUNT, "Where the bytes go: where the upload stands.", required=True),
                _LENGTH,
                _CHECKSUM,
                _DIGEST,
                CSRF,
            ],
            "requestBody": {"required": True, **_CHUNK},
            "responses": {
                "204": {"description": "Durable up to `Upload-Offset`; with the last byte, committed."},
                **_ABSENT,
                **_BYTES,
                **_COMMON,
            },
        },
        "delete": {
            "summary": "Stop a resumable upload and forget it",
            "parameters": [_ID, _VERSION, CSRF],
            "responses": {
                "204": {"description": "Nothing is left of it, but the file if it was finished."},
                "409": problem("A newer request goes on with it."),
                "404": _ABSENT["404"],
                **_COMMON,
            },
        },
    },
}
