"""The audit: who did what, when, from where. Append-only; an act and its event commit together.

What always holds: an event's number counts within its tenant alone, and with the event's hash it is made by the
database (`catalog/audit_chain.py`); nobody sees events of devices out of reach, and staff see those of their devices
and their own.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec

from catalog import clock, cursors
from catalog.database import Transaction
from catalog.errors import BadRequest
from catalog.scope import Scope
from catalog.values import Actor, AuditActor, AuditEvent, AuditHead, Page

PAGE_MAX: Final = 500
SUBJECT_CHARACTERS_MAX: Final = 512
CHOICES_MAX: Final = 200
"""Of actors to filter by."""
FIRST_DAY: Final = date(2000, 1, 1)
LAST_DAY: Final = date(2200, 12, 31)

_INSERT: Final = (
    "INSERT INTO audit_event (tenant_id, at, actor_kind, actor, actor_id, device_id, action, subject, detail, address,"
    " on_behalf_of, grant_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_COLUMNS: Final = (
    "sequence, at, actor_kind, actor, action, subject, detail, address, device_id, on_behalf_of, grant_id, hash,"
    " actor_id"
)


async def append(
    tx: Transaction,
    tenant_id: int | None,
    actor: Actor,
    action: str,
    subject: str,
    detail: dict[str, object] | None = None,
    *,
    at: datetime | None = None,
    device_id: int | None = None,
) -> None:
    """Write one event. `subject` is shortened to its column; `detail` must be JSON.

    Locks the head of the tenant's chain until the transaction ends: do it late, it is the last lock of all.
    """
    moment = clock.to_db(at or clock.now())
    await tx.execute(
        _INSERT,
        (tenant_id, moment, actor.kind, actor.name[:200], actor.id, device_id, action,
         subject[:SUBJECT_CHARACTERS_MAX], msgspec.json.encode(detail or {}).decode(), actor.address,
         None if actor.on_behalf_of is None else actor.on_behalf_of[:200], actor.grant_id),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """All conditions hold together. Days are the tenant's, both included; `actor` is a name as the event has it."""

    action: str | None = None
    actor: str | None = None
    device_id: int | None = None
    grant_id: int | None = None
    subject: str | None = None
    first_day: date | None = None
    last_day: date | None = None

    @property
    def is_empty(self) -> bool:
        return self == AuditFilter()


class Audit:
    """The tenant's own events."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def record(
        self, action: str, subject: str, detail: dict[str, object] | None = None, device_id: int | None = None
    ) -> None:
        """Record an act that changes no manifest: a download, an export, a look, a refusal."""

        async def work(tx: Transaction) -> None:
            await append(tx, self._scope.tenant.id, self._scope.actor, action, subject, detail, device_id=device_id)

        await self._scope.database.run(work)

    async def page(
        self, cursor: str | None = None, limit: int = 100, wanted: AuditFilter = AuditFilter()
    ) -> Page[AuditEvent]:
        """Newest first. Raises BadRequest, BadCursor; NotFound for a device out of reach."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page of the audit has 1 to {PAGE_MAX} events.")
        before = int(cursors.decode(cursor, int)[0]) if cursor else 2**63 - 1
        sql, params = self._select(wanted)
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"{sql} AND sequence < %s ORDER BY sequence DESC LIMIT %s", (*params, before, limit + 1)
            )
        events = [_event(*row) for row in rows[:limit]]
        return Page(events, cursors.encode(events[-1].id) if len(rows) > limit else None)

    async def each(self, wanted: AuditFilter = AuditFilter()) -> AsyncIterator[list[AuditEvent]]:
        """All events, oldest first, page by page, up to the one that was the last when this began."""
        sql, params = self._select(wanted)
        last, after = (await self._head()).sequence, 0
        while True:
            async with self._scope.database.reading() as tx:
                rows = await tx.fetch_all(
                    f"{sql} AND sequence > %s AND sequence <= %s ORDER BY sequence LIMIT %s",
                    (*params, after, last, PAGE_MAX),
                )
            if rows:
                yield [_event(*row) for row in rows]
            if len(rows) < PAGE_MAX:
                return
            after = rows[-1][0]

    async def head(self) -> AuditHead:
        """Where the tenant's chain stands: what an owner may keep, so that nobody can cut the audit's end off.

        It counts everything, so that who does not see everything is told nothing.
        """
        is_whole = self._scope.token_device is None and self._scope.grant is None
        return await self._head() if is_whole else AuditHead(0, b"")

    async def _head(self) -> AuditHead:
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one("SELECT sequence, hash FROM audit_head WHERE chain = %s", (self._scope.tenant.id,))
        return AuditHead(0, b"") if row is None else AuditHead(row[0], bytes(row[1]))

    async def actions(self) -> list[str]:
        """The kinds of act that occur, to choose from."""
        return [action for (action,) in await self._distinct("action")]

    async def actors(self) -> list[AuditActor]:
        """Who acts, to choose from, by name; at most `CHOICES_MAX`."""
        return [AuditActor(kind, name) for name, kind in await self._distinct("actor, actor_kind")]

    async def _distinct(self, columns: str) -> list[tuple[Any, ...]]:
        async with self._scope.database.reading() as tx:
            return await tx.fetch_all(
                f"SELECT DISTINCT {columns} FROM audit_event WHERE chain = %s{self._seen()}"
                f" ORDER BY {columns} LIMIT %s",
                (self._scope.tenant.id, CHOICES_MAX),
            )

    def _select(self, wanted: AuditFilter) -> tuple[str, list[object]]:
        sql = f"SELECT {_COLUMNS} FROM audit_event WHERE chain = %s{self._seen()}"
        params: list[object] = [self._scope.tenant.id]
        if wanted.device_id is not None:
            self._scope.reach(wanted.device_id)
        equal = {
            "action": wanted.action,
            "actor": wanted.actor,
            "device_id": wanted.device_id,
            "grant_id": wanted.grant_id,
            "subject": wanted.subject,
        }
        for column, value in equal.items():
            if value is not None:
                sql += f" AND {column} = %s"
                params.append(value)
        for condition, moment in self._days(wanted):
            sql += condition
            params.append(moment)
        return sql, params

    def _seen(self) -> str:
        """What this actor may see of the tenant's events."""
        grant = self._scope.grant
        if grant is None:
            return self._scope.within("device_id")
        its_own = f"grant_id = {grant.id:d}"
        if grant.devices is None:
            return f" AND (device_id IS NOT NULL OR {its_own})"
        return f" AND ({its_own} OR (TRUE{self._scope.within('device_id')}))"

    def _days(self, wanted: AuditFilter) -> list[tuple[str, datetime]]:
        first, last = wanted.first_day, wanted.last_day
        if first is not None and last is not None and last < first:
            raise BadRequest("The last day lies before the first. Exchange them.")
        found = []
        for day, extra, condition in ((first, 0, " AND at >= %s"), (last, 1, " AND at < %s")):
            if day is not None:
                if not FIRST_DAY <= day <= LAST_DAY:
                    raise BadRequest(f"A day lies between {FIRST_DAY} and {LAST_DAY}.")
                found.append((condition, clock.to_db(clock.day_start(day + timedelta(days=extra), self._scope.zone))))
        return found


def _event(
    number: int,
    at: datetime,
    actor_kind: str,
    actor: str,
    action: str,
    subject: str,
    detail: Any,
    address: str | None,
    device_id: int | None,
    on_behalf_of: str | None,
    grant_id: int | None,
    digest: bytes,
    actor_id: int | None,
) -> AuditEvent:
    parsed: dict[str, object] = msgspec.json.decode(detail, type=dict[str, object])
    return AuditEvent(
        number, clock.from_db(at), actor_kind, actor, action, subject, parsed, address, device_id, on_behalf_of,
        grant_id, bytes(digest), actor_id, detail,
    )  # fmt: skip
