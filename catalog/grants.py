"""Grants: what an owner lets staff do, once, for a while; and how staff redeem one.

What always holds: a token is kept as its hash alone and opens one staff session; of any number that redeem it at once,
one wins; a grant is looked at with every request, so that ending it takes effect with the next; what staff may do is
never more than the grant says, and never changes after it was issued.
"""

import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from catalog import audit, clock
from catalog.database import Database, Row, Transaction
from catalog.devices import Devices, token_hash
from catalog.errors import BadRequest, NotFound, TooMany, TooOften
from catalog.ledger import lock_ledger
from catalog.scope import Scope
from catalog.values import Actor, Grant, SessionView, UsedGrant

SECONDS_MIN: Final = 300
SECONDS_MAX: Final = 3 * 86_400
REASON_CHARACTERS_MAX: Final = 500
OPEN_MAX: Final = 20
"""Grants of one tenant that are not over."""
LISTED_MAX: Final = 100
GUESSES_MAX: Final = 10
"""Tokens that open nothing, of one person or one address in `GUESS_SECONDS`. A token has 256 random bits: the limit is
there so that trying shows, not because a guess could be right."""
GUESS_SECONDS: Final = 600
PREFIX: Final = "otbs_"
"""What a token begins with, so that people and scanners know one when they see it."""
_FORGET_AT_ONCE: Final = 500

_COLUMNS: Final = (
    "g.id, g.reason, g.may_write, g.all_devices, g.created_at, g.created_by, g.expires_at, g.redeemed_at, g.staff,"
    " g.seen_at, g.ended_at, g.ended_by"
)


class Grants:
    """The tenant's grants, for its people. `web` sees to it that only an owner issues and ends them."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def issue(
        self, device_ids: Collection[int] | None, *, may_write: bool, seconds: int, reason: str
    ) -> tuple[Grant, str]:
        """(grant, token) for these devices, or for all; the token is shown this once. It and the access end together.

        Raises NotFound, BadRequest, TooMany.
        """
        self._scope.require_person("give support access")
        reason = _checked(reason, seconds, device_ids)
        token, now = PREFIX + secrets.token_urlsafe(32), clock.now()

        async def work(tx: Transaction) -> Grant:
            ledger = await lock_ledger(tx, self._scope.tenant)
            await self._check_room(tx, now)
            names = [(await Devices(self._scope).one(tx, device_id)).name for device_id in sorted(device_ids or ())]
            grant_id = ledger.take_id()
            await ledger.store(tx)
            await tx.execute(
                "INSERT INTO support_grant (tenant_id, id, token_hash, reason, may_write, all_devices, created_at,"
                " created_by, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (self._scope.tenant.id, grant_id, token_hash(token), reason, may_write, device_ids is None,
                 clock.to_db(now), self._scope.actor.name[:200], clock.to_db(now + timedelta(seconds=seconds))),
            )  # fmt: skip
            await tx.execute_many(
                "INSERT INTO support_grant_device (tenant_id, grant_id, device_id) VALUES (%s, %s, %s)",
                [(self._scope.tenant.id, grant_id, device_id) for device_id in sorted(device_ids or ())],
            )
            detail: dict[str, object] = {
                "grant": grant_id, "devices": names if device_ids is not None else None, "write": may_write,
                "seconds": seconds,
            }  # fmt: skip
            await audit.append(tx, self._scope.tenant.id, self._scope.actor, "support.grant", reason, detail)
            return await self._one(tx, grant_id)

        return await self._scope.database.run(work), token

    async def all(self) -> list[Grant]:
        """The newest `LISTED_MAX`, newest first."""
        self._scope.require_person("see support access")
        return await self._select("", LISTED_MAX)

    async def live(self) -> list[Grant]:
        """Those that staff use right now."""
        self._scope.require_person("see support access")
        return await self._select(
            " AND g.redeemed_at IS NOT NULL AND g.ended_at IS NULL AND g.expires_at > UTC_TIMESTAMP(6)", OPEN_MAX
        )

    async def get(self, grant_id: int) -> Grant:
        """One of them. Raises `NotFound`."""
        self._scope.require_person("see support access")
        async with self._scope.database.reading() as tx:
            return await self._one(tx, grant_id)

    async def end(self, grant_id: int) -> None:
        """Over with the next request; before it was used, its token opens nothing. Raises `NotFound`."""
        self._scope.require_person("end support access")

        async def work(tx: Transaction) -> None:
            grant = await self._one(tx, grant_id)
            ended = await tx.execute(
                "UPDATE support_grant SET ended_at = %s, ended_by = %s, session_hash = NULL"
                " WHERE tenant_id = %s AND id = %s AND ended_at IS NULL AND expires_at > UTC_TIMESTAMP(6)",
                (clock.to_db(clock.now()), self._scope.actor.name[:200], self._scope.tenant.id, grant_id),
            )
            if not ended:
                raise NotFound("grant")
            detail: dict[str, object] = {"grant": grant_id, "staff": grant.staff}
            await audit.append(tx, self._scope.tenant.id, self._scope.actor, "support.end", grant.reason, detail)

        await self._scope.database.run(work)

    async def _check_room(self, tx: Transaction, now: datetime) -> None:
        row = await tx.fetch_one(
            "SELECT COUNT(*) FROM support_grant WHERE tenant_id = %s AND ended_at IS NULL AND expires_at > %s",
            (self._scope.tenant.id, clock.to_db(now)),
        )
        if row and row[0] >= OPEN_MAX:
            raise TooMany(OPEN_MAX, "support accesses that are not over")

    async def _select(self, where: str, limit: int) -> list[Grant]:
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {_COLUMNS} FROM support_grant g WHERE g.tenant_id = %s{where} ORDER BY g.id DESC LIMIT %s",
                (self._scope.tenant.id, limit),
            )
            return [await self._grant(tx, row) for row in rows]

    async def _one(self, tx: Transaction, grant_id: int) -> Grant:
        row = await tx.fetch_one(
            f"SELECT {_COLUMNS} FROM support_grant g WHERE g.tenant_id = %s AND g.id = %s",
            (self._scope.tenant.id, grant_id),
        )
        if row is None:
            raise NotFound("grant")
        return await self._grant(tx, row)

    async def _grant(self, tx: Transaction, row: Row) -> Grant:
        grant_id, reason, may_write, is_whole, created, created_by, expires, redeemed, staff, seen, ended, by = row
        devices = None if is_whole else await devices_of(tx, self._scope.tenant.id, grant_id)
        return Grant(
            grant_id, reason, bool(may_write), devices, clock.from_db(created), created_by, clock.from_db(expires),
            _moment(redeemed), staff, _moment(seen), _moment(ended), by,
        )  # fmt: skip


class Redemptions:
    """Staff's side. Part of `SystemScope`: until a grant is redeemed, no tenant is known."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def redeem(self, token: str, session: SessionView, address: str | None) -> None:
        """The session of staff acts in the grant's account from now on; what it used before ends.

        Raises `NotFound` for what opens nothing (never given, used, ended or expired: no difference), which counts as a
        guess, and `TooOften`.
        """
        staff = session.staff
        if staff is None:
            raise NotFound("token")
        actor = Actor("staff", staff.name or staff.email, staff.id, address)
        await self._check_guesses(staff.id, address)

        async def work(tx: Transaction) -> bool:
            key = token_hash(token)
            row = await tx.fetch_one(
                "SELECT g.tenant_id, g.id, g.token_hash, g.created_by, g.reason, g.redeemed_at IS NULL"
                " AND g.ended_at IS NULL AND g.expires_at > UTC_TIMESTAMP(6) AND t.status = 'active'"
                " FROM support_grant g JOIN tenant t ON t.id = g.tenant_id WHERE g.token_hash = %s FOR UPDATE",
                (key,),
            )
            if row is None or not hmac.compare_digest(bytes(row[2]), key) or not row[5]:
                return False
            tenant_id, grant_id, _, issued_by, reason, _ = row
            await end_of_session(tx, session.id_hash, actor)
            now = clock.to_db(clock.now())
            await tx.execute(
                "UPDATE support_grant SET redeemed_at = %s, seen_at = %s, staff_id = %s, staff = %s, session_hash = %s"
                " WHERE tenant_id = %s AND id = %s",
                (now, now, staff.id, actor.name[:200], session.id_hash, tenant_id, grant_id),
            )
            await audit.append(
                tx, tenant_id, _as_staff(actor, issued_by, grant_id), "support.redeem", reason, {"grant": grant_id}
            )
            return True

        if not await self._database.run(work):
            await self._note_guess(staff.id, actor)
            raise NotFound("token")

    async def leave(self, session: SessionView, address: str | None) -> None:
        """Staff are done. Without a grant there is nothing to do."""
        staff = session.staff
        if staff is not None:
            actor = Actor("staff", staff.name or staff.email, staff.id, address)
            await self._database.run(lambda tx: end_of_session(tx, session.id_hash, actor))

    async def _check_guesses(self, staff_id: int, address: str | None) -> None:
        since = clock.to_db(clock.now() - timedelta(seconds=GUESS_SECONDS))
        async with self._database.reading() as tx:
            await tx.execute("DELETE FROM support_guess WHERE at < %s LIMIT %s", (since, _FORGET_AT_ONCE))
            rows = await tx.fetch_all(
                "SELECT COUNT(*) FROM support_guess WHERE staff_id = %s AND at >= %s"
                " UNION ALL SELECT COUNT(*) FROM support_guess WHERE address = %s AND at >= %s",
                (staff_id, since, address, since),
            )
        if any(count >= GUESSES_MAX for (count,) in rows):
            raise TooOften("Too many tokens that open nothing were tried.", GUESS_SECONDS)

    async def _note_guess(self, staff_id: int, actor: Actor) -> None:
        async def work(tx: Transaction) -> None:
            await tx.execute(
                "INSERT INTO support_guess (staff_id, address, at) VALUES (%s, %s, %s)",
                (staff_id, actor.address, clock.to_db(clock.now())),
            )
            await audit.append(tx, None, actor, "support.refused", actor.name)

        await self._database.run(work)


async def used_grant(tx: Transaction, row: Row) -> UsedGrant:
    """Of (tenant, id, issued_by, may_write, all_devices, expires_at), with the devices it reaches."""
    tenant_id, grant_id, issued_by, may_write, is_whole, expires_at = row
    devices = None if is_whole else await devices_of(tx, tenant_id, grant_id)
    return UsedGrant(grant_id, issued_by, bool(may_write), devices, clock.from_db(expires_at))


async def end_of_session(tx: Transaction, session_hash: bytes, actor: Actor) -> None:
    """The session lets nobody in any more: the grant that it used is over, if there was one."""
    row = await tx.fetch_one(
        "SELECT tenant_id, id, created_by, reason, staff, ended_at IS NULL AND expires_at > UTC_TIMESTAMP(6)"
        " FROM support_grant WHERE session_hash = %s FOR UPDATE",
        (session_hash,),
    )
    if row is None:
        return
    tenant_id, grant_id, issued_by, reason, staff, is_live = row
    ended_at = clock.to_db(clock.now())
    await tx.execute(
        "UPDATE support_grant SET session_hash = NULL, ended_by = IF(%s, %s, ended_by), ended_at = IF(%s, %s, ended_at)"
        " WHERE tenant_id = %s AND id = %s",
        (is_live, actor.name[:200], is_live, ended_at, tenant_id, grant_id),
    )
    if is_live:
        detail: dict[str, object] = {"grant": grant_id, "staff": staff}
        await audit.append(tx, tenant_id, _as_staff(actor, issued_by, grant_id), "support.end", reason, detail)


async def devices_of(tx: Transaction, tenant_id: int, grant_id: int) -> frozenset[int]:
    """The devices that a grant names."""
    rows = await tx.fetch_all(
        "SELECT device_id FROM support_grant_device WHERE tenant_id = %s AND grant_id = %s", (tenant_id, grant_id)
    )
    return frozenset(device_id for (device_id,) in rows)


def _as_staff(actor: Actor, issued_by: str, grant_id: int) -> Actor:
    return Actor(actor.kind, actor.name, actor.id, actor.address, issued_by, grant_id)


def _checked(reason: str, seconds: int, device_ids: Collection[int] | None) -> str:
    """The reason, without blanks around it. Raises `BadRequest`."""
    reason = " ".join(reason.split())
    if not 1 <= len(reason) <= REASON_CHARACTERS_MAX:
        raise BadRequest(f"Say in 1 to {REASON_CHARACTERS_MAX} characters what support is to do.")
    if not reason.isprintable():
        raise BadRequest("The reason must not contain control characters.")
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise BadRequest(f"Support access lasts {SECONDS_MIN // 60} minutes to {SECONDS_MAX // 86_400} days.")
    if device_ids is not None and not device_ids:
        raise BadRequest("Choose the devices that support may see, or all.")
    return reason


def _moment(value: datetime | None) -> datetime | None:
    return None if value is None else clock.from_db(value)
