"""Proof that an unsafe request with a session cookie was made by our own page.

Two independent ones: the browser's own word where it gives it (`Sec-Fetch-Site`), and a token that only pages
of the same session know: HMAC-SHA256 of the session's id hash under the secret key, so that nothing needs to
be stored.
"""

import hashlib
import hmac
from typing import Final

from web.errors import CrossSite, CsrfRefused

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PURPOSE: Final = b"otb-cloud csrf 1\0"


def csrf_token(secret_key: str, session_id_hash: bytes) -> str:
    """The session's CSRF token: 64 hex digits."""
    return hmac.new(secret_key.encode(), _PURPOSE + session_id_hash, hashlib.sha256).hexdigest()


def check_csrf(wanted: str, *sent: str | None) -> None:
    """Raise `CsrfRefused` unless one of the sent values is the token.

    Takes the same time for any wrong one.
    """
    if not any([value and hmac.compare_digest(wanted.encode(), value.encode()) for value in sent]):  # noqa: C419
        raise CsrfRefused


def check_site(method: str, sec_fetch_site: str | None) -> None:
    """Raise `CrossSite` for an unsafe request that the browser says another site made."""
    if method not in SAFE_METHODS and sec_fetch_site == "cross-site":
        raise CrossSite
