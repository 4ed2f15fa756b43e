"""How far a restore is: counters, the line that shows them, what went wrong, and the summary at its end."""

import threading
import time
from dataclasses import dataclass
from typing import Any, Optional

from otb_client.live import PROBLEMS_KEPT_MAX, Live
from otb_client.names import shown
from otb_client.output import Output
from otb_client.progress import time_left_text
from otb_client.words import size_text

RENAMED_SHOWN_MAX = 20


@dataclass
class Counts:
    """Files and bytes. `there`: here already, and right. `done` is what needs nothing more, for the progress."""

    files: int = 0
    bytes: int = 0
    done: int = 0
    done_bytes: int = 0
    restored: int = 0
    restored_bytes: int = 0
    links: int = 0
    folders: int = 0
    there: int = 0
    skipped: int = 0
    renamed: int = 0
    problems: int = 0


class Report(Live[Counts]):
    """The counters of a restore, and whoever shows them. A problem is a name that is not restored as it is there."""

    FAILED = "Not restored"

    def __init__(self, output: Output) -> None:
        super().__init__(output, Counts())
        self.renamed: list[tuple[bytes, str]] = []
        self.paused = threading.Event()
        """Set while a question waits for its answer."""

    def line(self, bytes_per_second: float) -> Optional[str]:
        """How far, how fast, how long still; nothing while a question waits."""
        return None if self.paused.is_set() else progress_line(self.counts, bytes_per_second)

    def note_renamed(self, path: bytes, local: str) -> None:
        """A name that is called otherwise here."""
        self.add(renamed=1)
        if len(self.renamed) < PROBLEMS_KEPT_MAX:
            self.renamed.append((path, local))
        self._output.event("renamed", path=shown(path), here=shown(local.encode("utf-8", "replace")))

    def summary(self, **more: Any) -> None:
        """Say in words and as JSON what was done."""
        counts, seconds = self.counts, time.monotonic() - self.started
        for path, name in self.renamed[:RENAMED_SHOWN_MAX]:
            self._output.text(f"Called {shown(name.encode('utf-8', 'replace'))} here: {shown(path)}")
        if counts.renamed > RENAMED_SHOWN_MAX:
            self._output.text(f"… and {counts.renamed - RENAMED_SHOWN_MAX:,} more that have another name here.")
        self.warn_of_problems()
        for line in summary_lines(counts, seconds, is_dry=bool(more.get("dry_run"))):
            self._output.text(line)
        self._output.event("summary", **self.counted(), seconds=round(seconds, 3), **more)


def progress_line(counts: Counts, bytes_per_second: float) -> str:
    """One line: how far, how fast, how long still."""
    parts = [
        f"{counts.done:,} of {counts.files:,} files",
        f"{size_text(counts.done_bytes)} of {size_text(counts.bytes)}",
        f"{size_text(round(bytes_per_second))}/s",
    ]
    left = counts.bytes - counts.done_bytes
    if bytes_per_second > 0 and left > 0:
        parts.append(f"{time_left_text(left / bytes_per_second)} left")
    return ", ".join(parts)


def summary_lines(counts: Counts, seconds: float, *, is_dry: bool) -> list[str]:
    """The restore in plain words."""
    files = "1 file" if counts.files == 1 else f"{counts.files:,} files"
    lines = [f"{files} ({size_text(counts.bytes)}) in the backup."]
    verb = "would be restored" if is_dry else f"restored in {seconds:.1f} s"
    done = [f"{counts.restored:,} {verb} ({size_text(counts.restored_bytes)})"]
    if counts.there:
        done.append(f"{counts.there:,} were here already")
    if counts.skipped:
        done.append(f"{counts.skipped:,} skipped: another file of that name is here")
    lines.append(", ".join(done) + ".")
    if counts.problems:
        what = "1 is" if counts.problems == 1 else f"{counts.problems:,} are"
        lines.append(f"{what} NOT restored; see above.")
    elif not is_dry and not counts.skipped:
        lines.append("Everything is restored, and every byte was checked.")
    return lines
