"""Checkpoints: a chain's state as parts beside it, so that the bodies before can be erased and a rebuild begins there.

What always holds: the state is made from the journal itself, never from the tables; a body goes only once the record
that names the parts is durable and its head committed; what was never committed is marked abandoned before, so that
nothing erased was ever in doubt. One maker of checkpoints at a time; commits go on meanwhile.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cas.digest import Digest
from catalog import clock, records
from catalog.chains import TENANT_CHAIN, advance, chain_name, later, lock_head
from catalog.closing import CLOSED, erase_closed
from catalog.database import Database, Transaction
from catalog.errors import JournalIncomplete, NotFound
from catalog.ledger import lock_ledger
from catalog.records import JournalKeeper
from catalog.replay import Chain, DeviceReplay, ManifestState, TenantState, device_of, read_chain
from catalog.values import Tenant

RECORDS_MAX: Final = 1_000
"""A chain is due when so many have gathered since its last checkpoint."""

PART_BYTES: Final = 32 << 20
_LINE_BYTES: Final = 512
"""What a line is taken for when parts are cut: names have 255 bytes at most, and few links have more."""


@dataclass(frozen=True, slots=True)
class Made:
    """A checkpoint: up to which sequence it stands, its parts, and how many files went."""

    chain: str
    through: int
    parts: int
    erased_files: int


class Checkpoints:
    """Makes them, tenant by tenant. `part_bytes`: how large a part grows, plain."""

    def __init__(self, database: Database, journal: JournalKeeper, part_bytes: int = PART_BYTES) -> None:
        self._database = database
        self._journal = journal
        self._part_bytes = part_bytes

    async def tenant(self, tenant: Tenant, names: Sequence[str], *, even_if_not_due: bool = False) -> list[Made]:
        """A checkpoint of each of the tenant's chains that is due, and what an interruption left is erased. Raises
        `JournalIncomplete`, `DatabaseUnavailable`, and what the journal raises."""
        if tenant.status == CLOSED:
            await erase_closed(self._journal, tenant.uuid, names)
            return []
        heads = await self._settle(tenant, names)
        made = []
        for name in names:
            if heads.get(name):
                found = await self._chain(tenant, name, heads[name], even_if_not_due)
                made += [] if found is None else [found]
        return made

    async def _settle(self, tenant: Tenant, names: Sequence[str]) -> dict[str, int]:
        """Where each head stands; records beyond it are abandoned. Under the ledger, so no commit is under way."""

        async def work(tx: Transaction) -> dict[str, int]:
            await lock_ledger(tx, tenant)
            rows = await tx.fetch_all(
                "SELECT device_id, sequence FROM journal_head WHERE tenant_id = %s ORDER BY device_id = 0, device_id"
                " FOR UPDATE",
                (tenant.id,),
            )
            heads = {chain_name(tenant.uuid, device_id): int(sequence) for device_id, sequence in rows}
            for name in names:
                if name in heads:
                    await asyncio.to_thread(self._journal.settle, name, heads[name])
            return heads

        return await self._database.run(work)

    async def _chain(self, tenant: Tenant, name: str, head: int, even_if_not_due: bool) -> Made | None:
        chain = await asyncio.to_thread(read_chain, self._journal, name)
        if not chain.cut(head):
            raise JournalIncomplete(f"{name}: the chain ends before record {head}, where its head stands. Look first.")
        is_own = name == chain_name(tenant.uuid, TENANT_CHAIN)
        replay = None if is_own else await asyncio.to_thread(DeviceReplay, chain)
        new_records = chain.sequence - chain.through
        is_due = new_records >= RECORDS_MAX or (replay is not None and replay.has_purged)
        # The checkpoint's own record is one of those behind it: alone, there is nothing new to stand for.
        if new_records > 1 and (is_due or even_if_not_due):
            lines = _tenant_lines(chain) if replay is None else _device_lines(replay)
            line = await asyncio.to_thread(self._write, chain, lines, 1 if replay is None else replay.next_id)
            await self._commit(tenant, name, line)
        elif chain.checkpoint is not None:
            line = chain.checkpoint  # an interrupted run may have left what it stands for
        else:
            return None
        keep = {Digest.from_hex(part) for part in line.parts}
        erased = await asyncio.to_thread(self._journal.erase, name, line.through, keep)
        return Made(name, line.through, len(line.parts), erased) if line is not chain.checkpoint or erased else None

    def _write(
        self, chain: Chain, groups: Iterable[Iterator[records.Line]], next_id: int
    ) -> records.CheckpointLine:  # fmt: skip
        """Each group begins a part of its own."""
        digests: list[str] = []
        for group in groups:
            for body in _bodies(group, self._part_bytes):
                digests.append(self._journal.add_part(chain.name, chain.sequence, len(digests), body).hex)
        return records.CheckpointLine(chain.sequence, digests, next_id)

    async def _commit(self, tenant: Tenant, name: str, line: records.CheckpointLine) -> None:
        device_id = TENANT_CHAIN if name == chain_name(tenant.uuid, TENANT_CHAIN) else device_of(name)
        body = records.encode([line])

        async def work(tx: Transaction) -> None:
            head = await lock_head(tx, tenant.id, device_id)
            if head is None:
                raise NotFound("device")
            await advance(tx, self._journal, head, tenant.uuid, body, later(head, clock.now()), manifests=0)

        await self._database.run(work)


def _bodies(lines: Iterator[records.Line], bytes_max: int) -> Iterator[bytes]:
    """The lines encoded, in pieces of about `bytes_max`, so that no piece is too much to hold."""
    gathered: list[records.Line] = []
    size_bytes = 0
    for line in lines:
        gathered.append(line)
        size_bytes += _LINE_BYTES
        if size_bytes >= bytes_max:
            yield records.encode(gathered)
            gathered, size_bytes = [], 0
    if gathered:
        yield records.encode(gathered)


def _tenant_lines(chain: Chain) -> list[Iterator[records.Line]]:
    return [iter(TenantState.of(chain).lines())]


def _device_lines(replay: DeviceReplay) -> list[Iterator[records.Line]]:
    return [map(_manifest_line, replay.manifests.values()), _interval_lines(replay)]


def _manifest_line(manifest: ManifestState) -> records.Line:
    return records.ManifestStateLine(
        manifest.line, manifest.record_digest.hex, manifest.added, manifest.removed, manifest.purged,
        manifest.size_bytes, manifest.files,
    )  # fmt: skip


def _interval_lines(replay: DeviceReplay) -> Iterator[records.Line]:
    for batch in replay.intervals():
        for interval in batch:
            yield records.IntervalLine(interval.entry, interval.added, interval.removed, interval.why)
