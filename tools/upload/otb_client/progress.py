"""How far a run is: counters, the line that shows them, and the summary at its end."""

import time
from dataclasses import dataclass
from typing import Any

from otb_client.live import PROBLEMS_KEPT_MAX, Live
from otb_client.names import shown
from otb_client.output import Output

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass
class Counts:
    """Files and bytes of one run. `sent` is what the server had not; `known` is read here but was there already."""

    files: int = 0
    bytes: int = 0
    unchanged: int = 0
    unchanged_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    deduplicated: int = 0
    deduplicated_bytes: int = 0
    to_read: int = 0
    to_read_bytes: int = 0
    settled: int = 0
    settled_bytes: int = 0
    committed: int = 0
    added: int = 0
    replaced: int = 0
    removed: int = 0
    problems: int = 0
    special: int = 0


class Progress(Live[Counts]):
    """The counters of a run, and whoever shows them. A problem is a file that is not in the backup as it is here."""

    FAILED = "Not backed up"

    def __init__(self, output: Output) -> None:
        super().__init__(output, Counts())
        self.special: list[tuple[bytes, str]] = []
        self.is_scanned = False

    def line(self, bytes_per_second: float) -> str:
        """How far, how fast, how long still."""
        return progress_line(self.counts, bytes_per_second, is_scanned=self.is_scanned)

    def note_special(self, path: bytes, kind: str) -> None:
        """A pipe, socket or device: told, and no fault."""
        self.add(special=1)
        if len(self.special) < PROBLEMS_KEPT_MAX:
            self.special.append((path, kind))
        self._output.event("special", path=shown(path), kind=kind)

    def summary(self, **more: Any) -> None:
        """Say in words and as JSON what this run did. `line_bytes` went over the line, known there or not."""
        counts, seconds = self.counts, time.monotonic() - self.started
        self.warn_of_problems()
        if counts.special:
            names = ", ".join(f"{shown(path)} ({kind})" for path, kind in self.special[:3])
            self._output.text(f"Left out, because they are not files: {counts.special:,}, such as {names}.")
        for line in summary_lines(counts, seconds):
            self._output.text(line)
        self._output.event("summary", **self.counted(), line_bytes=self._line_bytes, seconds=round(seconds, 3), **more)


def size_text(size_bytes: float) -> str:
    """`3.4 MiB`."""
    unit = 0
    while size_bytes >= 1024 and unit < len(_UNITS) - 1:
        size_bytes /= 1024
        unit += 1
    return f"{size_bytes:.0f} {_UNITS[unit]}" if unit == 0 else f"{size_bytes:.1f} {_UNITS[unit]}"


def time_left_text(seconds: float) -> str:
    """`1 h 05 min`, `3 min`, `40 s`."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{int(seconds)} s"


def progress_line(counts: Counts, bytes_per_second: float, *, is_scanned: bool) -> str:
    """One line: how far, how fast, how long still, and what did not have to be sent."""
    of = "" if is_scanned else " so far"
    parts = [
        f"{counts.settled:,} of {counts.to_read:,} files{of}",
        f"{size_text(counts.settled_bytes)} of {size_text(counts.to_read_bytes)}",
        f"{size_text(bytes_per_second)}/s",
    ]
    left = counts.to_read_bytes - counts.settled_bytes
    if is_scanned and bytes_per_second > 0 and left > 0:
        parts.append(f"{time_left_text(left / bytes_per_second)} left")
    if counts.unchanged:
        parts.append(f"{counts.unchanged:,} unchanged")
    if counts.deduplicated:
        parts.append(f"{counts.deduplicated:,} were there already")
    return ", ".join(parts)


def summary_lines(counts: Counts, seconds: float) -> list[str]:
    """The run in plain words."""
    files = "1 file" if counts.files == 1 else f"{counts.files:,} files"
    lines = [f"Looked at {files} ({size_text(counts.bytes)}) in {seconds:.1f} s."]
    done = [f"{counts.sent:,} sent ({size_text(counts.sent_bytes)})"]
    if counts.deduplicated:
        done.append(f"{counts.deduplicated:,} were there already ({size_text(counts.deduplicated_bytes)})")
    done.append(f"{counts.unchanged:,} unchanged")
    if counts.removed:
        done.append(f"{counts.removed:,} removed from the backup")
    lines.append(", ".join(done) + ".")
    if counts.problems:
        what = "1 is" if counts.problems == 1 else f"{counts.problems:,} are"
        lines.append(f"{what} NOT backed up; see above. Everything else is safe.")
    else:
        lines.append("Everything is backed up.")
    return lines
