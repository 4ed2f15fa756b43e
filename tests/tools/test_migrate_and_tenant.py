"""tools/migrate and tools/tenant as an operator runs them: as programs, on a real database."""

import subprocess
import uuid
from collections.abc import Callable

import pytest

from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.errors import SchemaMismatch, TenantSuspended
from catalog.values import Actor
from tests.catalog.conftest import claims
from tests.shared.settings import GivenSettings
from tools.run.processes import python
from tools.tenant.main import parse_quota


def run(given: GivenSettings, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        python(module, *arguments), env=given.environ, capture_output=True, text=True, check=False, timeout=60
    )


async def opened(given: GivenSettings) -> Catalog:
    backend = LocalBackend(given.settings.storage_root)
    return await Catalog.open(given.settings, Journal(backend), BlobStore.open(backend).store_id)


def test_migrating_again_changes_nothing(given: GivenSettings) -> None:
    again = run(given, "tools.migrate")
    assert (again.returncode, again.stdout) == (0, "tools/migrate: nothing to do\n"), again.stderr


def test_a_root_without_a_store_is_refused(given: GivenSettings) -> None:
    away = given.with_values(STORAGE_ROOT=str(given.settings.storage_root / "blobs"))
    refused = run(away, "tools.migrate")
    assert refused.returncode == 2
    assert "tools/store init" in refused.stderr


@pytest.mark.parametrize(
    ("module", "setting"), [("tools.migrate", "MARIADB_ADMIN_USER"), ("tools.tenant", "MARIADB_USER")]
)
def test_whom_mariadb_does_not_let_in_is_told_so(given: GivenSettings, module: str, setting: str) -> None:
    refused = run(given.with_values(**{setting: "nobody"}), module, *["list"] * (module == "tools.tenant"))
    assert (refused.returncode, "MariaDB refuses the connection" in refused.stderr) == (2, True)
    assert "Traceback" not in refused.stderr


@pytest.mark.anyio
async def test_a_catalog_keeps_to_its_store(given: GivenSettings, make_settings: Callable[..., GivenSettings]) -> None:
    other = make_settings()
    crossed = given.with_values(STORAGE_ROOT=str(other.settings.storage_root))
    with pytest.raises(SchemaMismatch, match="right disk"):
        await opened(crossed)
    refused = run(crossed, "tools.migrate")
    assert refused.returncode == 2
    assert "belongs to store" in refused.stderr


@pytest.mark.anyio
async def test_quota_suspend_and_resume(given: GivenSettings) -> None:
    client = f"client-{uuid.uuid4()}"
    catalog = await opened(given)
    token = await catalog.system.sessions.handoff(claims(client), None, "")
    assert run(given, "tools.tenant", "quota", client, "5G").returncode == 0
    assert (await catalog.system.tenant_by_client(client)).quota_bytes == 5 << 30
    assert run(given, "tools.tenant", "suspend", client).returncode == 0
    with pytest.raises(TenantSuspended):
        await catalog.system.sessions.find(token)
    assert run(given, "tools.tenant", "resume", client).returncode == 0
    await catalog.system.sessions.find(token)
    listed = run(given, "tools.tenant", "list")
    assert client in listed.stdout
    assert "5,368,709,120" in listed.stdout
    tenant = await catalog.system.tenant_by_client(client)
    scope = catalog.tenant(tenant, Actor("system", "test"))
    actions = [event.action for event in (await scope.audit.page()).items]
    assert actions == ["tenant.resume", "tenant.suspend", "tenant.quota", "sign_in"]
    await catalog.close()


def test_an_unknown_tenant_and_a_bad_size(given: GivenSettings) -> None:
    unknown = run(given, "tools.tenant", "suspend", "nobody")
    assert (unknown.returncode, unknown.stderr) == (2, "tools/tenant: There is no such tenant.\n")
    assert run(given, "tools.tenant", "quota", "nobody", "much").returncode == 2


@pytest.mark.parametrize(
    ("text", "size"), [("10", 10), ("2k", 2048), ("5G", 5 << 30), ("1TiB", 1 << 40), ("default", None)]
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_quota(text) == size
