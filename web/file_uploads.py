"""One uploaded file into the store and the catalog. Small files that arrive at the same moment share a pack, a journal
record and a commit.

What always holds: a file that cannot be committed spoils nothing for the others of its group; a request is answered
only after its own file is committed.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request

from cas.blob import Blob
from cas.digest import Digest
from cas.errors import DigestMismatch, SizeMismatch
from cas.packwriter import PackWriter, StagedPack
from catalog.changes import AddFile
from catalog.errors import CatalogError, DatabaseUnavailable
from catalog.packs import NewPack
from catalog.tenant import TenantScope
from catalog.values import Claim, EntryPath
from web.admission import Reservation
from web.batches import drop_row, store_pack
from web.bodies import check_length, read_body
from web.digests import Announced
from web.limits import SMALL_UPLOAD_BYTES_MAX
from web.small_files import Put, SmallFile
from web.state import Services, services
from web.uploads import claim_and_place, received


async def store_upload(
    request: Request, scope: TenantScope, device_id: int, path: EntryPath, mtime_ns: int | None, announced: Announced
) -> Put:
    """The request's body becomes the file at `path`; durable and committed on return. Raises as `received`, the store
    and the commit."""
    held = services(request)
    size_bytes = check_length(request, held.settings.upload_bytes_max, "A file")
    if size_bytes is None or size_bytes > SMALL_UPLOAD_BYTES_MAX:
        return await _store_large(request, scope, device_id, path, mtime_ns, announced)
    with held.small_slots.take(scope.tenant.id), Reservation(held.incoming, scope) as room:
        await room.cover(size_bytes, exact=True)
        data = await read_body(request, SMALL_UPLOAD_BYTES_MAX)
        if len(data) != size_bytes:
            raise SizeMismatch(f"{len(data)} bytes came instead of {size_bytes}")
        file = SmallFile(path, mtime_ns, _checked_digest(data, announced), data)
        key = (scope.tenant.id, device_id, scope.actor)
        return await held.small_uploads.put(key, file, partial(_store_together, held, scope, device_id))


def _checked_digest(data: bytes, announced: Announced) -> Digest:
    digest = Digest.of(data)
    if announced.blake3 not in {None, digest}:
        raise DigestMismatch(f"the bytes hash to {digest}, not to {announced.blake3}", str(announced.blake3))
    if announced.sha256 is not None and hashlib.sha256(data).digest() != announced.sha256:
        raise DigestMismatch("the SHA-256 is another than announced")
    return digest


async def _store_large(
    request: Request, scope: TenantScope, device_id: int, path: EntryPath, mtime_ns: int | None, announced: Announced
) -> Put:
    async with received(request, scope, announced) as staged:
        claim, blob = await claim_and_place(services(request), scope, staged)
        placed = _Placed(AddFile(path, blob, claim.blob_id, mtime_ns), claim.possessed)
        return await _commit_one(scope, device_id, placed)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A change whose bytes are in the store; `possessed`: the tenant had them before."""

    change: AddFile
    possessed: bool


async def _store_together(
    held: Services, scope: TenantScope, device_id: int, files: Sequence[SmallFile]
) -> Sequence[Put | BaseException]:
    if len(files) == 1:
        return [await _commit_one(scope, device_id, await _place_alone(held, scope, files[0]))]
    placed = await _place_packed(held, scope, files)
    try:
        done = await scope.manifests.commit(device_id, [one.change for one in placed])
    except DatabaseUnavailable:
        raise
    except CatalogError:
        # One of them does not fit; it must not spoil the others.
        return [await _outcome(scope, device_id, one) for one in placed]
    return [
        _put(one, entry_id, is_new=is_new)
        for one, entry_id, is_new in zip(placed, done.entry_ids, done.is_new, strict=True)
    ]


async def _place_alone(held: Services, scope: TenantScope, file: SmallFile) -> _Placed:
    staged = await held.writers.run(held.store.stage, [file.data], file.digest)
    claim, blob = await claim_and_place(held, scope, staged)
    return _Placed(AddFile(file.path, blob, claim.blob_id, file.mtime_ns), claim.possessed)


async def _place_packed(held: Services, scope: TenantScope, files: Sequence[SmallFile]) -> list[_Placed]:
    pack = await held.writers.run(held.store.pack)
    beginning = asyncio.create_task(scope.blobs.begin_pack(pack.pack_id))
    try:
        staged = await held.writers.run(_fill, pack, files)
    except BaseException:
        await drop_row(held, scope, beginning, pack.pack_id)
        raise
    claims = await store_pack(held, scope, staged, beginning, partial(_receive, scope))
    blobs: dict[Digest, Blob] = {blob.digest: blob for blob in staged.blobs}
    return [
        _Placed(
            AddFile(file.path, blobs[file.digest], claims[file.digest].blob_id, file.mtime_ns),
            claims[file.digest].possessed,
        )
        for file in files
    ]


async def _receive(scope: TenantScope, pack: NewPack | None) -> Mapping[Digest, Claim]:
    return {} if pack is None else await scope.blobs.receive(pack)


def _fill(pack: PackWriter, files: Sequence[SmallFile]) -> StagedPack:
    with pack:
        for file in files:
            pack.add(file.data, file.digest)
        return pack.finish()


async def _outcome(scope: TenantScope, device_id: int, placed: _Placed) -> Put | BaseException:
    try:
        return await _commit_one(scope, device_id, placed)
    except CatalogError as e:
        return e


async def _commit_one(scope: TenantScope, device_id: int, placed: _Placed) -> Put:
    done = await scope.manifests.commit(device_id, [placed.change])
    return _put(placed, done.entry_ids[0], is_new=done.is_new[0])


def _put(placed: _Placed, entry_id: int, *, is_new: bool) -> Put:
    blob = placed.change.blob
    return Put(entry_id, blob.digest, blob.size_bytes, placed.possessed, is_new)
