"""tools/lapses and a real mail server with TLS: who is told of what, when again, and what a dead server costs."""

import asyncio
import email
import ssl
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Final

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.values import Actor, DeviceKind, Role
from tests.catalog.conftest import claims
from tests.shared.service import free_port
from tests.shared.settings import GivenSettings
from tests.shared.sql import execute
from tools.lapses.main import main

USER: Final = "otb"
PASSWORD: Final = "not a word of ours"


@dataclass
class Post:
    """A mail server's box. `refused`: addresses that it does not know."""

    mails: list[EmailMessage] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    ciphers: list[Any] = field(default_factory=list)

    async def handle_RCPT(self, _server: Any, session: Session, envelope: Envelope, address: str, _options: Any) -> str:
        if address in self.refused:
            return "550 no such person"
        self.ciphers.append(session.ssl)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        return "250 OK"

    def take(self) -> list[EmailMessage]:
        taken, self.mails = self.mails, []
        return taken


def knows(_server: Any, _session: Session, _envelope: Envelope, _mechanism: str, login: Any) -> AuthResult:
    return AuthResult(success=login == LoginPassword(USER.encode(), PASSWORD.encode()), handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@dataclass
class World:
    """An account with a laptop that has a token, and a mail server that may be down."""

    given: GivenSettings
    post: Post
    start: Callable[[], Controller]
    client: str
    tenant_id: int
    device_id: int

    def silent_for(self, days: float) -> None:
        """The device was last heard of so many days ago."""
        moment = f"UTC_TIMESTAMP(6) - INTERVAL {int(days * 86_400)} SECOND"
        where = (self.tenant_id, self.device_id)
        execute(
            self.given.settings,
            f"UPDATE device_token SET last_used_at = {moment}, created_at = {moment}"
            " WHERE tenant_id = %s AND device_id = %s",
            where,
        )
        execute(self.given.settings, f"UPDATE device SET created_at = {moment} WHERE tenant_id = %s AND id = %s", where)

    def told_days_ago(self, days: float) -> None:
        """What was mailed was mailed so long ago."""
        execute(
            self.given.settings,
            f"UPDATE device SET lapse_mailed_at = UTC_TIMESTAMP(6) - INTERVAL {int(days * 86_400)} SECOND"
            " WHERE tenant_id = %s",
            (self.tenant_id,),
        )

    def run(self) -> list[EmailMessage]:
        assert main([]) == 0
        return self.post.take()


async def make_account(given: GivenSettings, client: str) -> tuple[int, int]:
    """An owner, a member, and an owner whose address is none; a laptop with a token, a phone without."""
    with closing(LocalBackend(given.settings.storage_root)) as backend:
        catalog = await Catalog.open(given.settings, Journal(backend), BlobStore.open(backend).store_id)
        try:
            people = [
                ("owner@example.com", Role.OWNER),
                ("member@example.com", Role.MEMBER),
                ("no address", Role.OWNER),
            ]
            for subject, role in people:
                coming = claims(client, subject=subject, email=subject, role=role)
                await catalog.system.sessions.handoff(coming, None, "")
            tenant = await catalog.system.tenant_by_client(client)
            scope = catalog.tenant(tenant, Actor("system", "test"))
            laptop = await scope.devices.create("Olives Läppi", DeviceKind.LAPTOP)
            await scope.devices.create_token(laptop.id, "backup")
            await scope.devices.create("phone", DeviceKind.PHONE)
            return tenant.id, laptop.id
        finally:
            await catalog.close()


@pytest.fixture
def world(given: GivenSettings, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    post, port, client = Post(), free_port(), f"client-{uuid.uuid4()}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    started: list[Controller] = []

    def start() -> Controller:
        controller = Controller(
            post, "localhost", port, tls_context=context, require_starttls=True,
            authenticator=knows, auth_required=True, server_hostname="localhost",
        )  # fmt: skip
        controller.start()
        started.append(controller)
        return controller

    mailing = {"MAIL_SERVER": "localhost", "MAIL_PORT": str(port), "MAIL_USER": USER, "MAIL_PASSWORD": PASSWORD}
    with_mail = given.with_values(**mailing)
    monkeypatch.setenv("OTB_CLOUD_SETTINGS", str(with_mail.file))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    tenant_id, device_id = asyncio.run(make_account(given, client))
    yield World(with_mail, post, start, client, tenant_id, device_id)
    for controller in started:
        if controller.server is not None:
            controller.stop()
    execute(given.settings, "UPDATE tenant SET status = 'suspended' WHERE id = %s", (tenant_id,))


def test_owners_are_told_once_and_again_after_a_week(world: World) -> None:
    world.start()
    assert world.run() == [], "it was heard of just now"
    world.silent_for(8.5)
    (mail,) = world.run()
    assert [address.addr_spec for address in mail["To"].addresses] == ["owner@example.com"]
    assert mail["Subject"] == "“Olives Läppi” has not backed up for 8 days"
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert "“Olives Läppi” was last heard of" in text
    assert "(America/Toronto)" in text
    assert f"{world.given.settings.public_url}/devices" in text
    assert mail["Auto-Submitted"] == "auto-generated"
    assert all(world.post.ciphers), "every mail went through TLS"
    assert world.run() == []
    world.told_days_ago(6.9)
    assert world.run() == []
    world.silent_for(16)
    world.told_days_ago(7.1)
    assert len(world.run()) == 1
    assert world.run() == []


def test_a_new_lapse_is_told_at_once(world: World) -> None:
    world.start()
    world.silent_for(20)
    assert len(world.run()) == 1
    world.told_days_ago(9)
    world.silent_for(8)  # heard of again after that mail, and lapsed since
    assert len(world.run()) == 1
    assert world.run() == []


def test_a_server_that_is_down_is_tried_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.silent_for(8)
    assert main([]) == 2
    assert "does not let us in" in capsys.readouterr().err
    world.start()
    assert len(world.run()) == 1


def test_who_is_refused_is_said_and_tried_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.start()
    world.silent_for(8)
    world.post.refused.add("owner@example.com")
    assert main([]) == 1
    told = capsys.readouterr()
    assert f"device {world.device_id} of account {world.tenant_id}: nobody was told" in told.err
    world.post.refused.clear()
    assert len(world.run()) == 1


def test_a_certificate_that_is_not_the_servers_is_refused(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    world.silent_for(8)
    monkeypatch.delenv("SSL_CERT_FILE")
    assert main([]) == 2
    assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err
    assert world.post.take() == []


def test_who_cannot_lapse_is_not_told_of(world: World) -> None:
    world.start()
    world.silent_for(30)
    settings = world.given.settings
    execute(settings, "UPDATE tenant SET status = 'suspended' WHERE id = %s", (world.tenant_id,))
    assert world.run() == []
    execute(settings, "UPDATE tenant SET status = 'active' WHERE id = %s", (world.tenant_id,))
    execute(settings, "UPDATE device_token SET revoked_at = UTC_TIMESTAMP(6) WHERE tenant_id = %s", (world.tenant_id,))
    assert world.run() == []


def test_without_a_mail_server_nothing_happens(
    given: GivenSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTB_CLOUD_SETTINGS", str(given.file))
    assert main([]) == 0
    assert "MAIL_SERVER is not set" in capsys.readouterr().out
