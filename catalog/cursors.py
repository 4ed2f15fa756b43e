"""Cursors of lists: the sort key of the last item shown, opaque to clients, checked when it comes back."""

import base64
import binascii

import msgspec

from catalog.errors import BadCursor

CURSOR_CHARACTERS_MAX = 2_048


def encode(*key: str | int) -> str:
    """A cursor that stands after the item with this sort key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode(cursor: str, *types: type[str] | type[int]) -> list[str | int]:
    """The sort key, which must have these types. Raises `BadCursor`."""
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise BadCursor
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = msgspec.json.decode(raw, type=list[str | int])
    except (binascii.Error, ValueError, msgspec.DecodeError) as e:
        raise BadCursor from e
    if len(key) != len(types) or any(type(part) is not want for part, want in zip(key, types, strict=True)):
        raise BadCursor
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in key):
        raise BadCursor
    return key
