"""The OpenAPI document: entries, and what may be done with them."""

from typing import Final

from catalog.entries import ENTRIES_PER_REQUEST_MAX
from catalog.values import Area, EntryKind, MediaKind, Removal
from web.limits import ENTRY_IDS_MAX
from web.openapi_parts import ABSENT, ENTRY, TAKEN, Spec, answer, change, get, json_body, problem
from web.openapi_schemas import (
    BASE64URL,
    COUNT,
    DIGEST,
    ID,
    PATH,
    TEXT,
    TIME,
    Schema,
    list_of,
    nullable,
    one_of,
    record,
    ref,
)

_ENTRIES: Final = {**list_of(ID, ENTRIES_PER_REQUEST_MAX), "minItems": 1}

SCHEMAS: Final[dict[str, Schema]] = {
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
    "Renamed": record({"entries": list_of(ref("Entry"))}),
    "Moved": record({"entries": list_of(ref("Entry"))}),
    "Moving": record(
        {"entries": _ENTRIES},
        {"directory": PATH, "directory_bytes": BASE64URL},
    ),
    "Selection": record({"entries": _ENTRIES}),
    "Renaming": record({"entries": {**list_of(ID, 1), "minItems": 1}, "base_name": {**TEXT, "minLength": 1}}),
    "Deletion": record(
        {"entries": _ENTRIES},
        {
            "derived": {
                "type": "string",
                "enum": ["keep", "remove"],
                "default": "keep",
                "description": "Files made of these stay, or go into the hold as well.",
            }
        },
    ),
    "Removed": record({"removed": COUNT}),
    "Recovered": record({"recovered": COUNT}),
    "Purged": {
        **record({"purged": COUNT, "files": COUNT, "freed": COUNT}),
        "description": "`purged` entries of any kind, `files` with all their versions, `freed` bytes of your space.",
    },
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/entries/rename": {
        "post": change(
            "Give one entry another base name",
            {"200": answer("Renamed", "The entry, under its new id.")} | ABSENT | TAKEN,
            body=json_body("Renaming"),
        )
    },
    "/api/v1/entries/move": {
        "post": change(
            f"Move up to {ENTRY_IDS_MAX:,} entries into another folder of the same device and area",
            {"200": answer("Moved", "The entries, under their new ids.")} | ABSENT | TAKEN,
            body=json_body("Moving"),
        )
    },
    "/api/v1/entries/revert": {
        "post": change(
            "Bring back an old version of a file, as a new version",
            {
                "200": answer("Moved", "The file's new entry."),
                "507": problem("The account's space is full. Nothing changed."),
            }
            | ABSENT
            | TAKEN,
            body=json_body("Selection"),
        )
    },
    "/api/v1/entries/delete": {
        "post": change(
            f"Delete up to {ENTRY_IDS_MAX:,} entries: into the hold",
            {"200": answer("Removed", "How many names went, those inside folders too.")} | ABSENT,
            body=json_body("Deletion"),
        )
    },
    "/api/v1/entries/recover": {
        "post": change(
            f"Recover up to {ENTRY_IDS_MAX:,} deleted entries",
            {"200": answer("Recovered", "How many came back.")} | ABSENT | TAKEN,
            body=json_body("Selection"),
        )
    },
    "/api/v1/entries/purge": {
        "post": change(
            f"Delete up to {ENTRY_IDS_MAX:,} entries for good: the owner alone, signed in",
            {"200": answer("Purged", "What is gone. It cannot be recovered.")} | ABSENT,
            body=json_body("Selection"),
        )
    },
    "/api/v1/entries/{entry}": {"get": get("One entry", {"200": answer("Entry", "It.")} | ABSENT, ENTRY)},
    "/api/v1/entries/{entry}/versions": {
        "get": get("All that stood in this entry's place", {"200": answer("Entries", "Newest first.")} | ABSENT, ENTRY)
    },
}
