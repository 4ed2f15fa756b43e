"""Sign-in: the handoff spent once in the transaction that makes the session; sessions and device tokens looked up.

Tokens are random 256-bit values of which only the SHA-256 is kept.
"""

import hashlib
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Final

from catalog import audit, clock
from catalog.chains import TENANT_CHAIN, create_head
from catalog.database import Database, DuplicateKey, Row, Transaction
from catalog.devices import token_hash
from catalog.errors import HandoffReplayed, NotFound, TenantSuspended
from catalog.grants import end_of_session, used_grant
from catalog.settings import Settings
from catalog.values import Actor, DeviceTokenView, HandoffClaims, Role, SessionView, Staff, Tenant, UsedGrant, User

SEEN_EVERY: Final = timedelta(seconds=60)
_FORGET_PER_SIGN_IN: Final = 100

TENANT_COLUMNS: Final = "t.id, t.uuid, t.billing_client, t.label, t.status, t.quota_bytes, l.used_bytes, t.time_zone"


def tenant_of(row: Row, quota_default_bytes: int) -> Tenant:
    """A row of `TENANT_COLUMNS`; a quota that is not set is the default of the settings."""
    tenant_id, uid, client, label, status, quota, used, zone = row
    return Tenant(tenant_id, uid, client, label, status, quota_default_bytes if quota is None else quota, used, zone)


class Sessions:
    """Ways in. Part of `SystemScope`: no tenant is known yet."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def handoff(
        self, claims: HandoffClaims, address: str | None, user_agent: str, replaces: str | None = None
    ) -> str:
        """Spend a verified handoff and make a session; returns its token. `replaces`: a session that ends with it.

        Raises HandoffReplayed, TenantSuspended; both are in the audit then.
        """
        token = secrets.token_urlsafe(32)
        actor = Actor("staff" if claims.role is Role.STAFF else "user", claims.name or claims.email, None, address)

        async def work(tx: Transaction) -> bool:
            await spend(tx, claims.jti, claims.expires_at)
            if replaces is not None:
                await end_of_session(tx, token_hash(replaces), actor)
                await tx.execute("DELETE FROM session WHERE token_hash = %s", (token_hash(replaces),))
            if claims.role is Role.STAFF:
                staff_id = await _upsert_staff(tx, claims)
                await self._insert(tx, token, None, None, staff_id, address, user_agent)
                await audit.append(tx, None, actor, "staff.sign_in", claims.subject)
                return True
            tenant = await self._upsert_tenant(tx, claims)
            if tenant.status != "active":
                await audit.append(tx, tenant.id, actor, "sign_in.refused", claims.subject, {"reason": tenant.status})
                return False
            user_id = await _upsert_user(tx, tenant.id, claims)
            await self._insert(tx, token, tenant.id, user_id, None, address, user_agent)
            signed_in = Actor("user", actor.name, user_id, address)
            await audit.append(tx, tenant.id, signed_in, "sign_in", claims.subject)
            return True

        try:
            is_active = await self._database.run(work)
        except DuplicateKey as e:
            await self.refuse("replayed", claims, address)
            raise HandoffReplayed from e
        if not is_active:
            raise TenantSuspended
        return token

    async def refuse(self, reason: str, claims: HandoffClaims | None, address: str | None) -> None:
        """Record a handoff that was turned away. Claims that were not verified belong to no tenant's audit."""

        async def work(tx: Transaction) -> None:
            tenant_id = None
            if claims is not None and claims.role is not Role.STAFF:
                row = await tx.fetch_one("SELECT id FROM tenant WHERE billing_client = %s", (claims.billing_client,))
                tenant_id = row[0] if row else None
            name = claims.name or claims.email if claims else "unknown"
            actor = Actor("user", name, None, address)
            subject = claims.subject if claims else ""
            await audit.append(tx, tenant_id, actor, "sign_in.refused", subject, {"reason": reason})

        await self._database.run(work)

    async def find(self, token: str) -> SessionView:
        """The live session of a cookie; its idle time starts again. Raises NotFound, TenantSuspended."""
        now, key = clock.now(), token_hash(token)
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT s.seen_at, s.expires_at, u.id, u.name, u.email, u.role, f.id, f.name, f.email, g.tenant_id,"
                " g.id, g.created_by, g.may_write, g.all_devices, g.expires_at, "
                + TENANT_COLUMNS
                + " FROM session s LEFT JOIN user u ON u.tenant_id = s.tenant_id AND u.id = s.user_id"
                " LEFT JOIN staff f ON f.id = s.staff_id LEFT JOIN support_grant g ON g.session_hash = s.token_hash"
                " AND g.ended_at IS NULL AND g.expires_at > %s"
                " LEFT JOIN tenant t ON t.id = COALESCE(s.tenant_id, g.tenant_id)"
                " LEFT JOIN ledger l ON l.tenant_id = t.id WHERE s.token_hash = %s",
                (clock.to_db(now), key),
            )
            if row is None or not self._is_live(row, now):
                raise NotFound("session")
            if now - clock.from_db(row[0]) > SEEN_EVERY:
                await tx.execute("UPDATE session SET seen_at = %s WHERE token_hash = %s", (clock.to_db(now), key))
                await tx.execute(
                    "UPDATE support_grant SET seen_at = %s WHERE session_hash = %s", (clock.to_db(now), key)
                )
            grant = None if row[9] is None else await used_grant(tx, row[9:15])
        return self._view(key, row, grant)

    async def end(self, token: str, actor: Actor, tenant_id: int | None) -> None:
        """Sign out: the session is gone with the next request."""

        async def work(tx: Transaction) -> None:
            await end_of_session(tx, token_hash(token), actor)
            if await tx.execute("DELETE FROM session WHERE token_hash = %s", (token_hash(token),)):
                await audit.append(tx, tenant_id, actor, "sign_out", actor.name)

        await self._database.run(work)

    async def device_token(self, token: str) -> DeviceTokenView:
        """The device that a bearer token is for. Raises NotFound, TenantSuspended."""
        now, key = clock.now(), token_hash(token)
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT k.id, k.device_id, k.label, k.last_used_at, "
                + TENANT_COLUMNS
                + " FROM device_token k JOIN tenant t ON t.id = k.tenant_id JOIN ledger l ON l.tenant_id = t.id"
                " WHERE k.token_hash = %s AND k.revoked_at IS NULL",
                (key,),
            )
            if row is None:
                raise NotFound("token")
            if row[3] is None or now - clock.from_db(row[3]) > SEEN_EVERY:
                await tx.execute(
                    "UPDATE device_token SET last_used_at = %s WHERE token_hash = %s", (clock.to_db(now), key)
                )
        tenant = tenant_of(row[4:], self._settings.quota_default_bytes)
        if tenant.status != "active":
            raise TenantSuspended
        return DeviceTokenView(tenant, row[1], row[0], row[2])

    def _is_live(self, row: Row, now: datetime) -> bool:
        idle = timedelta(seconds=self._settings.session_idle_seconds)
        return now < clock.from_db(row[1]) and now - clock.from_db(row[0]) < idle

    def _view(self, key: bytes, row: Row, grant: UsedGrant | None) -> SessionView:
        user_id, name, email, role, staff_id, staff_name, staff_email = row[2:9]
        if staff_id is not None:
            return self._staff_view(key, Staff(staff_id, staff_name, staff_email), row[15:], grant)
        tenant = tenant_of(row[15:], self._settings.quota_default_bytes)
        if tenant.status != "active":
            raise TenantSuspended
        return SessionView(key, tenant, User(user_id, name, email, Role(role)), None)

    def _staff_view(self, key: bytes, staff: Staff, tenant_row: Row, grant: UsedGrant | None) -> SessionView:
        """An account that is suspended lets nobody in, staff neither."""
        if grant is not None:
            tenant = tenant_of(tenant_row, self._settings.quota_default_bytes)
            if tenant.status == "active":
                return SessionView(key, tenant, None, staff, grant)
        return SessionView(key, None, None, staff)

    async def _insert(
        self,
        tx: Transaction,
        token: str,
        tenant_id: int | None,
        user_id: int | None,
        staff_id: int | None,
        address: str | None,
        user_agent: str,
    ) -> None:
        now = clock.now()
        ends = now + timedelta(seconds=self._settings.session_seconds_max)
        await tx.execute(
            "INSERT INTO session (token_hash, tenant_id, user_id, staff_id, address, user_agent, created_at, seen_at,"
            " expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (token_hash(token), tenant_id, user_id, staff_id, address, user_agent[:255], clock.to_db(now),
             clock.to_db(now), clock.to_db(ends)),
        )  # fmt: skip
        await tx.execute("DELETE FROM session WHERE expires_at < %s LIMIT %s", (clock.to_db(now), _FORGET_PER_SIGN_IN))

    async def _upsert_tenant(self, tx: Transaction, claims: HandoffClaims) -> Tenant:
        query = f"SELECT {TENANT_COLUMNS} FROM tenant t JOIN ledger l ON l.tenant_id = t.id WHERE t.billing_client = %s"
        row = await tx.fetch_one(query, (claims.billing_client,))
        if row is None:
            await _insert_tenant(tx, claims, self._settings.time_zone_default)
            row = await tx.fetch_one(query, (claims.billing_client,))
        elif row[3] != claims.label:
            await tx.execute("UPDATE tenant SET label = %s WHERE id = %s", (claims.label[:200], row[0]))
        if row is None:
            raise NotFound("account")
        return tenant_of(row, self._settings.quota_default_bytes)


async def spend(tx: Transaction, jti: str, expires_at: datetime) -> None:
    """Spend the `jti`: a second row of it is refused by its key, and with it the whole transaction."""
    now = clock.to_db(clock.now())
    await tx.execute("DELETE FROM handoff WHERE expires_at < %s LIMIT %s", (now, _FORGET_PER_SIGN_IN))
    jti_hash = hashlib.sha256(jti.encode()).digest()
    await tx.execute("INSERT INTO handoff (jti_hash, expires_at) VALUES (%s, %s)", (jti_hash, clock.to_db(expires_at)))


async def _insert_tenant(tx: Transaction, claims: HandoffClaims, time_zone: str) -> None:
    now = clock.now()
    tenant_id = await tx.insert(
        "INSERT INTO tenant (uuid, billing_client, label, time_zone, created_at) VALUES (%s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)",
        (str(uuid.uuid4()), claims.billing_client, claims.label[:200], time_zone, clock.to_db(now)),
    )
    is_new = await tx.execute("INSERT IGNORE INTO ledger (tenant_id) VALUES (%s)", (tenant_id,))
    if is_new:
        await create_head(tx, tenant_id, TENANT_CHAIN, now)


async def _upsert_user(tx: Transaction, tenant_id: int, claims: HandoffClaims) -> int:
    now = clock.to_db(clock.now())
    return await tx.insert(
        "INSERT INTO user (tenant_id, subject, email, name, role, created_at, seen_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id),"
        " email = VALUES(email), name = VALUES(name), role = VALUES(role), seen_at = VALUES(seen_at)",
        (tenant_id, claims.subject, claims.email, claims.name[:200], str(claims.role), now, now),
    )


async def _upsert_staff(tx: Transaction, claims: HandoffClaims) -> int:
    now = clock.to_db(clock.now())
    return await tx.insert(
        "INSERT INTO staff (subject, email, name, created_at, seen_at) VALUES (%s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id), email = VALUES(email), name = VALUES(name),"
        " seen_at = VALUES(seen_at)",
        (claims.subject, claims.email, claims.name[:200], now, now),
    )
