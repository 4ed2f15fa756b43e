"""Range and conditional requests (RFC 9110, sections 13 and 14): one range of bytes, and strong entity tags
only.

Several ranges in one header are answered with the whole, as the RFC allows: no client of ours needs them, and
parsers of many ranges have a history of attacks (CVE-2011-3192, CVE-2025-62727).
"""

import re
from dataclasses import dataclass
from typing import Final

from web.limits import CONDITION_HEADER_BYTES_MAX, RANGE_HEADER_BYTES_MAX

_RANGE: Final = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.IGNORECASE | re.ASCII)
_TAG: Final = re.compile(r'(W/)?"([^"]*)"')


class RangeNotSatisfiable(Exception):
    """The range starts beyond the end; `size_bytes` belongs into `Content-Range`."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The file has {size_bytes:,} bytes; the range asked for starts beyond them.")
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `offset`, inside the file."""

    offset: int
    length: int

    def content_range(self, size_bytes: int) -> str:
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size_bytes}"


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The one range asked for; None means the whole, also for what is malformed (RFC 9110, 14.2).

    Raises `RangeNotSatisfiable`.
    """
    if header is None or len(header) > RANGE_HEADER_BYTES_MAX:
        return None
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return _suffix(last, size_bytes)
    start, end = int(first), int(last) if last else size_bytes - 1
    if last and end < start:
        return None
    if start >= size_bytes:
        raise RangeNotSatisfiable(size_bytes)
    return ByteRange(start, min(end, size_bytes - 1) - start + 1)


def _suffix(last: str, size_bytes: int) -> ByteRange | None:
    if not last:
        return None
    length = min(int(last), size_bytes)
    if length == 0:
        raise RangeNotSatisfiable(size_bytes)
    return ByteRange(size_bytes - length, length)


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names the tag (weak comparison, RFC 9110, 13.1.2), so that 304 is the answer."""
    if if_none_match is None or len(if_none_match) > CONDITION_HEADER_BYTES_MAX:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(f'"{tag}"' == etag for _, tag in _TAG.findall(if_none_match))


def range_still_fits(if_range: str | None, etag: str) -> bool:
    """Whether a range may be served: no `If-Range`, or the very same strong tag.

    A date never fits, being weak here.
    """
    return if_range is None or if_range.strip() == etag
