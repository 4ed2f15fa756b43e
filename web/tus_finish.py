"""The end of a resumable upload: its part becomes a blob by a rename, and an entry or a lease names it.

What always holds: the bytes were hashed as they came, so nothing is assembled or read, but by a restarted server, what
came before it; a finish that fails says whether the upload is kept or removed; only when all is committed does the
offset reach the length.
"""

import asyncio
from contextlib import suppress

import anyio

from cas.blob import Blob
from cas.errors import CasError, DigestMismatch
from cas.part import PartWriter
from cas.staged import Staged
from catalog.changes import AddFile
from catalog.errors import CatalogError, ClaimLost, DatabaseUnavailable, UploadLost
from catalog.tenant import TenantScope
from catalog.uploads import Upload
from catalog.values import Claim
from web.errors import FinishFailed
from web.limits import REHASH_BYTES
from web.state import Services
from web.threads import settle
from web.tus_transfer import Transfer, lifetime
from web.tus_turns import Turn
from web.uploads import claim_and_place

_MAY_PASS = (ClaimLost, DatabaseUnavailable)


async def finish(held: Services, scope: TenantScope, transfer: Transfer, turn: Turn) -> Upload:
    """All bytes have come: commit them. Raises `FinishFailed`, and `UploadLost` while it still reads what a server
    before this one received."""
    writer = await transfer.open()
    try:
        with turn.interruptible():
            while not writer.is_hashed and await held.writers.run(writer.rehash, REHASH_BYTES):
                pass
    except UploadLost:
        with anyio.CancelScope(shield=True):
            await transfer.keep()
        raise
    transfer.spend()
    return await settle(asyncio.ensure_future(_attempt(held, scope, transfer.upload, writer)))


async def _attempt(held: Services, scope: TenantScope, upload: Upload, writer: PartWriter) -> Upload:
    try:
        return await _commit(held, scope, upload, writer)
    except _MAY_PASS as error:
        await _keep(held, scope, upload)
        raise FinishFailed(error, is_kept=True) from error
    except UploadLost:
        raise
    except (DigestMismatch, CatalogError) as error:
        await _remove(held, scope, upload, writer)
        raise FinishFailed(error, is_kept=False) from error
    except CasError as error:
        raise FinishFailed(error, is_kept=True) from error


async def _commit(held: Services, scope: TenantScope, upload: Upload, writer: PartWriter) -> Upload:
    staged = await held.writers.run(writer.finish, upload.wanted.digest, upload.size_bytes)
    try:
        claim, blob = await claim_and_place(held, scope, staged)
    except BaseException:
        await held.writers.run(_discard_pieces, staged)
        raise
    entry_id = await _name(scope, upload, claim, blob)
    return await scope.uploads.finish(upload, blob.digest, entry_id, lifetime(held))


async def _name(scope: TenantScope, upload: Upload, claim: Claim, blob: Blob) -> int | None:
    """The entry's id, or None where the blob is leased."""
    wanted = upload.wanted
    if wanted.device_id is None or wanted.path is None:
        await scope.blobs.lease([(claim.blob_id, blob)])
        return None
    change = AddFile(wanted.path, blob, claim.blob_id, wanted.mtime_ns, wanted.mode)
    return (await scope.manifests.commit(wanted.device_id, [change])).entry_ids[0]


async def _keep(held: Services, scope: TenantScope, upload: Upload) -> None:
    """All but the last byte is acknowledged, so that the client has one to send and with it tries again."""
    size_bytes = upload.size_bytes or 0
    if size_bytes and await held.writers.run(held.store.part_bytes, upload.part) == size_bytes:
        # If the database is away, the upload stands where it was saved last.
        with suppress(DatabaseUnavailable, UploadLost):
            await scope.uploads.move(upload, size_bytes - 1, lifetime(held))


async def _remove(held: Services, scope: TenantScope, upload: Upload, writer: PartWriter) -> None:
    await held.writers.run(writer.discard)
    await scope.uploads.remove(upload.id)


def _discard_pieces(staged: Staged) -> None:
    """The part stays, for another try; its piece digests are made again then."""
    if staged.parts.pieces is not None:
        staged.parts.pieces.discard()
