"""Journal chains: their heads in MariaDB, locked until the commit, and the record that is durable before it.

What always holds: a head only moves to a record that is durable; a record beyond the head belongs to a commit that
failed, and the journal marks it abandoned when the next record takes its place.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cas.digest import Digest
from catalog import clock, records
from catalog.clock import from_db, to_db
from catalog.database import Transaction
from catalog.errors import NotFound
from catalog.records import JournalWriter

TENANT_CHAIN: Final = 0


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands. `device_id` 0 is the tenant's own chain."""

    tenant_id: int
    device_id: int
    sequence: int
    digest: Digest | None
    manifest_sequence: int
    changed_at: datetime


def chain_name(tenant_uuid: str, device_id: int) -> str:
    """The chain's folder in the journal."""
    return f"{tenant_uuid}/{'tenant' if device_id == TENANT_CHAIN else f'device-{device_id}'}"


async def create_head(tx: Transaction, tenant_id: int, device_id: int, at: datetime) -> None:
    await tx.execute(
        "INSERT INTO journal_head (tenant_id, device_id, changed_at) VALUES (%s, %s, %s)",
        (tenant_id, device_id, to_db(at)),
    )


async def lock_head(tx: Transaction, tenant_id: int, device_id: int) -> Head | None:
    """The head, locked until the transaction ends; None if there is no such chain."""
    row = await tx.fetch_one(
        "SELECT sequence, digest, manifest_sequence, changed_at FROM journal_head"
        " WHERE tenant_id = %s AND device_id = %s FOR UPDATE",
        (tenant_id, device_id),
    )
    if row is None:
        return None
    sequence, digest, manifest_sequence, changed_at = row
    known = Digest(bytes(digest)) if digest is not None else None
    return Head(tenant_id, device_id, sequence, known, manifest_sequence, from_db(changed_at))


def later(head: Head, moment: datetime) -> datetime:
    """`moment`, or just after the chain's last change if the clock went back: order in a chain is order in time."""
    return max(moment, head.changed_at + timedelta(microseconds=1))


async def advance(
    tx: Transaction, journal: JournalWriter, head: Head, tenant_uuid: str, body: bytes, at: datetime, manifests: int
) -> Head:
    """Make the record durable, then move the head to it (seen once the transaction commits)."""
    sequence = head.sequence + 1
    chain = chain_name(tenant_uuid, head.device_id)
    digest = await asyncio.to_thread(journal.append, chain, sequence, head.digest, body)
    moved = replace(
        head, sequence=sequence, digest=digest, manifest_sequence=head.manifest_sequence + manifests, changed_at=at
    )
    await tx.execute(
        "UPDATE journal_head SET sequence = %s, digest = %s, manifest_sequence = %s, changed_at = %s"
        " WHERE tenant_id = %s AND device_id = %s",
        (sequence, digest.raw, moved.manifest_sequence, to_db(at), head.tenant_id, head.device_id),
    )
    return moved


async def journal_tenant(
    tx: Transaction, journal: JournalWriter, tenant_id: int, tenant_uuid: str, lines: Sequence[records.Line]
) -> None:
    """The last step of a change to the tenant itself: its record in the tenant's own chain, durable before the commit.
    The caller holds the ledger's row. Raises `NotFound`."""
    head = await lock_head(tx, tenant_id, TENANT_CHAIN)
    if head is None:
        raise NotFound("account")
    await advance(tx, journal, head, tenant_uuid, records.encode(lines), later(head, clock.now()), manifests=0)
