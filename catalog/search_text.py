"""The language of the search box: words, “quoted phrases”, and `key:value` filters; a minus before any of them
excludes.

Pure: it knows no tenant. What it cannot read it says in a sentence with an example (`BadRequest`); what looks like a
filter and has no key of ours is a word, since names hold colons too.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from catalog.errors import BadRequest
from catalog.names import fold
from catalog.values import Area, EntryKind, MediaKind

TEXT_CHARACTERS_MAX: Final = 200
WORDS_MAX: Final = 10
FIRST_DAY: Final = date(1700, 1, 1)
LAST_DAY: Final = date(2200, 12, 31)
"""Nanoseconds since 1970 fit 64 bits from 1677 to 2262."""
SIZE_BYTES_MAX: Final = 1 << 60

_TOKEN: Final = re.compile(r'(-?)(?:([a-z]+):)?(?:"([^"]*)(?:"|$)|(\S+))', re.IGNORECASE)
_KEYS: Final = frozenset({"ext", "device", "kind", "in", "area", "before", "after", "on", "size"})
_DAY: Final = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_SIZE: Final = re.compile(r"(<=|>=|<|>)\s*(\d{1,15}(?:\.\d{1,3})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_KINDS: Final = {str(kind): str(kind) for kind in MediaKind} | {
    "images": "image", "photo": "image", "photos": "image", "picture": "image", "pictures": "image",
    "videos": "video", "film": "video", "films": "video", "movie": "video", "movies": "video",
    "music": "audio", "sound": "audio", "sounds": "audio", "song": "audio", "songs": "audio",
    "doc": "document", "docs": "document", "documents": "document", "others": "other",
    "folder": str(EntryKind.DIRECTORY), "folders": str(EntryKind.DIRECTORY), str(EntryKind.DIRECTORY): "directory",
    "link": str(EntryKind.LINK), "links": str(EntryKind.LINK),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Terms:
    """What a text asks for; all of it holds together. Words and names of devices are folded; extensions too, without a
    dot, and any one of them will do, like kinds and devices. Days are included; sizes in bytes, included."""

    words: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset()
    unwanted_extensions: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    unwanted_devices: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    unwanted_kinds: frozenset[str] = frozenset()
    area: Area | None = None
    first_day: date | None = None
    last_day: date | None = None
    size_least: int = 0
    size_most: int | None = None


def parse(text: str) -> Terms:
    """Read a text. Raises `BadRequest` with a sentence for the person who wrote it."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise BadRequest(f"A search has at most {TEXT_CHARACTERS_MAX} characters. Shorten it.")
    reader = _Reader()
    for match in _TOKEN.finditer(text):
        minus, key, quoted, plain = match.groups()
        if key is None and plain is not None and plain[-1] == ":" and plain[:-1].lower() in _KEYS:
            key, plain = plain[:-1], ""
        reader.take(bool(minus), (key or "").lower(), plain if quoted is None else quoted, match[0])
    return reader.terms()


class _Reader:
    """Takes one token after the other."""

    def __init__(self) -> None:
        self._words: dict[bool, list[str]] = {False: [], True: []}
        self._sets: dict[tuple[str, bool], set[str]] = {}
        self._area: Area | None = None
        self._first: date | None = None
        self._last: date | None = None
        self._least = 0
        self._most: int | None = None

    def take(self, is_unwanted: bool, key: str, value: str, token: str) -> None:
        match key:
            case "ext":
                self._extend("ext", is_unwanted, [part.lstrip(".") for part in value.split(",")], "ext:jpg")
            case "device":
                self._extend("device", is_unwanted, [value], "device:laptop")
            case "kind":
                self._extend("kind", is_unwanted, [_kind(part) for part in value.split(",")], "kind:image")
            case "in" | "area":
                self._require_plain(is_unwanted, key)
                self._area = _area(value)
            case "before" | "after" | "on":
                self._require_plain(is_unwanted, key)
                self._days(key, value)
            case "size":
                self._require_plain(is_unwanted, key)
                self._size(value)
            case _:
                self._word(is_unwanted, value if not key else token.removeprefix("-").replace('"', ""), token)

    def terms(self) -> Terms:
        def of(key: str, *, unwanted: bool) -> frozenset[str]:
            return frozenset(self._sets.get((key, unwanted), ()))

        if self._first is not None and self._last is not None and self._last < self._first:
            raise BadRequest(f"No day is both from {self._first} on and up to {self._last}. Change after: or before:.")
        if self._most is not None and self._most < self._least:
            raise BadRequest("No file has a size that is both so large and so small. Change one size:.")
        return Terms(
            tuple(dict.fromkeys(self._words[False])), tuple(dict.fromkeys(self._words[True])),
            of("ext", unwanted=False), of("ext", unwanted=True), of("device", unwanted=False),
            of("device", unwanted=True), of("kind", unwanted=False), of("kind", unwanted=True),
            self._area, self._first, self._last, self._least, self._most,
        )  # fmt: skip

    def _word(self, is_unwanted: bool, value: str, token: str) -> None:
        # A minus alone, or more of them, is part of a name like any other character.
        if is_unwanted and not value.strip("-"):
            is_unwanted, value = False, token
        folded = fold(value.encode("utf-8", "replace"))
        if not folded.replace("\0", ""):
            return
        self._words[is_unwanted].append(folded.replace("\0", ""))
        if sum(map(len, self._words.values())) > WORDS_MAX:
            raise BadRequest(f"A search has at most {WORDS_MAX} words. Leave some out.")

    def _extend(self, key: str, is_unwanted: bool, values: list[str], example: str) -> None:
        folded = [fold(value.encode("utf-8", "replace")) for value in values]
        if not all(folded):
            raise BadRequest(f"Write what {key}: should be right behind it, for example {example}.")
        self._sets.setdefault((key, is_unwanted), set()).update(folded)

    def _require_plain(self, is_unwanted: bool, key: str) -> None:
        if is_unwanted:
            raise BadRequest(f"{key}: cannot be excluded with a minus. Say what you do want instead.")

    def _days(self, key: str, value: str) -> None:
        first, last = parse_period(value, key)
        if key == "before":
            last, first = first - timedelta(days=1), FIRST_DAY
        elif key == "after":
            first, last = last + timedelta(days=1), LAST_DAY
        if key != "before":
            self._first = first if self._first is None else max(first, self._first)
        if key != "after":
            self._last = last if self._last is None else min(last, self._last)

    def _size(self, value: str) -> None:
        match = _SIZE.fullmatch(value)
        if match is None:
            raise BadRequest("A size is written like size:>10M or size:<500k, with K, M, G or T.")
        size_bytes = int(float(match[2]) * _UNITS[match[3].lower()])
        if size_bytes > SIZE_BYTES_MAX:
            raise BadRequest("No file is as large as that. A size is written like size:>10M.")
        if match[1].startswith(">"):
            self._least = max(self._least, size_bytes + (match[1] == ">"))
        else:
            most = size_bytes - (match[1] == "<")
            self._most = most if self._most is None else min(most, self._most)


def parse_period(text: str, key: str = "on") -> tuple[date, date]:
    """The first and last day of `2024`, `2024-05` or `2024-05-03`. Raises `BadRequest`."""
    match = _DAY.fullmatch(text)
    if match is None:
        raise BadRequest(f"A day is written like {key}:2024-05-03, a month like {key}:2024-05, a year like {key}:2024.")
    year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    try:
        first = date(year, month, day)
    except ValueError as e:
        raise BadRequest(f"There is no day {text}. Check month and day.") from e
    last = first
    if match[3] is None:
        last_month = 12 if match[2] is None else month
        last = date(year, last_month, monthrange(year, last_month)[1])
    if first < FIRST_DAY or last > LAST_DAY:
        raise BadRequest(f"A day lies between {FIRST_DAY} and {LAST_DAY}.")
    return first, last


def _kind(text: str) -> str:
    kind = _KINDS.get(text.strip().lower())
    if kind is None:
        raise BadRequest(f"A kind is one of {', '.join(MediaKind)}, folder or link, for example kind:image.")
    return kind


def _area(text: str) -> Area:
    if text.lower() not in set(Area):
        raise BadRequest(f"An area is {' or '.join(Area)}, for example in:derived.")
    return Area(text.lower())
