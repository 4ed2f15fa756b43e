"""Packs: what goes in comes out, one file holds a batch, refusals leave nothing, and a pack proves itself."""

import random
import re
import stat
import struct
import subprocess
import zlib
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Final

import pytest
import zstandard
from blake3 import blake3

from cas import packwriter
from cas.backend import Backend
from cas.blob import EMPTY_BLOB, OWN_FILE, Blob, Encoding, Location, pack_location, parsed_pack_location
from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing, CasError, DigestMismatch, PackFull, SizeMismatch, StoreReadOnly
from cas.layout import PACK_BLOB_BYTES_MAX, object_keys, pack_key, pack_of_key
from cas.local import LocalBackend
from cas.packformat import HEADER_BYTES, ROW_BYTES, TRAILER_BYTES
from cas.slices import FAILURES_MAX, RETRY_EVERY
from cas.store import BlobStore
from tests.cas.samples import KIB, MIB, noise, prose
from tests.shared.stores import SparseBackend

SIZES: Final = (0, 1, 4 * KIB - 1, 4 * KIB, 4 * KIB + 1, 100 * KIB, MIB - 1, MIB)
DAY: Final = date(2024, 5, 3)
Kind = Callable[[int], bytes]


def put_pack(store: BlobStore, *contents: bytes) -> tuple[Blob, ...]:
    with store.pack() as writer:
        for data in contents:
            writer.add(data)
        return store.place_pack(writer.finish())


def whole(store: BlobStore, blob: Blob) -> bytes:
    with store.read(blob) as reader:
        return b"".join(reader.chunks())


def pack_of(blob: Blob) -> str:
    place = parsed_pack_location(blob.location)
    assert place is not None
    return place[0]


# -- round trip


@pytest.mark.parametrize("kind", [noise, prose])
def test_what_goes_in_comes_out(store: BlobStore, kind: Kind) -> None:
    contents = [kind(size) for size in SIZES]
    with store.pack() as writer:
        added = [writer.add(data, Digest.of(data)) for data in contents]
        staged = writer.finish()
    blobs = store.place_pack(staged)
    assert list(blobs) == list(staged.blobs) == added
    for data, blob in zip(contents, blobs, strict=True):
        assert (blob.digest.raw, blob.size_bytes, blob.crc32) == (blake3(data).digest(), len(data), zlib.crc32(data))
        assert (blob.encoding is Encoding.ZSTD) == (kind is prose and len(data) >= 4 * KIB)
        assert whole(store, blob) == data
        store.check(blob)
    assert store.check_pack(writer.pack_id) == store.read_index(writer.pack_id) == blobs
    assert dict(store.packs())[writer.pack_id] == staged.stored_bytes
    assert sum(blob.stored_bytes for blob in blobs) < staged.stored_bytes


@pytest.mark.parametrize("kind", [noise, prose])
@pytest.mark.parametrize("size", SIZES)
def test_ranges_of_a_packed_blob(store: BlobStore, kind: Kind, size: int) -> None:
    data = kind(size)
    _, blob = put_pack(store, b"one before", data)
    with store.read(blob) as reader:
        for start in sorted({0, 1, size // 2, size - 1, size} & set(range(size + 1))):
            for end in {start, min(start + 1, size), size}:
                assert b"".join(reader.range(start, end - start)) == data[start:end]
        for offset, length in ((-1, 1), (0, size + 1), (size + 1, 0), (0, -1)):
            with pytest.raises(ValueError, match="outside"):
                reader.range(offset, length)


def test_the_same_bytes_twice_are_one_slice(store: BlobStore) -> None:
    with store.pack() as writer:
        first = writer.add(noise(5 * KIB))
        writer.add(noise(5 * KIB, 2))
        assert writer.add(noise(5 * KIB), first.digest) is first
        assert writer.blob_count == 2
        staged = writer.finish()
    assert len(store.place_pack(staged)) == 2


def test_any_buffer_will_do_and_may_be_used_again(store: BlobStore) -> None:
    buffer, digests = bytearray(5 * KIB), []
    with store.pack() as writer:
        for value in range(3):
            buffer[:] = bytes([value]) * len(buffer)
            digests.append(writer.add(memoryview(buffer)[KIB:]).digest)
            wide = memoryview(bytes(buffer)).cast("I")
            digests.append(writer.add(wide).digest)
        blobs = store.place_pack(writer.finish())
    assert [blob.digest for blob in blobs] == digests
    assert [whole(store, blob) for blob in blobs] == [
        bytes([value]) * size for value in range(3) for size in (4 * KIB, 5 * KIB)
    ]


def test_many_blobs_of_every_size(store: BlobStore) -> None:
    dice = random.Random(7)
    kinds: tuple[Kind, ...] = (dice.randbytes, lambda size: prose(size, dice.randrange(9)))
    contents = list({dice.choice(kinds)(dice.choice([3, 500, 9000, 70_000])) for _ in range(1_500)})
    blobs = put_pack(store, *contents)
    for data, blob in zip(contents, blobs, strict=True):
        assert whole(store, blob) == data
    assert store.check_pack(pack_of(blobs[0])) == blobs


def test_bytes_that_compress_are_found_again_after_many_that_do_not(store: BlobStore) -> None:
    dice = random.Random(3)
    hopeless = [dice.randbytes(5 * KIB) for _ in range(FAILURES_MAX + 50)]
    hopeful = [prose(5 * KIB, seed) for seed in range(RETRY_EVERY + 3)]
    blobs = put_pack(store, *hopeless, *hopeful)[-len(hopeful) :]
    assert [blob.encoding for blob in blobs[RETRY_EVERY - 1 :]] == [Encoding.ZSTD] * 4


def test_media_with_a_compressible_header_stays_as_it_came(store: BlobStore) -> None:
    (blob,) = put_pack(store, prose(8 * KIB) + noise(200 * KIB))
    assert (blob.encoding, blob.stored_bytes) == (Encoding.IDENTITY, 208 * KIB)
    (half,) = put_pack(store, noise(45 * KIB) + prose(4 * KIB) + noise(45 * KIB, 2))  # the sample misleads
    assert half.encoding is Encoding.IDENTITY


# -- refusals


def test_a_refused_blob_leaves_the_writer_as_it_was(store: BlobStore, backend: Backend) -> None:
    with store.pack() as writer:
        first = writer.add(b"first")
        with pytest.raises(DigestMismatch, match=Digest.of(b"other").hex):
            writer.add(b"never kept", Digest.of(b"other"))
        with pytest.raises(SizeMismatch, match=str(PACK_BLOB_BYTES_MAX)):
            writer.add(bytes(PACK_BLOB_BYTES_MAX + 1))
        with pytest.raises(DigestMismatch):
            writer.add(b"first", Digest.of(b"other"))
        second = writer.add(b"second")
        assert store.place_pack(writer.finish()) == (first, second)
    assert store.check_pack(writer.pack_id) == (first, second)
    assert list(backend.temporaries()) == []


def test_a_full_pack_takes_no_more_and_can_be_finished(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packwriter, "PACK_BLOBS_MAX", 2)
    with store.pack() as writer:
        writer.add(b"1")
        writer.add(b"2")
        with pytest.raises(PackFull, match="at most 2 blobs"):
            writer.add(b"3")
        writer.add(b"1")
        assert len(store.place_pack(writer.finish())) == 2
    monkeypatch.setattr(packwriter, "PACK_BYTES_MAX", 10 * KIB)
    with store.pack() as writer:
        writer.add(noise(9 * KIB))
        with pytest.raises(PackFull):
            writer.add(noise(KIB))
        assert store.check_pack(pack_of(store.place_pack(writer.finish())[0]))


def test_leaving_early_keeps_nothing(store: BlobStore, backend: Backend) -> None:
    before = list(store.packs())
    with store.pack() as writer:
        writer.add(noise(3 * KIB))
    writer.abort()
    for call in (lambda: writer.add(b"x"), writer.finish):
        with pytest.raises(CasError, match="ended"):
            call()
    with store.pack() as writer:
        staged = writer.finish()
    assert len(list(backend.temporaries())) == 1
    staged.discard()
    staged.discard()
    with store.pack() as writer, writer.finish():
        pass
    assert list(backend.temporaries()) == []
    assert list(store.packs()) == before


def test_a_pack_without_a_blob_leaves_nothing(store: BlobStore, backend: Backend) -> None:
    before = list(store.packs())
    with store.pack() as writer:
        assert store.place_pack(writer.finish()) == ()
    assert list(store.packs()) == before
    assert list(backend.temporaries()) == []


def test_a_read_only_store_begins_no_pack(local: SparseBackend, local_store: BlobStore) -> None:
    with local_store.pack() as writer:
        writer.add(b"x")
        staged = writer.finish()
    local.turn_read_only("the disk is on fire")
    for call in (local_store.pack, lambda: local_store.place_pack(staged)):
        with pytest.raises(StoreReadOnly, match="on fire"):
            call()
    assert list(local.temporaries()) == []


def test_a_store_from_before_packs_gets_its_folders(local: SparseBackend) -> None:
    assert list((local.root / "packs").iterdir()) == []
    with closing(LocalBackend(local.root)) as backend:
        (blob,) = put_pack(BlobStore.open(backend), b"x")
        BlobStore.open(backend).check(blob)


# -- names


def test_ids_never_repeat_and_locations_are_short(store: BlobStore) -> None:
    writers = [store.pack() for _ in range(20)]
    assert len({writer.pack_id for writer in writers}) == 20
    assert all(re.fullmatch("[0-9a-f]{32}", writer.pack_id) for writer in writers)
    for writer in writers:
        writer.abort()
    assert len(pack_location("f" * 32, 1 << 50)) <= 128


@pytest.mark.parametrize(
    "text", ["file", "", "pack:", "pack:ab:0", f"pack:{'a' * 32}:", f"pack:{'a' * 32}:01", f"pack:{'a' * 32}:-1",
             f"pack:{'A' * 32}:1", f"pack:{'a' * 32}:1 ", f"pack:{'a' * 32}:1\n", f"pack:{'a' * 32}:{10**19}",
             f"pack:{'a' * 32}:\u0661"],
)  # fmt: skip
def test_what_is_no_place_in_a_pack(store: BlobStore, text: str) -> None:
    assert parsed_pack_location(Location(text)) is None
    if text != OWN_FILE:
        with pytest.raises(BlobMissing):
            store.read(Blob(Digest.of(b"x"), 1, 1, 0, Encoding.IDENTITY, Location(text)))


def test_keys_of_packs() -> None:
    pack_id = "ab" + "0" * 30
    assert pack_key(pack_id) == f"packs/ab/{pack_id}.pack"
    assert pack_of_key(pack_key(pack_id)) == pack_id
    for key in (f"packs/cd/{pack_id}.pack", f"packs/ab/{pack_id}.pack.x", f"packs/ab/{pack_id}", f"blobs/ab/{pack_id}"):
        assert pack_of_key(key) is None
    assert object_keys(Blob(Digest.of(b""), 0, 0, 0, Encoding.IDENTITY, pack_location(pack_id, 24))) == []


def test_a_pack_that_is_not_there_is_missing(store: BlobStore) -> None:
    pack_id = "0" * 32
    blob = Blob(Digest.of(b"x"), 1, 1, 0, Encoding.IDENTITY, pack_location(pack_id, HEADER_BYTES))
    for call in (
        lambda: store.read(blob), lambda: store.check(blob), lambda: store.quarantine(blob),
        lambda: store.mend_pieces(blob), lambda: store.check_pack(pack_id), lambda: store.read_index(pack_id),
    ):  # fmt: skip
        with pytest.raises(BlobMissing, match=pack_id):
            call()
    store.trash_pack(pack_id, DAY)


def test_a_blob_that_cannot_lie_there_is_damaged(store: BlobStore) -> None:
    (blob,) = put_pack(store, noise(5 * KIB))
    pack_id = pack_of(blob)
    size = dict(store.packs())[pack_id]
    for offset, stored_bytes, size_bytes in (
        (0, 10, 10), (size - TRAILER_BYTES, 1, 1), (size, 1, 1), (10**17, 1, 1), (HEADER_BYTES, 5 * KIB, KIB),
        (HEADER_BYTES, 5 * KIB, PACK_BLOB_BYTES_MAX + 1), (HEADER_BYTES, 1 << 60, 1 << 60),
    ):  # fmt: skip
        wrong = Blob(blob.digest, size_bytes, stored_bytes, 0, Encoding.IDENTITY, pack_location(pack_id, offset))
        with pytest.raises(BlobDamaged, match=blob.digest.hex):
            store.read(wrong)
        with pytest.raises(BlobDamaged, match=blob.digest.hex):
            store.check(wrong)


# -- the file


def test_a_pack_is_one_file_for_its_owner_to_read(local: SparseBackend, local_store: BlobStore) -> None:
    blobs = put_pack(local_store, *(noise(KIB, seed) for seed in range(50)))
    path = local.root / pack_key(pack_of(blobs[0]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert [info.key for info in local.list("packs/")] == [str(path.relative_to(local.root))]
    assert len(list(local.list("blobs/"))) == 1  # the empty blob


def test_the_file_is_as_the_decision_describes(local: SparseBackend, local_store: BlobStore, tmp_path: Path) -> None:
    """Read here by other code than ours."""
    contents = [noise(3 * KIB), prose(50 * KIB), b"", noise(5 * KIB)]
    blobs = put_pack(local_store, *contents)
    pack_id = pack_of(blobs[0])
    data = (local.root / pack_key(pack_id)).read_bytes()
    assert data[:8] == b"OTB-PACK"
    assert data[8:24].hex() == pack_id
    version, magic = struct.unpack("<I8s", data[-12:])
    assert (version, magic) == (1, b"KCAP-BTO")
    assert blake3(data[:-44]).digest() == data[-44:-12]
    place, index_digest = data[-88:-76], data[-76:-44]
    index_offset, count = struct.unpack("<QI", place)
    index = data[index_offset:-88]
    assert len(index) == 56 * count == ROW_BYTES * count
    assert blake3(data[:24] + index + place).digest() == index_digest
    plains = []
    for digest, offset, stored, size, crc32, code, padding in struct.iter_unpack("<32sQIIIB3s", index):
        piece = data[offset : offset + stored]
        plain = zstandard.ZstdDecompressor().decompress(piece) if code == 1 else piece
        assert (blake3(plain).digest(), len(plain), zlib.crc32(plain), padding) == (digest, size, crc32, bytes(3))
        plains.append(plain)
    assert plains == contents
    cut = tmp_path / "slice.zst"
    offset = int(blobs[1].location.rpartition(":")[2])
    cut.write_bytes(data[offset : offset + blobs[1].stored_bytes])
    assert subprocess.run(["zstd", "-dcq", cut], capture_output=True, check=True).stdout == contents[1]


# -- leaving


def test_trash_takes_packs_and_leaves_slices(store: BlobStore, backend: Backend) -> None:
    blobs = put_pack(store, noise(KIB), noise(KIB, 2))
    pack_id = pack_of(blobs[0])
    store.trash(blobs[0], DAY)
    store.check(blobs[0])
    assert store.check_pack(pack_id) == blobs
    store.trash_pack(pack_id, DAY)
    store.trash_pack(pack_id, DAY)
    with pytest.raises(BlobMissing):
        store.check(blobs[1])
    assert f"trash/2024-05-03/{pack_id}.pack" in [info.key for info in backend.list("trash/")]
    assert pack_id not in dict(store.packs())


def test_an_open_reader_outlives_its_pack(store: BlobStore) -> None:
    (blob,) = put_pack(store, noise(9 * KIB))
    with store.read(blob) as reader:
        store.trash_pack(pack_of(blob), DAY)
        assert b"".join(reader.chunks()) == noise(9 * KIB)


def test_the_empty_blob_may_be_packed_as_well(store: BlobStore) -> None:
    (blob,) = put_pack(store, b"")
    assert (blob.digest, blob.size_bytes) == (EMPTY_BLOB.digest, 0)
    assert whole(store, blob) == b""
    store.mend_pieces(blob)
    assert store.quarantine(blob) is False
    assert whole(store, EMPTY_BLOB) == b""
