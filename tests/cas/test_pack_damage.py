"""Damaged and hostile packs: every flipped bit is seen, no byte sequence brings more than a `BlobDamaged` or
`PackDamaged`, and what is damaged is copied to quarantine while the pack stays for the sake of its other blobs."""

import struct
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import zstandard
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isal import isal_zlib
from msgspec.structs import replace

from cas.blob import Blob, Encoding, pack_location, parsed_pack_location
from cas.digest import Digest
from cas.errors import BlobDamaged, PackDamaged
from cas.layout import PACK_BLOB_BYTES_MAX, PACK_BLOBS_MAX, pack_key
from cas.memory import MemoryBackend
from cas.packformat import HEADER_BYTES, ROW_BYTES, TRAILER_BYTES, header, index_rows, trailer_end, trailer_start
from cas.slices import BadSlice, decode_slice
from cas.store import BlobStore
from tests.cas.samples import KIB, noise, prose

CONTENTS: Final = (noise(300), prose(4 * KIB), noise(100, 2))


class Pack:
    """A pack in memory whose bytes can be changed, and are put back."""

    def __init__(self, backend: MemoryBackend, blobs: tuple[Blob, ...]) -> None:
        self.store = BlobStore.open(backend)
        self.backend = backend
        self.blobs = blobs
        self.places = [place for blob in blobs if (place := parsed_pack_location(blob.location)) is not None]
        self.pack_id = self.places[0][0]
        self.key = pack_key(self.pack_id)
        reader = backend.open(self.key)
        self.data = reader.read_at(0, reader.size_bytes)

    def corrupt(self, data: bytes) -> None:
        self.backend.corrupt(self.key, data)

    def flipped(self, place: int, mask: int) -> bytes:
        data = bytearray(self.data)
        data[place] ^= mask
        return bytes(data)

    def is_seen(self) -> bool:
        """Whether `check_pack` refuses the pack as it lies there now."""
        try:
            self.store.check_pack(self.pack_id)
        except PackDamaged as error:
            return error.subject == self.pack_id
        return False

    def damaged(self) -> list[int]:
        """Which blobs are found damaged, when each is checked by itself."""
        return [number for number, blob in enumerate(self.blobs) if is_damaged(self.store, blob)]


def is_damaged(store: BlobStore, blob: Blob) -> bool:
    """The check and the reading agree, and neither gives a wrong byte out."""
    try:
        store.check(blob)
    except BlobDamaged:
        pass
    else:
        with store.read(blob) as reader:
            assert Digest.of(b"".join(reader.chunks())) == blob.digest
        return False
    with pytest.raises(BlobDamaged, match=blob.digest.hex), store.read(blob) as reader:
        list(reader.chunks())
    with pytest.raises(BlobDamaged), store.read(blob) as reader:
        list(reader.range(0, 1))
    return True


@pytest.fixture
def pack(memory: MemoryBackend) -> Iterator[Pack]:
    store = BlobStore.open(memory)
    with store.pack() as writer:
        for data in CONTENTS:
            writer.add(data)
        made = Pack(memory, store.place_pack(writer.finish()))
    yield made
    memory.remove(made.key)


# -- flipped bits and lost ends


def test_every_flipped_bit_is_seen_by_the_pack_and_by_the_blob_it_lies_in(
    pack: Pack, scale: Callable[[int, int], int]
) -> None:
    assert pack.blobs[1].encoding is Encoding.ZSTD
    for place in range(len(pack.data)):
        owner = [
            number
            for number, (blob, (_, start)) in enumerate(zip(pack.blobs, pack.places, strict=True))
            if start <= place < start + blob.stored_bytes
        ]
        bits = range(8) if owner == [1] or scale(0, 1) else (place % 8,)
        for bit in bits:
            pack.corrupt(pack.flipped(place, 1 << bit))
            assert pack.is_seen(), (place, bit)
            assert pack.damaged() == owner, (place, bit)


@pytest.mark.parametrize("lost", [1, 8, 44, TRAILER_BYTES, TRAILER_BYTES + ROW_BYTES, 400, 10**9])
def test_a_lost_end_or_a_longer_one(pack: Pack, lost: int) -> None:
    for data in (pack.data[: max(len(pack.data) - lost, 0)], pack.data + bytes(min(lost, KIB)), pack.data[lost:]):
        pack.corrupt(data)
        assert pack.is_seen()
        with pytest.raises(PackDamaged):
            pack.store.read_index(pack.pack_id)
        pack.damaged()


def test_a_pack_under_another_name_is_refused(pack: Pack) -> None:
    other = ("0" if pack.pack_id[0] != "0" else "1") + pack.pack_id[1:]
    pack.backend.move(pack.key, pack_key(other))
    try:
        for look in (pack.store.check_pack, pack.store.read_index):
            with pytest.raises(PackDamaged, match="another pack's"):
                look(other)
    finally:
        pack.backend.move(pack_key(other), pack.key)


# -- packs made to hurt, with digests that fit


def sealed(pack_id: str, slices: bytes, index: bytes, count: int | None = None, offset: int | None = None) -> bytes:
    """A pack of these parts whose digests are right."""
    head = header(pack_id)
    index_offset = HEADER_BYTES + len(slices) if offset is None else offset
    start = trailer_start(head, index, index_offset, len(index) // ROW_BYTES if count is None else count)
    body = head + slices + index + start
    return body + trailer_end(blake3(body).digest())


def row(
    digest: bytes, offset: int, stored: int, size: int, crc32: int = 0, code: int = 0, padding: bytes = b""
) -> bytes:
    return struct.pack("<32sQIIIB3s", digest, offset, stored, size, crc32, code, padding)


SLICE: Final = noise(50)
DIGEST: Final = Digest.of(SLICE).raw
CRC32: Final = isal_zlib.crc32(SLICE)


def test_the_same_parts_without_a_fault_are_a_pack(pack: Pack) -> None:
    pack.corrupt(sealed(pack.pack_id, SLICE, row(DIGEST, 24, 50, 50, CRC32)))
    (blob,) = pack.store.check_pack(pack.pack_id)
    pack.store.check(blob)


@pytest.mark.parametrize(
    ("index", "what"),
    [
        (row(DIGEST, 25, 50, 50, CRC32), "not one of version"),
        (row(DIGEST, 0, 50, 50, CRC32), "not one of version"),
        (row(DIGEST, 24, 50, 50, CRC32, code=2), "not one of version"),
        (row(DIGEST, 24, 50, 50, CRC32, padding=b"\0\0\1"), "not one of version"),
        (row(DIGEST, 24, 49, 50, CRC32), "do not fill"),
        (row(DIGEST, 24, 51, 51, CRC32), "do not fill"),
        (row(DIGEST, 24, 2**32 - 1, 2**32 - 1, CRC32), "claims to hold"),
        (row(DIGEST, 24, 50, PACK_BLOB_BYTES_MAX + 1, CRC32, code=1), "claims to hold"),
        (row(DIGEST, 24, 50, 49, CRC32), "claims to hold"),
        (row(DIGEST, 24, 25, 25) + row(DIGEST, 49, 25, 25), "twice"),
        (row(DIGEST, 24, 50, 50, CRC32 ^ 1), "CRC-32"),
        (row(bytes(32), 24, 50, 50, CRC32), "another digest"),
        (row(DIGEST, 24, 50, 51, CRC32), "instead of 51"),
        (row(DIGEST, 24, 50, 50, CRC32, code=1), "not as it was stored"),
        (row(DIGEST, 24, 50, 1 << 20, CRC32, code=1), "not as it was stored"),
    ],
)
def test_a_lying_index_is_refused(pack: Pack, index: bytes, what: str) -> None:
    pack.corrupt(sealed(pack.pack_id, SLICE, index))
    with pytest.raises(PackDamaged, match=what):
        pack.store.check_pack(pack.pack_id)


@pytest.mark.parametrize(
    ("count", "offset"),
    [(0, None), (2, None), (PACK_BLOBS_MAX + 1, None), (2**32 - 1, None), (2**32 - 1, 0), (1, 0), (1, 23), (1, 75),
     (1, 2**64 - 1), (1, 2**63)],
)  # fmt: skip
def test_a_lying_trailer_is_refused(pack: Pack, count: int, offset: int | None) -> None:
    pack.corrupt(sealed(pack.pack_id, SLICE, row(DIGEST, 24, 50, 50, CRC32), count, offset))
    for look in (pack.store.check_pack, pack.store.read_index):
        with pytest.raises(PackDamaged):
            look(pack.pack_id)


def test_another_version_is_named(pack: Pack) -> None:
    pack.corrupt(pack.data[:-12] + struct.pack("<I8s", 2, b"KCAP-BTO"))
    with pytest.raises(PackDamaged, match="version 2"):
        pack.store.read_index(pack.pack_id)


def test_an_index_of_the_largest_size_is_read(pack: Pack) -> None:
    blobs = [
        Blob(Digest(struct.pack("<Q24x", number)), 0, 0, 0, Encoding.IDENTITY, pack_location(pack.pack_id, 24))
        for number in range(PACK_BLOBS_MAX)
    ]
    pack.corrupt(sealed(pack.pack_id, b"", index_rows(blobs)))
    assert list(pack.store.read_index(pack.pack_id)) == blobs
    pack.corrupt(sealed(pack.pack_id, b"", index_rows([*blobs, replace(blobs[0], digest=Digest(bytes(31) + b"x"))])))
    with pytest.raises(PackDamaged, match=f"claims to hold {PACK_BLOBS_MAX + 1} blobs"):
        pack.store.read_index(pack.pack_id)


# -- slices made to hurt


def zstd_slice(frame: bytes) -> bytes:
    return frame + struct.pack("<III", 0x184D2A50, 4, isal_zlib.crc32(frame))


def test_a_slice_decodes_to_its_size_and_no_more() -> None:
    plain = prose(9 * KIB)
    frame = zstandard.ZstdCompressor().compress(plain)
    assert decode_slice(zstd_slice(frame), Encoding.ZSTD, len(plain)) == plain
    for size in (0, len(plain) - 1, len(plain) + 1, PACK_BLOB_BYTES_MAX, PACK_BLOB_BYTES_MAX + 1):
        with pytest.raises(BadSlice):
            decode_slice(zstd_slice(frame), Encoding.ZSTD, size)


@pytest.mark.parametrize(
    "frame",
    [
        zstandard.ZstdCompressor(write_content_size=False).compress(prose(9 * KIB)),
        zstandard.ZstdCompressor().compress(bytes(64 << 20)),
        zstandard.ZstdCompressor().compress(prose(9 * KIB)) + b"more",
        zstandard.ZstdCompressor().compress(prose(9 * KIB)) * 2,
        zstandard.ZstdCompressor().compress(prose(9 * KIB))[:-1],
        b"",
        b"(\xb5/\xfd",
    ],
)
def test_a_frame_that_lies_is_refused_before_memory_is_taken(frame: bytes) -> None:
    with pytest.raises(BadSlice):
        decode_slice(zstd_slice(frame), Encoding.ZSTD, 9 * KIB)


# -- any bytes at all


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    slices=st.binary(max_size=80),
    index=st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.builds(
                row, st.sampled_from([DIGEST, bytes(32)]), st.integers(20, 60), st.integers(0, 60),
                st.one_of(st.integers(0, 60), st.integers(0, 2**32 - 1)), st.integers(0, 2**32 - 1), st.integers(0, 3),
            ), max_size=4,
        ).map(b"".join),
    ),
    count=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    offset=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
    tail=st.binary(max_size=4),
)  # fmt: skip
def test_no_bytes_bring_more_than_a_refusal(
    memory: MemoryBackend, slices: bytes, index: bytes, count: int | None, offset: int | None, tail: bytes
) -> None:
    store, pack_id = BlobStore.open(memory), "f" * 32
    put_object(memory, pack_key(pack_id), sealed(pack_id, slices, index, count, offset) + tail)
    try:
        for blob in store.check_pack(pack_id):
            store.check(blob)
    except PackDamaged:
        pass
    try:
        for blob in store.read_index(pack_id):
            is_damaged(store, blob) if blob.size_bytes else store.read(blob).close()
    except PackDamaged:
        pass


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_of_a_real_pack_goes_unseen(pack: Pack, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(pack.data)))
    end = data.draw(st.integers(start, len(pack.data)))
    changed = pack.data[:start] + data.draw(st.binary(max_size=200)) + pack.data[end:]
    pack.corrupt(changed)
    assert pack.is_seen() == (changed != pack.data)
    pack.damaged()


def put_object(backend: MemoryBackend, key: str, data: bytes) -> None:
    writer = backend.create()
    writer.write(data)
    writer.seal()
    backend.publish({writer.name: key})


# -- quarantine


def quarantined(backend: MemoryBackend) -> dict[str, int]:
    return {info.key: info.size_bytes for info in backend.list("quarantine/")}


def test_quarantine_copies_the_slice_and_leaves_the_pack(pack: Pack) -> None:
    first, second, third = pack.blobs
    assert pack.store.quarantine(second) is False
    assert quarantined(pack.backend) == {}
    pack.corrupt(pack.flipped(pack.places[1][1] + 9, 1))
    for _ in range(2):  # found again, it is the same copy
        assert pack.store.quarantine(second) is True
    key = f"quarantine/{second.digest}.zst.{pack.pack_id}-{pack.places[1][1]}"
    assert quarantined(pack.backend) == {key: second.stored_bytes}
    for blob in (first, third):
        pack.store.check(blob)
        assert pack.store.quarantine(blob) is False
    pack.backend.remove(key)


def test_of_a_pack_cut_short_what_is_left_is_copied(pack: Pack) -> None:
    offset = pack.places[2][1]
    pack.corrupt(pack.data[: offset + 40])
    assert pack.damaged() == [2] or pack.damaged() == [1, 2]
    assert pack.store.quarantine(pack.blobs[2]) is True
    ((key, size),) = quarantined(pack.backend).items()
    assert (key, size) == (f"quarantine/{pack.blobs[2].digest}.{pack.pack_id}-{offset}", 40)
    pack.backend.remove(key)
