"""The server's side of HTTP/1.1: Uvicorn's, with limits on headers, and a problem as the answer to what is no HTTP.

What always holds: a connection has 10 s to complete a request's headers, and they are at most 64 KiB; a body that
nobody reads any more keeps the pace of those that are read, and so does who takes an answer; so neither a client that
drips nor one that never ends can hold anything. A body of known length can be had directly (`web/direct.py`); from then
on to its end its bytes are counted here, and the parser begins anew behind it.
"""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Final

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from web.answers import PROBLEM_TYPE
from web.direct import BODY
from web.errors import Problem, TooSlow
from web.limits import ANSWER_RATE, BODY_RATES, HEADERS_BYTES_MAX, HEADERS_SECONDS_MAX
from web.middleware import base_headers
from web.pace import Pace
from web.proxy import PEER

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
    _rest: "_Rest | None" = None
    _reader: asyncio.TimerHandle | None = None
    _is_draining = False
    left_bytes = 0
    """Of the present request's body, not received yet; stays 0 where its length is not announced."""
    _is_unparsed = False
    """Whether the parser does not see the rest of the body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        self._end_rest()
        self._end_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._receive(data)
        if self._is_idle:
            # Of the next request nothing came that the parser would tell of, such as an empty line before it.
            self._start_deadline()

    def _receive(self, data: bytes) -> None:
        if self._rest is not None:
            self._rest.note(len(data))
        if self._is_unparsed:
            data = self._without_body(data)
            if not data:
                return
        # The parser keeps a header to itself until its end, so what it swallows meanwhile is counted as well.
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._deadline is None:
            self._unparsed_bytes = 0
        elif self._unparsed_bytes > HEADERS_BYTES_MAX and not self.transport.is_closing():
            self._problem = _TOO_LARGE
            self.send_400_response("")

    def drain(self) -> None:
        """The next answer is the last one on this connection, and says so."""
        self._is_draining = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

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
        if self._is_draining:
            self.cycle.keep_alive = False
        self.left_bytes = self._announced_bytes()
        self.scope["extensions"] = {
            BODY: {"connection": partial(self._connection_of, self.cycle)},
            PEER: {"address": self.client[0] if self.client else ""},
        }

    def on_body(self, body: bytes) -> None:
        self.left_bytes = max(0, self.left_bytes - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._end_rest()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_reader()
        elif self.cycle.response_complete and self.cycle.more_body:
            self._rest = _Rest(self.loop, self._close)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_reader()

    def resume_writing(self) -> None:
        self._end_reader()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    @property
    def is_gone(self) -> bool:
        return self.cycle.disconnected or self.transport.is_closing()

    def take_waiting(self, room: memoryview) -> int:
        count = min(len(room), len(self.cycle.body))
        room[:count] = self.cycle.body[:count]
        del self.cycle.body[:count]
        return count

    def divert(self, receiver: asyncio.BufferedProtocol) -> None:
        self._is_unparsed = True
        self.flow.pause_reading()
        self.transport.set_protocol(receiver)

    def restore(self) -> None:
        if self.is_gone:
            return
        self.flow.pause_reading()
        self.transport.set_protocol(self)
        if not self.left_bytes:
            self._end_body()

    def read(self, is_on: bool) -> None:
        if is_on:
            self.flow.resume_reading()
        else:
            self.flow.pause_reading()

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
        self._close()

    @property
    def _is_idle(self) -> bool:
        """Between requests, with nothing that would end the connection."""
        is_answered = self.cycle is not None and self.cycle.response_complete
        is_watched = self._deadline or self._rest or self.timeout_keep_alive_task
        return is_answered and not is_watched and not self.transport.is_closing()

    def _announced_bytes(self) -> int:
        """As the parser has read it: it lets only numbers through, and no second length beside them."""
        headers = dict(self.headers)
        return 0 if b"transfer-encoding" in headers else int(headers.get(b"content-length", b"0"))

    def _connection_of(self, cycle: RequestResponseCycle) -> "Protocol | None":
        """While bytes of this request's body are still to come, and its client does not wait for our leave."""
        is_coming = self.cycle is cycle and self.left_bytes and not cycle.waiting_for_100_continue
        return self if is_coming else None

    def _without_body(self, data: bytes) -> bytes:
        """What follows the rest of the body."""
        body, rest = data[: self.left_bytes], data[self.left_bytes :]
        self.on_body(body)
        if not self.left_bytes:
            self._end_body()
        return rest

    def _end_body(self) -> None:
        self._is_unparsed = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as Uvicorn's own
        self.on_message_complete()

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
        self._close()

    def _end_rest(self) -> None:
        if self._rest is not None:
            self._rest.end()
            self._rest = None

    def _close(self) -> None:
        """Once what was written is taken."""
        self.transport.close()
        self._start_reader()

    def _start_reader(self) -> None:
        """Watch how fast what was written is taken. Nothing is written meanwhile: the answer waits, or has ended."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if self._reader is None and unsent_bytes:
            self._reader = self.loop.call_later(ANSWER_RATE.seconds, self._judge_reader, unsent_bytes)

    def _end_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _judge_reader(self, before_bytes: int) -> None:
        self._reader = None
        taken_bytes = before_bytes - self.transport.get_write_buffer_size()
        if taken_bytes < min(before_bytes, ANSWER_RATE.bytes_per_second * ANSWER_RATE.seconds):
            self.transport.abort()
        else:
            self._start_reader()


class _Rest:
    """What is still to come of a body whose request was answered: it is thrown away, at the pace of any body."""

    def __init__(self, loop: asyncio.AbstractEventLoop, too_slow: Callable[[], None]) -> None:
        self._loop = loop
        self._too_slow = too_slow
        self._pace = Pace(BODY_RATES)
        self._noted_at = loop.time()
        self._timer = loop.call_later(self._pace.seconds_left, self.note, 0)

    def note(self, received_bytes: int) -> None:
        """So many more bytes came."""
        now = self._loop.time()
        self._timer.cancel()
        try:
            self._pace.note(now - self._noted_at, received_bytes)
        except TooSlow:
            self._too_slow()
            return
        self._noted_at = now
        self._timer = self._loop.call_later(self._pace.seconds_left, self.note, 0)

    def end(self) -> None:
        self._timer.cancel()
