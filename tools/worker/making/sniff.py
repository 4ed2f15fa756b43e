"""What a file is, from its first bytes: names and extensions are not asked.

The signatures are those of the formats' own specifications. What is recognised here decides which decoder sees the file
at all, so the table is the allow-list.
"""

from typing import Final

HEAD_BYTES: Final = 4_096

IMAGE, VIDEO, AUDIO, PDF, DOCUMENT, TEXT, OTHER = "image", "video", "audio", "pdf", "document", "text", "other"
UNKNOWN: Final = (OTHER, "application/octet-stream")
RAW_TYPE: Final = "image/x-raw"

_AT_START: Final = (
    (b"\xff\xd8\xff", IMAGE, "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", IMAGE, "image/png"),
    (b"GIF87a", IMAGE, "image/gif"),
    (b"GIF89a", IMAGE, "image/gif"),
    (b"BM", IMAGE, "image/bmp"),
    (b"FUJIFILMCCD-RAW", IMAGE, RAW_TYPE),
    (b"IIRO", IMAGE, RAW_TYPE),
    (b"IIRS", IMAGE, RAW_TYPE),
    (b"MMOR", IMAGE, RAW_TYPE),
    (b"IIU\0", IMAGE, RAW_TYPE),
    (b"II*\0", IMAGE, "image/tiff"),
    (b"MM\0*", IMAGE, "image/tiff"),
    (b"%PDF-", PDF, "application/pdf"),
    (b"\x1aE\xdf\xa3", VIDEO, "video/x-matroska"),
    (b"FLV\x01", VIDEO, "video/x-flv"),
    (b"\0\0\x01\xba", VIDEO, "video/mpeg"),
    (b"\0\0\x01\xb3", VIDEO, "video/mpeg"),
    (b"ID3", AUDIO, "audio/mpeg"),
    (b"fLaC", AUDIO, "audio/flac"),
    (b"OggS", AUDIO, "audio/ogg"),
    (b"FORM", AUDIO, "audio/aiff"),
    (b"PK\x03\x04", DOCUMENT, "application/zip"),
)
_BRANDS: Final = {
    b"avif": (IMAGE, "image/avif"),
    b"avis": (IMAGE, "image/avif"),
    b"heic": (IMAGE, "image/heic"),
    b"heix": (IMAGE, "image/heic"),
    b"heim": (IMAGE, "image/heic"),
    b"heis": (IMAGE, "image/heic"),
    b"hevc": (IMAGE, "image/heic"),
    b"mif1": (IMAGE, "image/heic"),
    b"msf1": (IMAGE, "image/heic"),
    b"crx ": (IMAGE, RAW_TYPE),
    b"qt  ": (VIDEO, "video/quicktime"),
    b"M4A ": (AUDIO, "audio/mp4"),
    b"M4B ": (AUDIO, "audio/mp4"),
}
_RIFF: Final = {
    b"WEBP": (IMAGE, "image/webp"),
    b"WAVE": (AUDIO, "audio/wav"),
    b"AVI ": (VIDEO, "video/x-msvideo"),
}
_OLD_QUICKTIME: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_TEXT_CONTROLS: Final = frozenset(b"\t\n\r\f\x1b")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_PACKET: Final = 188


def sniff(head: bytes) -> tuple[str, str]:
    """Kind and media type of what begins with these bytes (at most `HEAD_BYTES` of them)."""
    found = _by_container(head) or _by_signature(head) or _by_frames(head)
    return found or ((TEXT, "text/plain") if is_text(head) else UNKNOWN)


def _by_container(head: bytes) -> tuple[str, str] | None:
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], (VIDEO, "video/mp4"))
    if head[4:8] in _OLD_QUICKTIME:
        return VIDEO, "video/quicktime"
    return _RIFF.get(head[8:12]) if head[:4] == b"RIFF" else None


def _by_signature(head: bytes) -> tuple[str, str] | None:
    for signature, kind, media_type in _AT_START:
        if head.startswith(signature):
            return _closer(head, kind, media_type)
    return None


def _by_frames(head: bytes) -> tuple[str, str] | None:
    """Formats without a signature: packets of MPEG-TS, frames of MPEG audio."""
    if len(head) > 2 * _PACKET and head[0] == head[_PACKET] == head[2 * _PACKET] == 0x47:
        return VIDEO, "video/mp2t"
    if len(head) > 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and not head.startswith(_UTF16):
        return AUDIO, "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return None


def is_text(head: bytes) -> bool:
    """Whether it reads as text in some encoding: no NUL but in UTF-16 with its mark, and hardly a control character."""
    if not head:
        return False
    if head.startswith(_UTF16):
        return True
    controls = sum((byte < 0x20 and byte not in _TEXT_CONTROLS) or byte == 0x7F for byte in head)
    return controls == 0


def _closer(head: bytes, kind: str, media_type: str) -> tuple[str, str] | None:
    """What a signature that several formats share means here; None where it means nothing."""
    found: tuple[str, str] | None = kind, media_type
    match media_type:
        case "image/tiff" if head[8:10] == b"CR":
            found = IMAGE, RAW_TYPE
        case "video/x-matroska" if b"webm" in head[:64]:
            found = VIDEO, "video/webm"
        case "audio/ogg" if b"\x80theora" in head[:128]:
            found = VIDEO, "video/ogg"
        case "audio/aiff" if head[8:12] not in {b"AIFF", b"AIFC"}:
            found = None
        case "image/bmp" if not _is_bitmap(head):
            found = None
        case "application/zip":
            found = _office(head)
    return found


def _is_bitmap(head: bytes) -> bool:
    """`BM` alone is too little: the header's size must be one of the known ones."""
    return len(head) >= 18 and int.from_bytes(head[14:18], "little") in {12, 40, 52, 56, 64, 108, 124}


def _office(head: bytes) -> tuple[str, str]:
    """A zip that begins as an office document does; which one is told by its content, when it is read."""
    if head[30:38] == b"mimetype" and b"application/vnd.oasis.opendocument" in head[:128]:
        return DOCUMENT, "application/vnd.oasis.opendocument"
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    starts = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"ppt/")
    return (DOCUMENT, "application/vnd.openxmlformats") if name.startswith(starts) else (OTHER, "application/zip")
