"""The store's files, as rows of packs and blobs: files of their own first, then what lies in packs."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from cas.backend import Backend
from cas.blob import Blob, Encoding
from cas.digest import Digest
from cas.errors import BadDigest, BlobMissing, BlobUnreadable, PackDamaged
from cas.layout import BLOBS
from cas.store import BlobStore
from catalog.found import Found, FoundFile
from catalog.rebuild import LOADERS

FILES_AT_ONCE: Final = 5_000
_ZST: Final = ".zst"


class _Pack(NamedTuple):
    pack_id: str
    stored_bytes: int
    blobs: tuple[Blob, ...]
    fault: str | None


async def find_files(found: Found, backend: Backend, store: BlobStore) -> tuple[int, int, list[str]]:
    """Make the rows; returns the numbers of files and packs, and the faults of packs whose index cannot be read."""
    files = 0
    source = _own_files(backend)
    while part := await asyncio.to_thread(list, islice(source, FILES_AT_ONCE)):
        await found.add_files(part)
        files += len(part)
    packs, faults = 0, []
    async with asyncio.TaskGroup() as loaders:
        room = asyncio.Semaphore(LOADERS)
        async for pack in _packs(store):
            packs += 1
            if pack.fault is None:
                await room.acquire()
                loaders.create_task(_load(found, pack, room))
            else:
                faults.append(pack.fault)
    return files, packs, faults


async def _load(found: Found, pack: _Pack, room: asyncio.Semaphore) -> None:
    try:
        await found.add_pack(pack.pack_id, pack.stored_bytes, pack.blobs)
    finally:
        room.release()


def _own_files(backend: Backend) -> Iterator[FoundFile]:
    for info in backend.list(f"{BLOBS}/"):
        name = info.key.rpartition("/")[2]
        encoding = Encoding.ZSTD if name.endswith(_ZST) else Encoding.IDENTITY
        try:
            digest = Digest.from_hex(name.removesuffix(_ZST))
        except BadDigest:
            continue  # piece digests, or a stranger's file
        yield FoundFile(digest, encoding, info.size_bytes)


async def _packs(store: BlobStore) -> AsyncIterator[_Pack]:
    source = store.packs()
    while part := await asyncio.to_thread(_read_some, store, source):
        for pack in part:
            yield pack


def _read_some(store: BlobStore, source: Iterator[tuple[str, int]]) -> Sequence[_Pack]:
    return [_read(store, pack_id, stored_bytes) for pack_id, stored_bytes in islice(source, 16)]


def _read(store: BlobStore, pack_id: str, stored_bytes: int) -> _Pack:
    try:
        return _Pack(pack_id, stored_bytes, store.read_index(pack_id), None)
    except (PackDamaged, BlobMissing, BlobUnreadable) as error:
        return _Pack(pack_id, stored_bytes, (), str(error))
