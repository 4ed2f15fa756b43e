"""An account with some of everything, and the OpenAPI document with its ids in it, so that cases made of the document
reach what is there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device
from tests.web.frames import hex_of
from tests.web.tus_client import begun, metadata

CONTENTS = {name: name.encode() * 9 for name in ("a.jpg", "b.txt", "c.pdf", "d")}
HALF = b"half"


@dataclass(frozen=True)
class Stock:
    """The owner of the account, a token of one of its devices, and what there is, by the API's names."""

    owner: httpx2.Client
    token: str
    values: Mapping[str, list[Any]]


def stocked(service: Service) -> Stock:
    """Make an account: files, versions, folders, a link, held names, changes, exports, uploads, jobs, people."""
    person = new_person()
    owner = sign_in(service.url, service.settings, person)
    sign_in(service.url, service.settings, new_person("member", client=person.client)).close()
    laptop, spare = Device.make(owner, "laptop"), Device.make(owner, "spare")

    def made(path: str, body: Mapping[str, Any]) -> Any:
        answer = owner.post(f"/api/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    for version in (b"older ", b""):
        for name, content in CONTENTS.items():
            laptop.put(name, version + content)
    known = [
        {"path": f"{folder}/{name}", "digest": hex_of(content), "size": len(content)}
        for folder in ("f", "g", "h", "held")
        for name, content in CONTENTS.items()
    ]
    link = {"path": "l", "type": "link", "target": "f"}
    sequences = [made(f"devices/{laptop.id}/manifests", {"entries": [*known, link]})["manifest"]]
    sequences.append(made(f"devices/{laptop.id}/manifests", {"removed": ["held"]})["manifest"])
    entries = [entry["id"] for folder in ("f", "g", "h", "") for entry in laptop.entries(folder)]
    held = [entry["id"] for entry in owner.get("/api/v1/deleted").json()["entries"]]
    wanted = {"entries": [entry["id"] for entry in laptop.entries("f")], "recipe": "strip"}
    exports = [made("exports", {"device": laptop.id, "directory": name})["export"] for name in "fgh"]
    sessions = [one["id"] for one in owner.get("/api/v1/sessions").json()["sessions"] if not one["current"]]
    tokens = [laptop.token() for _ in range(2)]
    return Stock(
        owner,
        tokens[0],
        {
            "device": [laptop.id, spare.id],
            "entry": entries + held[:2],
            "entries": entries + held,
            "sequence": sequences[::-1],
            "token": [one["id"] for one in owner.get(f"/api/v1/devices/{laptop.id}/tokens").json()["tokens"]][:1],
            "export": exports,
            "again": exports[:1],
            "since": exports[:1],
            "job": [job["id"] for job in made("derivations", wanted)["jobs"]],
            "grant": [made("grants", {"reason": "look", "seconds": 3600})["grant"]["id"]],
            "session": sessions,
            "upload": [begun(owner, 9, HALF, device=laptop.id, filename=name) for name in ("u", "v")],
            "Upload-Length": [9],
            "Upload-Offset": [len(HALF)],
            "Upload-Metadata": [metadata(device=laptop.id, filename="w"), metadata(filename="x")],
            "digest": [hex_of(content) for content in CONTENTS.values()],
            "digests": [hex_of(content) for content in CONTENTS.values()],
            "path": [*CONTENTS, "f", "l"],
            "directory": ["f", "g"],
            "removed": ["h", "d"],
            "at": [datetime.now(UTC).isoformat().replace("+00:00", "Z")],
            "cursor": [owner.get("/api/v1/deleted?limit=1").json()["next"]],
            "device_code": [made("connect", {"name": "desk", "system": "linux"})["device_code"]],
            "recipe": [one["name"] for one in owner.get("/api/v1/recipes").json()["recipes"]],
        },
    )


def stocked_document(document: Mapping[str, Any], values: Mapping[str, list[Any]], *, others: bool) -> dict[str, Any]:
    """The document, with these values where a parameter or a property of a request has one of these names: ids are of
    them alone unless `others`; what is free text may be anything else as well.

    Without what the callers bring with them: the security schemes and the CSRF token.
    """
    copy: dict[str, Any] = json.loads(json.dumps(document))
    del copy["security"], copy["components"]["securitySchemes"]
    for schema in _of_requests(copy):
        for name, its in schema.get("properties", {}).items():
            schema["properties"][name] = _with(its, values.get(name, []), others)
    for item in copy["paths"].values():
        for operation in item.values():
            operation.pop("security", None)
            parameters = [one for one in operation.get("parameters", []) if one["name"] != "X-CSRF-Token"]
            operation["parameters"] = parameters
            for parameter in parameters:
                parameter["schema"] = _with(parameter["schema"], values.get(parameter["name"], []), others)
    return copy


def _of_requests(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The schemas of bodies, and those within them."""
    schemas = document["components"]["schemas"]
    bodies = [operation.get("requestBody") for item in document["paths"].values() for operation in item.values()]
    names = re.findall(r"schemas/(\w+)", json.dumps(bodies))
    for name in names:
        names += re.findall(r"schemas/(\w+)", json.dumps(schemas[name]))
    return [schemas[name] for name in set(names)]


def _with(schema: dict[str, Any], values: list[Any], others: bool) -> dict[str, Any]:
    if "items" in schema:
        return schema | {"items": _with(schema["items"], values, others)}
    if "anyOf" in schema:
        return schema | {"anyOf": [_with(one, values, others) for one in schema["anyOf"]]}
    fitting = [] if "$ref" in schema else [value for value in values if Draft202012Validator(schema).is_valid(value)]
    if not fitting:
        return schema
    return {"anyOf": [{"enum": fitting}, schema]} if others or "pattern" not in schema else {"enum": fitting}
