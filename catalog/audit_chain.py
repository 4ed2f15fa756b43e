"""The audit's chains, as they are proved: every event's hash covers the event and the hash before it.

The database makes number and hash as an event is inserted (the trigger `audit_event_chained` of sql/); here the same is
worked out again from what is stored. The format is in docs/audit.md, so that an export can be proved by its owner.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from catalog.database import Database, Row

SYSTEM_CHAIN: Final = 0
"""Of events that belong to no tenant."""
SYSTEM_NAME: Final = "system"
EVENTS_PER_PAGE_MAX: Final = 5_000
AUDIT_CHAINS: Final = "audit/"
"""Where in the journal the checkpoints are: no account's chains, and no rebuild needs them."""

_GENESIS: Final = "otb-cloud audit 1\n"
CHAINED_COLUMNS: Final = (
    "sequence, hash, CAST(at AS CHAR), actor_kind, actor, actor_id, device_id, action, subject, detail, address,"
    " on_behalf_of, grant_id"
)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain stands. `name`: the tenant's uuid, or `system`."""

    chain: int
    name: str
    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """An event as its hash sees it: `text` is what follows the hash before it."""

    sequence: int
    hash: bytes
    text: str


def genesis(name: str) -> bytes:
    """The hash before a chain's first event."""
    return hashlib.sha256((_GENESIS + name).encode()).digest()


def chained(before: bytes, text: str) -> bytes:
    """The hash of an event behind the hash `before`."""
    return hashlib.sha256(f"{before.hex()}\n{text}".encode()).digest()


def event_of(row: Row) -> ChainedEvent:
    """A row of `CHAINED_COLUMNS`."""
    (sequence, digest, at, actor_kind, actor, actor_id, device_id, action, subject, detail, address, for_whom,
     grant) = row  # fmt: skip
    parts = [
        str(sequence), at, _counted(actor_kind), _counted(actor), _plain(actor_id), _plain(device_id), _counted(action),
        _counted(subject), _counted(detail), _plain(address), _counted(for_whom), _plain(grant), "",
    ]  # fmt: skip
    return ChainedEvent(sequence, bytes(digest), "\n".join(parts))


class AuditChains:
    """Every tenant's chain. Part of `SystemScope`, for tools/verify."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self) -> list[ChainHead]:
        """All chains in order; one whose head is gone while events are there stands at 0."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT c.chain, t.uuid, IFNULL(h.sequence, 0), h.hash FROM"
                " (SELECT chain FROM audit_head UNION SELECT DISTINCT chain FROM audit_event) c"
                " LEFT JOIN audit_head h ON h.chain = c.chain LEFT JOIN tenant t ON t.id = c.chain ORDER BY c.chain"
            )
        return [ChainHead(chain, _name(chain, uid), at, bytes(head or b"")) for chain, uid, at, head in rows]

    async def events(self, chain: int, after: int, limit: int = EVENTS_PER_PAGE_MAX) -> Sequence[ChainedEvent]:
        """The next events of a chain after a number, in order."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {CHAINED_COLUMNS} FROM audit_event WHERE chain = %s AND sequence > %s"
                " ORDER BY sequence LIMIT %s",
                (chain, after, limit),
            )
        return [event_of(row) for row in rows]

    async def checkpoints_under(self) -> str:
        """The name of this catalog's chain of checkpoints in the journal."""
        async with self._database.reading() as tx:
            row = await tx.fetch_one("SELECT chain FROM audit_checkpoint")
        return checkpoint_chain(row[0]) if row else ""


def checkpoint_chain(catalog_name: str) -> str:
    """The journal's chain of a catalog's checkpoints."""
    return AUDIT_CHAINS + catalog_name


def _name(chain: int, tenant_uuid: str | None) -> str:
    if chain == SYSTEM_CHAIN:
        return SYSTEM_NAME
    return tenant_uuid or f"tenant {chain}"


def _counted(text: str | None) -> str:
    return "-" if text is None else f"{len(text)}:{text}"


def _plain(value: object) -> str:
    return "-" if value is None else str(value)
