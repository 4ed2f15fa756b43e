"""Support access: a token works once, for what it says and as long as it lasts; staff see nothing else, ever."""

import asyncio
from datetime import timedelta

import pytest

from catalog import clock
from catalog.catalog import Catalog
from catalog.errors import BadRequest, NotAllowed, NotFound, TooMany, TooOften
from catalog.grants import GUESSES_MAX, OPEN_MAX, PREFIX
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, DeviceKind, EntryPath, Grant, Role, SessionView
from tests.catalog.conftest import Uploader, claims, sign_in

pytestmark = pytest.mark.anyio

ROOT = EntryPath(())


async def staff_session(catalog: Catalog, name: str = "Sam Support") -> str:
    """The token of a staff session."""
    made = claims("", role=Role.STAFF, subject=name, name=name, billing_client="staff")
    return await catalog.system.sessions.handoff(made, "192.0.2.1", "pytest")


async def view(catalog: Catalog, session: str) -> SessionView:
    return await catalog.system.sessions.find(session)


async def redeem(catalog: Catalog, session: str, token: str, address: str | None = "192.0.2.1") -> None:
    await catalog.system.redemptions.redeem(token, await view(catalog, session), address)


async def inside(catalog: Catalog, session: str) -> TenantScope:
    """What a staff session may do, looked up as each request does."""
    seen = await view(catalog, session)
    assert seen.tenant is not None
    assert seen.staff is not None
    assert seen.grant is not None
    actor = Actor("staff", seen.staff.name, seen.staff.id, "192.0.2.1", seen.grant.issued_by, seen.grant.id)
    return catalog.tenant(seen.tenant, actor, grant=seen.grant)


async def given(
    scope: TenantScope, devices: set[int] | None = None, *, write: bool = False, seconds: int = 3600
) -> tuple[Grant, str]:
    return await scope.grants.issue(devices, may_write=write, seconds=seconds, reason=" Find  the folder ")


async def test_a_token_lets_staff_in_once(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"a"))
    phone = await laptop.scope.devices.create("phone", DeviceKind.PHONE)
    grant, token = await given(laptop.scope, {laptop.device_id})
    assert token.startswith(PREFIX)
    assert (grant.reason, grant.devices, grant.state(clock.now())) == (
        "Find the folder", frozenset({laptop.device_id}), "waiting",
    )  # fmt: skip
    session = await staff_session(catalog)
    assert (await view(catalog, session)).tenant is None
    await redeem(catalog, session, token)
    staff = await inside(catalog, session)
    assert [device.id for device in await staff.devices.all()] == [laptop.device_id]
    assert [entry.name for entry in (await staff.entries.page(laptop.device_id, Area.ORIGINALS, ROOT)).items] == [
        b"a.txt"
    ]
    with pytest.raises(NotFound):
        await staff.entries.page(phone.id, Area.ORIGINALS, ROOT)
    (shown,) = await laptop.scope.grants.live()
    assert (shown.staff, shown.state(clock.now())) == ("Sam Support", "use")
    other = await staff_session(catalog, "Other Staff")
    for again in (session, other):
        with pytest.raises(NotFound):
            await redeem(catalog, again, token)
    assert (await view(catalog, other)).tenant is None
    event = (await laptop.scope.audit.page()).items[0]
    assert (event.action, event.actor, event.on_behalf_of, event.grant_id) == (
        "support.redeem", "Sam Support", "Olive Owner", grant.id,
    )  # fmt: skip


async def test_of_fifty_at_once_one_wins(catalog: Catalog, scope: TenantScope) -> None:
    _, token = await given(scope)
    sessions = [await staff_session(catalog, f"Staff {number}") for number in range(50)]

    async def tried(session: str, number: int) -> bool:
        try:
            await redeem(catalog, session, token, f"198.51.100.{number}")
        except (NotFound, TooOften):
            return False
        return True

    won = await asyncio.gather(*(tried(session, number) for number, session in enumerate(sessions)))
    assert won.count(True) == 1
    let_in = [(await view(catalog, session)).grant is not None for session in sessions]
    assert let_in == won


async def test_the_owner_ends_it_at_once(catalog: Catalog, laptop: Uploader) -> None:
    grant, token = await given(laptop.scope)
    session = await staff_session(catalog)
    await redeem(catalog, session, token)
    await laptop.scope.grants.end(grant.id)
    assert (await view(catalog, session)).tenant is None
    assert await laptop.scope.grants.live() == []
    ended = await laptop.scope.grants.get(grant.id)
    assert (ended.state(clock.now()), ended.ended_by) == ("ended", "Olive Owner")
    with pytest.raises(NotFound):
        await laptop.scope.grants.end(grant.id)
    unused, token = await given(laptop.scope)
    await laptop.scope.grants.end(unused.id)
    with pytest.raises(NotFound):
        await redeem(catalog, session, token)


async def test_it_ends_by_itself(catalog: Catalog, scope: TenantScope, monkeypatch: pytest.MonkeyPatch) -> None:
    grant, token = await given(scope, seconds=300)
    session = await staff_session(catalog)
    await redeem(catalog, session, token)
    ahead = clock.now() + timedelta(seconds=301)
    monkeypatch.setattr(clock, "now", lambda: ahead)
    assert (await view(catalog, session)).tenant is None
    assert (await scope.grants.get(grant.id)).state(clock.now()) == "expired"


@pytest.mark.parametrize("how", ["leave", "sign out", "sign in anew", "another grant"])
async def test_staff_end_it_too(catalog: Catalog, scope: TenantScope, how: str) -> None:
    grant, token = await given(scope)
    session = await staff_session(catalog)
    await redeem(catalog, session, token)
    match how:
        case "leave":
            await catalog.system.redemptions.leave(await view(catalog, session), None)
            assert (await view(catalog, session)).tenant is None
        case "sign out":
            await catalog.system.sessions.end(session, Actor("staff", "Sam Support", 1), None)
        case "sign in anew":
            made = claims("", role=Role.STAFF, subject="Sam", name="Sam Support")
            await catalog.system.sessions.handoff(made, None, "", replaces=session)
        case _:
            other = await sign_in(catalog, "another customer")
            await redeem(catalog, session, (await given(other))[1])
            assert (await inside(catalog, session)).tenant.id == other.tenant.id
    over = await scope.grants.get(grant.id)
    assert (over.state(clock.now()), over.ended_by) == ("ended", "Sam Support")
    assert (await scope.audit.page()).items[0].action == "support.end"


async def test_a_suspended_account_lets_nobody_in(catalog: Catalog, scope: TenantScope) -> None:
    _, first = await given(scope)
    _, second = await given(scope)
    session = await staff_session(catalog)
    await redeem(catalog, session, first)
    operator = Actor("operator", "root")
    await catalog.system.suspend(scope.tenant.id, operator)
    assert (await view(catalog, session)).tenant is None
    with pytest.raises(NotFound):
        await redeem(catalog, session, second)
    await catalog.system.resume(scope.tenant.id, operator)
    assert (await view(catalog, session)).tenant is not None


async def test_guessing_has_an_end(catalog: Catalog, scope: TenantScope) -> None:
    session = await staff_session(catalog, "Guesser")
    for number in range(GUESSES_MAX):
        with pytest.raises(NotFound):
            await redeem(catalog, session, f"{PREFIX}{number}", None)
    _, token = await given(scope)
    with pytest.raises(TooOften):
        await redeem(catalog, session, token, None)
    for number in range(GUESSES_MAX):  # many people at one address
        with pytest.raises(NotFound):
            await redeem(catalog, await staff_session(catalog, f"Guesser {number}"), "x", "192.0.2.99")
    last = await staff_session(catalog, "Innocent")
    with pytest.raises(TooOften):
        await redeem(catalog, last, token, "192.0.2.99")
    await redeem(catalog, last, token, "192.0.2.100")


async def test_looking_only_changes_nothing(catalog: Catalog, laptop: Uploader) -> None:
    await laptop.add(("a.txt", b"a"))
    (entry,) = (await laptop.scope.entries.page(laptop.device_id, Area.ORIGINALS, ROOT)).items
    session = await staff_session(catalog)
    await redeem(catalog, session, (await given(laptop.scope))[1])
    staff = await inside(catalog, session)
    for act in (staff.entries.delete([entry.id]), staff.entries.rename(entry.id, b"b")):
        with pytest.raises(NotAllowed):
            await act
    await redeem(catalog, session, (await given(laptop.scope, write=True))[1])
    staff = await inside(catalog, session)
    renamed = await staff.entries.rename(entry.id, b"b")
    await staff.entries.delete([renamed.id])
    await staff.entries.recover([renamed.id])
    acts = [(event.action, event.actor, event.on_behalf_of) for event in (await laptop.scope.audit.page()).items[:3]]
    assert acts == [(action, "Sam Support", "Olive Owner") for action in ("recover", "delete", "rename")]


@pytest.mark.parametrize(
    ("devices", "seconds", "reason"),
    [
        (set(), 3600, "x"),
        (None, 299, "x"),
        (None, 3 * 86400 + 1, "x"),
        (None, 3600, "  "),
        (None, 3600, "x" * 501),
        (None, 3600, "a\x07b"),
    ],
)
async def test_what_cannot_be_given(scope: TenantScope, devices: set[int] | None, seconds: int, reason: str) -> None:
    with pytest.raises(BadRequest):
        await scope.grants.issue(devices, may_write=False, seconds=seconds, reason=reason)


async def test_only_so_many_and_only_of_own_devices(scope: TenantScope, laptop: Uploader) -> None:
    with pytest.raises(NotFound):
        await given(scope, {laptop.device_id, 10**9})
    for _ in range(OPEN_MAX):
        grant, _ = await given(scope)
    with pytest.raises(TooMany):
        await given(scope)
    await scope.grants.end(grant.id)
    await given(scope)
    assert len(await scope.grants.all()) == OPEN_MAX + 1


async def test_grants_of_others_are_not_there(catalog: Catalog, scope: TenantScope) -> None:
    grant, _ = await given(scope)
    other = await sign_in(catalog, "somebody else")
    for act in (other.grants.get(grant.id), other.grants.end(grant.id)):
        with pytest.raises(NotFound):
            await act
    assert await other.grants.all() == []
