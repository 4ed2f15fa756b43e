"""Names as cameras, phones, scanners and people give them, and questions that people ask of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

STARTED: Final = datetime(2008, 1, 1, tzinfo=UTC)
_WORDS: Final = {
    "people": "anna ben chloe david emma felix grace hugo iris jack kira liam mia noah olive paul",
    "things": (
        "invoice contract report budget minutes draft proposal receipt statement letter scan photo holiday beach"
        " wedding birthday garden kitchen kids school concert lake mountain snow paris montreal toronto lisbon logo"
    ),
    "office": "pdf pdf docx xlsx pptx txt csv odt zip",
}
PEOPLE, THINGS, _OFFICE = (words.split() for words in _WORDS.values())
_CAMERAS: Final = ("DSC", "DSCF", "P", "GOPR")
_COPIES: Final = ("", "", "_HDR", "~2")
_RAW: Final = ("JPG", "ARW")
_CACHED: Final = ("heic", "webp", "tmp")

Question = Callable[[random.Random], str]


@dataclass(frozen=True)
class Kind:
    """A kind of question; `text` makes one up."""

    name: str
    text: Question


KINDS: Final = (
    Kind("one letter", lambda r: r.choice("aeimst0129_")),
    Kind("two letters", lambda r: r.choice(["im", "ds", "jp", "20", "an", "xq", "_1", "be"])),
    Kind("a common word", lambda r: r.choice(["img", "dsc", ".jpg", "2019", "invoice"])),
    Kind("an inner part", lambda r: r.choice(["edd", "nvoi", "ontre", "mg_20", "olida", "ebru"])),
    Kind("a rare word", lambda r: f"{r.randrange(10**6):06d}"),
    Kind("a word that is nowhere", lambda r: r.choice(["zzqxv", "q7w", "notthere", "qxq"])),
    Kind("two words, any order", lambda r: f"{r.choice(THINGS)} {r.choice(PEOPLE)}"),
    Kind("three, one excluded", lambda r: f"{r.choice(PEOPLE)} {r.choice(THINGS)} 20 -draft"),
    Kind("a phrase", lambda r: f'"{r.choice(PEOPLE)} {r.choice(THINGS)}"'),
)
EVERYTHING: Final = Kind("everything", lambda _: "")
FILTERED: Final = (
    Kind("word, kind and year", lambda r: f"{r.choice(PEOPLE)} kind:image on:{r.randrange(2009, 2026)}"),
    Kind("extension and size", lambda r: f"ext:{r.choice(['pdf', 'mp4', 'csv'])} size:>{r.randrange(1, 9)}M"),
    Kind("a day alone", lambda r: f"on:{STARTED.date() + timedelta(days=r.randrange(6_000))}"),
    Kind("device and common word", lambda r: f"device:{r.choice(['phone', 'laptop'])} {r.choice(['img', '20'])}"),
)


@lru_cache(maxsize=64)
def _day(day: date) -> tuple[str, str, str, str]:
    """The day as names have it."""
    return f"{day:%Y%m%d}", f"{day:%Y-%m-%d}", f"{day:%Y-%m}", f"{day:%Y}"


def name_of(chosen: random.Random, day: date, second: int) -> str:
    """A name of a file that was made at that second of the day."""
    number = chosen.random
    kind, style, ending = number(), number(), int(number() * 10**6)
    plain, dashed, month, year = _day(day)
    hour, minute, second = second // 3_600, second // 60 % 60, second % 60
    if kind < 0.35:
        return f"IMG_{plain}_{hour:02}{minute:02}{second:02}{_COPIES[ending % 4]}.jpg"
    if kind < 0.50:
        return f"{_CAMERAS[ending % 4]}{ending // 4 % 10_000:05d}.{_RAW[int(style * 2)]}"
    if kind < 0.58:
        return f"VID_{plain}_{ending:06d}.mp4"
    if kind < 0.64:
        return f"Screenshot {dashed} at {hour:02}.{minute:02}.{second:02}.png"
    if kind < 0.70:
        return f"{int(style * 16**8):08x}-{ending % 16**4:04x}.{_CACHED[ending % 3]}"
    who, what, office = PEOPLE[ending % 16], THINGS[ending // 16 % len(THINGS)], _OFFICE[ending // 512 % len(_OFFICE)]
    if style < 0.4:
        return f"{what.title()} {who.title()} {month}.{office}"
    if style < 0.7:
        return f"{who}_{what}_{int(number() * 10**6):06d}.{office}"
    return f"{year} {who} {what} {THINGS[int(number() * len(THINGS))]} (v{ending % 9}).{office}"
