"""`application/vnd.otb.bundle`: a manifest and the bytes of its small files in one body, kept in one transaction.

A length (8 bytes, big-endian), so many bytes of JSON as `manifests` takes them, then blobs as in
`application/vnd.otb.blobs`. What always holds: all of it stands or nothing does. Bytes that no entry names are refused;
bytes that do not match their digest are as if they had not come.
"""

import struct
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from cas.packwriter import PackWriter
from catalog.changes import AddKnown, PathChange
from catalog.errors import BadRequest
from catalog.packs import NewPack
from catalog.tenant import TenantScope
from catalog.values import CommitResult
from web.batches import receive
from web.blob_frames import BatchReader
from web.bodies import decode_json
from web.errors import TooLarge
from web.limits import BUNDLE_MANIFEST_BYTES_MAX
from web.manifest_bodies import NewManifest, changes_of

BUNDLE_TYPE: Final = "application/vnd.otb.bundle"

_LENGTH: Final = struct.Struct(">Q")
_CUT: Final = "The body ends before its manifest does; nothing of it is kept. Send it again, whole."


def bundle_head(manifest: bytes) -> bytes:
    """What stands before the blobs."""
    return _LENGTH.pack(len(manifest)) + manifest


class BundleReader:
    """Takes a body in blocks of any size: first the manifest, then blobs; by one thread at a time."""

    def __init__(self, pack: PackWriter) -> None:
        self.note = ""
        self.changes: Sequence[PathChange] | None = None
        self._blobs = BatchReader(pack)
        self._pack = pack
        self._head = bytearray()

    def feed(self, block: bytes) -> None:
        """Raises `TooLarge`, `TooMany`, `BadRequest`, and as `PackWriter.add`."""
        if self.changes is not None:
            self._blobs.feed(block)
            return
        self._head += block
        size_bytes = self._manifest_bytes()
        if size_bytes is not None and len(self._head) >= _LENGTH.size + size_bytes:
            end = _LENGTH.size + size_bytes
            manifest = decode_json(bytes(self._head[_LENGTH.size : end]), NewManifest)
            self.note, self.changes = manifest.note, changes_of(manifest)
            self._blobs.feed(bytes(self._head[end:]))
            self._head.clear()

    def finish(self) -> None:
        """Raises `BadRequest` where the body ends too early, or has bytes that no entry names."""
        if self.changes is None:
            raise BadRequest(_CUT)
        self._blobs.finish()
        named = {change.digest.raw for change in self.changes if isinstance(change, AddKnown)}
        for digest in self._pack.digests():
            if digest not in named:
                raise BadRequest(f"No entry of the manifest names the bytes of {digest.hex()}. Send them to blobs.")

    def _manifest_bytes(self) -> int | None:
        if len(self._head) < _LENGTH.size:
            return None
        (size_bytes,) = _LENGTH.unpack_from(self._head)
        if size_bytes > BUNDLE_MANIFEST_BYTES_MAX:
            raise TooLarge(BUNDLE_MANIFEST_BYTES_MAX, "The manifest of a bundle")
        return int(size_bytes)


async def receive_bundle(request: Request, scope: TenantScope, device_id: int) -> CommitResult:
    """The body's names and bytes, durable and committed. Raises as `receive` and the commit: nothing is left then."""

    async def keep(reader: BundleReader, pack: NewPack | None) -> CommitResult:
        return await scope.manifests.commit(device_id, reader.changes or (), reader.note, pack)

    return await receive(request, scope, "A bundle", BundleReader, keep)
