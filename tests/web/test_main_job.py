"""The main job over HTTP: a real folder up, found, down, as a zip; again from a second device and a second tenant."""

import concurrent.futures
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx2
import pytest
from blake3 import blake3

from tests.shared.portal import handoff, new_person, session_of, sign_in
from tests.shared.service import Service
from tests.shared.trees import facts_of, make_tree

STEP_BYTES = 1 << 20
MEMORY_BYTES_MAX = 150 << 20


@pytest.fixture(scope="module")
def service(make_service: Callable[..., Service]) -> Service:
    """The module's own server, whose log is read in the end."""
    return make_service(LOG_FORMAT="json")


@pytest.fixture(scope="module")
def customer(service: Service) -> Iterator[httpx2.Client]:
    with sign_in(service.url, service.settings) as client:
        yield client


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, scale: Callable[[int, int], int]) -> Path:
    return make_tree(tmp_path_factory.mktemp("tree") / "Holiday", scale(200, 2_000))


@pytest.fixture(scope="module")
def laptop(customer: httpx2.Client, tree: Path) -> str:
    """A device that the whole tree was uploaded to."""
    device = new_device(customer, "laptop")
    upload_tree(customer, device, tree)
    return device


def new_device(client: httpx2.Client, name: str) -> str:
    made = client.post("/api/v1/devices", json={"name": name, "kind": "laptop", "source_directories": ["/home/me"]})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def upload_tree(client: httpx2.Client, device: str, tree: Path) -> None:
    """Every file by PUT with its mtime, six at a time; empty folders by a manifest."""
    cookies, headers = session_of(client)
    with (
        httpx2.Client(base_url=client.base_url, cookies=cookies, headers=headers, timeout=120) as shared,
        concurrent.futures.ThreadPoolExecutor(6) as pool,
    ):
        files = [path for path in sorted(tree.rglob("*")) if path.is_file()]
        for answer in pool.map(lambda path: put_file(shared, device, path, tree), files):
            assert answer.status_code in {200, 201}, answer.text
    empty = [path for path in tree.rglob("*") if path.is_dir() and not any(path.iterdir())]
    entries = [{"path": path.relative_to(tree.parent).as_posix(), "type": "directory"} for path in empty]
    committed = client.post(f"/api/v1/devices/{device}/manifests", json={"note": "", "entries": entries, "removed": []})
    assert committed.status_code == 201, committed.text


def put_file(client: httpx2.Client, device: str, path: Path, tree: Path) -> httpx2.Response:
    name = quote(path.relative_to(tree.parent).as_posix())
    mtime = {"X-OTB-Mtime": f"{_utc(path.stat().st_mtime)}"}
    return client.put(f"/api/v1/devices/{device}/files/originals/{name}", content=path.read_bytes(), headers=mtime)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_export(client: httpx2.Client, **selection: object) -> str:
    made = client.post("/api/v1/exports", json=selection)
    assert made.status_code == 201, made.text
    return str(made.json()["url"])


def download(client: httpx2.Client, url: str, target: Path) -> int:
    with client.stream("GET", url) as answer, target.open("wb") as file:
        assert answer.status_code == 200
        for part in answer.iter_bytes(STEP_BYTES):
            file.write(part)
        return int(answer.headers["Content-Length"])


def test_the_folder_is_there_as_it_was(customer: httpx2.Client, laptop: str, tree: Path) -> None:
    wanted = facts_of(tree.parent)
    for name, facts in list(wanted.items())[::7]:
        if name.endswith("/"):
            continue
        got = customer.get(f"/api/v1/devices/{laptop}/files/originals/{quote(name)}")
        assert got.status_code == 200
        assert got.headers["ETag"] == f'"{blake3((tree.parent / name).read_bytes()).hexdigest()}"'
        assert len(got.content) == facts.size_bytes


def test_browse_and_search(customer: httpx2.Client, laptop: str, tree: Path) -> None:
    top = customer.get(f"/api/v1/devices/{laptop}/entries", params={"area": "originals", "directory": ""}).json()
    assert [entry["name"] for entry in top["entries"]] == [tree.name]
    path = next(path for path in sorted(tree.rglob("*_000*")) if path.is_file() and path.suffix)
    part = path.stem[-5:]
    found = customer.get("/api/v1/search", params={"q": part}).json()["entries"]
    assert path.relative_to(tree.parent).as_posix() in [entry["path"] for entry in found]
    zone = customer.get("/api/v1/me").json()["tenant"]["time_zone"]
    day = _day(path.stat().st_mtime, zone)
    same_day = customer.get("/api/v1/search", params={"from": day, "to": day, "by": "modified"}).json()["entries"]
    wanted = {p.relative_to(tree.parent).as_posix() for p in tree.rglob("*") if p.is_file() and _day_of(p, zone) == day}
    assert {entry["path"] for entry in same_day if entry["type"] == "file"} == wanted


def _day(seconds: float, zone: str) -> str:
    return datetime.fromtimestamp(seconds, ZoneInfo(zone)).date().isoformat()


def _day_of(path: Path, zone: str) -> str:
    return _day(path.stat().st_mtime, zone)


@pytest.mark.parametrize("program", ["unzip", "7z"])
def test_the_zip_unpacks_to_the_identical_tree(
    customer: httpx2.Client, laptop: str, tree: Path, tmp_path: Path, program: str
) -> None:
    url = new_export(customer, device=laptop, directory="", name="all")
    length = download(customer, url, tmp_path / "all.zip")
    assert (tmp_path / "all.zip").stat().st_size == length
    out = tmp_path / "out"
    out.mkdir()
    command = (
        ["unzip", "-q", "-o", str(tmp_path / "all.zip"), "-d", str(out)]
        if program == "unzip"
        else ["7z", "x", "-y", f"-o{out}", str(tmp_path / "all.zip")]
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stdout + done.stderr
    (out / "B3SUMS").unlink()
    assert facts_of(out) == facts_of(tree.parent)


def test_a_second_device_and_a_second_tenant_store_nothing_twice(
    service: Service, customer: httpx2.Client, laptop: str, tree: Path
) -> None:
    blobs = service.settings.storage_root / "blobs"
    before = disk_bytes(blobs)
    upload_tree(customer, new_device(customer, "phone"), tree)
    with sign_in(service.url, service.settings, new_person()) as stranger:
        device = new_device(stranger, "laptop")
        path = next(path for path in sorted(tree.rglob("*")) if path.is_file() and path.stat().st_size)
        digest = blake3(path.read_bytes()).hexdigest()
        asked = stranger.post("/api/v1/blobs/missing", json={"digests": [digest, "0" * 64]})
        assert asked.json() == {"missing": [digest, "0" * 64]}
        refused = stranger.post(
            f"/api/v1/devices/{device}/manifests",
            json={"note": "", "removed": [], "entries": [
                {"path": "stolen", "type": "file", "digest": digest, "size": path.stat().st_size}
            ]},
        )  # fmt: skip
        assert refused.status_code == 409
        first = put_file(stranger, device, path, tree)
        assert (first.status_code, first.json()["deduplicated"]) == (201, False)
        upload_tree(stranger, device, tree)
        theirs = stranger.get("/api/v1/search", params={"q": "000"}).json()["entries"]
        assert {entry["device"] for entry in theirs} == {device}
        assert stranger.get("/api/v1/me").json()["usage"]["used_bytes"] == total_bytes(tree)
    assert disk_bytes(blobs) == before


def test_the_log_of_all_this_names_nothing_of_anybody(
    service: Service, customer: httpx2.Client, laptop: str, tree: Path
) -> None:
    person, private = new_person(), "Brief an Tante Åse.pdf"
    token = handoff(service.settings, person)
    with httpx2.Client(base_url=service.url, timeout=120) as browser:
        assert browser.get("/auth/handoff", params={"token": token}).status_code == 303
        csrf = browser.get("/api/v1/me").json()["csrf_token"]
        device = browser.post(
            "/api/v1/devices", json={"name": "Lappi", "kind": "laptop"}, headers={"X-CSRF-Token": csrf}
        )
        address = f"/api/v1/devices/{device.json()['id']}"
        made = browser.post(f"{address}/tokens", json={"label": "backup"}, headers={"X-CSRF-Token": csrf})
        device_token = made.json()["token"]
        cookies = [cookie.value or "" for cookie in browser.cookies.jar]
    content = b"Liebe Tante"
    with httpx2.Client(base_url=service.url, headers={"Authorization": f"Bearer {device_token}"}) as computer:
        answers = [
            computer.put(f"{address}/files/originals/{quote(private)}", content=content),
            computer.get(f"{address}/files/originals/{quote(private)}"),
            computer.get(f"{address}/files/originals/{quote('no such ' + private)}"),
            computer.get("/api/v1/search", params={"q": "Tante"}),
            computer.get(f"/{quote(private)}%0D%0Ano-route"),
            computer.post("/api/v1/blobs/missing", json={"digests": [blake3(content).hexdigest(), private]}),
        ]
    assert [answer.status_code for answer in answers] == [201, 200, 404, 200, 400, 400]
    lines = [json.loads(line) for line in service.log().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    by_request = {line["request"]: line for line in lines if line["logger"] == "otb.request"}
    asked = [by_request[answer.headers["x-request-id"]] for answer in answers]
    assert [line["status"] for line in asked] == [answer.status_code for answer in answers]
    assert asked[0]["route"] == "/api/v1/devices/{device}/files/{area}/{path:path}"
    assert (asked[4]["route"], asked[3]["method"]) == (None, "GET")
    files = [path for path in tree.rglob("*") if path.is_file()]
    names = {path.name for path in tree.rglob("*") if len(path.name) > 4} | {tree.name, "Tante", "Lappi", "Liebe"}
    digests = {blake3(path.read_bytes()).hexdigest() for path in files} | {blake3(content).hexdigest()}
    secrets = {
        token,
        device_token,
        csrf,
        *cookies,
        *session_of(customer)[0].values(),
        *session_of(customer)[1].values(),
    }
    people = {person.name, person.email, person.label, person.client}
    log = service.log()
    for said in names | {quote(name) for name in names} | digests | secrets | people:
        assert said not in log, said
    assert "?" not in log.replace("{", ""), "no address with a query"


def disk_bytes(folder: Path) -> int:
    """What `du` says."""
    done = subprocess.run(["du", "-s", "-B1", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def total_bytes(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


def test_large_files_pass_in_little_memory(
    make_service: Callable[..., Service], tmp_path: Path, scale: Callable[[int, int], int]
) -> None:
    """Peak memory of the server while a large file goes up and a larger zip comes down (3 GiB and 5 GiB in proof)."""
    service = make_service(on_disk=scale(0, 1) == 1)
    first_bytes, second_bytes = scale(192 << 20, 3 << 30), scale(128 << 20, 2 << 30)
    with sign_in(service.url, service.settings) as client:
        device = new_device(client, "laptop")
        service.forget_memory_peak()
        sizes = {"large.bin": first_bytes, "text.log": second_bytes}
        for name, size in sizes.items():
            url = f"/api/v1/devices/{device}/files/originals/big/{name}"
            answer = client.put(url, content=blocks(name, size), headers={"Content-Length": str(size)})
            assert answer.status_code == 201, answer.text
            assert answer.json()["digest"] == digest_of(name, size)
        upload_peak = service.memory_peak_bytes()
        service.forget_memory_peak()
        url = new_export(client, device=device, directory="big", name="big")
        length = download(client, url, tmp_path / "big.zip")
        download_peak = service.memory_peak_bytes()
        tail = client.get(
            f"/api/v1/devices/{device}/files/originals/big/large.bin",
            headers={"Range": f"bytes={first_bytes - 5_000_000}-"},
        )
        assert (tail.status_code, len(tail.content)) == (206, 5_000_000)
    print(f"peak while uploading {upload_peak >> 20} MiB, while zipping {download_peak >> 20} MiB")
    assert (tmp_path / "big.zip").stat().st_size == length
    tested = subprocess.run(["unzip", "-tq", str(tmp_path / "big.zip")], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    shutil.rmtree(tmp_path)
    assert upload_peak < MEMORY_BYTES_MAX
    assert download_peak < MEMORY_BYTES_MAX


def blocks(name: str, size_bytes: int) -> Iterator[bytes]:
    """The content of `name`: random bytes, or lines that compress for a log."""
    rng = random.Random(name)
    block = rng.randbytes(STEP_BYTES) if name.endswith(".bin") else (b"2024-05-01 GET /index.html 200\n" * 40_000)
    left = size_bytes
    while left:
        part = (rng.randbytes(16) + block)[: min(STEP_BYTES, left)]
        left -= len(part)
        yield part


def digest_of(name: str, size_bytes: int) -> str:
    hasher = blake3()
    for part in blocks(name, size_bytes):
        hasher.update(part)
    return hasher.hexdigest()
