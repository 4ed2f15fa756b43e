"""`UntilGap`: the journal as far as each chain proves itself. What lies behind a gap is told of, and not believed."""

from collections.abc import Iterator

from cas.digest import Digest
from cas.errors import JournalBroken
from cas.journal import Journal
from cas.record import Record
from tools.rebuild.report import Report


class UntilGap:
    """Reads like `Journal`, but a broken chain ends before its first fault instead of raising."""

    def __init__(self, journal: Journal, report: Report) -> None:
        self._journal = journal
        self._report = report
        self._told: set[str] = set()

    def chains(self) -> Iterator[str]:
        return self._journal.chains()

    def records(self, chain: str, first: int = 0) -> Iterator[Record]:
        try:
            yield from self._journal.records(chain, first)
        except JournalBroken:
            if chain not in self._told:
                self._told.add(chain)
                for fault in self._journal.faults(chain):
                    self._report.fault(fault)

    def part(self, chain: str, through: int, number: int, digest: Digest) -> bytes:
        return self._journal.part(chain, through, number, digest)
