"""A real nginx with the configuration of `systemd/nginx/` and TLS, before a server that has its public name."""

import getpass
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from typing import Final

import httpx2

from tests.shared.portal import handoff, new_person
from tests.shared.service import Service, free_port
from tests.shared.settings import GivenSettings

CONFIGURATION: Final = Path(__file__).resolve().parents[2] / "systemd" / "nginx" / "otb-cloud.conf"
NAME: Final = "otb-cloud.outsidethebox.top"
NGINX: Final = "/usr/sbin/nginx"
SECONDS_MAX: Final = 60

_AROUND: Final = """
daemon off;
user {user};
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/otb-cloud.conf;
}}
"""


@dataclass(frozen=True)
class Site:
    """A server and both ways to it: `fronts` is address by name, `alone` and `nginx`; `tls` the certificate."""

    service: Service
    fronts: dict[str, str]
    tls: Path

    def customer(self, owner: httpx2.Client, front: str) -> httpx2.Client:
        """The same owner by this way."""
        context = ssl.create_default_context(cafile=self.tls)
        return httpx2.Client(
            base_url=self.fronts[front], verify=context, headers=owner.headers, timeout=SECONDS_MAX
        )  # fmt: skip


def behind_proxy(given: GivenSettings, folder: Path, **values: str) -> Service:
    """The server as production has it: called by its public name, with the proxy's address known."""
    return Service(given.with_values(PROXY_ADDRESSES="127.0.0.1", **values), folder, f"https://{NAME}")


def certificate(folder: Path) -> Path:
    """Make a certificate for the public name, in a folder that stands for the real one's. Returns the certificate."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1",
         "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "fullchain.pem"


@contextmanager
def nginx(service: Service, tls: Path, folder: Path, plain_port: int | None = None) -> Iterator[str]:
    """The address of nginx, with the certificate `tls`; plain HTTP comes to `plain_port`. Only places and ports of its
    configuration are changed."""
    port = free_port()
    text = CONFIGURATION.read_text("utf-8")
    text = text.replace("127.0.0.1:5090", f"127.0.0.1:{service.port}")
    text = text.replace(f"/etc/letsencrypt/live/{NAME}", str(tls.parent)).replace("/var/log/nginx", str(folder))
    text = text.replace("/tank/backups/otb-cloud", str(service.settings.storage_root))
    text = re.sub(r"listen \[::\]:\d+[^;]*;\n", "", text)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{plain_port or free_port()};")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{port} ")
    (folder / "otb-cloud.conf").write_text(text, "utf-8")
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, user=getpass.getuser()), "utf-8")
    process = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    deadline = time.monotonic() + SECONDS_MAX
    while not _listens(port):
        assert process.poll() is None, (folder / "error.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"https://127.0.0.1:{port}"
    process.terminate()
    process.wait(SECONDS_MAX)
    assert "token=" not in (folder / "otb-cloud.log").read_text()


@contextmanager
def sign_in_as(service: Service, address: str) -> Iterator[httpx2.Client]:
    """The owner of a new account. Past nginx, as it would speak for somebody at `address`."""
    said = {"Host": NAME, "X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
    with httpx2.Client(base_url=service.url, headers=said, timeout=SECONDS_MAX) as client:
        entered = client.post("/auth/handoff", data={"token": handoff(service.settings, new_person())})
        assert entered.status_code == 303, entered.text
        client.headers["Cookie"] = entered.headers["set-cookie"].partition(";")[0]
        client.headers["X-CSRF-Token"] = client.get("/api/v1/me").json()["csrf_token"]
        yield client


def _listens(port: int) -> bool:
    with suppress(OSError), create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
