"""Request bodies: how fast they must come, how large they may be, and how JSON and forms are read from them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.types import Message, Receive

from catalog.errors import BadRequest
from web.errors import Disconnected, TooLarge, TooSlow, WrongMediaType
from web.limits import (
    BODY_BYTES_PER_SECOND_MIN,
    BODY_WINDOW_SECONDS,
    FORM_BODY_BYTES_MAX,
    FORM_FIELDS_MAX,
    JSON_BODY_BYTES_MAX,
)

T = TypeVar("T")

Form = dict[str, list[str]]
"""A form's fields: name → values in order."""

_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_JSON_TYPE: Final = "application/json"


class _Pace:
    """Judges a client's rate by the time spent waiting for it; our own slowness is not held against it."""

    def __init__(self) -> None:
        self._waited_seconds = 0.0
        self._received_bytes = 0

    @property
    def seconds_left(self) -> float:
        """Of the present window."""
        return max(0.0, BODY_WINDOW_SECONDS - self._waited_seconds)

    def note(self, waited_seconds: float, received_bytes: int) -> None:
        """Count what came. Raises `TooSlow` at the end of a window in which too little did."""
        self._waited_seconds += waited_seconds
        self._received_bytes += received_bytes
        if self._waited_seconds < BODY_WINDOW_SECONDS:
            return
        if self._received_bytes < BODY_BYTES_PER_SECOND_MIN * BODY_WINDOW_SECONDS:
            raise TooSlow
        self._waited_seconds, self._received_bytes = 0.0, 0


async def paced(request: Request, patience: Callable[[], float] | None = None) -> AsyncGenerator[bytes, None]:
    """The body's pieces as they come; with `patience`, an empty one whenever none came for so many seconds.

    Raises `TooSlow`, and `Disconnected` where the client goes away.
    """
    pace = _Pace()
    is_whole = False
    while not is_whole:
        started = time.monotonic()
        seconds = pace.seconds_left if patience is None else min(pace.seconds_left, patience())
        message = await _receive(request.receive, seconds)
        if message["type"] == "http.disconnect":
            raise Disconnected("The client went away before its body was whole.")
        piece: bytes = message.get("body", b"")
        is_whole = message["type"] == "http.request" and not message.get("more_body", False)
        if not is_whole:
            pace.note(time.monotonic() - started, len(piece))
        if piece or (patience is not None and message["type"] == "timeout"):
            yield piece


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
