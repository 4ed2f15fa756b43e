"""File paths in URLs, read from the bytes on the wire.

A server's decoded path has lost what these bytes were: `%2F` looks like a separator and invalid UTF-8 like
U+FFFD. So the raw path is split first and each segment decoded by itself. Which handler runs, and who may
call it, is decided on the decoded path alone; here the raw path must spell the same route, or the request is
refused.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from catalog.errors import BadPath
from catalog.values import EntryPath

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def has_control_characters(text: str) -> bool:
    """Whether `text` holds a C0 or C1 control character or DEL."""
    return _CONTROL.search(text) is not None


def entry_path(scope: Scope, prefix: str, *, trailing_slash: bool = False) -> EntryPath:
    """The path inside an area that follows `prefix` in the request's raw path. Raises `BadPath`.

    `prefix` is the decoded path up to the area's root, e.g. `/api/v1/devices/3/files/originals`. With
    `trailing_slash` one `/` at the end is allowed, as folders have it on pages.
    """
    raw = bytes(scope["raw_path"]) if scope.get("raw_path") else scope["path"].encode()
    segments = raw.split(b"?", 1)[0].split(b"/")
    levels = prefix.count("/") + 1
    if "/".join(_decoded(segment) for segment in segments[:levels]) != prefix:
        raise BadPath("Write the address before the path without percent-escapes.")
    rest = segments[levels:]
    if trailing_slash and rest and rest[-1] == b"":
        rest.pop()
    return EntryPath.parse("/".join(_segment(segment) for segment in rest)) if rest else EntryPath(())


def parse_encoded(text: str) -> EntryPath:
    """A path as our pages' addresses write it: names percent-encoded, joined by `/`. Raises `BadPath`."""
    if not text:
        return EntryPath(())
    return EntryPath.parse("/".join(_segment(part) for part in text.encode().split(b"/")))


def _segment(raw: bytes) -> str:
    text = _decoded(raw)
    if "/" in text:
        raise BadPath("A name must not contain a slash (%2F). Send each folder as a part of the path of its own.")
    if "\0" in text:
        raise BadPath("A name must not contain a NUL character (%00). Rename the file.")
    return text


def _decoded(raw: bytes) -> str:
    if _BAD_ESCAPE.search(raw):
        raise BadPath("The address contains a “%” that is no percent-escape. Write it as %25.")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as e:
        raise BadPath("The path is not valid UTF-8. Send such names through a manifest, as path_bytes.") from e
