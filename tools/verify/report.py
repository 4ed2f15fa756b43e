"""`Report`: what a run found, as counts, as a JSON file and as an exit code."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

CLEAN: Final = 0
DAMAGE_FOUND: Final = 1
COULD_NOT_RUN: Final = 2
INTERRUPTED: Final = 130

LISTED_MAX: Final = 10_000
"""How many problems and orphans a report lists; the counts are of all."""


class Outcome(StrEnum):
    """What re-reading one blob found."""

    GOOD = "good"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    """The medium refused to give the bytes back. They may be whole: nothing is moved or marked on its account."""
    MENDED = "mended"
    """The blob is whole; its piece digests were wrong and were made again."""
    GONE = "gone"
    """The catalog has let go of it meanwhile."""


_IS_DAMAGE: Final = (Outcome.DAMAGED, Outcome.MISSING, Outcome.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Problem:
    """A blob that is not as it should be. `quarantined`: whether a damaged file was moved away, or a
    damaged slice of a pack copied; None: not known here."""

    digest: str
    outcome: Outcome
    detail: str
    quarantined: bool | None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A file under `blobs/` or `packs/` that no row names, or one in `incoming/` that nobody writes any more. It is
    only reported: an upload may be about to name it."""

    key: str
    size_bytes: int


@dataclass(slots=True)
class Report:
    """A run, resumed or not. Times are RFC 3339 in UTC; `bytes_read` and `seconds` are this part's alone."""

    store_id: str
    run: int
    started: str
    selection: str | None = None
    finished: str | None = None
    resumed: bool = False
    complete: bool = False
    interrupted: bool = False
    bytes_read: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    orphan_count: int = 0
    orphan_bytes: int = 0
    orphans: list[Orphan] = field(default_factory=list)
    cleared: int = 0
    """Files of killed writers that were dropped from `incoming/`: only while nobody else used the store."""
    packs: int = 0
    pack_faults: list[str] = field(default_factory=list)
    journal_chains: int = 0
    journal_records: int = 0
    journal_faults: list[str] = field(default_factory=list)
    row_faults: list[str] = field(default_factory=list)
    permission_faults: list[str] = field(default_factory=list)
    repaired: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def add_problem(self, problem: Problem) -> None:
        if len(self.problems) < LISTED_MAX:
            self.problems.append(problem)

    def add_orphan(self, orphan: Orphan) -> None:
        self.orphan_count += 1
        self.orphan_bytes += orphan.size_bytes
        if len(self.orphans) < LISTED_MAX:
            self.orphans.append(orphan)

    @property
    def has_damage(self) -> bool:
        faults = self.journal_faults or self.pack_faults or self.row_faults
        return bool(faults) or any(self.counts.get(outcome) for outcome in _IS_DAMAGE)

    @property
    def exit_code(self) -> int:
        if self.has_damage:
            return DAMAGE_FOUND
        return CLEAN if self.complete else INTERRUPTED

    def write(self, file: Path) -> None:
        """Replace the file in one step. Raises OSError."""
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
