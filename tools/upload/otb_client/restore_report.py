"""How far a restore is: counters, the line that shows them, what went wrong, and the summary at its end."""

import sys
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Optional

from otb_client.names import shown
from otb_client.output import Output
from otb_client.progress import (
    EVENT_SECONDS,
    LINE_SECONDS,
    PROBLEMS_KEPT_MAX,
    PROBLEMS_SHOWN_MAX,
    SPEED_SECONDS,
    time_left_text,
)
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


class Report:
    """The counters of a restore, and whoever shows them. Methods may be called from any thread."""

    def __init__(self, output: Output) -> None:
        self.counts = Counts()
        self.problems: list[tuple[bytes, str]] = []
        self.renamed: list[tuple[bytes, str]] = []
        self.started = time.monotonic()
        self.paused = threading.Event()
        """Set while a question waits for its answer."""
        self._output = output
        self._lock = threading.Lock()
        self._line_bytes = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._width = 0

    def add(self, **amounts: int) -> None:
        """Add to counters by name."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self.counts, name, getattr(self.counts, name) + amount)

    def on_line(self, size_bytes: int) -> None:
        """Bytes that came over the line, for the speed."""
        with self._lock:
            self._line_bytes += size_bytes

    def problem(self, path: bytes, reason: str) -> None:
        """A name that is not restored as it is in the backup. Exit code 1."""
        self.add(problems=1)
        if len(self.problems) < PROBLEMS_KEPT_MAX:
            self.problems.append((path, reason))
        self._output.event("problem", path=shown(path), reason=reason)

    def note_renamed(self, path: bytes, local: str) -> None:
        """A name that is called otherwise here."""
        self.add(renamed=1)
        if len(self.renamed) < PROBLEMS_KEPT_MAX:
            self.renamed.append((path, local))
        self._output.event("renamed", path=shown(path), here=shown(local.encode("utf-8", "replace")))

    def waiting(self, reason: str, seconds: float) -> None:
        """The line or the server failed; it is tried again in so many seconds."""
        self._output.event("waiting", reason=reason, seconds=round(seconds, 2))
        if not self._output.as_json:
            self.clear()
            self._output.warn(f"{reason} Trying again in {max(1, round(seconds))} s.")

    # -- showing ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Show from now on: a line on a terminal, events with `--json`, else nothing."""
        if self._output.as_json or sys.stderr.isatty():
            self._thread = threading.Thread(target=self._show, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Show no more, and leave the line clean."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.clear()

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0

    def _show(self) -> None:
        while not self._ended.wait(EVENT_SECONDS if self._output.as_json else LINE_SECONDS):
            speed = self._speed()
            if self._output.as_json:
                self._output.event("progress", **asdict(self.counts), bytes_per_second=round(speed))
            elif not self.paused.is_set():
                line = progress_line(self.counts, speed)
                sys.stderr.write("\r" + line.ljust(self._width))
                sys.stderr.flush()
                self._width = len(line)

    def _speed(self) -> float:
        now = time.monotonic()
        self._samples.append((now, self._line_bytes))
        while now - self._samples[0][0] > SPEED_SECONDS:
            self._samples.popleft()
        began, before = self._samples[0]
        return (self._line_bytes - before) / (now - began) if now > began else 0.0

    # -- the end ----------------------------------------------------------------------------------------------------

    def summary(self, **more: Any) -> None:
        """Say in words and as JSON what was done."""
        counts, seconds = self.counts, time.monotonic() - self.started
        for path, name in self.renamed[:RENAMED_SHOWN_MAX]:
            self._output.text(f"Called {shown(name.encode('utf-8', 'replace'))} here: {shown(path)}")
        if counts.renamed > RENAMED_SHOWN_MAX:
            self._output.text(f"… and {counts.renamed - RENAMED_SHOWN_MAX:,} more that have another name here.")
        for path, reason in self.problems[:PROBLEMS_SHOWN_MAX]:
            self._output.warn(f"Not restored: {shown(path)}: {reason}")
        if counts.problems > PROBLEMS_SHOWN_MAX:
            self._output.warn(f"… and {counts.problems - PROBLEMS_SHOWN_MAX:,} more.")
        for line in summary_lines(counts, seconds, is_dry=bool(more.get("dry_run"))):
            self._output.text(line)
        self._output.event("summary", **asdict(counts), seconds=round(seconds, 3), **more)


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
