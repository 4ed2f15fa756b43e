"""What a picture says of itself: size, when and where it was taken, and with what.

EXIF 3.0 (CIPA DC-008), then XMP. A time without an offset is a local time and stays one: no zone is invented here.
"""

import re
from contextlib import suppress
from typing import Any, Final

from PIL import Image

from tools.worker.making.order import FoundFacts

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_MAKE, _MODEL, _ORIENTATION, _DATE_TIME = 0x010F, 0x0110, 0x0112, 0x0132
_TURNED: Final = frozenset({5, 6, 7, 8})
_DATES: Final = (
    (0x9003, 0x9011, 0x9291, "exif:DateTimeOriginal"),
    (0x9004, 0x9012, 0x9292, "exif:DateTimeDigitized"),
)
_EXIF_DATE: Final = re.compile(r"(\d{4})[:\-/.](\d{2})[:\-/.](\d{2})[ T](\d{2}):(\d{2}):(\d{2})")
_OFFSET: Final = re.compile(r"[+-]\d{2}:\d{2}")
_XMP_DATE: Final = re.compile(
    rb"(exif:DateTimeOriginal|photoshop:DateCreated|xmp:CreateDate)(?:=\"|>)"
    rb"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})?)"
)


def picture_facts(image: Image.Image, facts: FoundFacts) -> None:
    """Fill in what is there. Broken metadata is as good as none: it never keeps a picture from being shown."""
    facts.width, facts.height = image.size
    exif: Any = {}
    with suppress(Exception):
        exif = image.getexif()
        if exif.get(_ORIENTATION) in _TURNED:
            facts.width, facts.height = facts.height, facts.width
    with suppress(Exception):
        facts.camera = _camera(exif)
    with suppress(Exception):
        facts.taken, facts.taken_source = _taken(exif, image)
    with suppress(Exception):
        facts.latitude, facts.longitude = _place(exif.get_ifd(_GPS_IFD))


def _camera(exif: Any) -> str | None:
    make, model = (_text(exif.get(tag)) for tag in (_MAKE, _MODEL))
    if model.lower().startswith(make.lower()):
        make = ""
    return f"{make} {model}".strip()[:200] or None


def _taken(exif: Any, image: Image.Image) -> tuple[str | None, str | None]:
    details = exif.get_ifd(_EXIF_IFD) if len(exif) else {}
    for date_tag, offset_tag, fraction_tag, name in _DATES:
        moment = exif_moment(
            _text(details.get(date_tag)), _text(details.get(offset_tag)), _text(details.get(fraction_tag))
        )
        if moment:
            return moment, name
    found = _XMP_DATE.search(_xmp(image))
    if found:
        return found[2].decode("ascii").replace("Z", "+00:00"), "xmp:" + found[1].decode("ascii").partition(":")[2]
    moment = exif_moment(_text(exif.get(_DATE_TIME)), "", "") if len(exif) else None
    return (moment, "exif:DateTime") if moment else (None, None)


def exif_moment(date: str, offset: str, fraction: str) -> str | None:
    """`2024:05:03 14:22:07`, `+02:00` and `123` as `2024-05-03T14:22:07.123+02:00`; None for what is no date."""
    found = _EXIF_DATE.match(date)
    if found is None or found[1] == "0000":
        return None
    year, month, day, hour, minute, second = found.groups()
    tail = f".{fraction[:6]}" if fraction.isascii() and fraction.isdigit() else ""
    zone = offset if _OFFSET.fullmatch(offset) else ""
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{tail}{zone}"


def _place(gps: Any) -> tuple[float | None, float | None]:
    latitude = _degrees(gps[2], gps[1] == "S")
    longitude = _degrees(gps[4], gps[3] == "W")
    if (latitude, longitude) == (0.0, 0.0) or abs(latitude) > 90 or abs(longitude) > 180:
        return None, None
    return latitude, longitude


def _degrees(parts: Any, is_negative: bool) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    return round(-value if is_negative else value, 6)


def _xmp(image: Image.Image) -> bytes:
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return raw.encode() if isinstance(raw, str) else bytes(raw)[: 1 << 20]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value or "").strip().strip("\0").strip()
