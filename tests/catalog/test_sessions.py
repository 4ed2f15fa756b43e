"""Signing in: a handoff is spent once; sessions end; suspended tenants stay out; every case is in the audit."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalog.catalog import Catalog
from catalog.errors import HandoffReplayed, NotFound, TenantSuspended
from catalog.settings import Settings
from catalog.values import Actor, Role
from tests.catalog.conftest import STORE_ID, claims, sign_in
from tests.shared.journals import MemoryJournal

pytestmark = pytest.mark.anyio

OPERATOR = Actor("operator", "root")


async def test_one_of_fifty_parallel_uses_of_a_handoff_wins(catalog: Catalog) -> None:
    handoff = claims(f"client-{uuid.uuid4()}")
    done = await asyncio.gather(
        *(catalog.system.sessions.handoff(handoff, "127.0.0.1", "x") for _ in range(50)), return_exceptions=True
    )
    tokens = [result for result in done if isinstance(result, str)]
    assert len(tokens) == 1
    assert sum(isinstance(result, HandoffReplayed) for result in done) == 49
    view = await catalog.system.sessions.find(tokens[0])
    assert view.tenant is not None
    scope = catalog.tenant(view.tenant, OPERATOR)
    events = (await scope.audit.page(limit=100)).items
    assert [e.action for e in events if e.action == "sign_in"] == ["sign_in"]
    assert len([e for e in events if e.action == "sign_in.refused" and e.detail == {"reason": "replayed"}]) == 49


async def test_a_first_sign_in_in_parallel_makes_one_tenant(catalog: Catalog) -> None:
    client = f"client-{uuid.uuid4()}"
    scopes = await asyncio.gather(*(sign_in(catalog, client) for _ in range(10)))
    assert len({scope.tenant.id for scope in scopes}) == 1


async def test_sign_out_ends_the_session(catalog: Catalog) -> None:
    token = await catalog.system.sessions.handoff(claims(f"client-{uuid.uuid4()}"), None, "")
    view = await catalog.system.sessions.find(token)
    assert view.tenant is not None
    await catalog.system.sessions.end(token, OPERATOR, view.tenant.id)
    with pytest.raises(NotFound):
        await catalog.system.sessions.find(token)


async def test_a_new_sign_in_replaces_the_old_session(catalog: Catalog) -> None:
    client = f"client-{uuid.uuid4()}"
    old = await catalog.system.sessions.handoff(claims(client), None, "")
    await catalog.system.sessions.handoff(claims(client), None, "", replaces=old)
    with pytest.raises(NotFound):
        await catalog.system.sessions.find(old)


async def test_idle_and_old_sessions_are_not_found(catalog_settings: Settings, journal: MemoryJournal) -> None:
    for short in ({"session_idle_seconds": 0}, {"session_seconds_max": 0}):
        strict = await Catalog.open(replace(catalog_settings, **short), journal, STORE_ID)  # type: ignore[arg-type]
        token = await strict.system.sessions.handoff(claims(f"client-{uuid.uuid4()}"), None, "")
        with pytest.raises(NotFound):
            await strict.system.sessions.find(token)
        await strict.close()


async def test_a_suspended_tenant_is_out_at_once_and_resumes(catalog: Catalog) -> None:
    client = f"client-{uuid.uuid4()}"
    token = await catalog.system.sessions.handoff(claims(client), None, "")
    tenant = await catalog.system.tenant_by_client(client)
    await catalog.system.suspend(tenant.id, OPERATOR)
    with pytest.raises(TenantSuspended):
        await catalog.system.sessions.find(token)
    with pytest.raises(TenantSuspended):
        await catalog.system.sessions.handoff(claims(client), None, "")
    await catalog.system.resume(tenant.id, OPERATOR)
    scope = await sign_in(catalog, client)
    actions = [event.action for event in (await scope.audit.page()).items]
    assert actions == ["sign_in", "tenant.resume", "sign_in.refused", "tenant.suspend", "sign_in"]


async def test_staff_has_a_session_and_no_tenant(catalog: Catalog) -> None:
    before = len(await catalog.system.tenants(limit=10_000))
    token = await catalog.system.sessions.handoff(claims("staff-7", role=Role.STAFF, subject="staff-7"), None, "")
    view = await catalog.system.sessions.find(token)
    assert (view.tenant, view.user) == (None, None)
    assert view.staff is not None
    assert len(await catalog.system.tenants(limit=10_000)) == before


async def test_roles_and_labels_follow_billing(catalog: Catalog) -> None:
    client = f"client-{uuid.uuid4()}"
    await sign_in(catalog, client)
    token = await catalog.system.sessions.handoff(claims(client, role=Role.MEMBER, label="New name"), None, "")
    view = await catalog.system.sessions.find(token)
    assert view.user is not None
    assert view.user.role is Role.MEMBER
    assert (await catalog.system.tenant_by_client(client)).label == "New name"


async def test_a_revoked_token_is_not_found(catalog: Catalog) -> None:
    scope = await sign_in(catalog, f"client-{uuid.uuid4()}")
    from_kind = (await scope.devices.create("nas", "server")).id  # type: ignore[arg-type]
    token_id, token = await scope.devices.create_token(from_kind, "nightly")
    assert (await catalog.system.sessions.device_token(token)).device_id == from_kind
    await scope.devices.revoke_token(from_kind, token_id)
    for unknown in (token, "otbd_nothing", ""):
        with pytest.raises(NotFound):
            await catalog.system.sessions.device_token(unknown)


async def test_an_expired_jti_is_forgotten_in_time(catalog: Catalog) -> None:
    """It is kept until `expires_at`, which includes the skew; after that the verifier refuses it by its `exp`."""
    late = claims(f"client-{uuid.uuid4()}", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    await catalog.system.sessions.handoff(late, None, "")
    await catalog.system.sessions.handoff(late, None, "")
