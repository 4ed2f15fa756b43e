"""The configuration of the reverse proxy, in a real nginx with TLS before the real server."""

import random
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2
import pytest

from cas.blob import Encoding
from cas.digest import Digest
from cas.layout import blob_key
from tests.shared.portal import handoff, new_person
from tests.shared.proxy import NAME, SECONDS_MAX, behind_proxy, certificate, nginx, sign_in_as
from tests.shared.service import Service, free_port
from tests.shared.settings import GivenSettings
from tests.shared.sql import execute
from tests.web.device import Device
from tools.verify.main import main as verify_main
from web.blob_frames import BLOBS_TYPE, frame_head

ELSEWHERE: Final = "203.0.113.7"
PLAIN: Final = random.Random(3).randbytes(5_000_000)
"""Does not compress and is too large for a pack: it lies in the store as it came."""


@pytest.fixture(scope="module")
def service(given: GivenSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = behind_proxy(given, tmp_path_factory.mktemp("service"), ACCEL_LOCATION="/otb-cloud-blobs/").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def plain_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def proxy(service: Service, tls: Path, plain_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx(service, tls, tmp_path_factory.mktemp("nginx"), plain_port) as address:
        yield address


@pytest.fixture
def owner(service: Service, proxy: str, tls: Path) -> Iterator[httpx2.Client]:
    """An owner who signed in through nginx, by the public name."""
    with httpx2.Client(
        base_url=proxy,
        verify=ssl.create_default_context(cafile=tls),
        headers={"Host": NAME, "X-Forwarded-For": ELSEWHERE},
        timeout=SECONDS_MAX,
    ) as client:
        token = handoff(service.settings, new_person())
        entered = client.get(f"/auth/handoff?token={token}")
        assert entered.status_code == 303, entered.text
        cookie = re.match(r"(__Host-otb_session)=([^;]+)", entered.headers["set-cookie"])
        assert cookie
        client.headers["Cookie"] = f"{cookie[1]}={cookie[2]}"
        client.headers["X-CSRF-Token"] = client.get("/api/v1/me").json()["csrf_token"]
        yield client


@pytest.fixture
def verify(service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], int]:
    """`verify(content)`: re-reads these bytes in the store; the exit code."""
    monkeypatch.setenv("OTB_CLOUD_SETTINGS", str(service.given.file))
    return lambda content: verify_main(["--digest", Digest.of(content).hex])


def told(service: Service, owner: httpx2.Client, path: str, **headers: str) -> httpx2.Response:
    """What the server answers to a proxy that is ready to send files by itself."""
    said = {"Host": NAME, "X-Forwarded-For": ELSEWHERE, "X-Accel-Ready": "yes", "Cookie": owner.headers["Cookie"]}
    return httpx2.get(f"{service.url}{path}", headers=said | headers, timeout=SECONDS_MAX)


def file_of(service: Service, content: bytes) -> Path:
    return service.settings.storage_root / blob_key(Digest.of(content), Encoding.IDENTITY)


def addresses(client: httpx2.Client) -> set[Any]:
    return {event["address"] for event in client.get("/api/v1/audit").json()["events"]}


def test_files_go_up_and_down(owner: httpx2.Client) -> None:
    laptop = Device.make(owner, "laptop")
    content = bytes(range(256)) * 40_000
    sent = owner.put(f"{laptop.files}/large.bin", content=content)
    assert sent.status_code == 201, sent.text
    assert owner.get(f"{laptop.files}/large.bin").content == content
    part = owner.get(f"{laptop.files}/large.bin", headers={"Range": "bytes=5000000-5000255"})
    assert (part.status_code, part.content) == (206, content[5_000_000:5_000_256])


def test_pages_are_redirected_to_https_and_the_api_is_not(proxy: str, plain_port: int) -> None:
    plain = f"http://127.0.0.1:{plain_port}"
    page = httpx2.get(f"{plain}/devices?a=b", headers={"Host": NAME})
    assert (page.status_code, page.headers["location"]) == (301, f"https://{NAME}/devices?a=b")
    assert httpx2.get(f"{plain}/api/v1/me", headers={"Host": NAME}).status_code == 403


def test_answers_keep_their_headers(owner: httpx2.Client) -> None:
    home = owner.get("/")
    assert home.status_code == 200
    assert "default-src 'none'" in home.headers["content-security-policy"]
    assert "strict-transport-security" in home.headers
    assert "nginx/" not in home.headers.get("server", "")


def test_an_address_is_what_the_proxy_saw_whatever_the_client_says(owner: httpx2.Client) -> None:
    assert addresses(owner) == {"127.0.0.1"}


def test_what_the_proxy_says_is_believed(service: Service) -> None:
    with sign_in_as(service, ELSEWHERE) as client:
        assert addresses(client) == {ELSEWHERE}


def test_a_request_has_the_id_that_the_proxy_gave_it_if_it_is_one(
    service: Service, owner: httpx2.Client, proxy: str
) -> None:
    said = owner.get("/livez", headers={"X-Request-Id": "what-a-customer-says"})
    assert re.fullmatch("[0-9a-f]{32}", said.headers["x-request-id"]), "nginx's own"
    for given, is_taken in (
        ("0123abCD-9", True), ("short", False), ("x" * 65, False), ("a b c d e f", False), ('quoted"123', False)
    ):  # fmt: skip
        answer = told(service, owner, "/livez", **{"X-Request-Id": given})
        assert (answer.headers["x-request-id"] == given) is is_taken
        assert is_taken or re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_without_a_known_proxy_nobody_is_believed(
    service: Service, owner: httpx2.Client, verify: Callable[[bytes], int], tmp_path: Path
) -> None:
    laptop = Device.make(owner, "alone")
    owner.put(f"{laptop.files}/x", content=PLAIN)
    assert verify(PLAIN) == 0
    assert "x-accel-redirect" in told(service, owner, f"{laptop.files}/x").headers
    alone = Service(service.given.with_values(PROXY_ADDRESSES=""), tmp_path, f"https://{NAME}").start()
    try:
        with sign_in_as(alone, ELSEWHERE) as client:
            assert addresses(client) == {"127.0.0.1"}
        answer = told(alone, owner, f"{laptop.files}/x", **{"X-Request-Id": "0123456789abcdef0"})
        assert answer.content == PLAIN
        assert answer.headers["x-request-id"] != "0123456789abcdef0"
    finally:
        alone.stop()


def test_what_is_for_monitors_stays_here(owner: httpx2.Client) -> None:
    assert owner.get("/readyz").status_code == 200


def test_a_file_that_was_re_read_is_sent_by_nginx_as_we_would_send_it(
    service: Service, owner: httpx2.Client, verify: Callable[[bytes], int]
) -> None:
    laptop, content = Device.make(owner, "accelerated"), PLAIN + b"of its own"
    path, digest = f"{laptop.files}/%C3%A9t%C3%A9.bin", Digest.of(content).hex
    assert owner.put(path, content=content, headers={"X-OTB-Mtime": "2024-05-03T14:05:06Z"}).status_code == 201
    ours = owner.get(path)
    assert "x-accel-redirect" not in told(service, owner, path).headers, "nobody has re-read it yet"
    assert verify(content) == 0
    assert (
        told(service, owner, path).headers["x-accel-redirect"]
        == f"/otb-cloud-blobs/{digest[:2]}/{digest[2:4]}/{digest}"
    )
    assert told(service, owner, path).content == b""
    theirs = owner.get(path)
    assert theirs.content == ours.content == content
    passing = {"date", "server", "connection", "x-request-id"}
    assert {n: v for n, v in theirs.headers.items() if n not in passing} == {
        n: v for n, v in ours.headers.items() if n not in passing
    }
    assert re.fullmatch("[0-9a-f]{32}", theirs.headers["x-request-id"])
    part = owner.get(path, headers={"Range": "bytes=1000000-1000099", "If-Range": f'"{digest}"'})
    assert (part.status_code, part.content) == (206, content[1_000_000:1_000_100])
    assert part.headers["content-range"] == f"bytes 1000000-1000099/{len(content)}"
    assert owner.get(path, headers={"Range": "bytes=5-9", "If-Range": '"other"'}).content == content
    assert owner.get(path, headers={"Range": "bytes=5000010-"}).status_code == 416
    assert owner.get(path, headers={"If-None-Match": f'"{digest}"'}).status_code == 304
    assert owner.get(path, headers={"If-Modified-Since": ours.headers["last-modified"]}).status_code == 200
    assert owner.get(path, headers={"If-Unmodified-Since": ours.headers["last-modified"]}).status_code == 200
    events = owner.get("/api/v1/audit").json()["events"]
    assert [event["subject"] for event in events if event["action"] == "download"] == ["été.bin"]


def test_only_the_proxy_is_told_and_it_lets_nobody_in(
    service: Service, owner: httpx2.Client, verify: Callable[[bytes], int]
) -> None:
    laptop = Device.make(owner, "guarded")
    path, digest = f"{laptop.files}/plain.bin", Digest.of(PLAIN).hex
    owner.put(path, content=PLAIN)
    assert verify(PLAIN) == 0
    assert "x-accel-redirect" in told(service, owner, path).headers
    assert "x-accel-redirect" not in told(service, owner, path, **{"X-Accel-Ready": ""}).headers
    inside = f"/otb-cloud-blobs/{digest[:2]}/{digest[2:4]}/{digest}"
    for address in (inside, f"/x/..{inside}", inside.replace("-", "%2d"), f"/{inside}", "/otb-cloud-blobs/../lock"):
        assert owner.get(address).status_code == 404, address
    # What a customer writes reaches neither the header nor the file's name.
    odd = f"{laptop.files}/X-Accel-Redirect:%20{quote('/otb-cloud-blobs/x', safe='')}"
    assert owner.put(odd, content=PLAIN, headers={"X-Accel-Redirect": "/otb-cloud-blobs/FORMAT"}).status_code == 400
    said = owner.get(path, headers={"X-Accel-Redirect": "/otb-cloud-blobs/", "X-Accel-Ready": ""})
    assert said.content == PLAIN


@pytest.mark.parametrize(
    ("name", "content"),
    [("packed", b"few bytes"), ("compressed", b"the same words again and again. " * 100_000)],
)
def test_what_does_not_lie_there_as_it_came_is_sent_by_the_server(
    service: Service, owner: httpx2.Client, verify: Callable[[bytes], int], name: str, content: bytes
) -> None:
    laptop = Device.make(owner, name)
    if name == "packed":
        batch = frame_head(Digest.of(content), len(content)) + content
        owner.post("/api/v1/blobs", content=batch, headers={"Content-Type": BLOBS_TYPE})
        entry = {"path": name, "digest": Digest.of(content).hex, "size": len(content)}
        sent = owner.post(f"/api/v1/devices/{laptop.id}/manifests", json={"entries": [entry]})
    else:
        sent = owner.put(f"{laptop.files}/{name}", content=content)
    assert sent.status_code == 201, sent.text
    assert verify(content) == 0
    assert told(service, owner, f"{laptop.files}/{name}").content == content
    assert owner.get(f"{laptop.files}/{name}").content == content


def test_what_is_damaged_or_gone_is_the_servers_to_tell(
    service: Service, owner: httpx2.Client, verify: Callable[[bytes], int]
) -> None:
    laptop, content = Device.make(owner, "damaged"), PLAIN[::-1]
    owner.put(f"{laptop.files}/x", content=content)
    assert verify(content) == 0
    file = file_of(service, content)
    away = file.rename(file.with_name("away"))
    assert owner.get(f"{laptop.files}/x").json()["type"].endswith("/damaged")
    away.rename(file)
    file.chmod(0o600)
    with file.open("r+b") as opened:
        opened.write(b"\0\0\0\0")
    assert verify(content) == 1
    assert "x-accel-redirect" not in told(service, owner, f"{laptop.files}/x").headers
    assert owner.get(f"{laptop.files}/x").status_code == 500


def test_a_verification_that_is_too_old_counts_no_more(
    service: Service, owner: httpx2.Client, verify: Callable[[bytes], int]
) -> None:
    laptop = Device.make(owner, "old")
    owner.put(f"{laptop.files}/x", content=PLAIN)
    assert verify(PLAIN) == 0
    assert "x-accel-redirect" in told(service, owner, f"{laptop.files}/x").headers
    digest = Digest.of(PLAIN).raw
    late = "UPDATE verification SET verified_at = UTC_TIMESTAMP(6) - INTERVAL 36 DAY WHERE blob_id IN"
    execute(service.settings, f"{late} (SELECT id FROM `blob` WHERE digest = %s)", (digest,))
    assert told(service, owner, f"{laptop.files}/x").content == PLAIN


def test_guessing_has_an_end(proxy: str, tls: Path) -> None:
    """The last one: nobody signs in from here for a while."""
    context = ssl.create_default_context(cafile=tls)
    with httpx2.Client(base_url=proxy, verify=context, headers={"Host": NAME}) as client:
        answers = [client.post("/auth/handoff", data={"token": f"x{number}"}).status_code for number in range(60)]
    assert set(answers) == {403, 429}
