"""The schemas of the OpenAPI document: one per shape of web/shapes.py and per request body. JSON Schema 2020-12."""

from enum import StrEnum
from typing import Any, Final

from catalog.errors import NotYet
from catalog.export_making import PART_BYTES_MIN
from catalog.grants import REASON_CHARACTERS_MAX, SECONDS_MAX, SECONDS_MIN
from catalog.history import ChangeKind
from catalog.holdings import Unsafe
from catalog.job_values import Outcome
from catalog.undoing import CONFLICTS_TOLD_MAX, Why
from catalog.values import Area, DeviceKind, EntryKind, MediaKind, Removal, Role, System
from web.limits import BATCH_BLOBS_MAX, DIGESTS_MAX, MANIFEST_ENTRIES_MAX, READ_BLOBS_MAX

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time", "description": "RFC 3339 in UTC."}
URI: Final[Schema] = {"type": "string", "format": "uri"}
ID: Final[Schema] = {"type": "string", "pattern": "^[0-9]{1,19}$"}
DIGEST: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "BLAKE3-256 in hex."}
BASE64URL: Final[Schema] = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_-]*={0,2}$",
    "description": "base64url of bytes that are not valid UTF-8.",
}
PATH: Final[Schema] = {
    "type": "string",
    "maxLength": 4096,
    "description": "Names joined by `/`, from the area's root down. At most 64 levels, 255 bytes a name, 4,096 bytes in"
    " all; no empty name, no `.` or `..`, no control characters.",
}


def ref(name: str) -> Schema:
    """A reference to a schema of this document."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """The same or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(item: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": item} | ({} if most is None else {"maxItems": most})


def one_of(values: type[StrEnum]) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}


def record(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these members and no others."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def page_of(name: str, schema: str) -> Schema:
    """A page of a list: `{"<name>": […], "next": cursor or null}`."""
    return record({name: list_of(ref(schema)), "next": nullable(TEXT)})


SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `detail` is a sentence for the customer; `type` names the kind of problem.",
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "request": TEXT,
            "missing": list_of(DIGEST, DIGESTS_MAX),
            "gone": list_of(TEXT),
            "error": one_of(NotYet),
            "interval": COUNT,
        },
        "required": ["type", "title", "status", "detail", "request"],
    },
    "Me": record(
        {
            "tenant": record({"id": TEXT, "label": TEXT, "time_zone": TEXT}),
            "user": nullable(record({"id": ID, "name": TEXT, "email": TEXT, "role": one_of(Role)})),
            "device": nullable(ref("Device")),
            "usage": record({"used_bytes": COUNT, "quota_bytes": COUNT, "file_count": COUNT, "device_count": COUNT}),
            "quota": COUNT,
            "csrf_token": nullable(TEXT),
            "support": nullable(record({"staff": TEXT, "issued_by": TEXT, "write": FLAG, "expires": TIME})),
        }
    ),
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
    "Entry": record(
        {
            "id": ID,
            "device": ID,
            "area": one_of(Area),
            "path": TEXT,
            "name": TEXT,
            "type": one_of(EntryKind),
            "digest": nullable(DIGEST),
            "size": COUNT,
            "mtime": TIME,
            "taken": nullable(TIME),
            "uploaded": TIME,
            "mode": nullable(COUNT),
            "media_type": TEXT,
            "kind": one_of(MediaKind),
            "target": nullable(TEXT),
            "removed": nullable(TIME),
            "removal": nullable(one_of(Removal)),
        },
        {"path_bytes": BASE64URL},
    ),
    "Entries": page_of("entries", "Entry"),
    "Found": {
        **record({"entries": list_of(ref("Entry")), "next": nullable(TEXT), "complete": {"type": "boolean"}}),
        "description": "`complete` is false while files of the account are still being read into the search index.",
    },
    "Facets": {
        **record(
            {
                "total": COUNT,
                "exact": {"type": "boolean"},
                "complete": {"type": "boolean"},
                "devices": list_of(record({"device": ID, "count": COUNT})),
                "kinds": list_of(record({"kind": TEXT, "count": COUNT})),
                "months": list_of(record({"month": {"type": "string", "pattern": r"^\d{4}-\d{2}$"}, "count": COUNT})),
            }
        ),
        "description": "`exact` is false where the counts may be a few too high; `months` are newest first.",
    },
    "TreeEntry": {
        **record(
            {"id": ID, "type": one_of(EntryKind), "mtime": TIME, "mode": nullable(COUNT)},
            {
                "path": TEXT,
                "path_bytes": BASE64URL,
                "digest": DIGEST,
                "size": COUNT,
                "target": TEXT,
                "target_bytes": BASE64URL,
            },
        ),
        "description": "`path` from the area's root, or `path_bytes`; files have `digest` and `size`, links `target` or"
        " `target_bytes`.",
    },
    "Tree": page_of("entries", "TreeEntry"),
    "Renamed": record({"entries": list_of(ref("Entry"))}),
    "Moved": record({"entries": list_of(ref("Entry"))}),
    "Moving": record(
        {"entries": list_of(ID, 10_000)},
        {"directory": PATH, "directory_bytes": BASE64URL},
    ),
    "NewFolder": record({"path": PATH}),
    "Selection": record({"entries": list_of(ID, 10_000)}),
    "Renaming": record({"entries": {**list_of(ID, 1), "minItems": 1}, "base_name": TEXT}),
    "Removed": record({"removed": COUNT}),
    "Recovered": record({"recovered": COUNT}),
    "Purged": {
        **record({"purged": COUNT, "files": COUNT, "freed": COUNT}),
        "description": "`purged` entries of any kind, `files` with all their versions, `freed` bytes of your space.",
    },
    "Retention": {
        **record({"versions": nullable(COUNT), "days": nullable(COUNT)}),
        "description": "Of each file the newest `versions` old versions are kept, and all that were replaced within the"
        " last `days` days. Both null: all, for ever.",
    },
    "Uploaded": record({"entry": ID, "digest": DIGEST, "size": COUNT, "deduplicated": FLAG}),
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
    "Uploads": page_of("uploads", "Upload"),
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
    "Digests": record({"digests": list_of(DIGEST, DIGESTS_MAX)}),
    "ReceivedBlobs": record(
        {
            "stored": list_of(DIGEST, BATCH_BLOBS_MAX),
            "deduplicated": list_of(DIGEST, BATCH_BLOBS_MAX),
            "rejected": list_of(record({"digest": DIGEST, "reason": TEXT}), BATCH_BLOBS_MAX),
        }
    ),
    "DigestsToRead": record({"digests": {**list_of(DIGEST, READ_BLOBS_MAX), "minItems": 1}}),
    "BlobStatus": record(
        {
            "digest": DIGEST,
            "safe": {**FLAG, "description": "A live file of the account has these bytes, and they are not damaged."},
            "verified": nullable(TIME),
            "reason": nullable(
                {
                    **one_of(Unsafe),
                    "description": "Why they are not safe: never sent; sent, but no live file has them; the stored copy"
                    " is damaged, and sending them again heals it.",
                }
            ),
        }
    ),
    "BlobStatuses": record({"blobs": list_of(ref("BlobStatus"), DIGESTS_MAX)}),
    "Missing": record({"missing": list_of(DIGEST, DIGESTS_MAX)}),
    "AccountUsage": record(
        {
            "used_bytes": COUNT,
            "quota_bytes": COUNT,
            "file_count": COUNT,
            "device_count": COUNT,
            "breakdown": nullable(
                record(
                    {
                        "counted": TIME,
                        "live_bytes": COUNT,
                        "held_bytes": COUNT,
                        "version_bytes": COUNT,
                        "unique_bytes": {**COUNT, "description": "Each content once, within the account."},
                        "shared_bytes": {**COUNT, "description": "Of live content that several devices have."},
                        "devices": list_of(
                            record(
                                {
                                    "device": ID,
                                    "name": TEXT,
                                    "held_bytes": COUNT,
                                    "version_bytes": COUNT,
                                    "kinds": list_of(
                                        record({"kind": one_of(MediaKind), "files": COUNT, "bytes": COUNT})
                                    ),
                                }
                            )
                        ),
                    }
                )
            ),
            "days": list_of(
                record(
                    {
                        "day": {"type": "string", "format": "date"},
                        "logical_bytes": COUNT,
                        "files": COUNT,
                        "quota_bytes": COUNT,
                    }
                )
            ),
        }
    ),
    "NewExport": record(
        {},
        {
            "entries": nullable(list_of(ID, 10_000)),
            "device": nullable(ID),
            "area": one_of(Area),
            "directory": PATH,
            "search": nullable({**TEXT, "description": "A query as of `GET /api/v1/search`: `q=beach&kind=image`."}),
            "again": nullable({**ID, "description": "An export whose selection is taken as it is now."}),
            "since": nullable({**ID, "description": "The same, but only what was added since it was made."}),
            "at": nullable({**TIME, "description": "Entries and folders as they were then."}),
            "name": nullable({"type": "string", "maxLength": 200}),
            "part_bytes_max": nullable(
                {
                    "type": "integer",
                    "minimum": PART_BYTES_MIN,
                    "description": "Zips of at most so many bytes, each complete; a larger file is alone in one.",
                }
            ),
        },
    ),
    "Export": record(
        {
            "export": ID,
            "name": TEXT,
            "created": TIME,
            "created_by": TEXT,
            "at": nullable(TIME),
            "since": nullable(ID),
            "url": TEXT,
            "size_bytes": COUNT,
            "etag": TEXT,
            "members": COUNT,
            "content_bytes": COUNT,
            "parts": list_of(record({"url": TEXT, "size_bytes": COUNT, "etag": TEXT})),
        }
    ),
    "Exports": page_of("exports", "Export"),
    "Event": record(
        {
            "id": ID,
            "at": TIME,
            "actor_kind": TEXT,
            "actor": TEXT,
            "action": TEXT,
            "subject": TEXT,
            "detail": {"type": "object"},
            "address": nullable(TEXT),
            "device": nullable(ID),
            "on_behalf_of": nullable(TEXT),
            "grant": nullable(ID),
            "hash": DIGEST,
        }
    ),
    "Grant": record(
        {
            "id": ID,
            "reason": TEXT,
            "write": FLAG,
            "devices": nullable(list_of(ID)),
            "state": {"type": "string", "enum": ["waiting", "use", "ended", "expired"]},
            "created": TIME,
            "created_by": TEXT,
            "expires": TIME,
            "redeemed": nullable(TIME),
            "staff": nullable(TEXT),
            "ended": nullable(TIME),
            "ended_by": nullable(TEXT),
        }
    ),
    "Grants": page_of("grants", "Grant"),
    "NewGrant": record(
        {
            "reason": {"type": "string", "minLength": 1, "maxLength": REASON_CHARACTERS_MAX},
            "seconds": {"type": "integer", "minimum": SECONDS_MIN, "maximum": SECONDS_MAX},
        },
        {"devices": nullable(list_of(ID)), "write": FLAG},
    ),
    "IssuedGrant": record({"grant": ref("Grant"), "token": TEXT}),
    "WatchedGrant": record({"grant": ref("Grant"), "events": list_of(ref("Event"))}),
    "Session": record(
        {
            "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "user": TEXT,
            "address": nullable(TEXT),
            "user_agent": TEXT,
            "created": TIME,
            "seen": TIME,
            "expires": TIME,
            "current": FLAG,
        }
    ),
    "Sessions": page_of("sessions", "Session"),
    "AuditHead": record({"number": COUNT, "hash": {"type": "string", "pattern": "^([0-9a-f]{64})?$"}}),
    "Events": record(
        {
            "events": list_of(ref("Event")),
            "head": ref("AuditHead"),
            "next": nullable(TEXT),
        }
    ),
    "AuditFile": record(
        {
            "account": TEXT,
            "filtered": FLAG,
            "head": ref("AuditHead"),
            "events": list_of({"type": "object"}),
        }
    ),
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
    "BillingStatus": record({"billing_client": TEXT, "status": {"enum": ["active", "suspended", "closed"]}}),
    "Condition": record(
        {
            "status": {"enum": ["ok", "degraded", "unavailable"]},
            "database": record({"status": TEXT, "seconds": {"type": "number"}}),
            "uptime_seconds": COUNT,
            "load_average": record({name: {"type": "number"} for name in ("1m", "5m", "15m")}),
            "memory": record({"total_bytes": COUNT, "free_bytes": COUNT}),
            "disk": record({"total_bytes": COUNT, "free_bytes": COUNT}),
            "store": {"enum": ["ok", "read-only"]},
            "replica": record(
                {"status": {"enum": ["ok", "late", "none"]}, "whole": nullable(TIME), "dumped": nullable(TIME)}
            ),
        },
        {
            "verified": nullable(TIME),
            "damaged_blobs": COUNT,
            "missing_blobs": COUNT,
            "uploads_open": COUNT,
            "jobs": record(
                {
                    "waiting": COUNT,
                    "running": COUNT,
                    "set_aside": COUNT,
                    "oldest_waiting": nullable(TIME),
                    "ended": list_of(
                        record(
                            {"recipe": TEXT, "outcome": one_of(Outcome), "jobs": COUNT, "seconds": {"type": "number"}}
                        )
                    ),
                }
            ),
        },
    ),
    "Health": {"type": "object", "properties": {"status": TEXT}, "required": ["status"]},
}
