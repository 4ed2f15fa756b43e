"""The OpenAPI document tells the truth: every operation is in it, nothing else is, and real answers fit its schemas."""

import re
from collections.abc import Callable
from typing import Any

import httpx2
import jsonschema
import pytest

from tests.shared.service import Service
from tests.web.device import Device, bearer, stored
from tests.web.tus_client import UPLOADS, begun
from web import limits
from web.openapi import DOCUMENT
from web.operations import API

HTTP_METHODS = {"get", "put", "post", "delete", "patch"}


def test_every_operation_and_nothing_else_is_described() -> None:
    ours = {(o.method.lower(), o.path.replace(":path}", "}")) for o in API}
    described = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == ours


def test_every_parameter_of_a_path_is_described() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path


def test_schemas_are_schemas_and_all_are_used() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}'" in str(DOCUMENT), name
    for used in re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)):
        assert used in DOCUMENT["components"]["schemas"]


def test_limits_are_documented() -> None:
    text = str(DOCUMENT)
    for number in (
        limits.PAGE_ITEMS_MAX,
        limits.AUDIT_ITEMS_MAX,
        limits.MANIFEST_ENTRIES_MAX,
        limits.DIGESTS_MAX,
        limits.ENTRY_IDS_MAX,
        limits.QUERY_BYTES_MAX,
    ):
        assert f"{number:,}" in text
    for words in (
        "1 KiB a second over 12 seconds or 16 KiB a second over 60",
        "32 MiB",
        "UPLOAD_BYTES_MAX",
        f"{limits.UPLOADS_AT_ONCE} uploads",
    ):
        assert words in text


def test_the_document_is_served(running: Service) -> None:
    answer = httpx2.get(f"{running.url}/api/v1/openapi.json")
    assert answer.json() == DOCUMENT
    assert answer.headers["content-type"] == "application/json"


def check(answer: httpx2.Response, method: str, path: str) -> Any:
    """The answer's JSON, which fits what the document says of this status."""
    operation = DOCUMENT["paths"][path][method]
    described = operation["responses"].get(str(answer.status_code))
    assert described is not None, f"{method} {path} answered {answer.status_code}: {answer.text}"
    if answer.status_code == 204:
        assert answer.content == b""
        return None
    media_type = answer.headers["content-type"]
    schema = described["content"][media_type]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json())
    return answer.json()


@pytest.fixture
def call(owner: httpx2.Client) -> Callable[..., Any]:
    """`call("get", "/api/v1/x/{y}", y="1", json=…)`: make the call and check its answer against the document."""

    def called(method: str, path: str, /, *, status: int, json: Any = None, query: Any = None, **ids: str) -> Any:
        answer = owner.request(method, path.format(**ids), json=json, params=query)
        assert answer.status_code == status, answer.text
        return check(answer, method, path)

    return called


def test_answers_are_as_described(owner: httpx2.Client, running: Service, call: Callable[..., Any]) -> None:
    """One long walk through the API: each operation at least once where it succeeds."""
    devices, device_path = "/api/v1/devices", "/api/v1/devices/{device}"
    call("get", "/livez", status=200)
    call("get", "/readyz", status=200)
    made = call("post", devices, status=201, json={"name": "laptop", "kind": "laptop", "source_directories": ["/home"]})
    device = made["id"]
    laptop = Device(owner, device)
    call("get", devices, status=200)
    call("get", device_path, status=200, device=device)
    call("patch", device_path, status=200, device=device, json={"kind": "server", "source_directories": []})
    token = call("post", f"{device_path}/tokens", status=201, device=device, json={"label": "x"})
    call("get", f"{device_path}/tokens", status=200, device=device)
    with httpx2.Client(base_url=running.url, headers={"Authorization": f"Bearer {token['token']}"}) as by_token:
        check(by_token.get("/api/v1/me"), "get", "/api/v1/me")
    call("delete", device_path + "/tokens/{token}", status=204, device=device, token=token["id"])
    call("get", "/api/v1/me", status=200)

    file_path = device_path + "/files/{area}/{path}"
    put = owner.put(f"{laptop.files}/photos/a.jpg", content=b"photo")
    entry = check(put, "put", file_path)["entry"]
    check(owner.put(f"{laptop.files}/photos/a.jpg", content=b"photo 2"), "put", file_path)
    (current,) = call("get", f"{device_path}/entries", status=200, device=device, query={"directory": "photos"})[
        "entries"
    ]
    call("get", "/api/v1/entries/{entry}", status=200, entry=entry)
    assert len(call("get", "/api/v1/entries/{entry}/versions", status=200, entry=entry)["entries"]) == 2
    call("get", "/api/v1/search", status=200, query={"q": "a.jpg", "by": "modified"})
    facets = call("get", "/api/v1/search/facets", status=200, query={"q": "a.jpg"})
    assert (facets["total"], facets["exact"], facets["kinds"]) == (1, True, [{"kind": "image", "count": 1}])
    sorted_by = {"directory": "photos", "sort": "size", "order": "descending", "kind": "image"}
    assert len(call("get", f"{device_path}/entries", status=200, device=device, query=sorted_by)["entries"]) == 1
    missing = call("post", "/api/v1/blobs/missing", status=200, json={"digests": [current["digest"], "0" * 64]})
    assert missing == {"missing": ["0" * 64]}

    entries = [
        {
            "path": "b/known.jpg",
            "digest": current["digest"],
            "size": 7,
            "mtime": "2001-02-03T04:05:06.789Z",
            "mode": 420,
        },
        {"path": "b/link", "type": "link", "target": "../photos"},
        {"path_bytes": "_y5qcGc", "digest": current["digest"], "size": 7},
        {"path": "empty", "type": "directory", "mtime": "2001-02-03T04:05:06Z"},
    ]
    manifests = f"{device_path}/manifests"
    wanted = {"note": "nightly", "entries": entries, "removed": ["photos"]}
    done = call("post", manifests, status=201, device=device, json=wanted)
    # The folders `b` and `empty` are names too, but only files and links are counted as added.
    assert (done["added"], done["removed"]) == (3, 2)
    again = call("post", manifests, status=200, device=device, json={"entries": entries[3:]})
    assert again["manifest"] is None
    call("post", manifests, status=409, device=device, json={"entries": [{"path": "c", "digest": "1" * 64, "size": 1}]})
    call("get", manifests, status=200, device=device)
    one = {"device": device, "sequence": done["manifest"]}
    change = f"{device_path}/manifests/{{sequence}}"
    at = call("get", change, status=200, **one)["at"]
    assert call("get", f"{change}/changes", status=200, **one)["changes"]
    undone = call("post", f"{change}/undo", status=201, **one)
    call("post", f"{change}/undo", status=201, device=device, sequence=undone["manifest"])
    restore = f"{device_path}/restore"
    call("post", restore, status=200, device=device, json={"at": "2040-01-01T00:00:00Z"})
    assert at < "2040"
    root = call("get", f"{device_path}/entries", status=200, device=device)["entries"]
    assert next(e for e in root if "path_bytes" in e)["path_bytes"] == "_y5qcGc"

    held = call("get", "/api/v1/deleted", status=200)["entries"]
    assert call("get", "/api/v1/damaged", status=200) == {"entries": [], "next": None}
    recovered = call("post", "/api/v1/entries/recover", status=200, json={"entries": [held[0]["id"]]})
    assert recovered["recovered"] == 2
    (photo,) = call("get", f"{device_path}/entries", status=200, device=device, query={"directory": "photos"})[
        "entries"
    ]
    folder = call("post", f"{device_path}/folders", status=201, device=device, json={"path": "sorted/best"})
    call("post", f"{device_path}/folders", status=409, device=device, json={"path": "sorted/best"})
    moving = {"entries": [photo["id"]], "directory": "sorted/best"}
    (photo,) = call("post", "/api/v1/entries/move", status=200, json=moving)["entries"]
    assert photo["path"] == f"{folder['path']}/a.jpg"
    (photo,) = call("post", "/api/v1/entries/revert", status=200, json={"entries": [entry]})["entries"]
    assert photo["path"] == "sorted/best/a.jpg"
    renaming = {"entries": [photo["id"]], "base_name": "renamed"}
    renamed = call("post", "/api/v1/entries/rename", status=200, json=renaming)
    assert renamed["entries"][0]["name"] == "renamed.jpg"
    export = call("post", "/api/v1/exports", status=201, json={"device": device, "directory": "sorted"})
    call("get", "/api/v1/exports", status=200)
    assert call("get", "/api/v1/usage", status=200)["breakdown"]["devices"]
    call("get", "/api/v1/usage", status=400, query={"from": "2024-02-02", "to": "2024-02-01"})
    call("get", "/api/v1/exports/{export}", status=200, export=export["export"])
    spare = call("post", "/api/v1/exports", status=201, json={"again": export["export"]})
    call("delete", "/api/v1/exports/{export}", status=204, export=spare["export"])
    zipped = owner.get(export["url"])
    assert (zipped.status_code, len(zipped.content)) == (200, export["size_bytes"])
    assert zipped.headers["etag"] == export["etag"]
    removed = call("post", "/api/v1/entries/delete", status=200, json={"entries": [renamed["entries"][0]["id"]]})
    assert removed == {"removed": 1}
    purged = call("post", "/api/v1/entries/purge", status=200, json={"entries": [renamed["entries"][0]["id"]]})
    assert (purged["files"], purged["freed"] > 0) == (1, True)
    call("get", "/api/v1/exports/{export}/{name}.zip", status=410, export=export["export"], name="x")
    rule = call("put", "/api/v1/retention", status=200, json={"versions": 5, "days": None})
    assert call("get", "/api/v1/retention", status=200) == rule == {"versions": 5, "days": None}
    call("put", "/api/v1/retention", status=400, json={"versions": -1, "days": None})
    call("delete", device_path, status=409, device=device)
    spare = call("post", devices, status=201, json={"name": "spare"})["id"]
    call("delete", device_path, status=204, device=spare)
    begun(owner, 9, b"half", device=device, filename="half.bin")
    (half,) = call("get", UPLOADS, status=200)["uploads"]
    assert (half["path"], half["size"], half["offset"]) == ("half.bin", 9, 4)
    events = call("get", "/api/v1/audit", status=200)["events"]
    assert {"upload", "delete", "recover", "rename", "export.create", "export.download"} <= {
        e["action"] for e in events
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "/api/v1/devices", {"name": ""}, 400),
        ("post", "/api/v1/devices", {"name": "x", "kind": "toaster"}, 400),
        ("post", "/api/v1/devices", {"name": "x", "admin": True}, 400),
        ("post", "/api/v1/devices", {"name": 7}, 400),
        ("post", "/api/v1/devices", {"name": "tab\there"}, 400),
        ("post", "/api/v1/blobs/missing", {"digests": ["xyz"]}, 400),
        ("post", "/api/v1/blobs/missing", {"digests": ["0" * 64] * 10_001}, 413),
        ("post", "/api/v1/entries/delete", {"entries": []}, 400),
        ("post", "/api/v1/entries/delete", {"entries": ["x"]}, 404),
        ("post", "/api/v1/entries/rename", {"entries": ["1", "2"], "base_name": "x"}, 400),
        ("post", "/api/v1/exports", {}, 400),
        ("post", "/api/v1/exports", {"entries": ["1"], "device": "1"}, 400),
        ("post", "/api/v1/exports", {"entries": []}, 400),
        ("get", "/api/v1/search?from=2024-02-30", None, 400),
        ("get", "/api/v1/search?from=2024-05-02&to=2024-05-01", None, 400),
        ("get", "/api/v1/search?by=moon", None, 400),
        ("get", "/api/v1/search?limit=0", None, 400),
        ("get", "/api/v1/search?limit=1001", None, 400),
        ("get", "/api/v1/search?cursor=x", None, 400),
        ("get", "/api/v1/search?q=size:10M", None, 400),
        ("get", "/api/v1/search/facets?q=on:yesterday", None, 400),
        ("get", "/api/v1/audit?cursor=!!", None, 400),
        ("get", "/api/v1/audit?q=%ff", None, 400),
    ],
)
def test_bad_requests_are_as_described(owner: httpx2.Client, method: str, path: str, body: Any, status: int) -> None:
    answer = owner.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    problem = check(answer, method, path.partition("?")[0])
    assert problem["status"] == status
    assert problem["detail"].endswith(".")


@pytest.mark.parametrize("asked", ["content?inline=yes", "thumbnail?quiet=yes", "preview?quiet=2"])
def test_a_flag_is_1_or_left_out(laptop: Device, asked: str) -> None:
    entry = stored(laptop, "a.jpg", b"a")
    answer = laptop.client.get(f"/api/v1/entries/{entry}/{asked}")
    assert answer.status_code == 400
    check(answer, "get", f"/api/v1/entries/{{entry}}/{asked.partition('?')[0]}")


@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/audit/activity.csv", "/api/v1/audit/activity.json"])
def test_an_audit_that_the_caller_may_not_see_is_refused_before_anything_is_sent(laptop: Device, path: str) -> None:
    with bearer(str(laptop.client.base_url), laptop.token()) as by_token:
        answer = by_token.get(path, params={"device": "999999"})
    assert answer.status_code == 404
    check(answer, "get", path)


def test_a_body_of_another_type_or_size_is_refused(owner: httpx2.Client) -> None:
    devices = "/api/v1/devices"
    for content, media_type, status in (
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b'{"name":"x"}', "", 415),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"name":"' + b"x" * limits.JSON_BODY_BYTES_MAX + b'"}', "application/json", 413),
    ):
        answer = owner.post(devices, content=content, headers={"Content-Type": media_type})
        assert answer.status_code == status
        check(answer, "post", devices)


def test_manifests_come_as_lines_too(owner: httpx2.Client) -> None:
    laptop = Device.make(owner, "laptop")
    stored(laptop, "a", b"a")
    digest = laptop.entries()[0]["digest"]
    manifests = f"/api/v1/devices/{laptop.id}/manifests"
    lines = b'{"note":"lines"}\n{"path":"b","digest":"%s","size":1}\n\n{"removed":"a"}' % digest.encode()
    answer = owner.post(manifests, content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert (answer.status_code, answer.json()["added"], answer.json()["removed"]) == (201, 1, 1)
    assert owner.get(manifests).json()["manifests"][0]["note"] == "lines"
    for bad, number in ((b'{"path":"c"}\n{"nothing":1}', 2), (b"{}\n{", 2), (b"[]", 1)):
        refused = owner.post(manifests, content=bad, headers={"Content-Type": "application/x-ndjson"})
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith(f"Line {number}:")


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "a"},
        {"path": "a", "digest": "0" * 64},
        {"path": "a", "path_bytes": "YQ", "type": "directory"},
        {"type": "directory"},
        {"path": "../a", "type": "directory"},
        {"path": "a//b", "type": "directory"},
        {"path_bytes": "Li4", "type": "directory"},
        {"path_bytes": "AA", "type": "directory"},
        {"path_bytes": "!", "type": "directory"},
        {"path": "a", "type": "link"},
        {"path": "a", "type": "link", "target": "x" * 4097},
        {"path": "a", "type": "directory", "mode": 0o10000},
        {"path": "a", "type": "directory", "mtime": "yesterday"},
        {"path": "a", "type": "socket"},
        {"path": "a", "digest": "0" * 64, "size": -1},
    ],
)
def test_each_line_of_a_manifest_is_checked(owner: httpx2.Client, laptop: Device, entry: dict[str, Any]) -> None:
    answer = owner.post(f"/api/v1/devices/{laptop.id}/manifests", json={"entries": [entry]})
    assert answer.status_code == 400, answer.text
    assert laptop.entries() == []
