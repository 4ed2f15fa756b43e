"""Paths that are not valid UTF-8, in JSON and queries: base64url of their bytes (RFC 4648, 5), padded or not."""

import base64
import binascii

from catalog.errors import BadRequest


def from_base64url(text: str, what: str) -> bytes:
    """The bytes. `what` names the field in the `BadRequest` raised."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as e:
        raise BadRequest(f"{what} is not base64url.") from e


def to_base64url(raw: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
