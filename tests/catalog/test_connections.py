"""Computers that ask to be connected: codes, their end, who may decide, and that a token comes out once at most."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from catalog import clock, connections
from catalog.catalog import Catalog
from catalog.connections import CODE_LETTERS, CODE_SECONDS, GUESSES_MAX, POLL_SECONDS, parse_user_code
from catalog.devices import TOKENS_MAX
from catalog.errors import (
    BadRequest,
    NameTaken,
    NotAllowed,
    NotConnected,
    NotFound,
    NotYet,
    TooMany,
    TooManyWaiting,
    TooOften,
)
from catalog.tenant import TenantScope
from catalog.values import Actor, Connection, DeviceKind, StartedConnection, System
from tests.catalog.conftest import sign_in

pytestmark = pytest.mark.anyio

ADDRESS = "203.0.113.7"


async def ask(catalog: Catalog, name: str = "ann-laptop", address: str | None = None) -> StartedConnection:
    return await catalog.system.connections.start(name, System.LINUX, DeviceKind.LAPTOP, address)


async def find(catalog: Catalog, scope: TenantScope, started: StartedConnection) -> Connection:
    return await catalog.system.connections.find(started.user_code, scope.tenant)


async def why_not(catalog: Catalog, started: StartedConnection) -> NotYet:
    with pytest.raises(NotConnected) as refused:
        await catalog.system.connections.collect(started.device_code)
    return refused.value.reason


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on the clock is ahead by so much."""
    now = clock.now() + timedelta(seconds=seconds)
    monkeypatch.setattr(clock, "now", lambda: now)


async def test_a_computer_becomes_a_new_device(catalog: Catalog, scope: TenantScope) -> None:
    started = await ask(catalog, " ann-laptop ", ADDRESS)
    assert (started.expires_in_seconds, started.interval_seconds) == (CODE_SECONDS, POLL_SECONDS)
    assert await why_not(catalog, started) is NotYet.PENDING
    connection = await find(catalog, scope, started)
    assert (connection.name, connection.system, connection.kind) == ("ann-laptop", System.LINUX, DeviceKind.LAPTOP)
    assert (connection.address, connection.code) == (ADDRESS, started.user_code)
    device = await scope.approvals.approve_new(connection, "workhorse", DeviceKind.WORKPC)
    assert await scope.devices.all() == [device]
    assert await scope.devices.tokens(device.id) == []
    connected = await catalog.system.connections.collect(started.device_code)
    assert (connected.device_id, connected.device_name) == (device.id, "workhorse")
    assert connected.tenant_label == scope.tenant.label
    view = await catalog.system.sessions.device_token(connected.token)
    assert (view.tenant.id, view.device_id, view.label) == (scope.tenant.id, device.id, "ann-laptop")
    assert await why_not(catalog, started) is NotYet.EXPIRED


async def test_a_computer_joins_a_device_that_is_there(catalog: Catalog, scope: TenantScope) -> None:
    laptop = await scope.devices.create("laptop", DeviceKind.LAPTOP)
    for _ in range(2):
        started = await ask(catalog)
        await scope.approvals.approve(await find(catalog, scope, started), laptop.id)
        assert (await catalog.system.connections.collect(started.device_code)).device_id == laptop.id
    assert len(await scope.devices.tokens(laptop.id)) == 2


async def test_the_audit_says_who_approved_which_computer_from_where(catalog: Catalog, scope: TenantScope) -> None:
    started = await ask(catalog, address=ADDRESS)
    connection = await find(catalog, scope, started)
    await scope.approvals.approve_new(connection, "laptop", DeviceKind.LAPTOP)
    await catalog.system.connections.collect(started.device_code)
    token, approved, created = (await scope.audit.page()).items[:3]
    assert (approved.action, approved.actor, approved.subject) == ("connect.approve", "Olive Owner", "laptop")
    assert approved.address == "127.0.0.1"
    assert approved.detail["computer"] == "ann-laptop"
    assert approved.detail["asked_from"] == ADDRESS
    assert approved.detail["new_device"] is True
    assert created.action == "device.create"
    assert (token.action, token.actor_kind, token.actor, token.address) == (
        "token.create",
        "device",
        "ann-laptop",
        ADDRESS,
    )
    assert token.detail["connection"] == approved.detail["connection"]


async def test_no_code_is_kept_readable(catalog: Catalog, scope: TenantScope) -> None:
    started = await ask(catalog)
    async with scope._scope.database.reading() as tx:
        rows = str(await tx.fetch_all("SELECT * FROM connection"))
    assert started.device_code not in rows
    assert started.user_code.replace("-", "") not in rows


async def test_refused_is_refused(catalog: Catalog, scope: TenantScope) -> None:
    started = await ask(catalog)
    connection = await find(catalog, scope, started)
    await scope.approvals.refuse(connection)
    assert await why_not(catalog, started) is NotYet.DENIED
    with pytest.raises(NotFound):
        await scope.approvals.approve_new(connection, "laptop", DeviceKind.LAPTOP)
    assert await scope.devices.all() == []
    assert (await scope.audit.page()).items[0].action == "connect.refuse"


async def test_polling_too_fast_is_slowed_down_and_stays_so(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    started = await ask(catalog)
    assert await why_not(catalog, started) is NotYet.PENDING
    assert await why_not(catalog, started) is NotYet.SLOW_DOWN
    later(monkeypatch, POLL_SECONDS + 1)
    assert await why_not(catalog, started) is NotYet.SLOW_DOWN
    later(monkeypatch, POLL_SECONDS + 3 * connections.SLOWER_BY_SECONDS)
    assert await why_not(catalog, started) is NotYet.PENDING


async def test_the_interval_has_an_end(catalog: Catalog) -> None:
    started = await ask(catalog)
    for _ in range(20):
        with pytest.raises(NotConnected) as refused:
            await catalog.system.connections.collect(started.device_code)
    assert refused.value.interval_seconds == connections.POLL_SECONDS_MAX


async def test_a_code_expires(catalog: Catalog, scope: TenantScope, monkeypatch: pytest.MonkeyPatch) -> None:
    started = await ask(catalog)
    connection = await find(catalog, scope, started)
    later(monkeypatch, CODE_SECONDS + 1)
    assert await why_not(catalog, started) is NotYet.EXPIRED
    with pytest.raises(NotFound):
        await find(catalog, scope, started)
    for decide in (
        scope.approvals.approve_new(connection, "laptop", DeviceKind.LAPTOP),
        scope.approvals.refuse(connection),
    ):
        with pytest.raises(NotFound):
            await decide
    assert await scope.devices.all() == []


async def test_an_approval_in_the_last_moment_can_be_fetched(
    catalog: Catalog, scope: TenantScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await ask(catalog)
    connection = await find(catalog, scope, started)
    later(monkeypatch, CODE_SECONDS - 1)
    await scope.approvals.approve_new(connection, "laptop", DeviceKind.LAPTOP)
    later(monkeypatch, 30)
    assert (await catalog.system.connections.collect(started.device_code)).device_name == "laptop"


async def test_what_expired_is_removed(catalog: Catalog, scope: TenantScope, monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(catalog)
    with pytest.raises(NotFound):
        await catalog.system.connections.find("BCDF-GHJK", scope.tenant)
    later(monkeypatch, CODE_SECONDS + 1)
    started = await ask(catalog)
    await find(catalog, scope, started)
    async with scope._scope.database.reading() as tx:
        over = (clock.to_db(clock.now()),)
        assert await tx.fetch_all("SELECT COUNT(*) FROM connection WHERE expires_at < %s", over) == [(0,)]
        mine = (scope.tenant.id,)
        assert await tx.fetch_all("SELECT COUNT(*) FROM connection_guess WHERE tenant_id = %s", mine) == [(0,)]


async def test_of_many_decisions_at_once_one_stands(catalog: Catalog, scope: TenantScope) -> None:
    """Of two owners of two accounts, several times each: one device in all, and the token is of its account."""
    other = await sign_in(catalog, "other-account")
    for number in range(5):
        started = await ask(catalog)
        mine, theirs = await find(catalog, scope, started), await find(catalog, other, started)
        done = await asyncio.gather(
            *(scope.approvals.approve_new(mine, f"m{number}.{n}", DeviceKind.LAPTOP) for n in range(3)),
            *(other.approvals.approve_new(theirs, f"t{number}.{n}", DeviceKind.LAPTOP) for n in range(3)),
            scope.approvals.refuse(mine),
            return_exceptions=True,
        )
        assert Counter(type(result) is NotFound for result in done)[False] == 1, done
        devices = [d for s in (scope, other) for d in await s.devices.all() if f"{number}." in d.name]
        if devices:
            assert len(devices) == 1
            assert (await catalog.system.connections.collect(started.device_code)).device_id == devices[0].id
        else:
            assert await why_not(catalog, started) is NotYet.DENIED


async def test_of_many_who_fetch_at_once_one_gets_the_token(catalog: Catalog, scope: TenantScope) -> None:
    started = await ask(catalog)
    device = await scope.approvals.approve_new(await find(catalog, scope, started), "laptop", DeviceKind.LAPTOP)
    done = await asyncio.gather(
        *(catalog.system.connections.collect(started.device_code) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, NotConnected) for result in done) == 7, done
    assert len(await scope.devices.tokens(device.id)) == 1


async def test_another_account_finds_nothing_once_it_is_decided(catalog: Catalog, scope: TenantScope) -> None:
    other = await sign_in(catalog, "curious")
    started = await ask(catalog)
    connection = await find(catalog, scope, started)
    device = await scope.approvals.approve_new(connection, "laptop", DeviceKind.LAPTOP)
    with pytest.raises(NotFound):
        await find(catalog, other, started)
    waiting = await find(catalog, other, await ask(catalog))
    with pytest.raises(NotFound, match="device"):
        await other.approvals.approve(waiting, device.id)
    assert all(event.action != "connect.approve" for event in (await other.audit.page()).items)


async def test_guessing_has_an_end(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    guesser, other = await sign_in(catalog, "guesser"), await sign_in(catalog, "honest")
    started = await ask(catalog)
    for number in range(GUESSES_MAX):
        with pytest.raises(NotFound):
            await catalog.system.connections.find(f"BCDF-GHJ{CODE_LETTERS[number]}", guesser.tenant)
    with pytest.raises(TooOften, match="10 minutes"):
        await find(catalog, guesser, started)
    await find(catalog, other, started)
    later(monkeypatch, connections.GUESS_SECONDS + 1)
    with pytest.raises(NotFound):
        await catalog.system.connections.find("BCDF-GHJK", guesser.tenant)


async def test_guessing_is_hopeless() -> None:
    """At the limits, 20 guesses in ten minutes against 1,000 codes, a whole year hits with a chance below 5 %."""
    per_year = 365 * 86_400 / connections.GUESS_SECONDS * GUESSES_MAX
    assert per_year * connections.WAITING_MAX / len(CODE_LETTERS) ** connections.CODE_LENGTH < 0.05


async def test_so_many_may_wait(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAITING_OF_NETWORK_MAX", 2)
    for address in ("192.0.2.1", "2001:db8:1:2::1"):
        for _ in range(2):
            await ask(catalog, address=address)
    for address in ("192.0.2.1", "2001:db8:1:2:ffff::9"):
        with pytest.raises(TooOften):
            await ask(catalog, address=address)
    await ask(catalog, address="2001:db8:1:3::1")
    for _ in range(3):
        await ask(catalog, address="127.0.0.1")  # a proxy: it speaks for all
    monkeypatch.setattr(connections, "WAITING_MAX", 8)
    with pytest.raises(TooManyWaiting):
        await ask(catalog, address="198.51.100.1")


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\tb", "\u202eabc"])
async def test_bad_names(catalog: Catalog, scope: TenantScope, name: str) -> None:
    with pytest.raises(BadRequest):
        await ask(catalog, name)
    connection = await find(catalog, scope, await ask(catalog))
    with pytest.raises(BadRequest):
        await scope.approvals.approve_new(connection, name, DeviceKind.OTHER)


async def test_what_cannot_be_done_leaves_the_computer_waiting(catalog: Catalog, scope: TenantScope) -> None:
    laptop = await scope.devices.create("laptop", DeviceKind.LAPTOP)
    started = await ask(catalog)
    connection = await find(catalog, scope, started)
    with pytest.raises(NameTaken):
        await scope.approvals.approve_new(connection, "LAPTOP", DeviceKind.LAPTOP)
    with pytest.raises(NotFound):
        await scope.approvals.approve(connection, 999)
    for _ in range(TOKENS_MAX):
        await scope.devices.create_token(laptop.id, "x")
    with pytest.raises(TooMany):
        await scope.approvals.approve(connection, laptop.id)
    assert await why_not(catalog, started) is NotYet.PENDING
    await scope.approvals.approve_new(connection, "second", DeviceKind.LAPTOP)


async def test_a_device_token_connects_nothing(catalog: Catalog, scope: TenantScope) -> None:
    laptop = await scope.devices.create("laptop", DeviceKind.LAPTOP)
    connection = await find(catalog, scope, await ask(catalog))
    by_token = catalog.tenant(scope.tenant, Actor("device", "backup", 1), laptop.id)
    for decide in (
        by_token.approvals.approve(connection, laptop.id),
        by_token.approvals.approve_new(connection, "x", DeviceKind.OTHER),
        by_token.approvals.refuse(connection),
    ):
        with pytest.raises(NotAllowed):
            await decide


async def test_a_device_removed_or_an_account_closed_meanwhile_gives_no_token(catalog: Catalog) -> None:
    for number, undo in enumerate(("remove", "suspend")):
        scope = await sign_in(catalog, f"fickle-{number}")
        started = await ask(catalog)
        device = await scope.approvals.approve_new(await find(catalog, scope, started), "laptop", DeviceKind.LAPTOP)
        if undo == "remove":
            await scope.devices.remove(device.id)
        else:
            await catalog.system.suspend(scope.tenant.id, Actor("operator", "root"))
        assert await why_not(catalog, started) is NotYet.DENIED
        assert await why_not(catalog, started) is NotYet.EXPIRED


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("bcdf-ghjk", "BCDFGHJK"),
        ("  BCDF GHJK\n", "BCDFGHJK"),
        ("b c d f–g h j k", "BCDFGHJK"),
        ("BCDFGHJ", None),
        ("BCDFGHJKL", None),
        ("ABCDEFGH", None),
        ("BCDF-GH1K", None),
        ("", None),
        ("B" * 10_000, None),
        ("ＢCDFGHJK", None),
    ],
)
async def test_codes_are_typed_loosely(typed: str, code: str | None) -> None:
    assert parse_user_code(typed) == code
