"""Work that blocks, moved off the event loop in pieces large enough to be worth the hop.

What always holds: whoever is cancelled waits until his thread has let go, so that a file is never closed
under a thread that still reads or writes it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import anyio

from web.limits import PIECE_BYTES

T = TypeVar("T")

_LARGE_BYTES: Final = 64 << 10
"""From here on, handing a part over by itself costs less than copying it together with others."""


class Workers:
    """A fixed number of threads. Close it when the last task has ended."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    def start(self, work: Callable[..., T], *args: object) -> "asyncio.Future[T]":
        """Begin; the future must be given to `settle`."""
        return asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

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
        while pieces := await workers.run(_gather, chunks):
            for piece in pieces:
                yield piece
    finally:
        with anyio.CancelScope(shield=True):
            await workers.run(chunks.close)


async def in_thread_ahead(chunks: Generator[bytes, None, None], workers: Workers) -> AsyncGenerator[bytes, None]:
    """As `in_thread`, with the next being made while the last are on their way."""
    try:
        pieces = await workers.run(_gather, chunks)
        while pieces:
            following = workers.start(_gather, chunks)
            try:
                for piece in pieces:
                    yield piece
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({following})
                following.exception()
                raise
            pieces = await settle(following)
    finally:
        with anyio.CancelScope(shield=True):
            await workers.run(chunks.close)


def _gather(chunks: Generator[bytes, None, None]) -> list[bytes]:
    """The next 1 MiB or more; nothing at the end. Large parts stay as they are: joining copies."""
    pieces: list[bytes] = []
    small: list[bytes] = []
    size_bytes = 0
    while size_bytes < PIECE_BYTES:
        part = next(chunks, None)
        if part is None:
            break
        size_bytes += len(part)
        if len(part) < _LARGE_BYTES:
            small.append(part)
        else:
            if small:
                pieces.append(b"".join(small))
                small.clear()
            pieces.append(part)
    if small:
        pieces.append(b"".join(small))
    return pieces
