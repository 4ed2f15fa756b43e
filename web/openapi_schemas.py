"""JSON Schema 2020-12 in small pieces, of which the schemas of the OpenAPI document are put together."""

from enum import StrEnum
from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time", "description": "RFC 3339 in UTC."}
DATE: Final[Schema] = {"type": "string", "format": "date"}
URI: Final[Schema] = {"type": "string", "format": "uri"}
ID: Final[Schema] = {"type": "string", "pattern": "^[0-9]{1,19}$"}
DIGEST: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "BLAKE3-256 in hex."}
BASE64URL: Final[Schema] = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_-]*={0,2}$",
    "description": "base64url of bytes that are not valid UTF-8.",
}
BINARY: Final[Schema] = {"type": "string", "format": "binary"}
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
