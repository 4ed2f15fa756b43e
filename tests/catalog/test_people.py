"""People, their sessions and tokens: what an owner sees and ends, and what a member may."""

import pytest

from catalog.catalog import Catalog
from catalog.errors import NotFound
from catalog.people import session_id
from catalog.tenant import TenantScope
from catalog.values import Actor, Role, SessionView
from tests.catalog.conftest import Uploader, claims, sign_in

pytestmark = pytest.mark.anyio


async def came(catalog: Catalog, scope: TenantScope, name: str, role: Role = Role.MEMBER) -> tuple[str, SessionView]:
    """Somebody of the same account, signed in."""
    made = claims(scope.tenant.billing_client, subject=name, email=f"{name}@x.example", name=name, role=role)
    token = await catalog.system.sessions.handoff(made, "203.0.113.5", f"browser of {name}")
    return token, await catalog.system.sessions.find(token)


async def test_an_owner_sees_and_ends_everybodys_sessions(catalog: Catalog, scope: TenantScope) -> None:
    token, seen = await came(catalog, scope, "mia")
    assert [(p.name, p.role) for p in await scope.people.all()] == [("Olive Owner", Role.OWNER), ("mia", Role.MEMBER)]
    sessions = await scope.people.sessions()
    assert {(one.user, one.user_agent) for one in sessions} == {("Olive Owner", "pytest"), ("mia", "browser of mia")}
    await scope.people.end_session(session_id(seen.id_hash))
    with pytest.raises(NotFound):
        await catalog.system.sessions.find(token)
    with pytest.raises(NotFound):
        await scope.people.end_session(session_id(seen.id_hash))
    event = (await scope.audit.page()).items[0]
    assert (event.action, event.subject) == ("session.end", "mia")


async def test_a_member_ends_their_own_alone(catalog: Catalog, scope: TenantScope) -> None:
    token, mia = await came(catalog, scope, "mia")
    other, max_view = await came(catalog, scope, "max")
    assert mia.user is not None
    member = catalog.tenant(scope.tenant, Actor("user", "mia", mia.user.id))
    assert [one.user for one in await member.people.sessions(mia.user.id)] == ["mia"]
    with pytest.raises(NotFound):
        await member.people.end_session(session_id(max_view.id_hash), mia.user.id)
    assert await catalog.system.sessions.find(other)
    second, _ = await came(catalog, scope, "mia")
    assert await member.people.end_other_sessions(mia.user.id, mia.id_hash) == 1
    assert await catalog.system.sessions.find(token)
    with pytest.raises(NotFound):
        await catalog.system.sessions.find(second)
    assert await member.people.end_other_sessions(mia.user.id, mia.id_hash) == 0


@pytest.mark.parametrize("text", ["", "zz", "00", "0" * 32, "0" * 64, "é" * 32])
async def test_what_is_no_session_is_not_found(scope: TenantScope, text: str) -> None:
    with pytest.raises(NotFound):
        await scope.people.end_session(text)


async def test_sessions_and_tokens_of_others_are_not_there(
    catalog: Catalog, scope: TenantScope, laptop: Uploader
) -> None:
    await scope.devices.create_token(laptop.device_id, "nas")
    assert [(t.device_name, t.token.label) for t in await scope.people.tokens()] == [("laptop", "nas")]
    _, mia = await came(catalog, scope, "mia")
    other = await sign_in(catalog, "somebody else's people")
    assert await other.people.tokens() == []
    assert [person.name for person in await other.people.all()] == ["Olive Owner"]
    with pytest.raises(NotFound):
        await other.people.end_session(session_id(mia.id_hash))
