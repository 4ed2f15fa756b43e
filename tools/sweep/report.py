"""`Report`: what a sweep did, in counts and bytes, as text, as JSON and as an exit code."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

DONE: Final = 0
ALARM: Final = 1
COULD_NOT_RUN: Final = 2
INTERRUPTED: Final = 130

LISTED_MAX: Final = 1_000


@dataclass(slots=True)
class Report:
    """One run. Bytes are stored bytes, but `freed_quota_bytes`, which customers have free again.

    `trashed_bytes` come back when the trash is emptied; `emptied_bytes` have come back.
    """

    store_id: str
    dry_run: bool = False
    complete: bool = False
    purged_files: int = 0
    freed_quota_bytes: int = 0
    leases_dropped: int = 0
    condemned: int = 0
    spared: int = 0
    trashed: int = 0
    trashed_bytes: int = 0
    dead_slices: int = 0
    dead_slice_bytes: int = 0
    held: int = 0
    packs_rewritten: int = 0
    packs_trashed: int = 0
    blobs_moved: int = 0
    blobs_gathered: int = 0
    leftovers: int = 0
    leftover_bytes: int = 0
    emptied: int = 0
    emptied_bytes: int = 0
    alarms: list[str] = field(default_factory=list)

    def alarm(self, text: str) -> None:
        """Something that must not be: told to the operator, and mended where it can be."""
        if len(self.alarms) < LISTED_MAX:
            self.alarms.append(text)

    @property
    def exit_code(self) -> int:
        if self.alarms:
            return ALARM
        return DONE if self.complete else INTERRUPTED

    def counts(self) -> dict[str, int]:
        """The numbers alone, for the history of runs."""
        return {name: value for name, value in asdict(self).items() if type(value) is int}

    def write(self, file: Path) -> None:
        """Replace the file in one step. Raises OSError."""
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
