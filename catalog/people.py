"""People: who comes into an account, where they are signed in, and the device tokens that act without them.

Who somebody is and which role they have is said by OTB Billing with each handoff; here sessions and tokens end.
"""

from datetime import datetime
from typing import Final

from catalog import audit, clock
from catalog.database import Transaction
from catalog.errors import NotFound
from catalog.scope import Scope
from catalog.values import DeviceToken, OpenSession, Person, PlacedToken, Role

PEOPLE_MAX: Final = 500
SESSIONS_MAX: Final = 500
TOKENS_MAX: Final = 1_000
SESSION_ID_BYTES: Final = 16
"""A session is known by so much of its token's hash: it names it, and opens nothing."""


class People:
    """The account's people and their ways in. `web` sees to it that only an owner sees others'."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def all(self) -> list[Person]:
        """Everybody who ever came, owners first, then by name; at most `PEOPLE_MAX`."""
        self._scope.require_person("see people")
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT id, name, email, role, created_at, seen_at FROM user WHERE tenant_id = %s"
                " ORDER BY role, name, id LIMIT %s",
                (self._scope.tenant.id, PEOPLE_MAX),
            )
        return [
            Person(user_id, name, email, Role(role), clock.from_db(created), clock.from_db(seen))
            for user_id, name, email, role, created, seen in rows
        ]

    async def sessions(self, user_id: int | None = None) -> list[OpenSession]:
        """Sessions that are not over, of one person or of all, the last used first; at most `SESSIONS_MAX`."""
        self._scope.require_person("see sessions")
        condition, params = _of_user("s.", user_id)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT s.token_hash, u.id, u.name, u.email, s.address, s.user_agent, s.created_at, s.seen_at,"
                " s.expires_at FROM session s JOIN user u ON u.tenant_id = s.tenant_id AND u.id = s.user_id"
                f" WHERE s.tenant_id = %s{condition} AND s.expires_at > %s ORDER BY s.seen_at DESC LIMIT %s",
                (self._scope.tenant.id, *params, clock.to_db(clock.now()), SESSIONS_MAX),
            )
        return [_session(bytes(key), *rest) for key, *rest in rows]

    async def end_session(self, session_id: str, user_id: int | None = None) -> None:
        """Over with the next request; `user_id`: only if it is this person's. Raises `NotFound`."""
        self._scope.require_person("end sessions")
        key = _key(session_id)
        condition, params = _of_user("s.", user_id)

        async def work(tx: Transaction) -> None:
            row = await tx.fetch_one(
                "SELECT u.name, u.email, s.token_hash FROM session s"
                " JOIN user u ON u.tenant_id = s.tenant_id AND u.id = s.user_id"
                f" WHERE s.tenant_id = %s AND SUBSTR(s.token_hash, 1, %s) = %s{condition} FOR UPDATE",
                (self._scope.tenant.id, SESSION_ID_BYTES, key, *params),
            )
            if row is None:
                raise NotFound("session")
            ended = await tx.execute(
                "DELETE FROM session WHERE tenant_id = %s AND token_hash = %s", (self._scope.tenant.id, row[2])
            )
            if not ended:
                raise NotFound("session")
            await audit.append(tx, self._scope.tenant.id, self._scope.actor, "session.end", row[0] or row[1])

        await self._scope.database.run(work)

    async def end_other_sessions(self, user_id: int, kept: bytes) -> int:
        """All of this person's but the one with the hash `kept`; returns how many."""
        self._scope.require_person("end sessions")

        async def work(tx: Transaction) -> int:
            ended = await tx.execute(
                "DELETE FROM session WHERE tenant_id = %s AND user_id = %s AND token_hash <> %s",
                (self._scope.tenant.id, user_id, kept),
            )
            if ended:
                detail: dict[str, object] = {"sessions": ended}
                await audit.append(
                    tx, self._scope.tenant.id, self._scope.actor, "session.end", self._scope.actor.name, detail
                )
            return ended

        return await self._scope.database.run(work)

    async def tokens(self) -> list[PlacedToken]:
        """The device tokens that work, by device; at most `TOKENS_MAX`."""
        self._scope.require_person("see device tokens")
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT d.id, d.name, k.id, k.label, k.created_at, k.last_used_at FROM device_token k"
                " JOIN device d ON d.tenant_id = k.tenant_id AND d.id = k.device_id AND d.removed_key = 0"
                " WHERE k.tenant_id = %s AND k.revoked_at IS NULL ORDER BY d.name, k.id DESC LIMIT %s",
                (self._scope.tenant.id, TOKENS_MAX),
            )
        return [
            PlacedToken(
                device_id, name,
                DeviceToken(token_id, label, clock.from_db(created), None if used is None else clock.from_db(used)),
            )
            for device_id, name, token_id, label, created, used in rows
        ]  # fmt: skip


def session_id(token_hash: bytes) -> str:
    """What a session is called."""
    return token_hash[:SESSION_ID_BYTES].hex()


def _of_user(prefix: str, user_id: int | None) -> tuple[str, list[object]]:
    return ("", []) if user_id is None else (f" AND {prefix}user_id = %s", [user_id])


def _key(session: str) -> bytes:
    try:
        key = bytes.fromhex(session)
    except ValueError as e:
        raise NotFound("session") from e
    if len(key) != SESSION_ID_BYTES:
        raise NotFound("session")
    return key


def _session(
    key: bytes,
    user_id: int,
    name: str,
    email: str,
    address: str | None,
    user_agent: str,
    created_at: datetime,
    seen_at: datetime,
    expires_at: datetime,
) -> OpenSession:
    return OpenSession(
        session_id(key), user_id, name or email, address, user_agent, clock.from_db(created_at),
        clock.from_db(seen_at), clock.from_db(expires_at),
    )  # fmt: skip
