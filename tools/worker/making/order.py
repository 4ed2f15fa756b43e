"""What a maker is asked for and what it leaves. Plain values, carried as JSON between the worker and the sandbox, which
write and read them by these classes on both sides; the worker checks the form of what comes out, and then believes none
of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Value = int | str
Progress = Callable[[int], None]
"""Told how far the work is, in percent."""


class Refused(Exception):
    """This file cannot be read, or nothing of the kind can be made of it; trying again will not help. A sentence for
    the customer."""


@dataclass(frozen=True, slots=True)
class Order:
    """One recipe for one file. `media_type` is what the first bytes say; `out`: the folder for what is made."""

    recipe: str
    parameters: dict[str, Value]
    kind: str
    media_type: str
    source: Path
    out: Path
    vaapi: str = ""

    def number(self, name: str) -> int:
        return int(self.parameters[name])

    def word(self, name: str) -> str:
        return str(self.parameters[name])


@dataclass(slots=True)
class Piece:
    """One file that was made: its name in the folder, its type, its extension, and the parameters that made just this
    one."""

    file: str
    media_type: str
    extension: str
    parameters: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class FoundFacts:
    """What the content says of the file. `taken`: `YYYY-MM-DDTHH:MM:SS[.ffffff][±HH:MM]`."""

    kind: str
    media_type: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    pages: int | None = None
    taken: str | None = None
    taken_source: str | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(slots=True)
class Result:
    """All that came of an order. `refusal`: nothing was made, and why; the facts may be there all the same."""

    pieces: list[Piece] = field(default_factory=list)
    facts: FoundFacts | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one order: wall clock and processor seconds, bytes of address space and of one file, and the niceness."""

    seconds: int
    cpu_seconds: int
    memory_bytes: int
    file_bytes: int
    nice: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How an order ended. `code`: as of subprocess, negative for a signal; `stopped`: `time`, `asked` or empty."""

    code: int
    stopped: str
    cpu_seconds: float
    memory_bytes: int
    seconds: float
