"""What a file's name tells: the folded form that search compares, and the kind of content the name promises."""

import mimetypes
import unicodedata
from functools import lru_cache
from typing import Final

from catalog.values import MediaKind

FOLD_CHARACTERS_MAX: Final = 512

_MORE_TYPES: Final = {
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".webp": "image/webp",
    ".jxl": "image/jxl",
    ".cr2": "image/x-canon-cr2",
    ".nef": "image/x-nikon-nef",
    ".arw": "image/x-sony-arw",
    ".dng": "image/x-adobe-dng",
    ".mkv": "video/x-matroska",
    ".m4v": "video/x-m4v",
    ".mts": "video/mp2t",
    ".m4a": "audio/mp4",
    ".flac": "audio/flac",
    ".opus": "audio/ogg",
    ".md": "text/markdown",
    ".epub": "application/epub+zip",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation",
}
_DOCUMENT_TYPES: Final = frozenset(
    {"application/pdf", "application/rtf", "application/epub+zip", "application/msword", "application/json"}
)
_DOCUMENT_PREFIXES: Final = (
    "text/",
    "application/vnd.oasis.opendocument",
    "application/vnd.openxmlformats",
    "application/vnd.ms-",
)
# An own table, so that the machine's mime.types cannot change what customers see.
_TYPES: Final = mimetypes.MimeTypes(filenames=())


def fold(name: bytes) -> str:
    """The form that search and order compare: compatibility-decomposed, case-folded, without combining marks.

    As Unicode's compatibility caseless match (The Unicode Standard, 3.13, D146), less the marks.
    """
    if name.isascii():
        return name.decode("ascii").lower()[:FOLD_CHARACTERS_MAX]  # the same, without the steps that change nothing
    text = name.decode("utf-8", "replace")
    for _ in range(2):
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in text if not unicodedata.combining(c))[:FOLD_CHARACTERS_MAX]


def folded_hex(name: bytes) -> str:
    """`fold` in UTF-8, as hex digits."""
    return name.lower()[:FOLD_CHARACTERS_MAX].hex() if name.isascii() else fold(name).encode().hex()


def media_type(name: bytes) -> str:
    """The media type that the name's extension promises, else application/octet-stream."""
    return _type_of(name.rpartition(b".")[2])


def media_kind(name: bytes) -> MediaKind:
    """What a person would call a file of this name."""
    return _kind_of(name.rpartition(b".")[2])


@lru_cache(maxsize=4_096)
def _type_of(ending: bytes) -> str:
    extension = "." + ending.decode("utf-8", "replace").lower()
    known = _MORE_TYPES.get(extension)
    return known or _TYPES.guess_type("x" + extension, strict=False)[0] or "application/octet-stream"


@lru_cache(maxsize=4_096)
def _kind_of(ending: bytes) -> MediaKind:
    of_type = _type_of(ending)
    major = of_type.partition("/")[0]
    if major in {"image", "video", "audio"}:
        return MediaKind(major)
    if of_type in _DOCUMENT_TYPES or of_type.startswith(_DOCUMENT_PREFIXES):
        return MediaKind.DOCUMENT
    return MediaKind.OTHER


def split_extension(name: bytes) -> tuple[bytes, bytes]:
    """(`IMG_1`, `.jpg`) of `IMG_1.jpg`; a name that only begins with a dot has no extension."""
    base, dot, extension = name.rpartition(b".")
    return (base, dot + extension) if base else (name, b"")


def numbered(name: bytes, suffix: bytes, count: int) -> bytes:
    """`IMG-recovered.jpg`, then `IMG-recovered-2.jpg` …, cut so that it still is a name of at most 255 bytes."""
    base, extension = split_extension(name)
    tail = suffix + (b"-%d" % count if count > 1 else b"")
    room = 255 - len(tail) - len(extension)
    if room < 1:
        base, extension, room = name, b"", 255 - len(tail)
    cut = base[:room]
    while cut and len(cut) < len(base) and (base[len(cut)] & 0xC0) == 0x80:
        cut = cut[:-1]
    return cut + tail + extension
