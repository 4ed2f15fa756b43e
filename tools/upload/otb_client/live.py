"""`Live`: what a long command shows while it works: counters, what went wrong, the speed, and a line that is kept up to
date on a terminal (with `--json`: events).

Methods may be called from any thread.
"""

import sys
import threading
import time
from collections import deque
from dataclasses import Field, asdict
from typing import Any, ClassVar, Generic, Optional, Protocol, TypeVar

from otb_client.names import shown
from otb_client.output import Output

LINE_SECONDS = 0.5
EVENT_SECONDS = 2.0
SPEED_SECONDS = 10.0
"""The speed shown is that of the last seconds."""
PROBLEMS_KEPT_MAX = 10_000
PROBLEMS_SHOWN_MAX = 20


class Counting(Protocol):
    """A dataclass of counters, `problems` among them."""

    __dataclass_fields__: "ClassVar[dict[str, Field[Any]]]"
    problems: int


C = TypeVar("C", bound=Counting)


class Live(Generic[C]):
    """The counters of one command, and whoever shows them. A subclass says what stands in the line."""

    FAILED: ClassVar[str]
    """What is said before a file that went wrong."""

    def __init__(self, output: Output, counts: C) -> None:
        self.counts = counts
        self.problems: list[tuple[bytes, str]] = []
        self.started = time.monotonic()
        self._output = output
        self._lock = threading.Lock()
        self._line_bytes = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._width = 0

    def line(self, bytes_per_second: float) -> Optional[str]:
        """The line as it is now; None: leave what is there."""
        raise NotImplementedError

    def add(self, **amounts: int) -> None:
        """Add to counters by name."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self.counts, name, getattr(self.counts, name) + amount)

    def on_line(self, size_bytes: int) -> None:
        """Bytes that went over the line, for the speed."""
        with self._lock:
            self._line_bytes += size_bytes

    def problem(self, path: bytes, reason: str) -> None:
        """A name that is not as it should be at the end. Exit code 1."""
        self.add(problems=1)
        if len(self.problems) < PROBLEMS_KEPT_MAX:
            self.problems.append((path, reason))
        self._output.event("problem", path=shown(path), reason=reason)

    def waiting(self, reason: str, seconds: float) -> None:
        """The line or the server failed; it is tried again in so many seconds."""
        self._output.event("waiting", reason=reason, seconds=round(seconds, 2))
        if not self._output.as_json:
            self.clear()
            self._output.warn(f"{reason} Trying again in {max(1, round(seconds))} s.")

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

    def warn_of_problems(self) -> None:
        """Name what went wrong, at the end."""
        for path, reason in self.problems[:PROBLEMS_SHOWN_MAX]:
            self._output.warn(f"{self.FAILED}: {shown(path)}: {reason}")
        count = self.counts.problems
        if count > PROBLEMS_SHOWN_MAX:
            self._output.warn(f"… and {count - PROBLEMS_SHOWN_MAX:,} more.")

    def counted(self) -> "dict[str, Any]":
        """The counters by name."""
        return asdict(self.counts)

    def _show(self) -> None:
        while not self._ended.wait(EVENT_SECONDS if self._output.as_json else LINE_SECONDS):
            speed = self._speed()
            if self._output.as_json:
                self._output.event("progress", **self.counted(), bytes_per_second=round(speed))
                continue
            line = self.line(speed)
            if line is not None:
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
