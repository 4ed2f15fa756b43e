"""The OpenAPI document: exports and their zips."""

from typing import Final

from catalog.export_making import PART_BYTES_MIN
from catalog.values import Area
from web.limits import EXPORT_ITEMS_MAX
from web.openapi_parts import (
    ABSENT,
    CURSOR,
    NO_MOMENT,
    RANGE,
    Spec,
    answer,
    change,
    get,
    json_body,
    limit,
    path,
    problem,
    query,
)
from web.openapi_schemas import BINARY, COUNT, ID, PATH, TEXT, TIME, Schema, list_of, nullable, one_of, page_of, record

_EXPORT: Final = path("export", ID, "The export's id.")

SCHEMAS: Final[dict[str, Schema]] = {
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
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/exports": {
        "get": get("The saved exports", {"200": answer("Exports", "Newest first.")}, CURSOR, limit(EXPORT_ITEMS_MAX)),
        "post": change(
            "Save a selection, a folder or a search, as it is now or was then, to be taken as zips",
            {"201": answer("Export", "`size_bytes` is the zip's exact length.")} | ABSENT | NO_MOMENT,
            body=json_body("NewExport"),
        ),
    },
    "/api/v1/exports/{export}": {
        "get": get("One export", {"200": answer("Export", "It.")} | ABSENT, _EXPORT),
        "delete": change(
            "Forget an export", {"204": {"description": "Forgotten. The files it names stay."}} | ABSENT, _EXPORT
        ),
    },
    "/api/v1/exports/{export}/{name}.zip": {
        "get": get(
            "A zip of an export",
            {
                "200": {
                    "description": "Of exactly the announced length; members stored, names in UTF-8; links left out;"
                    " `B3SUMS` inside names every file's digest, for `b3sum --check`.",
                    "content": {"application/zip": {"schema": BINARY}},
                },
                "206": {
                    "description": "One range of it: the same bytes, after whatever break.",
                    "content": {"application/zip": {"schema": BINARY}},
                },
                "304": {"description": "It is what `If-None-Match` names."},
                "410": problem("Files of it were deleted for good since; `gone` names some. Nothing was sent."),
                "416": problem("The range starts beyond the end."),
                "500": problem("A stored copy is damaged. Nothing, or not all, was sent."),
            }
            | ABSENT,
            _EXPORT,
            path("name", TEXT, "Any name to save it under."),
            query("part", COUNT, "Which of its zips, from 1."),
            *RANGE,
        )
    },
}
