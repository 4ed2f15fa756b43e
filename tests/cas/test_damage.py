"""Damage is found before anything wrong is handed out as whole: one flipped byte, a lost end, a lost file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cas.backend import Backend
from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing, PiecesDamaged
from cas.layout import blob_key, pieces_key
from cas.memory import MemoryBackend, MemoryReader
from cas.pieces import PieceList
from cas.store import BlobStore
from tests.cas.samples import KIB, MIB, noise, prose
from tests.shared.backend_suite import get, put
from tests.shared.stores import SparseBackend

CASES = {
    "tiny": noise(1),
    "small": noise(3 * KIB),
    "identity": noise(3 * MIB + 7),
    "with pieces": noise(9 * MIB + 7),
    "zstd": prose(3 * MIB + 7),
    "small zstd": prose(5 * KIB),
}


def path_of(root: Path, blob: Blob) -> Path:
    return root / blob_key(blob.digest, blob.encoding)


def rewrite(path: Path, change: Callable[[bytearray], object]) -> None:
    """Change a sealed file in place, as a failing disk would."""
    data = bytearray(path.read_bytes())
    change(data)
    path.chmod(0o600)
    path.write_bytes(data)


def flip(place: int, mask: int = 1) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[place] ^= mask

    return change


def drain(pieces: Iterator[bytes]) -> tuple[bytes, Exception | None]:
    """What was handed out, and what ended it."""
    got = bytearray()
    try:
        for piece in pieces:
            got += piece
    except BlobDamaged as error:
        return bytes(got), error
    return bytes(got), None


def assert_breaks(store: BlobStore, blob: Blob, data: bytes) -> None:
    """The whole is never completed, and what came before the break was right."""
    with pytest.raises(BlobDamaged, match=blob.digest.hex):
        store.check(blob)
    try:
        reader = store.read(blob)
    except BlobDamaged:
        return
    with reader:
        got, error = drain(reader.chunks())
        assert error is not None
        assert len(got) < len(data)
        assert data.startswith(got) or blob.encoding is Encoding.IDENTITY


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("where", [0.0, 0.5, 0.999999])
def test_one_flipped_byte_breaks_the_whole(
    local: SparseBackend, local_store: BlobStore, name: str, where: float
) -> None:
    data = CASES[name]
    blob = local_store.place(local_store.stage([data]))
    rewrite(path_of(local.root, blob), flip(int(blob.stored_bytes * where), 0x20))
    assert_breaks(local_store, blob, data)


@pytest.mark.parametrize("name", CASES)
def test_a_lost_end_or_a_longer_one_breaks_at_once(local: SparseBackend, local_store: BlobStore, name: str) -> None:
    data = CASES[name]
    blob = local_store.place(local_store.stage([data]))
    changes: tuple[Callable[[bytearray], object], ...] = (
        bytearray.pop,
        bytearray.clear,
        lambda data: data.extend(bytes(999)),
    )
    for change in changes:
        rewrite(path_of(local.root, blob), change)
        with pytest.raises(BlobDamaged, match="bytes instead of"):
            local_store.read(blob)
        assert_breaks(local_store, blob, data)


def test_a_lost_file_is_missing(local: SparseBackend, local_store: BlobStore) -> None:
    blob = local_store.place(local_store.stage([b"data"]))
    path_of(local.root, blob).unlink()
    with pytest.raises(BlobMissing, match=blob.digest.hex):
        local_store.read(blob)
    with pytest.raises(BlobMissing):
        local_store.check(blob)
    with pytest.raises(BlobMissing):
        local_store.quarantine(blob)


def test_a_file_that_shrinks_while_it_is_read_breaks(local: SparseBackend, local_store: BlobStore) -> None:
    data = noise(3 * MIB)
    blob = local_store.place(local_store.stage([data]))
    with local_store.read(blob) as reader:
        chunks = reader.chunks()
        assert next(chunks) == data[:MIB]
        rewrite(path_of(local.root, blob), lambda data: data.clear())
        with pytest.raises(BlobDamaged):
            list(chunks)


@pytest.mark.parametrize("name", ["identity", "with pieces", "zstd", "small"])
def test_a_range_breaks_where_the_damage_is_and_nowhere_else(
    local: SparseBackend, local_store: BlobStore, name: str
) -> None:
    data = CASES[name]
    blob = local_store.place(local_store.stage([data]))
    rewrite(path_of(local.root, blob), flip(blob.stored_bytes * 2 // 3))
    with local_store.read(blob) as reader:
        step = max(len(data) // 40, 1)
        outcomes = []
        for start in range(0, len(data) - step, step):
            got, error = drain(reader.range(start, step))
            assert data[start:].startswith(got)
            assert (error is None) == (len(got) == step)
            outcomes.append(error is None)
    assert not all(outcomes)
    # A blob with its own pieces or frames still gives what is whole of it.
    assert any(outcomes) == (name in {"with pieces", "zstd"})


def test_wrong_or_missing_pieces_break_ranges_only(local: SparseBackend, local_store: BlobStore) -> None:
    data = CASES["with pieces"]
    blob = local_store.place(local_store.stage([data]))
    path = local.root / pieces_key(blob.digest)

    sealed = path.read_bytes()
    other = local_store.place(local_store.stage([noise(9 * MIB + 7, 2)]))
    others = (local.root / pieces_key(other.digest)).read_bytes()

    def become(data: bytes) -> Callable[[bytearray], None]:
        return lambda old: old.__setitem__(slice(None), data)

    def expect_pieces_damaged() -> None:
        with pytest.raises(PiecesDamaged, match=blob.digest.hex):
            local_store.check(blob)
        with local_store.read(blob) as reader:
            assert b"".join(reader.chunks()) == data
        with local_store.read(blob) as reader, pytest.raises(PiecesDamaged):
            next(reader.range(0, len(data)))
        assert local_store.quarantine(blob) is False
        local_store.mend_pieces(blob)
        local_store.check(blob)
        with local_store.read(blob) as reader:
            assert b"".join(reader.range(1, len(data) - 1)) == data[1:]
        assert path.read_bytes() == sealed

    for change in (
        flip(40),
        flip(-1),
        lambda data: data.pop(),
        become(sealed[:-32]),  # as stores had it before there was a seal
        become(others),
        become(sealed[:-32] + others[-32:]),
        become(b""),
    ):
        rewrite(path, change)
        expect_pieces_damaged()
    path.unlink()
    expect_pieces_damaged()


def test_any_flipped_bit_of_the_piece_digests_breaks_the_seal(memory: MemoryBackend) -> None:
    store = BlobStore.open(memory)
    blob = store.place(store.stage([CASES["with pieces"]]))
    key = pieces_key(blob.digest)
    sealed = get(memory, key)
    assert len(sealed) == (3 + 1) * 32
    for bit in range(len(sealed) * 8):
        memory.corrupt(key, bytes(byte ^ (bit // 8 == place) << bit % 8 for place, byte in enumerate(sealed)))
        with pytest.raises(PiecesDamaged, match="sealed"):
            PieceList(memory, blob)
    memory.corrupt(key, sealed)
    PieceList(memory, blob).close()


def test_the_seal_of_a_long_list_is_checked_once_and_a_step_at_a_time(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = Blob(Digest.of(b"1 TiB"), 1 << 40, 1 << 40, 0, Encoding.IDENTITY, OWN_FILE)
    digests = noise(8 * MIB)
    put(memory, pieces_key(blob.digest), digests + blake3(digests, key=blob.digest.raw).digest())
    lengths: list[int] = []

    def read_at(self: MemoryReader, offset: int, length: int) -> bytes:
        lengths.append(length)
        return bytes(memoryview(self.held.data)[offset : offset + length])

    monkeypatch.setattr(MemoryReader, "read_at", read_at)
    pieces = PieceList(memory, blob)
    assert (sum(lengths), max(lengths)) == (8 * MIB + 32, MIB)
    lengths.clear()
    assert pieces.digest(200_000) == digests[200_000 * 32 :][:32]
    assert lengths == [32]


def test_pieces_are_never_mended_from_a_damaged_blob(local: SparseBackend, local_store: BlobStore) -> None:
    blob = local_store.place(local_store.stage([CASES["with pieces"]]))
    path = local.root / pieces_key(blob.digest)
    before = path.read_bytes()
    rewrite(path_of(local.root, blob), flip(5 * MIB))
    with pytest.raises(BlobDamaged):
        local_store.mend_pieces(blob)
    assert path.read_bytes() == before


# -- any byte at all


def corrupted(backend: MemoryBackend, blob: Blob, place: int, mask: int) -> bytes:
    key = blob_key(blob.digest, blob.encoding)
    reader = backend.open(key)
    before = reader.read_at(0, reader.size_bytes)
    data = bytearray(before)
    data[place] ^= mask
    backend.corrupt(key, bytes(data))
    return before


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["small", "small zstd", "zstd"]),
    where=st.floats(0, 1, exclude_max=True),
    mask=st.integers(1, 255),
)
def test_any_flipped_byte_is_found(memory: MemoryBackend, name: str, where: float, mask: int) -> None:
    store = BlobStore.open(memory)
    data = CASES[name]
    blob = store.place(store.stage([data]))
    before = corrupted(memory, blob, int(where * blob.stored_bytes), mask)
    try:
        assert_breaks(store, blob, data)
    finally:
        memory.corrupt(blob_key(blob.digest, blob.encoding), before)


def test_every_byte_of_a_packed_blob_counts(memory: MemoryBackend) -> None:
    store = BlobStore.open(memory)
    blob = store.place(store.stage([prose(6 * KIB)]))
    assert blob.encoding is Encoding.ZSTD
    unseen = []
    for place in range(blob.stored_bytes):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            before = corrupted(memory, blob, place, mask)
            try:
                store.check(blob)
                unseen.append((place, mask))
            except BlobDamaged:
                pass
            memory.corrupt(blob_key(blob.digest, blob.encoding), before)
    assert unseen == []


# -- quarantine and healing


def quarantined(backend: Backend) -> list[str]:
    return [info.key for info in backend.list("quarantine/")]


@pytest.mark.parametrize("name", CASES)
def test_quarantine_moves_the_damaged_and_an_upload_heals(
    local: SparseBackend, local_store: BlobStore, name: str
) -> None:
    data = CASES[name]
    blob = local_store.place(local_store.stage([data]))
    assert local_store.quarantine(blob) is False
    for times in (1, 2):
        rewrite(path_of(local.root, blob), flip(0))
        assert local_store.quarantine(blob) is True
        with pytest.raises(BlobMissing):
            local_store.read(blob)
        assert len(quarantined(local)) == times * (2 if name == "with pieces" else 1)
        assert local_store.place(local_store.stage([data])) == blob
        local_store.check(blob)


def test_placing_over_a_damaged_copy_heals_it(local: SparseBackend, local_store: BlobStore) -> None:
    data = CASES["with pieces"]
    blob = local_store.place(local_store.stage([data]))
    rewrite(path_of(local.root, blob), flip(0))
    rewrite(local.root / pieces_key(blob.digest), flip(0))
    local_store.place(local_store.stage([data]))
    local_store.check(blob)


class HealingBackend(SparseBackend):
    """An upload places the same blob just before the damaged file would be moved."""

    heal: Callable[[], object] | None = None

    def move(self, key: str, new_key: str, only: object = None) -> None:
        if self.heal is not None:
            heal, self.heal = self.heal, None
            heal()
        super().move(key, new_key, only)  # type: ignore[arg-type]  # handed through


def test_quarantine_never_takes_what_an_upload_put_in_place_meanwhile(tmp_path: Path) -> None:
    backend = HealingBackend(tmp_path)
    store = BlobStore.open(backend, BlobStore.initialise(backend))
    data = CASES["with pieces"]
    blob = store.place(store.stage([data]))
    rewrite(path_of(tmp_path, blob), flip(0))
    backend.heal = lambda: store.place(store.stage([data]))
    assert store.quarantine(blob) is False
    store.check(blob)
    assert quarantined(backend) == []
    backend.close()
