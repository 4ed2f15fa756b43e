"""`BlobStore`: blobs under their digests, on any backend. Everything that goes in is hashed, everything that comes out
checked.

Writing has two halves, because the catalog's claim stands between them: `stage` (or `writer`) makes the bytes durable
in `incoming/`, `place` gives them their name. `docs/concurrency.md` says what may run beside what.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import date

from cas.backend import Backend, Data, ObjectReader
from cas.blob import OWN_FILE, Blob, parsed_pack_location
from cas.digest import Digest
from cas.errors import (
    BlobDamaged,
    BlobMissing,
    BlobUnreadable,
    ObjectChanged,
    PiecesDamaged,
    StoreNotReady,
    StoreReadOnly,
)
from cas.format import FORMAT_BYTES_MAX, StoreFormat
from cas.layout import (
    BLOBS,
    FORMAT_KEY,
    JOURNAL,
    PACK_ID_BYTES,
    PACKS,
    blob_key,
    has_pieces,
    object_keys,
    pack_folders,
    pack_key,
    pack_of_key,
    pieces_key,
    quarantine_key,
    slice_quarantine_key,
    store_folders,
    trash_folder,
)
from cas.packreader import OpenPack, PackedReader
from cas.packwriter import PackWriter, StagedPack
from cas.part import PartHash, PartWriter
from cas.reader import BlobReader, FileReader, Progress
from cas.replicated import Replicated, read_replicated
from cas.staged import Staged
from cas.writer import BlobWriter

LookAgain = Callable[[Blob], Blob | None]
"""Asked, in the reader's thread, where a blob is that is not where it was said to be: its value as it is now, or None
if nobody knows."""


class BlobStore:
    """A store that is ready. Safe to use from many threads; each writer and reader belongs to one at a time."""

    def __init__(self, backend: Backend, store_id: str, look_again: LookAgain | None = None) -> None:
        self.store_id = store_id
        self._backend = backend
        self._look_again = look_again
        self._has_pack_folders = False

    @classmethod
    def initialise(cls, backend: Backend) -> str:
        """Make a new store on an empty root and return its id. `FORMAT` comes last, so that an interrupted start is no
        store and can be started again. Raises `StoreNotReady` if a store, or what is left of one, is there."""
        _refuse_existing(backend)
        backend.prepare(store_folders())
        made = StoreFormat.new()
        store = cls(backend, made.store_id)
        store.place(store.stage([]))  # the empty blob is permanent
        _publish(backend, made.encode(), FORMAT_KEY)
        return made.store_id

    @classmethod
    def open(cls, backend: Backend, expected_store_id: str | None = None) -> "BlobStore":
        """The store on this backend. Raises `StoreNotReady` unless it is one, of this format, and the expected one."""
        found = _read_format(backend)
        if expected_store_id not in {None, found.store_id}:
            raise StoreNotReady(f"this is the store {found.store_id}, not {expected_store_id}", found.store_id)
        return cls(backend, found.store_id)

    def with_second_look(self, look_again: LookAgain) -> "BlobStore":
        """The same store, whose `read` asks once more before a blob counts as missing: it may have moved."""
        return BlobStore(self._backend, self.store_id, look_again)

    @property
    def read_only_reason(self) -> str | None:
        """Why the store takes no writes, or None."""
        return self._backend.read_only_reason

    def replicated(self) -> Replicated:
        """When the second copy was last whole, and the database last dumped beside it."""
        return read_replicated(self._backend)

    # -- writing

    def writer(self, size_bytes_max: int | None = None) -> BlobWriter:
        """A writer for one blob of at most so many bytes. Raises `StoreReadOnly`."""
        if (reason := self.read_only_reason) is not None:
            raise StoreReadOnly(f"the store is read-only: {reason}", reason)
        return BlobWriter(self._backend, size_bytes_max)

    def stage(
        self, chunks: Iterable[Data], expect_digest: Digest | None = None, expect_size_bytes: int | None = None
    ) -> Staged:
        """All of `chunks` as one durable, unnamed blob. Raises as `BlobWriter.write` and `finish`."""
        with self.writer() as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.finish(expect_digest, expect_size_bytes)

    def place(self, staged: Staged) -> Blob:
        """Give a staged blob its name, durably; also where the blob is there already, which heals a damaged copy. On an
        error the temporaries are gone and the blob may be there or not. Raises `StoreReadOnly`, `StoreFull`,
        `StoreFailed`."""
        parts = staged.parts
        keys = {parts.blob.name: blob_key(staged.digest, staged.encoding)}
        if parts.pieces is not None:
            keys = {parts.pieces.name: pieces_key(staged.digest), **keys}
        with staged:
            self._backend.publish(keys)
        return staged.blob

    def resume(self, name: str | None = None, size_bytes: int = 0, hashes: PartHash | None = None) -> PartWriter:
        """A writer for a blob that comes in several goes: a new part, or the one of this name from `size_bytes` on,
        cutting off what lies beyond. `hashes`: what `PartWriter.hashes` was; without them the part is read again.
        Raises `BlobMissing` if fewer bytes are there, `StoreFailed` while another writes it, `StoreReadOnly`."""
        return PartWriter(self._backend, name or secrets.token_hex(16), size_bytes, hashes)

    def part_bytes(self, name: str) -> int:
        """How many bytes of this part are there; 0 if it is not."""
        return self._backend.temporary_bytes(name)

    def discard_part(self, name: str) -> None:
        """Drop a part that no writer has open; what is not there is no error."""
        self._backend.discard(name)

    def pack(self) -> PackWriter:
        """A writer for many small blobs. Raises `StoreReadOnly`, `StoreFull`, `StoreFailed`."""
        if not self._has_pack_folders:  # a store from before packs has none
            self._backend.prepare(pack_folders())
            self._has_pack_folders = True
        return PackWriter(self._backend, secrets.token_hex(PACK_ID_BYTES))

    def place_pack(self, staged: StagedPack) -> tuple[Blob, ...]:
        """Give a staged pack its name, durably, and return what it holds. On an error the temporary is gone and the
        pack may be there or not. A pack without a blob leaves nothing. Raises `StoreReadOnly`, `StoreFull`,
        `StoreFailed`."""
        with staged:
            if staged.blobs:
                self._backend.publish({staged.sealed.name: pack_key(staged.pack_id)})
        return staged.blobs

    def clear_incoming(self, keep: Collection[str] = ()) -> int:
        """Drop what killed writers left behind, but these parts, and say how many. Only under the exclusive store
        lock."""
        names = [name for name in self._backend.temporaries() if name not in keep]
        for name in names:
            self._backend.discard(name)
        return len(names)

    # -- reading

    def read(self, blob: Blob) -> BlobReader:
        """The blob's bytes. Raises `BlobMissing`, and `BlobDamaged` where the file's size already tells."""
        try:
            reader = self._reader(blob)
        except BlobMissing:
            found = None if self._look_again is None else self._look_again(blob)
            if found is None:
                raise
            reader = self._reader(found)
        try:
            reader.check_size()
        except BlobDamaged:
            reader.close()
            raise
        return reader

    def check(self, blob: Blob, progress: Progress | None = None) -> None:
        """Re-read and re-hash all of it. Raises `BlobMissing`, `BlobDamaged` or, where nothing but the piece digests is
        wrong, `PiecesDamaged` (see `mend_pieces`); `BlobUnreadable` if the medium refuses."""
        with self._reader(blob) as reader:
            reader.verify(progress)

    def _reader(self, blob: Blob) -> BlobReader:
        place = parsed_pack_location(blob.location)
        return FileReader(self._backend, blob) if place is None else PackedReader(self._backend, blob, place[0])

    # -- packs as wholes

    def packs(self) -> Iterator[tuple[str, int]]:
        """Id and size in bytes of every pack, in order of id."""
        for info in self._backend.list(f"{PACKS}/"):
            if (pack_id := pack_of_key(info.key)) is not None:
                yield pack_id, info.size_bytes

    def open_pack(self, pack_id: str) -> OpenPack:
        """A pack, for reading many of its slices. The caller closes it. Raises `BlobMissing`."""
        return OpenPack(self._backend, pack_id)

    def read_index(self, pack_id: str) -> tuple[Blob, ...]:
        """What a pack says that it holds, in order of offset; enough to make the rows again. Proven by the index's own
        digest; the slices are not read. Raises `BlobMissing`, `PackDamaged`, `BlobUnreadable`."""
        with OpenPack(self._backend, pack_id) as pack:
            return pack.blobs()

    def check_pack(self, pack_id: str, progress: Progress | None = None) -> tuple[Blob, ...]:
        """Re-read all of a pack once, trailer, index and every slice, and return what it holds. Raises `BlobMissing`,
        `PackDamaged`, `BlobUnreadable`."""
        with OpenPack(self._backend, pack_id) as pack:
            return pack.verify(progress)

    def trash_pack(self, pack_id: str, day: date) -> None:
        """Move a pack into that day's trash; what is not there is no error. The caller has seen to it that no blob's
        row points into it. Raises `StoreReadOnly`, `StoreFull`, `StoreFailed`."""
        folder = trash_folder(day)
        self._backend.prepare([folder])
        with suppress(BlobMissing):
            self._backend.move(pack_key(pack_id), f"{folder}/{pack_id}.pack")  # an id never comes twice

    # -- leaving

    def trash(self, blob: Blob, day: date) -> None:
        """Move the blob into that day's trash; what is not there is no error. A blob in a pack stays: its bytes are
        dead, and go when the pack is rewritten. The caller has seen to it that nothing names the blob and nothing can
        come to name it. Raises `StoreReadOnly`, `StoreFull`, `StoreFailed`; `ObjectHeld` while it is re-read."""
        if blob.location != OWN_FILE:
            return
        folder, mark = trash_folder(day), secrets.token_hex(4)  # the same bytes may come and go twice in a day
        self._backend.prepare([folder])
        for key in object_keys(blob):
            with suppress(BlobMissing):
                self._backend.move(key, f"{folder}/{key.rpartition('/')[2]}.{mark}")

    def trash_leftover(self, key: str, day: date, reader: ObjectReader) -> bool:
        """Move a file that no row names into that day's trash, but only the very file that `reader` has open: False if
        another has its name by now. The caller has asked the catalog after opening it. Raises as `trash`, and
        `ObjectHeld`."""
        folder, name = trash_folder(day), key.rpartition("/")[2]
        self._backend.prepare([folder])
        target = f"{folder}/{name}" if pack_of_key(key) is not None else f"{folder}/{name}.{secrets.token_hex(4)}"
        try:
            self._backend.move(key, target, reader)
        except (ObjectChanged, BlobMissing):
            return False
        return True

    # -- repair

    def quarantine(self, blob: Blob) -> bool:
        """Look again, and move the blob away if it is damaged indeed. False, and nothing moved, if it is whole by now:
        what is moved is the very file that was found damaged, never one that an upload has put in its place meanwhile.
        Of a slice a copy goes to quarantine, and the pack stays as it is, for the sake of its other blobs. Raises
        `BlobMissing`, `BlobUnreadable`, `StoreReadOnly`, `StoreFull`, `StoreFailed`."""
        if (place := parsed_pack_location(blob.location)) is not None:
            return self._quarantine_slice(blob, *place)
        pieces = self._open_pieces(blob)
        try:
            with FileReader(self._backend, blob) as reader:
                return not _is_whole(reader) and self._move_away(reader, pieces)
        finally:
            if pieces is not None:
                pieces.close()

    def mend_pieces(self, blob: Blob) -> None:
        """Make the piece digests again, from bytes that match the digest; where a blob has none, it is only checked.
        Raises `BlobDamaged`, `BlobMissing`."""
        if blob.location != OWN_FILE or not has_pieces(blob.encoding, blob.size_bytes):
            self.check(blob)
            return
        with FileReader(self._backend, blob) as reader:
            pieces = reader.pieces()
        _publish(self._backend, pieces, pieces_key(blob.digest))

    def _quarantine_slice(self, blob: Blob, pack_id: str, offset: int) -> bool:
        with PackedReader(self._backend, blob, pack_id) as reader:
            if _is_whole(reader):
                return False
            _publish(self._backend, reader.rest(), slice_quarantine_key(blob, pack_id, offset))
            return True

    def _open_pieces(self, blob: Blob) -> ObjectReader | None:
        if not has_pieces(blob.encoding, blob.size_bytes):
            return None
        try:
            return self._backend.open(pieces_key(blob.digest))
        except BlobMissing:
            return None  # then there is nothing to take along

    def _move_away(self, reader: FileReader, pieces: ObjectReader | None) -> bool:
        key, *pieces_keys = object_keys(reader.blob)
        mark = secrets.token_hex(4)  # an earlier damaged copy stays beside this one
        try:
            self._backend.move(key, quarantine_key(key, mark), reader.object)
        except ObjectChanged:
            return False
        if pieces is not None:
            # Changed or gone: they belong to an upload that is healing the blob right now.
            with suppress(ObjectChanged, BlobMissing):
                self._backend.move(pieces_keys[0], quarantine_key(pieces_keys[0], mark), pieces)
        return True


def _is_whole(reader: BlobReader) -> bool:
    try:
        reader.verify()
    except BlobUnreadable:
        raise
    except PiecesDamaged:
        return True
    except BlobDamaged:
        return False
    return True


def _publish(backend: Backend, data: bytes, key: str) -> None:
    writer = backend.create()
    try:
        writer.write(data)
        writer.seal()
        backend.publish({writer.name: key})
    finally:
        writer.discard()


def _read_format(backend: Backend) -> StoreFormat:
    try:
        reader = backend.open(FORMAT_KEY)
    except BlobMissing as error:
        raise StoreNotReady(
            "there is no store here: FORMAT is missing (is it mounted? else: tools/store init)"
        ) from error
    except BlobUnreadable as error:
        raise StoreNotReady(f"the store cannot be read: {error}", FORMAT_KEY) from error
    try:
        return StoreFormat.decode(reader.read_at(0, FORMAT_BYTES_MAX))
    except BlobUnreadable as error:
        raise StoreNotReady(f"the store cannot be read: {error}", FORMAT_KEY) from error
    finally:
        reader.close()


def _refuse_existing(backend: Backend) -> None:
    if _is_there(backend, FORMAT_KEY):
        raise StoreNotReady("there is a store here already", FORMAT_KEY)
    empty = Digest.of(b"").hex  # alone, it is what an interrupted start leaves
    for prefix in (BLOBS, JOURNAL, PACKS):
        for info in backend.list(f"{prefix}/"):
            if not info.key.endswith(empty):
                raise StoreNotReady(f"this root already holds {info.key}; a store begins on an empty one", info.key)


def _is_there(backend: Backend, key: str) -> bool:
    try:
        backend.stat(key)
    except BlobMissing:
        return False
    return True
