"""The server's side of HTTP/1.1: Uvicorn's, with limits on headers, and a problem as the answer to what is no HTTP.

What always holds: a connection has 10 s to complete a request's headers, and they are at most 64 KiB; so neither a
client that drips nor one that never ends can hold anything.
"""

import asyncio
import secrets
from http import HTTPStatus
from typing import Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from web.answers import PROBLEM_TYPE
from web.errors import Problem
from web.limits import HEADERS_BYTES_MAX, HEADERS_SECONDS_MAX
from web.middleware import base_headers

_BAD: Final = Problem(
    HTTPStatus.BAD_REQUEST,
    "bad-http",
    "This is not HTTP as we read it",
    "Percent-encode what is not ASCII in the address, and send exactly as many bytes as Content-Length says.",
)
_TOO_LARGE: Final = Problem(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers-too-large",
    "The address and headers are too long",
    f"A request's address and headers may have at most {HEADERS_BYTES_MAX:,} bytes together.",
)


class HeadersTooLarge(Exception):
    """Ends the parsing of a request; the parser passes it on as an error of its own."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _headers_bytes = 0
    _unparsed_bytes = 0
    _problem = _BAD
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # The parser keeps a header to itself until its end, so what it swallows meanwhile is counted as well.
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._deadline is None:
            self._unparsed_bytes = 0
        elif self._unparsed_bytes > HEADERS_BYTES_MAX and not self.transport.is_closing():
            self._problem = _TOO_LARGE
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # What came in the same read as the request's first byte may belong to the one before it.
        self._headers_bytes = self._unparsed_bytes = 0
        self._start_deadline()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._end_deadline()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the server's words are for its log
        """Answer what cannot be read, and close."""
        request_id = secrets.token_hex(8)
        body = msgspec.json.encode(self._problem.body(request_id))
        headers = base_headers() | {
            "Content-Type": PROBLEM_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-Id": request_id,
        }
        status = HTTPStatus(self._problem.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()

    def _count(self, size_bytes: int) -> None:
        self._headers_bytes += size_bytes
        if self._headers_bytes > HEADERS_BYTES_MAX:
            self._problem = _TOO_LARGE
            raise HeadersTooLarge

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_SECONDS_MAX, self._give_up)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.close()
