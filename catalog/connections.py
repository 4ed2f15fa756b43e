"""Computers that ask to be connected, and the owner who approves them: the device authorization grant of RFC 8628.

What always holds: a code is kept as its hash alone, lives ten minutes, and gives one token at most; a connection
belongs to nobody until an owner decides, and to that owner's tenant from then on; nobody learns of one without its
code, and whoever guesses codes is stopped long before a guess could be right.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from catalog import audit, clock
from catalog.chains import journal_tenant
from catalog.database import Database, DuplicateKey, Row, Transaction
from catalog.devices import Devices, check_token_room, checked_name, insert_token, token_hash
from catalog.errors import NameTaken, NotConnected, NotFound, NotYet, TooManyWaiting, TooOften
from catalog.ledger import lock_ledger
from catalog.records import JournalWriter
from catalog.scope import Scope
from catalog.sessions import TENANT_COLUMNS, tenant_of
from catalog.settings import Settings
from catalog.values import Actor, Connected, Connection, Device, DeviceKind, StartedConnection, System, Tenant

CODE_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no words come out; no digits, so that none is taken for a letter (RFC 8628, 6.1)."""
CODE_LENGTH: Final = 8
CODE_SECONDS: Final = 600
POLL_SECONDS: Final = 2
SLOWER_BY_SECONDS: Final = 5
"""What `slow_down` adds to the interval (RFC 8628, 3.5)."""
POLL_SECONDS_MAX: Final = 60
COLLECT_SECONDS_MIN: Final = 60
"""An approval in the code's last moment can still be collected for so long."""
POLL_LEEWAY: Final = timedelta(milliseconds=500)
"""A poll may come so much too soon: clocks and lines are not exact."""
WAITING_MAX: Final = 1_000
"""Connections that wait at once, of everybody. 20⁸ codes for 1,000: a guess is right once in 25.6 million."""
WAITING_OF_NETWORK_MAX: Final = 20
GUESSES_MAX: Final = 20
"""Wrong codes that one tenant may type in `GUESS_SECONDS`: a right one comes in 24 years of trying, with
`WAITING_MAX` waiting all the time. Those typed at one moment are counted after it: as many more as the pool has
connections.
"""
GUESS_SECONDS: Final = 600
_FORGET_AT_ONCE: Final = 500
_CODES_TRIED: Final = 5
_IPV6_NETWORK_BITS: Final = 64
_PURPOSE: Final = b"otb-cloud user code 1\0"
_NOT_TYPED: Final = re.compile(r"[\s\-‐-―_.]+")

_COLUMNS: Final = "id, name, `system`, kind, address, created_at, expires_at"


def parse_user_code(text: str) -> str | None:
    """A code as a person types it, without case, blanks and dashes; None for what cannot be one."""
    if len(text) > 10 * CODE_LENGTH:
        return None
    code = _NOT_TYPED.sub("", text).upper()
    return code if len(code) == CODE_LENGTH and set(code) <= set(CODE_LETTERS) else None


def written(code: str) -> str:
    """`BCDF-GHJK`: as a code is shown."""
    return f"{code[: CODE_LENGTH // 2]}-{code[CODE_LENGTH // 2 :]}"


class Connections:
    """Connections as the computer that asks sees them, and the look-up by code. No tenant is known yet."""

    def __init__(self, database: Database, settings: Settings, journal: JournalWriter) -> None:
        self._database = database
        self._settings = settings
        self._journal = journal

    async def start(self, name: str, system: System, kind: DeviceKind, address: str | None) -> StartedConnection:
        """A computer asks. Raises BadRequest (the name), TooOften, TooManyWaiting.

        Asking at the same moment may exceed the limits by as many as the pool has connections.
        """
        name, network = checked_name(name), _network(address)
        now = clock.now()
        async with self._database.reading() as tx:
            await self._forget(tx, now)
            await self._check_room(tx, network, now)
            for _ in range(_CODES_TRIED):
                device_code, user_code = secrets.token_urlsafe(32), _new_code()
                row = (token_hash(device_code), self._hash(user_code), name, str(system), str(kind), address, network)
                try:
                    await _insert(tx, row, now)
                except DuplicateKey:
                    continue  # somebody waits with that code
                return StartedConnection(device_code, written(user_code), CODE_SECONDS, POLL_SECONDS)
        raise TooManyWaiting

    async def find(self, code: str, guesser: Tenant) -> Connection:
        """The undecided connection of a code as typed. Raises NotFound, which counts as a guess, and TooOften."""
        parsed, now = parse_user_code(code), clock.now()
        async with self._database.reading() as tx:
            await _check_guesses(tx, guesser, now)
            row = None if parsed is None else await self._undecided(tx, parsed, now)
            if row is None or parsed is None:
                await _note_guess(tx, guesser, now)
                raise NotFound("code")
        return _connection(row, written(parsed))

    async def collect(self, device_code: str) -> Connected:
        """The token of an approved connection, this once. Raises `NotConnected` with the reason."""
        key, now = token_hash(device_code), clock.now()
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT id, state, expires_at, polled_at, interval_seconds, tenant_id FROM connection"
                " WHERE device_code_hash = %s",
                (key,),
            )
            if row is None or row[1] == "spent" or clock.from_db(row[2]) <= now:
                raise NotConnected(NotYet.EXPIRED)
            if row[1] == "refused":
                raise NotConnected(NotYet.DENIED)
            if row[1] == "pending":
                raise await _paced(tx, row, now)
        return await self._spend(row[0], row[5])

    async def _spend(self, connection_id: int, tenant_id: int) -> Connected:
        """The token, its event and the end of the connection, in one transaction."""

        async def work(tx: Transaction) -> Connected | None:
            tenant = await self._tenant(tx, tenant_id)
            await lock_ledger(tx, tenant)
            spent = await tx.execute(
                "UPDATE connection SET state = 'spent' WHERE id = %s AND state = 'approved'", (connection_id,)
            )
            if not spent:
                raise NotConnected(NotYet.EXPIRED)
            row = await tx.fetch_one(
                "SELECT d.id, d.name, c.name, c.address FROM connection c"
                " JOIN device d ON d.tenant_id = c.tenant_id AND d.id = c.device_id AND d.removed_key = 0"
                " WHERE c.id = %s",
                (connection_id,),
            )
            if row is None or tenant.status != "active":
                return None  # committed: what an account was closed for, or a device removed for, does not come back
            device_id, device_name, computer, address = row
            token_id, token, line = await insert_token(tx, tenant_id, device_id, computer)
            actor = Actor("device", computer, token_id, address)
            facts: dict[str, object] = {"token": token_id, "label": computer, "connection": connection_id}
            await audit.append(tx, tenant_id, actor, "token.create", device_name, facts, device_id=device_id)
            await journal_tenant(tx, self._journal, tenant_id, tenant.uuid, [line])
            return Connected(token, device_id, device_name, tenant.label)

        connected = await self._database.run(work)
        if connected is None:
            raise NotConnected(NotYet.DENIED)
        return connected

    async def _tenant(self, tx: Transaction, tenant_id: int) -> Tenant:
        row = await tx.fetch_one(
            f"SELECT {TENANT_COLUMNS} FROM tenant t JOIN ledger l ON l.tenant_id = t.id WHERE t.id = %s", (tenant_id,)
        )
        if row is None:
            raise NotFound("account")
        return tenant_of(row, self._settings.quota_default_bytes)

    async def _undecided(self, tx: Transaction, code: str, now: datetime) -> Row | None:
        return await tx.fetch_one(
            f"SELECT {_COLUMNS} FROM connection WHERE user_code_hash = %s AND state = 'pending' AND expires_at > %s",
            (self._hash(code), clock.to_db(now)),
        )

    def _hash(self, code: str) -> bytes:
        """Keyed, since all codes could be tried against a plain hash in minutes by whoever reads the table."""
        return hmac.new(self._settings.secret_key.encode(), _PURPOSE + code.encode(), hashlib.sha256).digest()

    async def _check_room(self, tx: Transaction, network: str | None, now: datetime) -> None:
        waiting = "SELECT COUNT(*) FROM connection WHERE expires_at > %s AND state = 'pending'"
        if await _count(tx, waiting, clock.to_db(now)) >= WAITING_MAX:
            raise TooManyWaiting
        if network is not None:
            of_network = await _count(tx, waiting + " AND network = %s", clock.to_db(now), network)
            if of_network >= WAITING_OF_NETWORK_MAX:
                raise TooOften("Too many computers of this network wait to be connected.", CODE_SECONDS)

    async def _forget(self, tx: Transaction, now: datetime) -> None:
        await tx.execute(
            "DELETE FROM connection WHERE expires_at < %s LIMIT %s", (clock.to_db(now), _FORGET_AT_ONCE)
        )  # fmt: skip


class Approvals:
    """Connections as an account's owner decides about them. `web` sees to it that it is an owner."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def approve_new(self, connection: Connection, name: str, kind: DeviceKind) -> Device:
        """Connect the computer as a device made for it.

        Raises BadRequest, NameTaken, TooMany, and NotFound where it was decided already or has expired.
        """
        self._scope.require_person("connect computers")
        name, devices = checked_name(name), Devices(self._scope)

        async def work(tx: Transaction) -> Device:
            ledger = await lock_ledger(tx, self._scope.tenant)
            device, line = await devices.make(tx, ledger, name, kind, [])
            await self._bind(tx, connection, device, is_new=True)
            await devices.journal(tx, line)
            return device

        try:
            return await self._run(work, connection)
        except DuplicateKey as e:
            raise NameTaken(f"You have a device named “{name}” already. Choose it, or another name.") from e

    async def approve(self, connection: Connection, device_id: int) -> Device:
        """Connect the computer as a device that is there. Raises NotFound, TooMany."""
        self._scope.require_person("connect computers")
        devices = Devices(self._scope)

        async def work(tx: Transaction) -> Device:
            await lock_ledger(tx, self._scope.tenant)
            device = await devices.one(tx, device_id)
            await check_token_room(tx, self._scope.tenant.id, device_id)
            await self._bind(tx, connection, device, is_new=False)
            return device

        return await self._run(work, connection)

    async def refuse(self, connection: Connection) -> None:
        """The computer gets nothing. Raises NotFound where it was decided already or has expired."""
        self._scope.require_person("refuse computers")

        async def work(tx: Transaction) -> None:
            await self._decide(tx, connection, "refused", None)
            await audit.append(
                tx, self._scope.tenant.id, self._scope.actor, "connect.refuse", connection.name, _facts(connection)
            )

        await self._scope.database.run(work)

    async def _run(self, work: Callable[[Transaction], Awaitable[Device]], connection: Connection) -> Device:
        async def was_committed() -> Device | None:
            async with self._scope.database.reading() as tx:
                row = await tx.fetch_one(
                    "SELECT device_id FROM connection WHERE id = %s AND tenant_id = %s AND state <> 'refused'",
                    (connection.id, self._scope.tenant.id),
                )
                return None if row is None else await Devices(self._scope).one(tx, row[0])

        return await self._scope.database.run(work, was_committed)

    async def _bind(self, tx: Transaction, connection: Connection, device: Device, *, is_new: bool) -> None:
        await self._decide(tx, connection, "approved", device.id)
        facts = _facts(connection) | {"new_device": is_new}
        await audit.append(
            tx, self._scope.tenant.id, self._scope.actor, "connect.approve", device.name, facts, device_id=device.id
        )  # fmt: skip

    async def _decide(self, tx: Transaction, connection: Connection, state: str, device_id: int | None) -> None:
        """The first decision stands: of two at once, of any tenants, the second finds the row decided."""
        now = clock.now()
        collected_until = clock.to_db(now + timedelta(seconds=COLLECT_SECONDS_MIN))
        decided = await tx.execute(
            "UPDATE connection SET state = %s, tenant_id = %s, device_id = %s, expires_at = GREATEST(expires_at, %s)"
            " WHERE id = %s AND state = 'pending' AND expires_at > %s",
            (state, self._scope.tenant.id, device_id, collected_until, connection.id, clock.to_db(now)),
        )
        if not decided:
            raise NotFound("code")


# -- one statement each, and what they need ---------------------------------------------------------------------------


async def _insert(tx: Transaction, row: tuple[object, ...], now: datetime) -> None:
    ends = now + timedelta(seconds=CODE_SECONDS)
    await tx.execute(
        "INSERT INTO connection (device_code_hash, user_code_hash, name, `system`, kind, address, network, created_at,"
        " expires_at, interval_seconds) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*row, clock.to_db(now), clock.to_db(ends), POLL_SECONDS),
    )


async def _paced(tx: Transaction, row: Row, now: datetime) -> NotConnected:
    """The answer to a poll before the decision; one that comes too soon makes the interval longer."""
    connection_id, interval_seconds, polled_at = row[0], row[4], row[3]
    early = polled_at is not None and now - clock.from_db(polled_at) < timedelta(seconds=interval_seconds) - POLL_LEEWAY
    if early:
        interval_seconds = min(interval_seconds + SLOWER_BY_SECONDS, POLL_SECONDS_MAX)
    await tx.execute(
        "UPDATE connection SET polled_at = %s, interval_seconds = %s WHERE id = %s AND state = 'pending'",
        (clock.to_db(now), interval_seconds, connection_id),
    )
    return NotConnected(NotYet.SLOW_DOWN if early else NotYet.PENDING, interval_seconds)


async def _check_guesses(tx: Transaction, guesser: Tenant, now: datetime) -> None:
    since = clock.to_db(now - timedelta(seconds=GUESS_SECONDS))
    await tx.execute("DELETE FROM connection_guess WHERE at < %s LIMIT %s", (since, _FORGET_AT_ONCE))
    guesses = await _count(
        tx, "SELECT COUNT(*) FROM connection_guess WHERE tenant_id = %s AND at >= %s", guesser.id, since
    )
    if guesses >= GUESSES_MAX:
        raise TooOften("Too many wrong codes were typed in your account.", GUESS_SECONDS)


async def _note_guess(tx: Transaction, guesser: Tenant, now: datetime) -> None:
    await tx.execute("INSERT INTO connection_guess (tenant_id, at) VALUES (%s, %s)", (guesser.id, clock.to_db(now)))


async def _count(tx: Transaction, sql: str, *params: object) -> int:
    row = await tx.fetch_one(sql, params)
    return int(row[0]) if row else 0


def _new_code() -> str:
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))


def _network(address: str | None) -> str | None:
    """What counts as one asker. None for loopback, which is a proxy in front of us and speaks for everybody."""
    if address is None:
        return None
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None  # a Unix socket, or a test's client
    if parsed.is_loopback:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False).network_address)
    return str(parsed)


def _connection(row: Row, code: str) -> Connection:
    connection_id, name, system, kind, address, created_at, expires_at = row
    return Connection(
        connection_id, code, name, System(system), DeviceKind(kind), address, clock.from_db(created_at),
        clock.from_db(expires_at),
    )  # fmt: skip


def _facts(connection: Connection) -> dict[str, object]:
    """What the audit tells of the computer."""
    return {
        "connection": connection.id,
        "computer": connection.name,
        "system": str(connection.system),
        "asked_from": connection.address,
        "asked_at": connection.created_at.isoformat(),
    }
