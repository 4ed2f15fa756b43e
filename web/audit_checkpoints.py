"""The audit's heads go into the store's journal again and again while the server runs, and once more when it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from cas.errors import CasError
from catalog.audit_checkpoints import AuditCheckpoints
from catalog.errors import DatabaseUnavailable
from web.limits import AUDIT_CHECKPOINT_SECONDS

log: Final = logging.getLogger("otb.web")


@asynccontextmanager
async def checkpointing(checkpoints: AuditCheckpoints) -> AsyncIterator[None]:
    """Write checkpoints as long as the block runs."""
    task = asyncio.create_task(_write_for_ever(checkpoints))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await _write(checkpoints)


async def _write_for_ever(checkpoints: AuditCheckpoints) -> None:
    while True:
        await asyncio.sleep(AUDIT_CHECKPOINT_SECONDS)
        await _write(checkpoints)


async def _write(checkpoints: AuditCheckpoints) -> None:
    try:
        await checkpoints.write()
    except (DatabaseUnavailable, CasError):
        # Both tell everybody by themselves; the next checkpoint names these heads as well.
        log.warning("the audit's heads could not be written into the journal", exc_info=True)
