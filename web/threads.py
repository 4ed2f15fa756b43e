"""Work that blocks, moved off the event loop in pieces large enough to be worth the hop."""

from collections.abc import AsyncGenerator, Generator

import anyio
from anyio import to_thread

from web.limits import PIECE_BYTES


async def in_thread(chunks: Generator[bytes, None, None], limiter: anyio.CapacityLimiter) -> AsyncGenerator[bytes, None]:
    """The generator's bytes in pieces of at least 1 MiB but the last, made in worker threads.

    The generator is closed, in a thread too, however this ends. Close this one with `aclosing`.
    """
    try:
        while piece := await to_thread.run_sync(_gather, chunks, limiter=limiter):
            yield piece
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(chunks.close, limiter=limiter)


def _gather(chunks: Generator[bytes, None, None]) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    while size_bytes < PIECE_BYTES:
        part = next(chunks, None)
        if part is None:
            break
        parts.append(part)
        size_bytes += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
