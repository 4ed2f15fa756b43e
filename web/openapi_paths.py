"""The paths of the OpenAPI document, in the order of web/operations.py.

Tests hold the two, and real answers, together.
"""

from typing import Any, Final

from cas.layout import PACK_BLOB_BYTES_MAX
from catalog.connections import CODE_SECONDS, WAITING_MAX, WAITING_OF_NETWORK_MAX
from catalog.folders import FolderOrder
from catalog.possession import LEASE_HOURS
from catalog.search_text import TEXT_CHARACTERS_MAX
from catalog.usage import DAYS_MAX
from catalog.values import Area, DateKind, MediaKind
from web.blob_frames import BLOBS_TYPE as BLOBS
from web.bundles import BUNDLE_TYPE
from web.limits import (
    AUDIT_ITEMS_MAX,
    BATCH_BLOBS_MAX,
    BATCH_BODY_BYTES_MAX,
    BODY_BYTES_PER_SECOND_MIN,
    BODY_WINDOW_SECONDS,
    BUNDLE_MANIFEST_BYTES_MAX,
    DIGESTS_MAX,
    ENTRY_IDS_MAX,
    EXPORT_ITEMS_MAX,
    HISTORY_ITEMS_MAX,
    JSON_BODY_BYTES_MAX,
    MANIFEST_BODY_BYTES_MAX,
    MANIFEST_ENTRIES_MAX,
    PAGE_ITEMS,
    PAGE_ITEMS_MAX,
    RANGE_HEADER_BYTES_MAX,
    READ_BLOBS_MAX,
    READ_BYTES_MAX,
    TREE_ITEMS,
    TREE_ITEMS_MAX,
    UPLOADS_AT_ONCE,
    UPLOADS_AT_ONCE_OF_TENANT,
)
from web.openapi_schemas import BASE64URL, COUNT, DIGEST, ID, PATH, TEXT, TIME, Schema, one_of, ref

Spec = dict[str, Any]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
BYTES: Final = "application/octet-stream"
PROBLEM: Final = "application/problem+json"

_BINARY: Final[Schema] = {"type": "string", "format": "binary"}


def _problem(why: str) -> Spec:
    return {"description": why, "content": {PROBLEM: {"schema": ref("Problem")}}}


_COMMON: Final[Spec] = {
    "400": _problem("The request cannot be understood, or a value is outside of its limits."),
    "401": _problem("Not signed in, or the token is not valid."),
    "403": _problem("The account is suspended, the caller may not do this, or the CSRF token is missing."),
    "503": _problem("The database is away, or too much at once. `Retry-After` says when to try again."),
}
_ABSENT: Final[Spec] = {"404": _problem("There is no such thing, in this account.")}
_LARGE: Final[Spec] = {"413": _problem("More than one request may carry.")}
_TYPED: Final[Spec] = {"415": _problem("The body has another media type than wanted.")}
_NO_MOMENT: Final[Spec] = {"410": _problem("The device can no longer be shown as of this moment.")}
_TAKEN: Final[Spec] = {"409": _problem("It does not fit what is there now.")}


def _query(name: str, schema: Schema, text: str) -> Spec:
    return {"name": name, "in": "query", "schema": schema, "description": text}


_DATE: Final[Schema] = {"type": "string", "format": "date"}
_SEARCH: Final[list[Spec]] = [
    _query(
        "q",
        {"type": "string", "maxLength": TEXT_CHARACTERS_MAX},
        "Words in any order, each any part of the name, case and accents aside; “quoted phrases”; `ext:jpg`,"
        " `kind:image`, `device:laptop`, `in:derived`, `before:2024`, `after:2024-05`, `on:2024-05-03`, `size:>10M`."
        " A minus excludes.",
    ),
    _query("device", ID, "On this device only."),
    _query("area", one_of(Area), "In this area only."),
    _query("kind", one_of(MediaKind), "Of this kind only."),
    _query("from", _DATE, "First day, in the account's time zone."),
    _query("to", _DATE, "Last day, included."),
    _query("by", one_of(DateKind), "Which day: taken (else modified), modified, or uploaded."),
]


def _path(name: str, schema: Schema, text: str) -> Spec:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": text}


def _header(name: str, schema: Schema, text: str) -> Spec:
    return {"name": name, "in": "header", "schema": schema, "description": text}


def _limit(most: int) -> Spec:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": PAGE_ITEMS}
    return _query("limit", schema, f"How many on a page: at most {most:,}.")


_CURSOR: Final = _query("cursor", TEXT, "`next` of the page before.")
_DEVICE: Final = _path("device", ID, "The device's id.")
_ENTRY: Final = _path("entry", ID, "The entry's id.")
_SEQUENCE: Final = _path("sequence", ID, "The change's number on the device, `id` of a manifest.")
_EXPORT: Final = _path("export", ID, "The export's id.")
_GRANT: Final = _path("grant", ID, "The support access's id.")
_INLINE: Final = _query(
    "inline", {"type": "string", "enum": ["1"]}, "To show it in place: images, video and audio of known types only."
)
_CSRF: Final = _header("X-CSRF-Token", TEXT, "With a session cookie: `csrf_token` of `GET /api/v1/me`.")


_DAY: Final[Schema] = {"type": "string", "format": "date"}
_AUDIT_FILTER: Final = (
    _query("action", TEXT, "Of this kind only."),
    _query("actor", TEXT, "By whoever has this name."),
    _query("device", ID, "Of this device only."),
    _query("grant", ID, "Done with this support access."),
    _query("from", _DAY, "First day, in the account's time zone."),
    _query("to", _DAY, "Last day, included."),
)


def _answer(schema: str, text: str) -> Spec:
    return {"description": text, "content": {JSON: {"schema": ref(schema)}}}


def _json_body(schema: str) -> Spec:
    return {"required": True, "content": {JSON: {"schema": ref(schema)}}}


def _get(summary: str, answers: Spec, *parameters: Spec) -> Spec:
    return {"summary": summary, "parameters": [*parameters], "responses": answers | _COMMON}


def _change(summary: str, answers: Spec, *parameters: Spec, body: Spec | None = None) -> Spec:
    operation = _get(summary, answers, *parameters, _CSRF)
    if body is not None:
        operation["requestBody"] = body
        operation["responses"] |= _LARGE | _TYPED
    return operation


_RANGED: Final[Spec] = {
    "200": {"description": "The whole content.", "content": {BYTES: {"schema": _BINARY}}},
    "206": {"description": "One range of it.", "content": {BYTES: {"schema": _BINARY}}},
    "304": {"description": "It is what `If-None-Match` names."},
    "409": _problem("A folder or a link: it has no content of its own."),
    "416": _problem("The range starts beyond the end."),
    "500": _problem("The stored copy is damaged. Nothing, or not all, was sent."),
}
_RANGE: Final = (
    _header(
        "Range", TEXT, f"One range, `bytes=0-99`, in at most {RANGE_HEADER_BYTES_MAX} bytes; others get the whole."
    ),
    _header("If-Range", TEXT, "The `ETag`: the range only if it is still the same."),
    _header("If-None-Match", TEXT, "An `ETag`: 304 if it is still the same."),
)

_UPLOAD: Final[Spec] = {
    "summary": "Upload one file",
    "description": (
        "The body is the file's bytes as they are. The answer comes when all of it is durable. An upload may have at"
        f" most `UPLOAD_BYTES_MAX` bytes (a setting). {UPLOADS_AT_ONCE} uploads run at once,"
        f" {UPLOADS_AT_ONCE_OF_TENANT} of one account: 503 beyond. Less than"
        f" {BODY_BYTES_PER_SECOND_MIN // 1024} KiB a second over {BODY_WINDOW_SECONDS} seconds ends it with 408."
        " A missing folder is made. Bytes that are there already change nothing but the time."
    ),
    "parameters": [
        _DEVICE,
        _path("area", {"type": "string", "enum": ["originals"]}, "Files are uploaded to originals only."),
        _path("path", PATH, "Each name percent-encoded by itself; `%2F` inside a name is refused."),
        _CSRF,
        _header("Repr-Digest", TEXT, "RFC 9530: `blake3=:BASE64:` or `sha-256=:BASE64:` of the bytes; checked."),
        _header("X-OTB-Digest", DIGEST, "The same as hex, BLAKE3 only."),
        _header("X-OTB-Mtime", TIME, "When the file was changed; to the nanosecond."),
        _header("Last-Modified", TEXT, "The same to the second, where the other is not sent."),
    ],
    "requestBody": {"required": True, "content": {BYTES: {"schema": _BINARY}}},
    "responses": {
        "200": _answer("Uploaded", "It replaced what was there, or was there already."),
        "201": _answer("Uploaded", "A new file."),
        "408": _problem("The bytes came too slowly; nothing was kept."),
        "409": _problem("A folder has that name, or a file stands where a folder is needed."),
        "413": _problem("The file is larger than allowed."),
        "415": _problem("A Content-Encoding; send the bytes as they are."),
        "422": _problem("The bytes do not match the digest; nothing was kept."),
        "507": _problem("The account's space, or the server's storage, is full; nothing was kept."),
    }
    | _ABSENT
    | _COMMON,
}

PATHS: Final[dict[str, dict[str, Spec]]] = {
    "/livez": {
        "get": {"summary": "Is the process alive?", "security": [], "responses": {"200": _answer("Health", "It is.")}}
    },
    "/readyz": {
        "get": {
            "summary": "Can it serve requests?",
            "security": [],
            "responses": {"200": _answer("Health", "It can."), "503": _answer("Health", "The database is away.")},
        }
    },
    "/health.json": {
        "get": {
            "summary": "How the service and its host are; nothing about any account",
            "security": [],
            "responses": {
                "200": _answer("Condition", "`status` is `ok`, or `degraded` where an operator should look."),
                "503": _answer("Condition", "The database is away."),
            },
        }
    },
    "/api/v1/openapi.json": {
        "get": {
            "summary": "This document",
            "security": [],
            "responses": {"200": {"description": "OpenAPI 3.1.", "content": {JSON: {"schema": {"type": "object"}}}}},
        }
    },
    "/api/v1/me": {"get": _get("Who is signed in, what is used, and the CSRF token", {"200": _answer("Me", "You.")})},
    "/api/v1/devices": {
        "get": _get("All devices", {"200": _answer("Devices", "By name, on one page.")}),
        "post": _change("Add a device", {"201": _answer("Device", "Made.")} | _TAKEN, body=_json_body("NewDevice")),
    },
    "/api/v1/devices/{device}": {
        "get": _get("One device", {"200": _answer("Device", "It.")} | _ABSENT, _DEVICE),
        "patch": _change(
            "Change a device",
            {"200": _answer("Device", "As it is now.")} | _ABSENT | _TAKEN,
            _DEVICE,
            body=_json_body("DeviceChange"),
        ),
        "delete": _change(
            "Remove an empty device; owners only",
            {"204": {"description": "Removed. Its tokens stop working."}} | _ABSENT | _TAKEN,
            _DEVICE,
        ),
    },
    "/api/v1/devices/{device}/tokens": {
        "get": _get("The device's tokens; owners only", {"200": _answer("Tokens", "Newest first.")} | _ABSENT, _DEVICE),
        "post": _change(
            "Make a device token; owners only",
            {"201": _answer("MadeToken", "The token is shown this once.")} | _ABSENT,
            _DEVICE,
            body=_json_body("NewToken"),
        ),
    },
    "/api/v1/devices/{device}/tokens/{token}": {
        "delete": _change(
            "Revoke a device token; owners only",
            {"204": {"description": "It is refused from the next request on."}} | _ABSENT,
            _DEVICE,
            _path("token", ID, "The token's id."),
        ),
    },
    "/api/v1/devices/{device}/files/{area}/{path}": {
        "put": _UPLOAD,
        "get": _get(
            "Download a file",
            _RANGED | _ABSENT,
            _DEVICE,
            _path("area", one_of(Area), "originals or derived."),
            _path("path", PATH, "As for the upload."),
            _INLINE,
            *_RANGE,
        ),
        "delete": _change(
            "Delete a file, or a folder with all that is in it: into the hold",
            {"204": {"description": "It can be recovered until the hold ends."}} | _ABSENT,
            _DEVICE,
            _path("area", one_of(Area), "originals or derived."),
            _path("path", PATH, "As for the upload."),
        ),
    },
    "/api/v1/devices/{device}/entries": {
        "get": _get(
            "A folder's content now, sorted and filtered, or at a moment",
            {"200": _answer("Entries", "Folders first, by name; then files and links.")} | _ABSENT | _NO_MOMENT,
            _DEVICE,
            _query("area", one_of(Area), "originals, where it is not named."),
            _query("directory", PATH, "The area's root, where it is empty."),
            _query("directory_bytes", BASE64URL, "The same for a path that is not valid UTF-8."),
            _query("at", TIME, "As the folder was then, by name and whole."),
            _query("sort", one_of(FolderOrder), "name, where it is not named; `kind` sorts by name within a kind."),
            _query(
                "order", {"type": "string", "enum": ["ascending", "descending"]}, "ascending, where it is not named."
            ),
            _query("kind", one_of(MediaKind), "Files of this kind only; folders are left out."),
            _query("from", _DATE, "First day, in the account's time zone; folders are left out."),
            _query("to", _DATE, "Last day, included."),
            _query("by", one_of(DateKind), "Which date `from`, `to` and `sort=date` mean: taken (else modified) …"),
            _CURSOR,
            _limit(PAGE_ITEMS_MAX),
        )
    },
    "/api/v1/devices/{device}/folders": {
        "post": _change(
            "Make a folder in originals, with those above it that are missing",
            {"201": _answer("Entry", "The folder.")} | _ABSENT | _TAKEN,
            _DEVICE,
            body=_json_body("NewFolder"),
        )
    },
    "/api/v1/devices/{device}/tree": {
        "get": _get(
            "Everything below a folder, now or at a moment, as a restore reads it",
            {"200": _answer("Tree", "By name, and each folder's content right after it: parents before children.")}
            | _ABSENT
            | _NO_MOMENT,
            _DEVICE,
            _query("area", one_of(Area), "originals, where it is not named."),
            _query("directory", PATH, "The area's root, where it is empty."),
            _query("directory_bytes", BASE64URL, "The same for a path that is not valid UTF-8."),
            _query("at", TIME, "As it was then. The first page fixes the moment for those after it."),
            _CURSOR,
            _query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": TREE_ITEMS_MAX, "default": TREE_ITEMS},
                f"How many on a page: at most {TREE_ITEMS_MAX:,}.",
            ),
        )
    },
    "/api/v1/devices/{device}/manifests": {
        "get": _get(
            "The device's history",
            {"200": _answer("Manifests", "Newest first.")} | _ABSENT,
            _DEVICE,
            _CURSOR,
            _limit(AUDIT_ITEMS_MAX),
        ),
        "post": _change(
            f"Add and remove up to {MANIFEST_ENTRIES_MAX:,} names in one step, by digests sent or with their bytes",
            {
                "200": _answer("Committed", "Nothing had to change."),
                "201": _answer("Committed", "Done, all of it."),
                "408": _problem("The bytes of a bundle came too slowly. Nothing changed."),
                "409": _problem("Nothing changed. `missing` names the digests whose bytes have not been sent."),
                "507": _problem("The account's space is full. Nothing changed."),
            }
            | _ABSENT,
            _DEVICE,
            body={
                "required": True,
                "description": f"At most {MANIFEST_BODY_BYTES_MAX >> 20} MiB. As NDJSON, each line is an entry,"
                ' `{"removed": path}` or `{"note": text}`. As a bundle: a length (8 bytes, big-endian), so many bytes'
                f" of the manifest as JSON (at most {BUNDLE_MANIFEST_BYTES_MAX >> 20} MiB), then small files' bytes as"
                f" `POST /api/v1/blobs` takes them, each named by an entry: at most {BATCH_BODY_BYTES_MAX >> 20} MiB,"
                f" {BATCH_BLOBS_MAX:,} blobs in all. Bytes that do not match their digest are as if they had not come.",
                "content": {
                    JSON: {"schema": ref("NewManifest")},
                    NDJSON: {"schema": TEXT},
                    BUNDLE_TYPE: {"schema": _BINARY},
                },
            },
        ),
    },
    "/api/v1/devices/{device}/manifests/{sequence}": {
        "get": _get("One change of the device", {"200": _answer("Manifest", "It.")} | _ABSENT, _DEVICE, _SEQUENCE)
    },
    "/api/v1/devices/{device}/manifests/{sequence}/changes": {
        "get": _get(
            "What a change did to each name, with paths as of then",
            {"200": _answer("Changes", "What it left first, then what it removed.")} | _ABSENT,
            _DEVICE,
            _SEQUENCE,
            _CURSOR,
            _limit(HISTORY_ITEMS_MAX),
        )
    },
    "/api/v1/devices/{device}/manifests/{sequence}/undo": {
        "post": _change(
            "Undo a whole change with a new one, as far as nothing came after it",
            {
                "200": _answer("Undone", "Nothing had to be undone, or nothing could be."),
                "201": _answer("Undone", "Undone. `conflicts` names what was left as it is."),
                "507": _problem("The account's space is full. Nothing changed."),
            }
            | _ABSENT
            | _TAKEN
            | {"413": _problem("More changes than one request may undo.")},
            _DEVICE,
            _SEQUENCE,
        )
    },
    "/api/v1/devices/{device}/restore": {
        "post": _change(
            "Bring a folder back to how it was at a moment",
            {
                "200": _answer("Restored", "Everything was as it was then already."),
                "201": _answer("Restored", "Done. What is no more as it was then is a version, or in the hold."),
                "507": _problem("The account's space is full."),
            }
            | _ABSENT
            | _TAKEN
            | _NO_MOMENT,
            _DEVICE,
            body=_json_body("Restoration"),
        )
    },
    "/api/v1/blobs": {
        "post": _change(
            "Send many small blobs at once",
            {
                "200": _answer("ReceivedBlobs", "Each digest of the body stands in one of the three lists."),
                "408": _problem("The bytes came too slowly; nothing was kept."),
                "507": _problem("The account's space, or the server's storage, is full; nothing was kept."),
            },
            body={
                "required": True,
                "description": "Repeated: a digest (32 bytes), a length (8 bytes, big-endian), the blob's bytes. At"
                f" most {PACK_BLOB_BYTES_MAX >> 20} MiB each, {BATCH_BODY_BYTES_MAX >> 20} MiB and {BATCH_BLOBS_MAX:,}"
                f" blobs in all. They are kept for {LEASE_HOURS} hours, or as long as a manifest names them.",
                "content": {BLOBS: {"schema": _BINARY}},
            },
        ),
    },
    "/api/v1/blobs/missing": {
        "post": _change(
            f"Which of up to {DIGESTS_MAX:,} digests this account has yet to send",
            {"200": _answer("Missing", "In the order asked.")},
            body=_json_body("Digests"),
        )
    },
    "/api/v1/blobs/read": {
        "post": _change(
            "Read many small blobs at once",
            {
                "200": {
                    "description": "As `POST /api/v1/blobs` takes them, each once, in any order. A damaged blob breaks"
                    " the answer off.",
                    "content": {BLOBS: {"schema": _BINARY}},
                },
                "404": _problem("The account has no such bytes; `missing` names them. Nothing was sent."),
                "422": _problem(
                    f"A blob has more than {PACK_BLOB_BYTES_MAX >> 20} MiB; `large` names them. Nothing was sent."
                ),
                "500": _problem("The stored copy of one is damaged. Nothing, or not all, was sent."),
            },
            body={
                "required": True,
                "description": f"At most {READ_BLOBS_MAX:,} digests, of blobs of at most"
                f" {PACK_BLOB_BYTES_MAX >> 20} MiB each and {READ_BYTES_MAX >> 20} MiB in all.",
                "content": {JSON: {"schema": ref("DigestsToRead")}},
            },
        )
    },
    "/api/v1/blobs/status": {
        "post": _change(
            f"Whether the bytes of up to {DIGESTS_MAX:,} digests are safe here",
            {"200": _answer("BlobStatuses", "In the order asked, each once.")},
            body=_json_body("Digests"),
        )
    },
    "/api/v1/search": {
        "get": _get(
            "Find live files by any part of the name, day, kind, device and size",
            {"200": _answer("Found", "Newest first.")} | _ABSENT,
            *_SEARCH,
            _CURSOR,
            _limit(PAGE_ITEMS_MAX),
        )
    },
    "/api/v1/search/facets": {
        "get": _get(
            "How many files a search finds, on which devices, of which kinds, in which months",
            {"200": _answer("Facets", "Each group counts what fits all other conditions.")} | _ABSENT,
            *_SEARCH,
        )
    },
    "/api/v1/damaged": {
        "get": _get(
            "Files whose stored copy is damaged or missing: sent again, from anywhere in the account, they are healed",
            {"200": _answer("Entries", "Live, deleted and old ones, in the order in which they came.")},
            _CURSOR,
            _limit(PAGE_ITEMS_MAX),
        )
    },
    "/api/v1/deleted": {
        "get": _get(
            "What can be recovered",
            {"200": _answer("Entries", "Newest deletion first.")},
            _CURSOR,
            _limit(PAGE_ITEMS_MAX),
        )
    },
    "/api/v1/entries/rename": {
        "post": _change(
            "Give one entry another base name",
            {"200": _answer("Renamed", "The entry, under its new id.")} | _ABSENT | _TAKEN,
            body=_json_body("Renaming"),
        )
    },
    "/api/v1/entries/move": {
        "post": _change(
            f"Move up to {ENTRY_IDS_MAX:,} entries into another folder of the same device and area",
            {"200": _answer("Moved", "The entries, under their new ids.")} | _ABSENT | _TAKEN,
            body=_json_body("Moving"),
        )
    },
    "/api/v1/entries/revert": {
        "post": _change(
            "Bring back an old version of a file, as a new version",
            {
                "200": _answer("Moved", "The file's new entry."),
                "507": _problem("The account's space is full. Nothing changed."),
            }
            | _ABSENT
            | _TAKEN,
            body=_json_body("Selection"),
        )
    },
    "/api/v1/entries/delete": {
        "post": _change(
            f"Delete up to {ENTRY_IDS_MAX:,} entries: into the hold",
            {"200": _answer("Removed", "How many names went, those inside folders too.")} | _ABSENT,
            body=_json_body("Deletion"),
        )
    },
    "/api/v1/entries/recover": {
        "post": _change(
            f"Recover up to {ENTRY_IDS_MAX:,} deleted entries",
            {"200": _answer("Recovered", "How many came back.")} | _ABSENT | _TAKEN,
            body=_json_body("Selection"),
        )
    },
    "/api/v1/entries/purge": {
        "post": _change(
            f"Delete up to {ENTRY_IDS_MAX:,} entries for good: the owner alone, signed in",
            {"200": _answer("Purged", "What is gone. It cannot be recovered.")} | _ABSENT,
            body=_json_body("Selection"),
        )
    },
    "/api/v1/retention": {
        "get": _get("How long old versions are kept", {"200": _answer("Retention", "The rule.")}),
        "put": _change(
            "Change how long old versions are kept: the owner alone, signed in",
            {"200": _answer("Retention", "The rule from now on; what it does not keep goes with the next sweep.")},
            body=_json_body("Retention"),
        ),
    },
    "/api/v1/entries/{entry}": {"get": _get("One entry", {"200": _answer("Entry", "It.")} | _ABSENT, _ENTRY)},
    "/api/v1/entries/{entry}/content": {
        "get": _get("Download an entry, also an old version", _RANGED | _ABSENT, _ENTRY, _INLINE, *_RANGE)
    },
    "/api/v1/entries/{entry}/versions": {
        "get": _get(
            "All that stood in this entry's place", {"200": _answer("Entries", "Newest first.")} | _ABSENT, _ENTRY
        )
    },
    "/api/v1/usage": {
        "get": _get(
            "What the account uses: by device and kind, and day by day; people only",
            {"200": _answer("AccountUsage", "`breakdown` is null for a large account that was not counted yet.")},
            _query("from", {"type": "string", "format": "date"}, "First day, in UTC."),
            _query("to", {"type": "string", "format": "date"}, f"Last day, included; at most {DAYS_MAX} days."),
        )
    },
    "/api/v1/exports": {
        "get": _get(
            "The saved exports", {"200": _answer("Exports", "Newest first.")}, _CURSOR, _limit(EXPORT_ITEMS_MAX)
        ),
        "post": _change(
            "Save a selection, a folder or a search, as it is now or was then, to be taken as zips",
            {"201": _answer("Export", "`size_bytes` is the zip's exact length.")} | _ABSENT | _NO_MOMENT,
            body=_json_body("NewExport"),
        ),
    },
    "/api/v1/exports/{export}": {
        "get": _get("One export", {"200": _answer("Export", "It.")} | _ABSENT, _EXPORT),
        "delete": _change(
            "Forget an export", {"204": {"description": "Forgotten. The files it names stay."}} | _ABSENT, _EXPORT
        ),
    },
    "/api/v1/exports/{export}/{name}.zip": {
        "get": _get(
            "A zip of an export",
            {
                "200": {
                    "description": "Of exactly the announced length; members stored, names in UTF-8; links left out;"
                    " `B3SUMS` inside names every file's digest, for `b3sum --check`.",
                    "content": {"application/zip": {"schema": _BINARY}},
                },
                "206": {
                    "description": "One range of it: the same bytes, after whatever break.",
                    "content": {"application/zip": {"schema": _BINARY}},
                },
                "304": {"description": "It is what `If-None-Match` names."},
                "410": _problem("Files of it were deleted for good since; `gone` names some. Nothing was sent."),
                "416": _problem("The range starts beyond the end."),
                "500": _problem("A stored copy is damaged. Nothing, or not all, was sent."),
            }
            | _ABSENT,
            _EXPORT,
            _path("name", TEXT, "Any name to save it under."),
            _query("part", COUNT, "Which of its zips, from 1."),
            *_RANGE,
        )
    },
    "/api/v1/grants": {
        "get": _get(
            "Support access that was given; owners only", {"200": _answer("Grants", "Newest first, without tokens.")}
        ),
        "post": _change(
            "Let support in once, for a while; owners only",
            {"201": _answer("IssuedGrant", "The token is shown this once. It and the access end together.")} | _ABSENT,
            body=_json_body("NewGrant"),
        ),
    },
    "/api/v1/grants/{grant}": {
        "get": _get(
            "One support access, and the newest of what staff did with it; owners only",
            {"200": _answer("WatchedGrant", "It.")} | _ABSENT,
            _GRANT,
        ),
        "delete": _change(
            "End a support access; owners only",
            {"204": {"description": "Staff see nothing from the next request on."}} | _ABSENT,
            _GRANT,
        ),
    },
    "/api/v1/sessions": {
        "get": _get(
            "Where people are signed in: everybody's for an owner, else one's own",
            {"200": _answer("Sessions", "The last used first.")},
        )
    },
    "/api/v1/sessions/{session}": {
        "delete": _change(
            "End a session: anybody's for an owner, else one's own",
            {"204": {"description": "It is refused from the next request on."}} | _ABSENT,
            _path("session", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "The session's id, which opens nothing."),
        )
    },
    "/api/v1/audit": {
        "get": _get(
            "Who did what in the account, when, from where",
            {"200": _answer("Events", "Newest first.")} | _ABSENT,
            *_AUDIT_FILTER,
            _CURSOR,
            _limit(AUDIT_ITEMS_MAX),
        )
    },
    "/api/v1/audit/activity.csv": {
        "get": _get(
            "The same as a spreadsheet's file, oldest first",
            {
                "200": {
                    "description": "UTF-8. No field begins as a formula does.",
                    "content": {"text/csv; charset=utf-8; header=present": {"schema": TEXT}},
                }
            }
            | _ABSENT,
            *_AUDIT_FILTER,
        )
    },
    "/api/v1/audit/activity.json": {
        "get": _get(
            "The same as JSON, from which the chain of hashes can be proved",
            {"200": _answer("AuditFile", "Oldest first; `detail` and `actor_id` as the hashes cover them.")} | _ABSENT,
            *_AUDIT_FILTER,
        )
    },
    "/api/v1/billing/status": {
        "post": {
            "summary": "OTB Billing reports that a customer is suspended, cancelled, or active again",
            "description": (
                "The body is a signed, one-time token (docs/handoff.md). A suspended or cancelled account is refused"
                " with its next request; its files are kept."
            ),
            "security": [],
            "requestBody": {"required": True, "content": {"application/jwt": {"schema": TEXT}}},
            "responses": {
                "200": _answer("BillingStatus", "What the account's status is from now on."),
                "400": _COMMON["400"],
                "403": _problem("Not signed by OTB Billing, not for this, too old, or sent before."),
                "503": _COMMON["503"],
            }
            | _ABSENT
            | _LARGE
            | _TYPED,
        }
    },
    "/api/v1/connect": {
        "post": {
            "summary": "A computer asks to be connected: the device authorization grant (RFC 8628), as JSON",
            "description": (
                f"The code lives {CODE_SECONDS // 60} minutes. The account's owner types it at `verification_uri`. At"
                f" most {WAITING_MAX:,} computers wait at once, {WAITING_OF_NETWORK_MAX} of one address."
            ),
            "security": [],
            "requestBody": _json_body("NewConnection"),
            "responses": {
                "201": _answer("StartedConnection", "Ask `/api/v1/connect/token` every `interval` seconds now."),
                "400": _COMMON["400"],
                "429": _problem("Too many wait already, of this address."),
                "503": _COMMON["503"],
            }
            | _LARGE
            | _TYPED,
        }
    },
    "/api/v1/connect/token": {
        "post": {
            "summary": "The token of a computer that was approved",
            "security": [],
            "requestBody": _json_body("DeviceCode"),
            "responses": {
                "200": _answer("Connected", "The token is shown this once."),
                "400": _problem(
                    "`error` says why not, as RFC 8628 has it: `authorization_pending`; `slow_down`, with the longer"
                    " `interval` from now on; `access_denied`; `expired_token`, also of a code that was used."
                ),
                "503": _COMMON["503"],
            }
            | _LARGE
            | _TYPED,
        }
    },
}

JSON_LIMIT_TEXT: Final = f"A JSON body has at most {JSON_BODY_BYTES_MAX >> 20} MiB where nothing else is said."
