"""The OpenAPI document: search."""

from typing import Final

from catalog.search_text import TEXT_CHARACTERS_MAX
from catalog.values import Area, DateKind, MediaKind
from web.limits import PAGE_ITEMS_MAX
from web.openapi_parts import ABSENT, CURSOR, Spec, answer, get, limit, query
from web.openapi_schemas import COUNT, DATE, ID, TEXT, Schema, list_of, nullable, one_of, record, ref

_SEARCH: Final[list[Spec]] = [
    query(
        "q",
        {"type": "string", "maxLength": TEXT_CHARACTERS_MAX},
        "Words in any order, each any part of the name, case and accents aside; “quoted phrases”; `ext:jpg`,"
        " `kind:image`, `device:laptop`, `in:derived`, `before:2024`, `after:2024-05`, `on:2024-05-03`, `size:>10M`."
        " A minus excludes.",
    ),
    query("device", ID, "On this device only."),
    query("area", one_of(Area), "In this area only."),
    query("kind", one_of(MediaKind), "Of this kind only."),
    query("from", DATE, "First day, in the account's time zone."),
    query("to", DATE, "Last day, included."),
    query("by", one_of(DateKind), "Which day: taken (else modified), modified, or uploaded."),
]

SCHEMAS: Final[dict[str, Schema]] = {
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
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/search": {
        "get": get(
            "Find live files by any part of the name, day, kind, device and size",
            {"200": answer("Found", "Newest first.")} | ABSENT,
            *_SEARCH,
            CURSOR,
            limit(PAGE_ITEMS_MAX),
        )
    },
    "/api/v1/search/facets": {
        "get": get(
            "How many files a search finds, on which devices, of which kinds, in which months",
            {"200": answer("Facets", "Each group counts what fits all other conditions.")} | ABSENT,
            *_SEARCH,
        )
    },
}
