"""What goes in comes out: sizes around every boundary, both encodings, blocks of any size, any range."""

import zlib
from collections.abc import Callable

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cas.backend import Backend, Data
from cas.blob import EMPTY_BLOB, OWN_FILE, Blob, Encoding, Location
from cas.digest import Digest
from cas.errors import BlobMissing, CasError, DigestMismatch, SizeMismatch, StoreNotReady
from cas.memory import MemoryBackend
from cas.store import BlobStore
from tests.cas.samples import BOUNDARY_SIZES, KIB, MIB, mixed, noise, prose
from tests.shared.stores import SparseBackend

Kind = Callable[[int], bytes]


def blocks_of(data: Data, block_bytes: int) -> list[Data]:
    return [data[start : start + block_bytes] for start in range(0, len(data), block_bytes)]


def whole(store: BlobStore, blob: Blob) -> bytes:
    with store.read(blob) as reader:
        return b"".join(reader.chunks())


@pytest.mark.parametrize("kind", [noise, prose, mixed])
@pytest.mark.parametrize("size", BOUNDARY_SIZES)
def test_round_trip_around_every_boundary(store: BlobStore, kind: Kind, size: int) -> None:
    data = kind(size)
    for block_bytes in (700_001, 16 * MIB):
        blob = store.place(store.stage(blocks_of(data, block_bytes)))
        assert blob.digest.raw == blake3(data).digest()
        assert blob.size_bytes == size
        assert blob.crc32 == zlib.crc32(data)
        assert blob.location == OWN_FILE
        assert whole(store, blob) == data
        store.check(blob)


@pytest.mark.parametrize("size", BOUNDARY_SIZES)
def test_encoding_is_chosen_by_trial(store: BlobStore, size: int) -> None:
    packed = store.place(store.stage([prose(size)]))
    assert (packed.encoding is Encoding.ZSTD) == (size >= 4 * KIB)
    assert (packed.stored_bytes < size * 0.95) == (size >= 4 * KIB)
    plain = store.place(store.stage([noise(size)]))
    assert plain.encoding is Encoding.IDENTITY
    assert plain.stored_bytes == size


def test_what_compressed_only_at_first_is_kept_as_it_came(store: BlobStore) -> None:
    data = mixed(30 * MIB)
    blob = store.place(store.stage(blocks_of(data, MIB)))
    assert (blob.encoding, blob.stored_bytes) == (Encoding.IDENTITY, len(data))
    assert whole(store, blob) == data
    with store.read(blob) as reader:
        assert b"".join(reader.range(5 * MIB + 3, 9 * MIB)) == data[5 * MIB + 3 : 14 * MIB + 3]


@pytest.mark.parametrize("kind", [noise, prose])
@pytest.mark.parametrize("size", BOUNDARY_SIZES)
def test_ranges_at_every_boundary(store: BlobStore, kind: Kind, size: int) -> None:
    data = kind(size)
    blob = store.place(store.stage([data]))
    edges = sorted(
        {0, size, *(edge for near in BOUNDARY_SIZES for edge in (near - 1, near, near + 1) if 0 <= edge <= size)}
    )
    with store.read(blob) as reader:
        for start in edges:
            for end in {start, min(start + 1, size), min(start + MIB + 1, size), size}:
                assert b"".join(reader.range(start, end - start)) == data[start:end]


@pytest.mark.parametrize("kind", [noise, prose])
def test_pieces_are_small_and_never_empty(store: BlobStore, kind: Kind) -> None:
    blob = store.place(store.stage([kind(9 * MIB)]))
    with store.read(blob) as reader:
        for chunks in (list(reader.chunks()), list(reader.range(1, 9 * MIB - 2))):
            assert all(0 < len(chunk) <= MIB for chunk in chunks)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 11), (10, 1), (11, 0), (3, -1)])
def test_a_range_outside_is_refused_at_once(store: BlobStore, offset: int, length: int) -> None:
    blob = store.place(store.stage([b"0123456789"]))
    with store.read(blob) as reader, pytest.raises(ValueError, match="outside"):
        reader.range(offset, length)


def test_every_store_holds_the_empty_blob(store: BlobStore) -> None:
    assert whole(store, EMPTY_BLOB) == b""
    store.check(EMPTY_BLOB)
    assert store.place(store.stage([])) == EMPTY_BLOB


def test_any_buffer_will_do_and_may_be_used_again(store: BlobStore) -> None:
    buffer = bytearray(3 * MIB)
    expected = b""
    with store.writer() as writer:
        for value in range(4):
            buffer[:] = bytes([value]) * len(buffer)
            expected += buffer
            writer.write(memoryview(buffer))
            buffer[:] = b"\xff" * len(buffer)
        blob = store.place(writer.finish())
    assert whole(store, blob) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(st.tuples(st.booleans(), st.integers(0, 300_000)), max_size=12),
    block_bytes=st.integers(1, 2 * MIB),
    ranges=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
)
def test_any_content_in_any_blocks(
    memory: MemoryBackend, plan: list[tuple[bool, int]], block_bytes: int, ranges: list[tuple[float, float]]
) -> None:
    store = BlobStore.open(memory)
    data = b"".join(noise(size) if is_noise else prose(size) for is_noise, size in plan)
    blocks = blocks_of(data, max(block_bytes, len(data) // 2000 + 1))
    blob = store.place(store.stage(blocks, Digest.of(data), len(data)))
    assert whole(store, blob) == data
    with store.read(blob) as reader:
        for first, second in ranges:
            start, end = sorted((int(first * len(data)), int(second * len(data))))
            assert b"".join(reader.range(start, end - start)) == data[start:end]


# -- claims


def test_a_wrong_digest_keeps_nothing(store: BlobStore, backend: Backend) -> None:
    for data in (b"never kept", prose(3 * MIB, 7), noise(9 * MIB, 7)):
        with pytest.raises(DigestMismatch):
            store.stage([data], expect_digest=Digest.of(b"other"))
        with pytest.raises(SizeMismatch, match=f"{len(data)} bytes came instead of 7"):
            store.stage([data], expect_size_bytes=7)
        with pytest.raises(BlobMissing):
            store.read(Blob(Digest.of(data), len(data), len(data), 0, Encoding.IDENTITY, OWN_FILE))
    assert list(backend.temporaries()) == []


def test_more_than_allowed_ends_the_writer_at_once(store: BlobStore, backend: Backend) -> None:
    writer = store.writer(size_bytes_max=2 * MIB)
    writer.write(noise(2 * MIB))
    assert len(list(backend.temporaries())) == 1
    with pytest.raises(SizeMismatch, match="more than"):
        writer.write(b"x")
    assert list(backend.temporaries()) == []
    with pytest.raises(CasError, match="ended"):
        writer.write(b"x")
    with pytest.raises(CasError, match="ended"):
        writer.finish()


def test_leaving_the_writer_early_keeps_nothing(store: BlobStore, backend: Backend) -> None:
    with store.writer() as writer:
        writer.write(noise(3 * MIB))
    writer.abort()
    staged = store.stage([noise(9 * MIB)])
    assert len(list(backend.temporaries())) == 2
    staged.discard()
    staged.discard()
    with store.stage([b"x"]):
        pass
    assert list(backend.temporaries()) == []


def test_discarding_after_placing_leaves_the_blob(store: BlobStore) -> None:
    with store.stage([noise(9 * MIB)]) as staged:
        blob = store.place(staged)
    staged.discard()
    assert whole(store, blob) == noise(9 * MIB)


def test_leftovers_are_cleared_by_name(store: BlobStore, backend: Backend) -> None:
    store.stage([noise(9 * MIB)])
    store.stage([b"x"])
    assert store.clear_incoming() == 3
    assert list(backend.temporaries()) == []


# -- the store as such


def test_a_store_is_made_once(backend: Backend) -> None:
    with pytest.raises(StoreNotReady, match="already"):
        BlobStore.initialise(backend)


def test_a_store_begins_on_an_empty_root(local_store: BlobStore, local: SparseBackend) -> None:
    local.remove("FORMAT")
    blob = local_store.place(local_store.stage([b"something"]))
    with pytest.raises(StoreNotReady, match=blob.digest.hex):
        BlobStore.initialise(local)


def test_an_interrupted_start_is_no_store_and_starts_again(local: SparseBackend) -> None:
    local.remove("FORMAT")
    with pytest.raises(StoreNotReady, match="FORMAT is missing"):
        BlobStore.open(local)
    store = BlobStore.open(local, BlobStore.initialise(local))
    assert whole(store, EMPTY_BLOB) == b""


def test_another_store_than_expected_is_refused(backend: Backend) -> None:
    found = BlobStore.open(backend)
    assert BlobStore.open(backend, found.store_id).store_id == found.store_id
    with pytest.raises(StoreNotReady, match=found.store_id):
        BlobStore.open(backend, "0e8e5a4c-7d0f-4f0e-9a53-3d1c6d3c6f11")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"format":"otb-cloud-store","version":2,"store_id":"x","created":""}',
                b'{"format":"otb-cloud-store","version":2,"store_id":"0e8e5a4c-7d0f-4f0e-9a53-3d1c6d3c6f11","created":""}',
                b"\xff\xfe"],
)  # fmt: skip
def test_a_format_of_another_kind_is_refused(local: SparseBackend, content: bytes) -> None:
    writer = local.create()
    writer.write(content)
    writer.seal()
    local.publish({writer.name: "FORMAT"})
    with pytest.raises(StoreNotReady):
        BlobStore.open(local)


def test_an_unknown_location_is_missing(store: BlobStore) -> None:
    blob = Blob(Digest.of(b"x"), 1, 1, 0, Encoding.IDENTITY, Location("pack:ab:0:1"))
    with pytest.raises(BlobMissing, match="pack:ab:0:1"):
        store.read(blob)
