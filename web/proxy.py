"""Which requests came through the reverse proxy, and which files it sends by itself (X-Accel-Redirect).

What always holds: the proxy is believed by the address of the connection, never by what a request says; a path that is
given to it is made of a digest alone; it gets no file but one that lies in the store as it came, and was re-read and
found good within the days that a setting allows (docs/operations.md).
"""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from cas.blob import OWN_FILE, Blob, Encoding
from cas.layout import BLOBS, blob_key
from catalog.settings import Settings
from catalog.values import Entry
from web.sessions import Caller
from web.state import services

PEER: Final = "otb.peer"
"""The extension of an ASGI scope that tells the connection's other end: `{"address": …}`."""
PROXIED_KEY: Final = "otb.proxied"
"""Of a scope: whether the request came through the proxy."""

_REQUEST_ID: Final = re.compile(rb"[0-9A-Za-z-]{8,64}")
_READY_HEADER: Final = "x-accel-ready"
_CONDITIONS: Final = ("if-match", "if-unmodified-since")
"""nginx would compare them with the stored file, which has no tag and another time."""


class Proxies:
    """The proxies that are believed."""

    def __init__(self, settings: Settings) -> None:
        self._networks = [ip_network(address) for address in settings.proxy_addresses]

    def sent(self, scope: Scope) -> bool:
        """Whether one of them holds the connection that the request came over."""
        address = scope.get("extensions", {}).get(PEER, {}).get("address", "")
        try:
            peer = ip_address(address)
        except ValueError:
            return False  # no address at all, e.g. of a Unix socket
        return any(peer in network for network in self._networks)


def given_request_id(scope: Scope) -> str | None:
    """The id that the proxy gave a request which came through it, if it is one."""
    values = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if not scope[PROXIED_KEY] or len(values) != 1 or not _REQUEST_ID.fullmatch(values[0]):
        return None
    return str(values[0].decode())


def is_proxied(request: HTTPConnection) -> bool:
    """Whether the request came through the proxy."""
    return bool(request.scope.get(PROXIED_KEY))


async def proxy_path(request: Request, caller: Caller, entry: Entry, blob: Blob, *, is_part: bool) -> str | None:
    """What the proxy is to be told to send, for a GET of `blob`, the content of `entry`; None where we send it.
    `is_part`: one range is wanted, as we read the header."""
    settings = services(request).settings
    if not settings.accel_location or not is_proxied(request) or request.headers.get(_READY_HEADER) != "yes":
        return None
    if any(name in request.headers for name in _CONDITIONS) or ("range" in request.headers and not is_part):
        return None
    if blob.encoding is not Encoding.IDENTITY or blob.location != OWN_FILE:
        return None
    keeping = await caller.scope.trail.keeping(entry)
    oldest = datetime.now(UTC) - timedelta(days=settings.accel_verified_days)
    if keeping.verified_at is None or keeping.verified_at < oldest:
        return None
    return settings.accel_location + blob_key(blob.digest, Encoding.IDENTITY).removeprefix(f"{BLOBS}/")
