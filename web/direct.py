"""`DirectBody`: the rest of a request's body, received by the kernel straight into memory that its reader gives.

On the usual way, through the parser and ASGI messages, a byte is copied four times, which is most of what a large
upload costs. What always holds: while no room is given nothing is read, so that the client waits; the connection speaks
HTTP again when the reader leaves, wherever the body stands then.
"""

import asyncio
from typing import Final, Protocol

from starlette.requests import Request

from web.errors import Disconnected

GONE: Final = "The client went away before its body was whole."
BODY: Final = "otb.body"
"""In a scope's extensions; its `connection` is a function that gives the request's, or None where it has no more."""


class Connection(Protocol):
    """A request's body, as its connection has it."""

    left_bytes: int
    """What was not received yet. Whoever receives counts it down."""

    @property
    def is_gone(self) -> bool:
        """Whether the client is."""

    def take_waiting(self, room: memoryview) -> int:
        """Copy in what was received and not taken yet. Returns how much."""

    def divert(self, receiver: asyncio.BufferedProtocol) -> None:
        """What comes goes to `receiver`, once reading is on."""

    def restore(self) -> None:
        """What comes is HTTP again, the rest of the body first."""

    def read(self, is_on: bool) -> None:
        """Turn reading on or off."""

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


def direct_body(request: Request) -> "DirectBody | None":
    """None where the server has no such thing, or the length is not known."""
    offered = request.scope.get("extensions", {}).get(BODY)
    connection: Connection | None = None if offered is None else offered["connection"]()
    return None if connection is None else DirectBody(connection)


class DirectBody(asyncio.BufferedProtocol):
    """One reader's time with the connection, from `__enter__` to `__exit__`. One `fill` at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._room = memoryview(b"")
        self._ended: asyncio.Future[None] | None = None

    def __enter__(self) -> "DirectBody":
        self._connection.divert(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.restore()

    @property
    def is_whole(self) -> bool:
        """Whether the body has come to its end."""
        return not self._connection.left_bytes

    async def fill(self, room: memoryview, seconds: float) -> int:
        """How many bytes came into `room` until it was full, the body ended, the client went away, or `seconds` had
        passed. Raises `Disconnected` where none came and none will."""
        count = self._connection.take_waiting(room)
        self._room = room[count : count + self._connection.left_bytes]
        count += len(self._room)
        if self._room:
            await self._receive(seconds)
        count -= len(self._room)
        if not count and self._connection.is_gone:
            raise Disconnected(GONE)
        return count

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.left_bytes -= nbytes
        self._room = self._room[nbytes:]
        if not self._room:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
        self._end()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    async def _receive(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        timer = loop.call_later(seconds, self._end)
        self._connection.read(True)
        try:
            if not self._connection.is_gone:
                await self._ended
        finally:
            timer.cancel()
            self._end()

    def _end(self) -> None:
        self._connection.read(False)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
