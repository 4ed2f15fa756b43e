"""The audit, proved: no event was changed, removed, added or moved, and no chain's end was cut off.

Every chain is followed from its beginning and compared with its head in the catalog, and with the heads that the
store's journal has kept (checkpoints), signed where a key is configured.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from cas.errors import CasError
from cas.journal import Journal
from cas.record import Record
from catalog import records
from catalog.audit_chain import AUDIT_CHAINS, ChainedEvent, ChainHead, chained, genesis
from catalog.audit_signing import AuditKey
from catalog.records import AuditHeadsLine
from tools.verify.report import CLEAN, DAMAGE_FOUND, LISTED_MAX


class AuditSide(Protocol):
    """What is read of the catalog; `catalog.audit_chain.AuditChains` is one."""

    async def heads(self) -> list[ChainHead]: ...
    async def events(self, chain: int, after: int) -> Sequence[ChainedEvent]: ...
    async def checkpoints_under(self) -> str: ...


@dataclass(slots=True)
class AuditReport:
    """`faults` are sentences; `earlier`: checkpoints of a catalog that was rebuilt since, whose events are gone."""

    chains: int = 0
    events: int = 0
    checkpoints: int = 0
    fault_count: int = 0
    faults: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)

    def add_fault(self, text: str) -> None:
        self.fault_count += 1
        if len(self.faults) < LISTED_MAX:
            self.faults.append(text)

    @property
    def exit_code(self) -> int:
        return DAMAGE_FOUND if self.fault_count else CLEAN


Kept = Mapping[str, Mapping[int, str]]
"""Chain's name → event's number → hash, as the checkpoints have them."""


async def check_audit(side: AuditSide, journal: Journal, key: AuditKey | None) -> AuditReport:
    """Prove everything. Memory: one hash for each head that a checkpoint names. Raises `DatabaseUnavailable`."""
    report = AuditReport()
    # The journal first: what it names was in the catalog before.
    kept = _checkpoints(journal, await side.checkpoints_under(), key, report)
    seen = set()
    for head in await side.heads():
        seen.add(head.name)
        report.chains += 1
        await _Chain(side, head, kept.get(head.name, {}), report).follow()
    for name in sorted(kept.keys() - seen):
        report.add_fault(f"{name}: the whole chain is gone; the journal knows {max(kept[name]):,} events")
    return report


class _Chain:
    """One chain on its way to its head."""

    def __init__(self, side: AuditSide, head: ChainHead, kept: Mapping[int, str], report: AuditReport) -> None:
        self._side = side
        self._head = head
        self._kept = dict(kept)
        self._report = report
        self._at = 0
        self._hash = genesis(head.name)

    async def follow(self) -> None:
        while events := await self._side.events(self._head.chain, self._at):
            for event in events:
                self._take(event)
        if self._at < self._head.sequence:
            self._fault(f"its end is cut off: events {self._at + 1:,} to {self._head.sequence:,} are missing")
        if beyond := [number for number in self._kept if number > self._at]:
            self._fault(f"its end is cut off: the journal knows {max(beyond):,} events, {self._at:,} are there")

    def _take(self, event: ChainedEvent) -> None:
        """Go on to this event; after a fault from what it says of itself, so that one fault is told once."""
        self._report.events += 1
        if event.sequence != self._at + 1:
            self._fault(f"events {self._at + 1:,} to {event.sequence - 1:,} are missing")
        elif event.hash != chained(self._hash, event.text):
            self._fault(f"event {event.sequence:,} was changed, or is not the one that stood there")
        self._at, self._hash = event.sequence, event.hash
        if event.sequence == self._head.sequence and event.hash != self._head.hash:
            self._fault("its head does not match the event that it names")
        wanted = self._kept.pop(event.sequence, None)
        if wanted is not None and wanted != event.hash.hex():
            self._fault(f"event {event.sequence:,} is not the one that the journal knows")

    def _fault(self, text: str) -> None:
        self._report.add_fault(f"{self._head.name}: {text}")


def _checkpoints(journal: Journal, own: str, key: AuditKey | None, report: AuditReport) -> Kept:
    kept: dict[str, dict[int, str]] = defaultdict(dict)
    for chain in [chain for chain in journal.chains() if chain.startswith(AUDIT_CHAINS)]:
        count, last = 0, ""
        try:
            for record in journal.records(chain):
                count += 1
                line = _line(record)
                last = line.at.isoformat(timespec="seconds")
                if key is not None and not key.is_signed(chain, record.sequence, record.previous, line):
                    report.add_fault(f"{chain}: checkpoint {record.sequence} carries no signature of the key")
                if chain == own:
                    for head in line.heads:
                        kept[head.chain][head.sequence] = head.hash
        except (CasError, msgspec.ValidationError, msgspec.DecodeError) as error:
            report.add_fault(str(error))
        report.checkpoints += count
        if chain != own:
            report.earlier.append(f"{chain}: {count:,} checkpoints of an earlier catalog, the last of {last}")
    return kept


def _line(record: Record) -> AuditHeadsLine:
    (line,) = records.decode(record.body or b"null")
    if not isinstance(line, AuditHeadsLine):
        raise msgspec.ValidationError(f"record {record.sequence} is no checkpoint of the audit")
    return line


def say_audit(report: AuditReport) -> None:
    """A summary for people, on stdout."""
    print(f"audit: {report.chains} chains, {report.events} events, {report.checkpoints} checkpoints")
    for text in report.earlier:
        print(f"audit of before a rebuild: {text}")
    for text in report.faults:
        print(f"audit fault: {text}")
    if report.fault_count > len(report.faults):
        print(f"audit faults not listed: {report.fault_count - len(report.faults)}")
