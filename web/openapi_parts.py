"""Parameters, answers and operations, of which the paths of the OpenAPI document are put together."""

from typing import Any, Final

from catalog.errors import NotYet
from web.limits import DIGESTS_MAX, PAGE_ITEMS, RANGE_HEADER_BYTES_MAX
from web.openapi_schemas import BINARY, COUNT, DIGEST, ID, TEXT, Schema, list_of, one_of, ref

Spec = dict[str, Any]
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
BYTES: Final = "application/octet-stream"
PROBLEM: Final = "application/problem+json"
EMPTY: Final[Schema] = {"const": ""}


def problem(why: str) -> Spec:
    """The answer that something is wrong, as RFC 9457 has it."""
    return {"description": why, "content": {PROBLEM: {"schema": ref("Problem")}}}


COMMON: Final[Spec] = {
    "400": problem("The request cannot be understood, or a value is outside of its limits."),
    "401": problem("Not signed in, or the token is not valid."),
    "403": problem("The account is suspended, the caller may not do this, or the CSRF token is missing."),
    "503": problem("The database is away, or too much at once. `Retry-After` says when to try again."),
}
ABSENT: Final[Spec] = {"404": problem("There is no such thing, in this account.")}
LARGE: Final[Spec] = {"413": problem("More than one request may carry, in its body or its query.")}
TYPED: Final[Spec] = {"415": problem("The body has another media type than wanted.")}
TOO_FAST: Final[Spec] = {"429": problem("Too many requests came from here. `Retry-After` says when to go on.")}
NO_MOMENT: Final[Spec] = {"410": problem("The device can no longer be shown as of this moment.")}
TAKEN: Final[Spec] = {"409": problem("It does not fit what is there now.")}


def query(name: str, schema: Schema, text: str) -> Spec:
    """A parameter of the query. Empty, it is as if it were not sent."""
    takes_empty = schema.keys() <= {"type", "maxLength", "description"} and schema["type"] == "string"
    schema = schema if takes_empty else {"anyOf": [schema, EMPTY]}
    return {"name": name, "in": "query", "schema": schema, "description": text}


def path(name: str, schema: Schema, text: str) -> Spec:
    """A parameter of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": text}


def header(name: str, schema: Schema, text: str) -> Spec:
    """A header of the request."""
    return {"name": name, "in": "header", "schema": schema, "description": text}


def limit(most: int, default: int = PAGE_ITEMS) -> Spec:
    """How many items on a page."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return query("limit", schema, f"How many on a page: at most {most:,}.")


CURSOR: Final = query("cursor", TEXT, "`next` of the page before.")
DEVICE: Final = path("device", ID, "The device's id.")
ENTRY: Final = path("entry", ID, "The entry's id.")
INLINE: Final = query(
    "inline", {"type": "string", "enum": ["1"]}, "To show it in place: images, video and audio of known types only."
)
CSRF: Final = header("X-CSRF-Token", TEXT, "With a session cookie: `csrf_token` of `GET /api/v1/me`.")


def answer(schema: str, text: str) -> Spec:
    """An answer in JSON. `schema` is the name of one."""
    return {"description": text, "content": {JSON: {"schema": ref(schema)}}}


def json_body(schema: str) -> Spec:
    """The same as a request's body."""
    return {"required": True, "content": {JSON: {"schema": ref(schema)}}}


def get(summary: str, answers: Spec, *parameters: Spec) -> Spec:
    """An operation that changes nothing. What may happen to each is added to `answers`."""
    return {"summary": summary, "parameters": [*parameters], "responses": LARGE | answers | COMMON}


def change(summary: str, answers: Spec, *parameters: Spec, body: Spec | None = None) -> Spec:
    """An operation that changes something."""
    operation = get(summary, answers, *parameters, CSRF)
    if body is not None:
        operation["requestBody"] = body
        operation["responses"] |= TYPED
    return operation


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
}

_CONTENT: Final[Spec] = {kind: {"schema": BINARY} for kind in (BYTES, "image/*", "video/*", "audio/*")}
RANGED: Final[Spec] = {
    "200": {"description": "The whole content; by its own type where it is shown in place.", "content": _CONTENT},
    "206": {"description": "One range of it.", "content": _CONTENT},
    "304": {"description": "It is what `If-None-Match` names."},
    "409": problem("A folder or a link: it has no content of its own."),
    "416": problem("The range starts beyond the end."),
    "500": problem("The stored copy is damaged. Nothing, or not all, was sent."),
}
RANGE: Final = (
    header("Range", TEXT, f"One range, `bytes=0-99`, in at most {RANGE_HEADER_BYTES_MAX} bytes; others get the whole."),
    header("If-Range", TEXT, "The `ETag`: the range only if it is still the same."),
    header("If-None-Match", TEXT, "An `ETag`: 304 if it is still the same."),
)
