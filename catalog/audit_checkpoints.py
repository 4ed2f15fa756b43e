"""Checkpoints: the audit's heads, written into the store's journal, where no statement in the database reaches them.

What always holds: a checkpoint's record is durable before the catalog counts it; one is written at a time, by whichever
server comes first; a head that did not change since the last one is not written again.
"""

import asyncio
from typing import Final

from cas.digest import Digest
from catalog import clock, records
from catalog.audit_chain import SYSTEM_NAME, checkpoint_chain
from catalog.audit_signing import AuditKey
from catalog.database import Database, Row, Transaction
from catalog.records import AuditHeadFact, AuditHeadsLine, JournalWriter

HEADS_PER_RECORD_MAX: Final = 10_000


class AuditCheckpoints:
    """Writes them. `key` None: they are not signed."""

    def __init__(self, database: Database, journal: JournalWriter, key: AuditKey | None) -> None:
        self._database = database
        self._journal = journal
        self._key = key

    async def write(self) -> int:
        """Write the heads that changed since the last checkpoint and return their number; nothing where none did.

        Raises `DatabaseUnavailable` and what the journal raises: the next one writes them then.
        """
        if not await self._database.run(_changed):
            return 0
        return await self._database.run(self._write)

    async def _write(self, tx: Transaction) -> int:
        place = await tx.fetch_one("SELECT chain, sequence, digest FROM audit_checkpoint FOR UPDATE")
        heads = await _changed(tx)
        if place is None or not heads:
            return 0
        chain, sequence = checkpoint_chain(place[0]), place[1] + 1
        previous = None if place[2] is None else Digest(bytes(place[2]))
        facts = [AuditHeadFact(uid or SYSTEM_NAME, number, bytes(head).hex()) for _, uid, number, head in heads]
        line = AuditHeadsLine(clock.now(), facts)
        if self._key is not None:
            line = self._key.signed(chain, sequence, previous, line)
        digest = await asyncio.to_thread(self._journal.append, chain, sequence, previous, records.encode([line]))
        await tx.execute("UPDATE audit_checkpoint SET sequence = %s, digest = %s", (sequence, digest.raw))
        await tx.execute_many(
            "INSERT INTO audit_head_kept (chain, sequence) VALUES (%s, %s)"
            " ON DUPLICATE KEY UPDATE sequence = VALUES(sequence)",
            [(number_of_chain, number) for number_of_chain, _, number, _ in heads],
        )
        return len(heads)


async def _changed(tx: Transaction) -> list[Row]:
    return await tx.fetch_all(
        "SELECT h.chain, t.uuid, h.sequence, h.hash FROM audit_head h LEFT JOIN audit_head_kept k ON k.chain = h.chain"
        " LEFT JOIN tenant t ON t.id = h.chain WHERE k.sequence IS NULL OR k.sequence < h.sequence"
        " ORDER BY h.chain LIMIT %s",
        (HEADS_PER_RECORD_MAX,),
    )
