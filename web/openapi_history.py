"""The OpenAPI document: a device's changes: made, looked at, undone."""

from typing import Final

from catalog.history import ChangeKind
from catalog.undoing import CONFLICTS_TOLD_MAX, Why
from catalog.values import Area, EntryKind
from web.bundles import BUNDLE_TYPE
from web.limits import (
    AUDIT_ITEMS_MAX,
    BATCH_BLOBS_MAX,
    BATCH_BODY_BYTES_MAX,
    BUNDLE_MANIFEST_BYTES_MAX,
    HISTORY_ITEMS_MAX,
    MANIFEST_BODY_BYTES_MAX,
    MANIFEST_ENTRIES_MAX,
)
from web.openapi_parts import (
    ABSENT,
    CURSOR,
    DEVICE,
    JSON,
    NDJSON,
    NO_MOMENT,
    TAKEN,
    Spec,
    answer,
    change,
    get,
    json_body,
    limit,
    path,
    problem,
)
from web.openapi_schemas import (
    BASE64URL,
    BINARY,
    COUNT,
    DIGEST,
    FLAG,
    ID,
    PATH,
    TEXT,
    TIME,
    Schema,
    list_of,
    nullable,
    one_of,
    page_of,
    record,
    ref,
)

_SEQUENCE: Final = path("sequence", ID, "The change's number on the device, `id` of a manifest.")

SCHEMAS: Final[dict[str, Schema]] = {
    "Manifest": record(
        {
            "id": ID,
            "at": TIME,
            "actor_kind": TEXT,
            "actor": TEXT,
            "note": TEXT,
            "added": COUNT,
            "removed": COUNT,
            "size": COUNT,
        }
    ),
    "Changed": record(
        {"change": one_of(ChangeKind), "entry": ref("Entry"), "before": nullable(ref("Entry"))},
    ),
    "Changes": page_of("changes", "Changed"),
    "Undone": record(
        {
            "manifest": nullable(ID),
            "added": COUNT,
            "replaced": COUNT,
            "removed": COUNT,
            "kept": COUNT,
            "conflicts": list_of(record({"path": TEXT, "reason": one_of(Why)}), CONFLICTS_TOLD_MAX),
        }
    ),
    "Restoration": record({"at": TIME}, {"area": one_of(Area), "directory": PATH, "exact": FLAG}),
    "Restored": record({"added": COUNT, "replaced": COUNT, "unchanged": COUNT, "removed": COUNT, "manifests": COUNT}),
    "Manifests": page_of("manifests", "Manifest"),
    "NewEntry": record(
        {},
        {
            "path": PATH,
            "path_bytes": BASE64URL,
            "type": one_of(EntryKind),
            "digest": nullable(DIGEST),
            "size": nullable(COUNT),
            "mtime": nullable(TIME),
            "mode": nullable({"type": "integer", "minimum": 0, "maximum": 0o7777}),
            "target": nullable(TEXT),
            "target_bytes": nullable(BASE64URL),
        },
    ),
    "NewManifest": record(
        {},
        {
            "note": {"type": "string", "maxLength": 500},
            "entries": list_of(ref("NewEntry"), MANIFEST_ENTRIES_MAX),
            "removed": list_of({"anyOf": [PATH, record({"path_bytes": BASE64URL})]}, MANIFEST_ENTRIES_MAX),
        },
    ),
    "Committed": record(
        {"manifest": nullable(ID), "added": COUNT, "replaced": COUNT, "unchanged": COUNT, "removed": COUNT},
        {
            "deduplicated": {
                **list_of(DIGEST, BATCH_BLOBS_MAX),
                "description": "Of a bundle's bytes, what this account had before.",
            }
        },
    ),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/devices/{device}/manifests": {
        "get": get(
            "The device's history",
            {"200": answer("Manifests", "Newest first.")} | ABSENT,
            DEVICE,
            CURSOR,
            limit(AUDIT_ITEMS_MAX),
        ),
        "post": change(
            f"Add and remove up to {MANIFEST_ENTRIES_MAX:,} names in one step, by digests sent or with their bytes",
            {
                "200": answer("Committed", "Nothing had to change."),
                "201": answer("Committed", "Done, all of it."),
                "408": problem("The bytes of a bundle came too slowly. Nothing changed."),
                "409": problem("Nothing changed. `missing` names the digests whose bytes have not been sent."),
                "507": problem("The account's space is full. Nothing changed."),
            }
            | ABSENT,
            DEVICE,
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
                    BUNDLE_TYPE: {"schema": BINARY},
                },
            },
        ),
    },
    "/api/v1/devices/{device}/manifests/{sequence}": {
        "get": get("One change of the device", {"200": answer("Manifest", "It.")} | ABSENT, DEVICE, _SEQUENCE)
    },
    "/api/v1/devices/{device}/manifests/{sequence}/changes": {
        "get": get(
            "What a change did to each name, with paths as of then",
            {"200": answer("Changes", "What it left first, then what it removed.")} | ABSENT,
            DEVICE,
            _SEQUENCE,
            CURSOR,
            limit(HISTORY_ITEMS_MAX),
        )
    },
    "/api/v1/devices/{device}/manifests/{sequence}/undo": {
        "post": change(
            "Undo a whole change with a new one, as far as nothing came after it",
            {
                "200": answer("Undone", "Nothing had to be undone, or nothing could be."),
                "201": answer("Undone", "Undone. `conflicts` names what was left as it is."),
                "507": problem("The account's space is full. Nothing changed."),
            }
            | ABSENT
            | TAKEN
            | {"413": problem("More changes than one request may undo.")},
            DEVICE,
            _SEQUENCE,
        )
    },
    "/api/v1/devices/{device}/restore": {
        "post": change(
            "Bring a folder back to how it was at a moment",
            {
                "200": answer("Restored", "Everything was as it was then already."),
                "201": answer("Restored", "Done. What is no more as it was then is a version, or in the hold."),
                "507": problem("The account's space is full."),
            }
            | ABSENT
            | TAKEN
            | NO_MOMENT,
            DEVICE,
            body=json_body("Restoration"),
        )
    },
}
