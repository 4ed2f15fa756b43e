"""The OpenAPI document: folders and what is in them."""

from typing import Final

from catalog.folders import FolderOrder
from catalog.values import Area, DateKind, EntryKind, MediaKind
from web.limits import PAGE_ITEMS_MAX, TREE_ITEMS, TREE_ITEMS_MAX
from web.openapi_parts import (
    ABSENT,
    CURSOR,
    DEVICE,
    NO_MOMENT,
    TAKEN,
    Spec,
    answer,
    change,
    get,
    json_body,
    limit,
    query,
)
from web.openapi_schemas import (
    BASE64URL,
    COUNT,
    DATE,
    DIGEST,
    ID,
    PATH,
    TEXT,
    TIME,
    Schema,
    nullable,
    one_of,
    page_of,
    record,
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Entries": page_of("entries", "Entry"),
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
    "NewFolder": record({"path": PATH}),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/devices/{device}/entries": {
        "get": get(
            "A folder's content now, sorted and filtered, or at a moment",
            {"200": answer("Entries", "Folders first, by name; then files and links.")} | ABSENT | NO_MOMENT,
            DEVICE,
            query("area", one_of(Area), "originals, where it is not named."),
            query("directory", PATH, "The area's root, where it is empty."),
            query("directory_bytes", BASE64URL, "The same for a path that is not valid UTF-8."),
            query("at", TIME, "As the folder was then, by name and whole."),
            query("sort", one_of(FolderOrder), "name, where it is not named; `kind` sorts by name within a kind."),
            query(
                "order", {"type": "string", "enum": ["ascending", "descending"]}, "ascending, where it is not named."
            ),
            query("kind", one_of(MediaKind), "Files of this kind only; folders are left out."),
            query("from", DATE, "First day, in the account's time zone; folders are left out."),
            query("to", DATE, "Last day, included."),
            query("by", one_of(DateKind), "Which date `from`, `to` and `sort=date` mean: taken (else modified) …"),
            CURSOR,
            limit(PAGE_ITEMS_MAX),
        )
    },
    "/api/v1/devices/{device}/folders": {
        "post": change(
            "Make a folder in originals, with those above it that are missing",
            {"201": answer("Entry", "The folder.")} | ABSENT | TAKEN,
            DEVICE,
            body=json_body("NewFolder"),
        )
    },
    "/api/v1/devices/{device}/tree": {
        "get": get(
            "Everything below a folder, now or at a moment, as a restore reads it",
            {"200": answer("Tree", "By name, and each folder's content right after it: parents before children.")}
            | ABSENT
            | NO_MOMENT,
            DEVICE,
            query("area", one_of(Area), "originals, where it is not named."),
            query("directory", PATH, "The area's root, where it is empty."),
            query("directory_bytes", BASE64URL, "The same for a path that is not valid UTF-8."),
            query("at", TIME, "As it was then. The first page fixes the moment for those after it."),
            CURSOR,
            limit(TREE_ITEMS_MAX, TREE_ITEMS),
        )
    },
    "/api/v1/damaged": {
        "get": get(
            "Files whose stored copy is damaged or missing: sent again, from anywhere in the account, they are healed",
            {"200": answer("Entries", "Live, deleted and old ones, in the order in which they came.")},
            CURSOR,
            limit(PAGE_ITEMS_MAX),
        )
    },
    "/api/v1/deleted": {
        "get": get(
            "What can be recovered",
            {"200": answer("Entries", "Newest deletion first.")},
            CURSOR,
            limit(PAGE_ITEMS_MAX),
        )
    },
}
