"""Work that blocks, moved off the event loop in pieces large enough to be worth the hop.

What always holds: whoever is cancelled waits until his thread has let go, so that a file is never closed
under a thread that still reads or writes it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, TypeVar

import anyio

from web.limits import PIECE_BYTES

T = TypeVar("T")

_LARGE_BYTES: Final = 64 << 10
"""From here on, handing a part over by itself costs less than copying it together with others."""
_AHEAD_BYTES_MAX: Final = 4 * PIECE_BYTES
_FAST_SECONDS: Final = 0.05
"""Whoever takes 1 to 4 MiB in this time gains by more at once; the others would only hold memory."""


class Workers:
    """A fixed number of threads. Close it when the last task has ended."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    def start(self, work: Callable[..., T], *args: object) -> "asyncio.Future[T]":
        """Begin; the future must be given to `settle`."""
        # With the caller's context, so that what is logged there carries the request's id.
        return asyncio.get_running_loop().run_in_executor(self._pool, partial(copy_context().run, work, *args))

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Do it and return its result."""
        return await settle(self.start(work, *args))

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._pool.shutdown()


async def settle(future: "asyncio.Future[T]") -> T:
    """The result of work under way; a cancellation goes on only after the thread is done."""
    try:
        return await asyncio.shield(future)
    finally:
        if not future.done():
            with anyio.CancelScope(shield=True):
                await asyncio.wait({future})
        # Looked at, so that asyncio does not complain of an error nobody saw when we were cancelled meanwhile.
        future.cancelled() or future.exception()


async def in_thread(chunks: Generator[bytes, None, None], workers: Workers) -> AsyncGenerator[bytes, None]:
    """The generator's bytes, made in worker threads, at least 1 MiB at a time but the last.

    What is small comes joined. The generator is closed, in a thread too, however this ends. Close this one with
    `aclosing`.
    """
    try:
        while pieces := await workers.run(_gather, chunks, PIECE_BYTES):
            for piece in pieces:
                yield piece
    finally:
        with anyio.CancelScope(shield=True):
            await workers.run(chunks.close)


async def in_thread_ahead(chunks: Generator[bytes, None, None], workers: Workers) -> AsyncGenerator[bytes, None]:
    """As `in_thread`, with the next being made while the last are on their way, and more of it at once for who takes
    it fast: each hop to a thread and back costs some tenth of a millisecond."""
    wanted = PIECE_BYTES
    try:
        pieces = await workers.run(_gather, chunks, wanted)
        while pieces:
            following = workers.start(_gather, chunks, wanted)
            started = time.monotonic()
            try:
                for piece in pieces:
                    yield piece
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({following})
                following.exception()
                raise
            is_fast = time.monotonic() - started < _FAST_SECONDS
            wanted = min(2 * wanted, _AHEAD_BYTES_MAX) if is_fast else PIECE_BYTES
            pieces = await settle(following)
    finally:
        with anyio.CancelScope(shield=True):
            await workers.run(chunks.close)


def _gather(chunks: Generator[bytes, None, None], wanted: int) -> list[bytes]:
    """The next `wanted` bytes or a little more; nothing at the end. Small parts are joined up to 1 MiB; large ones stay
    as they are, since joining copies."""
    pieces: list[bytes] = []
    small: list[bytes] = []
    size_bytes = small_bytes = 0
    while size_bytes < wanted:
        part = next(chunks, None)
        if part is None:
            break
        size_bytes += len(part)
        if len(part) < _LARGE_BYTES:
            small.append(part)
            small_bytes += len(part)
        if small and (len(part) >= _LARGE_BYTES or small_bytes >= PIECE_BYTES):
            pieces.append(b"".join(small))
            small, small_bytes = [], 0
        if len(part) >= _LARGE_BYTES:
            pieces.append(part)
    if small:
        pieces.append(b"".join(small))
    return pieces
