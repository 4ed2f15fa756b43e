"""Answers whose bytes are made while they are sent, at the reader's pace; mostly of a length known before."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager, ExitStack

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class StreamedAnswer(Response):
    """Pieces from a generator. One that raises breaks the answer off; a reader that goes away closes the generator."""

    def __init__(
        self, status: int, headers: Mapping[str, str], first: bytes, rest: AsyncGenerator[bytes, None], held: ExitStack
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = b""
        self.init_headers(headers)
        if "content-length" not in {name.lower() for name in headers}:
            del self.headers["content-length"]  # not known: the server sends chunks
        self._first = first
        self._rest = rest
        self._held = held

    @classmethod
    async def begin(
        cls,
        status: int,
        headers: Mapping[str, str],
        pieces: AsyncGenerator[bytes, None],
        slot: AbstractContextManager[None],
    ) -> "StreamedAnswer":
        """Make the first piece before any status leaves, so that what fails at once is a proper error.

        Raises `Busy`.
        """
        with ExitStack() as stack:
            stack.enter_context(slot)
            try:
                first = await anext(pieces, b"")
            except BaseException:
                await pieces.aclose()
                raise
            return cls(status, headers, first, pieces, stack.pop_all())

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                try:
                    await self._send_all(send)
                except Exception as error:  # noqa: BLE001 - raised below, out of the task group's wrapping
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            with self._held, anyio.CancelScope(shield=True):
                await self._rest.aclose()
        if failure is not None:
            raise failure

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        self._first = b""
        async for piece in self._rest:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """End the answer when its reader is gone: the server does not say so when we send."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
