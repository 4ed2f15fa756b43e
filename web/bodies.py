"""Request bodies: how fast they must come, how large they may be, and how JSON and forms are read from them."""

import asyncio
import mmap
import time
from collections.abc import AsyncGenerator, Callable
from itertools import cycle
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.types import Message, Receive

from catalog.errors import BadRequest
from web.direct import GONE, DirectBody, direct_body
from web.errors import Disconnected, TooLarge, WrongMediaType
from web.limits import (
    BODY_RATES,
    FLOW_BYTES,
    FORM_BODY_BYTES_MAX,
    FORM_FIELDS_MAX,
    JSON_BODY_BYTES_MAX,
    PIECE_BYTES,
)
from web.pace import Pace

T = TypeVar("T")

Form = dict[str, list[str]]
"""A form's fields: name → values in order."""

_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_JSON_TYPE: Final = "application/json"


class _Messages:
    """The body as the server's messages bring it, at a pace that is watched."""

    def __init__(self, request: Request) -> None:
        self.pace = Pace(BODY_RATES)
        self.is_whole = False
        self._receive = request.receive

    async def piece(self, patience: float | None) -> bytes | None:
        """The next one; an empty one when none came in so many seconds; None where there is nothing to tell."""
        started = time.monotonic()
        seconds = self.pace.seconds_left if patience is None else min(self.pace.seconds_left, patience)
        message = await _receive(self._receive, seconds)
        if message["type"] == "http.disconnect":
            raise Disconnected(GONE)
        piece: bytes = message.get("body", b"")
        self.is_whole = message["type"] == "http.request" and not message.get("more_body", False)
        if not self.is_whole:
            self.pace.note(time.monotonic() - started, len(piece))
        return piece if piece or (patience is not None and message["type"] == "timeout") else None


async def paced(request: Request) -> AsyncGenerator[bytes, None]:
    """The body's pieces as they come. Raises `TooSlow`, and `Disconnected` where the client goes away."""
    messages = _Messages(request)
    while not messages.is_whole:
        piece = await messages.piece(None)
        if piece:
            yield piece


async def flowing(
    request: Request, patience: Callable[[], float], flows_at: Callable[[], int | None]
) -> AsyncGenerator[bytes | memoryview, None]:
    """The body's pieces as they come, and an empty one whenever none came for so many seconds.

    While `flows_at` tells where in the file the next byte belongs, what comes fast comes in large blocks: views that
    are good until the block after the next is asked for; a page of the file is a page in memory then. Close it with
    `aclosing`. Raises as `paced`.
    """
    messages = _Messages(request)
    while not messages.is_whole:
        if flows_at() is not None and (body := direct_body(request)) is not None:
            with body:
                async for block in _blocks(body, messages.pace, patience, flows_at):
                    yield block
        else:
            piece = await messages.piece(patience())
            if piece is not None:
                yield piece


async def _blocks(
    body: DirectBody, pace: Pace, patience: Callable[[], float], flows_at: Callable[[], int | None]
) -> AsyncGenerator[bytes | memoryview, None]:
    """As long as it flows."""
    buffers = cycle([memoryview(mmap.mmap(-1, FLOW_BYTES)) for _ in range(2)])
    while not body.is_whole and (offset := flows_at()) is not None:
        room = next(buffers)[offset % mmap.PAGESIZE :]
        started = time.monotonic()
        count = await body.fill(room, min(pace.seconds_left, patience()))
        pace.note(time.monotonic() - started, count)
        # What comes slowly is gathered by who takes it.
        yield room[:count] if count >= PIECE_BYTES else bytes(room[:count])


async def _receive(receive: Receive, seconds: float) -> Message:
    """The next message; one without a body when none came in time."""
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError:
        return {"type": "timeout"}


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body. Raises `TooLarge`."""
    check_length(request, bytes_max)
    body = bytearray()
    async for piece in paced(request):
        body += piece
        if len(body) > bytes_max:
            raise TooLarge(bytes_max, "The body of this request")
    return bytes(body)


def check_length(request: Request, bytes_max: int, what: str = "The body of this request") -> int | None:
    """The announced length, or None where none is. Raises `TooLarge`, `BadRequest`."""
    announced = request.headers.get("content-length")
    if announced is None:
        return None
    if not (announced.isascii() and announced.isdigit()) or len(announced) > 19:
        raise BadRequest("Content-Length is not a number.")
    if int(announced) > bytes_max:
        raise TooLarge(bytes_max, what)
    return int(announced)


async def read_json(request: Request, shape: type[T], bytes_max: int = JSON_BODY_BYTES_MAX) -> T:
    """The body as JSON of this shape. Raises `TooLarge`, `WrongMediaType`, `BadRequest`."""
    if media_type(request) != _JSON_TYPE:
        raise WrongMediaType(_JSON_TYPE)
    return decode_json(await read_body(request, bytes_max), shape)


def decode_json(body: bytes, shape: type[T]) -> T:
    """Raises `BadRequest` with what is wrong and where."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadRequest(f"The JSON cannot be used: {str(e).rstrip('.')}.") from e


async def read_form(request: Request) -> Form:
    """The body as a form. Raises `TooLarge`, `WrongMediaType`, `BadRequest`."""
    if media_type(request) != _FORM_TYPE:
        raise WrongMediaType(_FORM_TYPE)
    return parse_form(await read_body(request, FORM_BODY_BYTES_MAX))


def parse_form(body: bytes) -> Form:
    """Fields of an urlencoded body (or query). Raises `BadRequest`."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except ValueError as e:
        raise BadRequest(
            f"The form cannot be read: it must be URL-encoded UTF-8 of at most {FORM_FIELDS_MAX:,} fields."
        ) from e
    form: Form = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


def field(form: Form, name: str) -> str:
    """The first value of a field, or nothing."""
    return form.get(name, [""])[0]


def media_type(request: Request) -> str:
    """The body's media type, lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
