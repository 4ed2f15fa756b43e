"""What a rebuild or a comparison found, for people and as an exit code."""

import sys
import time
from dataclasses import dataclass, field
from typing import Final

DONE: Final = 0
FOUND: Final = 1
FAILED: Final = 2
LISTED_MAX: Final = 1_000
PROGRESS_SECONDS: Final = 5.0

NOT_COVERED: Final = (
    "not in the journal, so not brought back and not compared: sessions, people (they come back when they sign in),"
    " support access, uploads under way, bytes that were sent and not named yet, exports, jobs, the audit"
)


@dataclass(slots=True)
class Report:
    """`faults`: what makes the exit code 1, at most `LISTED_MAX` of them; `notes`: what is only told."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fault_count: int = 0
    tenants: int = 0
    entries: int = 0
    shows_progress: bool = False
    _started: float = field(default_factory=time.monotonic)
    _shown: float = field(default_factory=time.monotonic)

    def fault(self, text: str) -> None:
        """Something that is not as it should be."""
        self.fault_count += 1
        if len(self.faults) < LISTED_MAX:
            self.faults.append(text)

    def counted(self, entries: int) -> None:
        """So many entries more are done; says so on stderr now and then."""
        self.entries += entries
        now = time.monotonic()
        if self.shows_progress and now - self._shown >= PROGRESS_SECONDS:
            self._shown = now
            print(f"{self.entries:,} entries, {self.rate:,.0f}/s", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Entries a second, since the beginning."""
        return self.entries / max(self.seconds, 0.001)

    @property
    def exit_code(self) -> int:
        return FOUND if self.fault_count else DONE

    def say(self, done: str) -> None:
        """`done` begins the summary: what was done with the entries."""
        for text in self.notes:
            print(f"note: {text}")
        for text in self.faults:
            print(f"fault: {text}")
        if self.fault_count > len(self.faults):
            print(f"and {self.fault_count - len(self.faults):,} faults more")
        print(
            f"{done}: {self.tenants:,} tenants, {self.entries:,} entries in {self.seconds:.1f} s"
            f" ({self.rate:,.0f} entries/s), {self.fault_count:,} faults"
        )
        print(NOT_COVERED)
