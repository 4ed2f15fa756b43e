"""`ProgressLine` and `Progress`: a line about how far verify is, on a terminal or where it is asked for."""

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from tools.verify.pace import Pace
from tools.verify.report import Outcome, Report

TERMINAL_SECONDS: Final = 0.5
LOG_SECONDS: Final = 10.0


class ProgressLine:
    """Writes at most one line an interval to stderr: over the last one on a terminal, below it in a log. `told` says
    how far it is, given the seconds since the beginning."""

    def __init__(self, told: Callable[[float], str], wanted: bool, stream: TextIO = sys.stderr) -> None:
        self._told = told
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._is_wanted = wanted or self._is_terminal
        self._started = time.monotonic()
        self._next = 0.0

    def show(self, phase: str) -> None:
        """Write a line if it is time."""
        now = time.monotonic()
        if self._is_wanted and now >= self._next:
            self._next = now + (TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS)
            self._write(f"{phase}: {self._text(now)}")

    def end(self) -> None:
        """Write the last line."""
        if self._is_wanted:
            self._write(f"done: {self._text(time.monotonic())}")
            self._stream.write("\n" if self._is_terminal else "")

    def _write(self, text: str) -> None:
        write: Callable[[str], object] = self._stream.write
        write(f"\r{text}\033[K" if self._is_terminal else f"{text}\n")
        self._stream.flush()

    def _text(self, now: float) -> str:
        return self._told(max(now - self._started, 0.001))


class Progress(ProgressLine):
    """How far the scrub is."""

    def __init__(self, report: Report, pace: Pace, wanted: bool, stream: TextIO = sys.stderr) -> None:
        super().__init__(self._scrubbed, wanted, stream)
        self._report = report
        self._pace = pace

    def _scrubbed(self, seconds: float) -> str:
        counts = {outcome: self._report.counts.get(outcome, 0) for outcome in Outcome}
        return (
            f"{sum(counts.values())} blobs, {self._pace.bytes_read / 1e9:.2f} GB read,"
            f" {self._pace.bytes_read / 1e6 / seconds:.0f} MB/s, {counts[Outcome.DAMAGED]} damaged,"
            f" {counts[Outcome.MISSING]} missing"
        )
