"""Uploads that were left alone for too long are removed, row and part, while the server runs and at its start; so are
packs that were not committed.

What always holds: the row goes first, and only if nobody went on with the upload; a part without a row is cleared by
the next start.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from cas.errors import CasError
from catalog.errors import DatabaseUnavailable
from web.limits import EXPIRED_AT_ONCE, EXPIRY_SECONDS
from web.state import Services

log: Final = logging.getLogger("otb.web")


@asynccontextmanager
async def expiring(held: Services) -> AsyncIterator[None]:
    """Remove what has expired, now and again, as long as the block runs."""
    task = asyncio.create_task(_expire_for_ever(held))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def expire(held: Services) -> int:
    """Remove what has expired, and say how many. Raises `DatabaseUnavailable`."""
    count = 0
    while found := await held.catalog.system.uploads.expired(EXPIRED_AT_ONCE):
        removed = 0
        for upload in found:
            key = (upload.tenant_id, upload.id)
            if held.tus.turns.is_taken(key) or not await held.catalog.system.uploads.remove(upload):
                continue
            held.tus.hashes.take(key)
            await held.writers.run(held.store.discard_part, upload.part)
            removed += 1
        count += removed
        if not removed:
            break
    return count


async def _expire_for_ever(held: Services) -> None:
    while True:
        try:
            if count := await expire(held):
                log.info("removed %d expired uploads", count)
            if count := await held.unsettled.settle():
                log.info("removed %d packs whose commit was lost", count)
        except (DatabaseUnavailable, CasError):
            # Both tell everybody by themselves; what is left waits for the next round.
            log.warning("expired uploads and lost packs could not be removed", exc_info=True)
        await asyncio.sleep(EXPIRY_SECONDS)
