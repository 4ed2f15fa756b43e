"""The audit: who did what, when, from where. Append-only; an act and its event commit together."""

from datetime import datetime
from typing import Any, Final

import msgspec

from catalog import clock, cursors
from catalog.database import Transaction
from catalog.errors import BadRequest
from catalog.scope import Scope
from catalog.values import Actor, AuditEvent, Page

PAGE_MAX: Final = 500
SUBJECT_CHARACTERS_MAX: Final = 512

_INSERT: Final = (
    "INSERT INTO audit_event (tenant_id, at, actor_kind, actor, actor_id, device_id, action, subject, detail, address)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
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
    """Write one event. `subject` is shortened to its column; `detail` must be JSON."""
    moment = clock.to_db(at or clock.now())
    await tx.execute(
        _INSERT,
        (tenant_id, moment, actor.kind, actor.name[:200], actor.id, device_id, action,
         subject[:SUBJECT_CHARACTERS_MAX], msgspec.json.encode(detail or {}).decode(), actor.address),
    )  # fmt: skip


class Audit:
    """The tenant's own events."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def record(
        self, action: str, subject: str, detail: dict[str, object] | None = None, device_id: int | None = None
    ) -> None:
        """Record an act that changes no manifest: a download, an export, a refusal."""

        async def work(tx: Transaction) -> None:
            await append(tx, self._scope.tenant.id, self._scope.actor, action, subject, detail, device_id=device_id)

        await self._scope.database.run(work)

    async def page(self, cursor: str | None = None, limit: int = 100, action: str | None = None) -> Page[AuditEvent]:
        """Newest first; `action` keeps one kind."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page of the audit has 1 to {PAGE_MAX} events.")
        before = cursors.decode(cursor, int)[0] if cursor else 2**63 - 1
        params: list[object] = [self._scope.tenant.id, before]
        sql = (
            "SELECT id, at, actor_kind, actor, action, subject, detail, address FROM audit_event"
            " WHERE tenant_id = %s AND id < %s"
        )
        if action is not None:
            sql += " AND action = %s"
            params.append(action)
        sql += self._scope.within("device_id")
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(sql + " ORDER BY id DESC LIMIT %s", (*params, limit + 1))
        events = [_event(*row) for row in rows[:limit]]
        return Page(events, cursors.encode(events[-1].id) if len(rows) > limit else None)

    async def actions(self) -> list[str]:
        """The kinds of act that occur, to choose from."""
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT DISTINCT action FROM audit_event"
                f" WHERE tenant_id = %s{self._scope.within('device_id')} ORDER BY action",
                (self._scope.tenant.id,),
            )
        return [row[0] for row in rows]


def _event(
    event_id: int, at: datetime, actor_kind: str, actor: str, action: str, subject: str, detail: Any, address: str
) -> AuditEvent:
    parsed: dict[str, object] = msgspec.json.decode(detail, type=dict[str, object])
    return AuditEvent(event_id, clock.from_db(at), actor_kind, actor, action, subject, parsed, address)
