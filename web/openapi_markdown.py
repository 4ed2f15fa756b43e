"""`docs/api.md`: the OpenAPI document as people read it. `python -m web.openapi_markdown` writes it anew; a test holds
the file to the document, and tries the examples on the real server."""

import json
import shlex
from pathlib import Path
from typing import Any, Final

from web.openapi import DOCUMENT
from web.openapi_examples import BODIES, QUERIES
from web.openapi_parts import COMMON, CSRF, EMPTY, JSON, LARGE, PROBLEM, TOO_FAST, Spec
from web.openapi_schemas import BASE64URL, DIGEST, ID, Schema

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "api.md"

_HEAD: Final = """# The API

Made from `/api/v1/openapi.json` by `python -m web.openapi_markdown`: change the document, not this file. A test tries
the examples. In them `$OTB` is the address of the service, and `$AS` is who calls, as options of curl:
`-H "Authorization: Bearer TOKEN"`, or a cookie and `-H "X-CSRF-Token: TOKEN"`.

"""


_PATTERNS: Final = {ID["pattern"]: "id", DIGEST["pattern"]: "digest", BASE64URL["pattern"]: "base64url"}
_ANYWHERE: Final = COMMON | LARGE | TOO_FAST


def api_markdown() -> str:
    """The whole file."""
    parts = [_HEAD, DOCUMENT["info"]["description"], "\n\nAny operation may answer:\n\n"]
    parts += [f"- {status}: {answer['description']}\n" for status, answer in sorted(_ANYWHERE.items())]
    for tag in DOCUMENT["tags"]:
        parts.append(f"\n## {tag['name']}\n")
        for path, item in DOCUMENT["paths"].items():
            for method, operation in item.items():
                if tag["name"] in operation["tags"]:
                    parts.append(_operation(method, path, operation))
    parts.append("\n## Schemas\n\n`?` marks what may be left out.\n\n")
    parts += [f"- `{name}`: {_shape(its)}.{_text(its)}\n" for name, its in DOCUMENT["components"]["schemas"].items()]
    return "".join(parts)


def _operation(method: str, path: str, operation: Spec) -> str:
    lines = [f"\n### {method.upper()} {path}\n", f"{operation['summary']}."]
    if "description" in operation:
        lines.append(operation["description"])
    lines.append("")
    for one in operation.get("parameters", []):
        if one == CSRF:
            continue
        must = ", required" if one.get("required") and one["in"] != "path" else ""
        lines.append(f"- `{one['name']}` ({one['in']}{must}): {one['description']} {_shape(one['schema'])}.")
    body = operation.get("requestBody")
    if body:
        lines.append(f"- Body: {_content(body)}. {body.get('description', '')}".rstrip())
    for status, answer in sorted(operation["responses"].items()):
        if _ANYWHERE.get(status) == answer:
            continue
        content = {kind: its for kind, its in answer.get("content", {}).items() if kind != PROBLEM}
        what = f" {_content({'content': content})}." if content else ""
        lines.append(f"- {status}: {answer['description']}{what}")
    return "\n".join([*lines, "", *_example(method, path, operation), ""])


def _example(method: str, path: str, operation: Spec) -> list[str]:
    body = BODIES.get((method, path))
    if body is None and "requestBody" in operation:
        return []
    words = ["curl", *({"get": [], "head": ["--head"]}.get(method, ["-X", method.upper()]))]
    needed = [one for one in operation.get("parameters", []) if one["in"] == "header" and one.get("required")]
    words += [f"-H '{one['name']}: {one['schema']['enum'][0]}'" for one in needed]
    words += [] if operation.get("security") == [] else ["$AS"]
    if body is not None:
        words += ["--json", shlex.quote(json.dumps(body))]
    return ["```sh", " ".join([*words, f'"$OTB{path}{QUERIES.get((method, path), "")}"']), "```"]


def _content(body: Spec) -> str:
    return " or ".join(_shape(its["schema"]) if kind == JSON else f"`{kind}`" for kind, its in body["content"].items())


def _shape(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(_shape(one) for one in schema["anyOf"] if one != EMPTY)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "properties" in schema:
        required = schema.get("required", [])
        members = (
            f"{name}{'' if name in required else '?'}: {_shape(its)}" for name, its in schema["properties"].items()
        )
        return "{" + ", ".join(members) + "}"
    if "items" in schema:
        return f"list of {_shape(schema['items'])}{_bounds(schema, 'minItems', 'maxItems')}"
    return _plain(schema)


def _plain(schema: Schema) -> str:
    kind: Any = schema.get("type", "any")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    words = _PATTERNS.get(schema.get("pattern", "")) or schema.get("format") or kind
    return f"{words}{_bounds(schema, 'minimum', 'maximum')}{_bounds(schema, 'minLength', 'maxLength')}"


def _bounds(schema: Schema, least: str, most: str) -> str:
    if most in schema:
        return f" ({schema.get(least, 0):,} to {schema[most]:,})"
    return f" ({schema[least]:,} or more)" if least in schema else ""


def _text(schema: Schema) -> str:
    return f" {schema['description']}" if "description" in schema else ""


if __name__ == "__main__":
    FILE.write_text(api_markdown(), encoding="utf-8")
