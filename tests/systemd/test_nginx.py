"""The configuration of the reverse proxy, in a real nginx with TLS before the real server."""

import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection
from typing import Any, Final

import httpx2
import pytest

from tests.shared.portal import handoff, new_person
from tests.shared.service import Service, free_port
from tests.shared.settings import GivenSettings
from tests.web.device import Device

CONFIGURATION: Final = Path(__file__).resolve().parents[2] / "systemd" / "nginx" / "otb-cloud.conf"
NAME: Final = "otb-cloud.outsidethebox.top"
NGINX: Final = "/usr/sbin/nginx"
SECONDS_MAX: Final = 60
ELSEWHERE: Final = "203.0.113.7"

_AROUND: Final = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/otb-cloud.conf;
}}
"""


@pytest.fixture(scope="module")
def service(given: GivenSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The server as production has it: called by its public name, with the proxy's address known."""
    behind = given.with_values(PROXY_ADDRESSES="127.0.0.1")
    running = Service(behind, tmp_path_factory.mktemp("service"), f"https://{NAME}").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for the public name, in the place where the real one's folder would be."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1",
         "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def proxy(service: Service, tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx. Only places and ports of its configuration are changed."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    text = CONFIGURATION.read_text("utf-8")
    text = text.replace("127.0.0.1:5090", f"127.0.0.1:{service.port}")
    text = text.replace(f"/etc/letsencrypt/live/{NAME}", str(tls)).replace("/var/log/nginx", str(folder))
    text = re.sub(r"listen \[::\]:\d+[^;]*;\n", "", text)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{port} ")
    (folder / "otb-cloud.conf").write_text(text, "utf-8")
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder), "utf-8")
    process = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    deadline = time.monotonic() + SECONDS_MAX
    while not listens(port):
        assert process.poll() is None, (folder / "error.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"https://127.0.0.1:{port}"
    process.terminate()
    process.wait(SECONDS_MAX)
    assert "token=" not in (folder / "otb-cloud.log").read_text()


def listens(port: int) -> bool:
    with suppress(OSError), create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def owner(service: Service, proxy: str, tls: Path) -> Iterator[httpx2.Client]:
    """An owner who signed in through nginx, by the public name."""
    with httpx2.Client(
        base_url=proxy,
        verify=ssl.create_default_context(cafile=tls / "fullchain.pem"),
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


@contextmanager
def sign_in_as(service: Service, address: str) -> Iterator[httpx2.Client]:
    """Past nginx, as it would speak for somebody at `address`."""
    said = {"Host": NAME, "X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
    with httpx2.Client(base_url=service.url, headers=said) as client:
        entered = client.post("/auth/handoff", data={"token": handoff(service.settings, new_person())})
        assert entered.status_code == 303, entered.text
        client.headers["Cookie"] = entered.headers["set-cookie"].partition(";")[0]
        yield client


def test_without_a_known_proxy_nobody_is_believed(service: Service, tmp_path: Path) -> None:
    alone = Service(service.given.with_values(PROXY_ADDRESSES=""), tmp_path, f"https://{NAME}").start()
    try:
        with sign_in_as(alone, ELSEWHERE) as client:
            assert addresses(client) == {"127.0.0.1"}
    finally:
        alone.stop()


def test_what_is_for_monitors_stays_here(owner: httpx2.Client) -> None:
    assert owner.get("/readyz").status_code == 200


def test_guessing_has_an_end(proxy: str, tls: Path) -> None:
    context = ssl.create_default_context(cafile=tls / "fullchain.pem")
    with httpx2.Client(base_url=proxy, verify=context, headers={"Host": NAME}) as client:
        answers = [client.post("/auth/handoff", data={"token": f"x{number}"}).status_code for number in range(60)]
    assert set(answers) == {403, 429}
