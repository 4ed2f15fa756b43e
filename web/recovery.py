"""What a server that was killed left behind is cleared away at the next start, and only by a server that is alone.

Staged bytes in `incoming/` belong to nobody then, but for the parts of uploads that can be resumed. Neither do claims
and packs that were never committed: their files, where they were placed, go to the trash, and their rows go. Nothing of
it was ever acknowledged.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from cas.errors import CasError
from cas.lock import StoreLock
from cas.store import BlobStore
from catalog.catalog import Catalog

log: Final = logging.getLogger("otb.web")

_CLAIMS_AT_ONCE: Final = 500


async def clear_leftovers(lock: StoreLock, store: BlobStore, catalog: Catalog) -> None:
    """Take the store's lock as a writer; if nobody else has it, clear up first, alone.

    A store that takes no writes is left as it is: an operator looks at it first.
    """
    if lock.try_alone() and store.read_only_reason is None:
        try:
            # Uploads that can be resumed keep their parts; those that expired lose them when the server runs.
            dropped = await asyncio.to_thread(store.clear_incoming, await catalog.system.uploads.parts())
            taken_back = await _take_back_claims(store, catalog) + await _take_back_packs(store, catalog)
        except CasError:
            # Reading must go on where writing cannot: the next start, or the sweep, tries again.
            log.exception("leftovers in the store could not be cleared")
        else:
            log.info("cleared %d staged files and %d claims and packs", dropped, taken_back)
    lock.share(lambda: None)


async def _take_back_claims(store: BlobStore, catalog: Catalog) -> int:
    count = 0
    while rows := await catalog.system.take_unfinished(_CLAIMS_AT_ONCE):
        for row in rows:
            await asyncio.to_thread(store.trash, row.blob, datetime.now(UTC).date())
        await catalog.system.forget([row.id for row in rows])
        count += len(rows)
    return count


async def _take_back_packs(store: BlobStore, catalog: Catalog) -> int:
    """Packs that were begun and never committed: no row points into them."""
    count = 0
    while packs := await catalog.system.unfinished_packs(_CLAIMS_AT_ONCE):
        for pack_id in packs:
            await asyncio.to_thread(store.trash_pack, pack_id, datetime.now(UTC).date())
            await catalog.system.drop_pack(pack_id)
        count += len(packs)
    return count
