"""What an order came to: read from the sandbox with suspicion, and told in words."""

import math
import re
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from catalog.clock import to_ns
from catalog.job_values import Facts
from catalog.recipes import SourceKind
from tools.worker.making.order import Ended, FoundFacts, Piece, Result

REFUSED_CODE: Final = 3
NO_MEMORY_CODE: Final = 4
EXTENSION: Final = re.compile(r"(-[0-9]{1,5})?\.[a-z0-9]{1,5}", re.ASCII)
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z:_]{1,32}", re.ASCII)
_YEARS: Final = (1826, 2199)
"""From the oldest photograph there is, to what is surely a wrong clock."""
_COUNT_MAX: Final = 1 << 31
_MILLISECONDS_MAX: Final = 1 << 40
_CRASHED: Final = "The program that reads such files crashed over this one. It is damaged, or made to do that."
_ENDINGS: Final = {
    NO_MEMORY_CODE: "Reading this file takes more memory than one file may have.",
    -signal.SIGKILL: "Reading this file takes more processor time or memory than one file may have.",
    -signal.SIGXCPU: "Reading this file takes more processor time than one file may have.",
    **{-number: _CRASHED for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)},
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing was made. `may_help`: another try may succeed. `is_source_damaged`: it is no fault of the file."""

    sentence: str
    may_help: bool = False
    is_source_damaged: bool = False


def judged(ended: Ended, result: Result | None, seconds_max: int) -> list[Piece] | Failure:
    """What was made, or why nothing was."""
    if result is not None and ended.code == REFUSED_CODE and result.refusal:
        return Failure(_sentence(result.refusal))
    if result is not None and ended.code == 0 and not ended.stopped and result.pieces:
        return result.pieces
    if ended.stopped == "time":
        return Failure(f"This took longer than {seconds_max:,} seconds, so it was stopped.", may_help=True)
    return Failure(_ENDINGS.get(ended.code, "This file cannot be read. The log says what was found."))


def facts_of(made: FoundFacts | None) -> Facts | None:
    """The facts, without what cannot be true; None where there are none."""
    if made is None or made.kind not in set(SourceKind) or not _MEDIA_TYPE.fullmatch(made.media_type):
        return None
    taken_ns, has_offset = _moment(made.taken)
    latitude, longitude = _place(made.latitude, made.longitude)
    source = made.taken_source if made.taken_source and _WORD.fullmatch(made.taken_source) else None
    return Facts(
        SourceKind(made.kind), made.media_type, _count(made.width), _count(made.height),
        _count(made.duration_ms, _MILLISECONDS_MAX), _count(made.pages), taken_ns,
        source if taken_ns is not None else None, has_offset, _sentence(made.camera)[:200] or None, latitude, longitude,
    )  # fmt: skip


def _moment(text: str | None) -> tuple[int | None, bool]:
    """Nanoseconds since 1970, and whether the offset was given; without, as if the local time were UTC."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None, False
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        return None, False
    if moment.tzinfo is None:
        return to_ns(moment.replace(tzinfo=UTC)), False
    return to_ns(moment.astimezone(UTC)), True


def _place(latitude: float | None, longitude: float | None) -> tuple[float | None, float | None]:
    if latitude is None or longitude is None or not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None, None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else (None, None)


def _count(value: int | None, most: int = _COUNT_MAX) -> int | None:
    return value if value is not None and 0 <= value < most else None


def _sentence(text: str | None) -> str:
    """One line of printable characters."""
    return "".join(c for c in (text or "") if c.isprintable()).strip()[:500]
