"""`Batch`: files on their way into one device, durable and named together.

What always holds: the way is that of an upload. Small files share a pack, a larger one is claimed and placed by itself,
and one manifest names them all; a batch that does not come to its commit has changed nothing that anybody sees.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from cas.digest import Digest
from cas.layout import PACK_BLOB_BYTES_MAX
from cas.staged import Staged
from cas.store import BlobStore
from catalog.changes import AddDirectory, AddFile, AddKnown, PathChange
from catalog.errors import CatalogError, DatabaseUnavailable
from catalog.packs import NewPack
from catalog.tenant import TenantScope
from catalog.values import Claimable, EntryPath

CHANGES_MAX: Final = 1_000
SMALL_BYTES_MAX: Final = 16 << 20
"""Of small files in memory."""

NOTE: Final = "Imported by tools/import"


def is_small(size_bytes: int) -> bool:
    """Whether a file goes into a pack with others."""
    return size_bytes <= PACK_BLOB_BYTES_MAX


class Batch:
    """Of one device. Its adding methods are followed by `commit` once it `is_full`."""

    def __init__(self, scope: TenantScope, store: BlobStore, device_id: int) -> None:
        self._scope = scope
        self._store = store
        self._device_id = device_id
        self._changes: list[PathChange] = []
        self._small: dict[Digest, bytes] = {}
        self._small_bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self._changes) >= CHANGES_MAX or self._small_bytes >= SMALL_BYTES_MAX

    def add_folder(self, path: EntryPath, mtime_ns: int) -> None:
        self._changes.append(AddDirectory(path, mtime_ns))

    def add_small(self, path: EntryPath, data: bytes, mtime_ns: int) -> None:
        digest = Digest.of(data)
        if digest not in self._small:
            self._small[digest] = data
            self._small_bytes += len(data)
        self._changes.append(AddKnown(path, digest, len(data), mtime_ns))

    async def add_staged(self, path: EntryPath, staged: Staged, mtime_ns: int) -> None:
        """Claims the blob's row, then gives the bytes their name. Raises as the store, `ClaimLost`."""
        facts = Claimable(staged.digest, staged.size_bytes, staged.stored_bytes, staged.crc32, staged.encoding)
        with staged:
            (claim,) = await self._scope.blobs.claim([facts])
            blob = claim.packed or self._store.place(staged)
        self._changes.append(AddFile(path, blob, claim.blob_id, mtime_ns))

    async def commit(self) -> None:
        """Make all of it the device's. Raises as the store and `catalog.commit`: nothing of it is there then."""
        if not self._changes:
            return
        missing = await self._scope.blobs.missing(list(self._small))
        pack = await self._packed(self._small[digest] for digest in missing) if missing else None
        try:
            await self._scope.manifests.commit(self._device_id, self._changes, NOTE, pack)
        except DatabaseUnavailable:
            raise  # the commit may stand: the next start of a server, or the sweep, looks what became of the pack
        except CatalogError:
            if pack is not None:
                self._store.trash_pack(pack.pack_id, datetime.now(UTC).date())
                await self._scope.blobs.drop_pack(pack.pack_id)
            raise
        self._changes, self._small, self._small_bytes = [], {}, 0

    async def _packed(self, contents: Iterable[bytes]) -> NewPack:
        """A pack that is placed, its row begun before."""
        with self._store.pack() as writer:
            for data in contents:
                writer.add(data)
            staged = writer.finish()
        with staged:
            await self._scope.blobs.begin_pack(staged.pack_id)
            return NewPack(staged.pack_id, staged.stored_bytes, self._store.place_pack(staged))
