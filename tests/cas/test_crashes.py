"""Power cuts. On a file system that forgets what was not fsynced, the real write path loses nothing acknowledged and
leaves nothing half there; and with any one of its syncs taken out, this very test sees the loss.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date

import pytest
import zstandard

from cas.backend import Backend
from cas.blob import EMPTY_BLOB, Blob
from cas.digest import Digest
from cas.errors import CasError, JournalBroken, StoreNotReady, StoreReadOnly
from cas.journal import Journal
from cas.layout import blob_key, pack_key
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.memory import MemoryBackend
from cas.packformat import HEADER_BYTES
from cas.packwriter import PackWriter
from cas.store import BlobStore
from tests.cas.power import FewShards, MutantBackend, PowerCut, content
from tests.cas.samples import KIB, MIB, noise, prose

CHAIN = "0e8e5a4c-7d0f-4f0e-9a53-3d1c6d3c6f11/device-7"


@pytest.fixture(scope="module")
def power(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerCut]:
    power = PowerCut(tmp_path_factory.mktemp("lossy"))
    yield power
    power.stop()


# -- crashes at any moment


@dataclass
class Acknowledged:
    """What the caller was told is safe."""

    blobs: dict[Digest, Blob] = field(default_factory=dict)
    packed: dict[Digest, Blob] = field(default_factory=dict)
    records: dict[int, Digest] = field(default_factory=dict)


def upload_until_power_fails(backend: Backend, acknowledged: Acknowledged, seed: int) -> None:
    dice = random.Random(seed)
    with suppress(CasError):  # the power may fail before a thread has so much as begun
        store = BlobStore.open(backend)
        for number in range(10_000):
            if dice.random() < 0.4:
                for blob in put_pack(store, packed_contents(dice)):
                    acknowledged.packed[blob.digest] = blob
                continue
            size = dice.choice([100, 5 * KIB, 70 * KIB, 300 * KIB, MIB + 5, 4 * MIB + 5])
            data = content(size, seed * 10_000 + number, compressible=dice.random() < 0.3)
            blob = store.place(store.stage([data]))
            acknowledged.blobs[blob.digest] = blob


def packed_contents(dice: random.Random) -> list[bytes]:
    """A batch of small blobs; some are so large together that they take the way of large files."""
    size = dice.choice([10 * KIB, 10 * KIB, 900 * KIB])
    kinds: list[Callable[[int], bytes]] = [dice.randbytes, prose]
    return [dice.choice(kinds)(dice.randrange(1, size)) for _ in range(dice.choice([1, 7, 25]))]


def put_pack(store: BlobStore, contents: list[bytes]) -> tuple[Blob, ...]:
    with store.pack() as writer:
        for data in contents:
            writer.add(data)
        return store.place_pack(writer.finish())


def append_until_power_fails(backend: Backend, acknowledged: Acknowledged, first: int) -> None:
    """As a catalog does: some commits fail after their record was written, and their sequence is used again."""
    journal, dice = Journal(backend), random.Random(first)
    with suppress(CasError):
        for sequence in range(first, first + 10_000):
            previous = acknowledged.records.get(sequence - 1)
            if dice.random() < 0.3:
                journal.append(CHAIN, sequence, previous, b"a commit that fails")
            acknowledged.records[sequence] = journal.append(CHAIN, sequence, previous, b"%d" % sequence)


def check_all(backend: Backend, acknowledged: Acknowledged) -> None:
    """Nothing acknowledged is lost, and nothing is half there."""
    store = BlobStore.open(backend)
    for blob in [*acknowledged.blobs.values(), *acknowledged.packed.values()]:
        store.check(blob)
    for pack_id, _ in store.packs():
        store.check_pack(pack_id)
    records = {record.sequence: record for record in Journal(backend).records(CHAIN)}
    for sequence, digest in acknowledged.records.items():
        assert records[sequence].digest == digest
        assert records[sequence].body == b"%d" % sequence
    # At most one record lies beyond the last acknowledged: the commit under way.
    assert len(records) <= len(acknowledged.records) + 1
    for info in backend.list("blobs/"):
        assert info.key.endswith(".pieces") or is_whole(backend, info.key), info.key


def is_whole(backend: Backend, key: str) -> bool:
    """Whether a file is a blob under its right name, acknowledged or not."""
    with closing(backend.open(key)) as reader:
        data = reader.read_at(0, reader.size_bytes)
    if key.endswith(".zst"):
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as plain:
            data = plain.read()
    return Digest.of(data).hex == key.rpartition("/")[2].removesuffix(".zst")


def crash_while_writing(power: PowerCut, acknowledged: Acknowledged, crash: int) -> None:
    """Two threads write until the power fails, at some moment; then what is left is looked at as at a start."""
    dice = random.Random(crash)
    backend = FewShards(power.root)
    threads = [
        threading.Thread(target=upload_until_power_fails, args=(backend, acknowledged, crash)),
        threading.Thread(target=append_until_power_fails, args=(backend, acknowledged, len(acknowledged.records) + 1)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(dice.uniform(0.01, 0.2))
    power.crash(seed=dice.choice([0, crash]))
    for thread in threads:
        thread.join()
    backend.close()
    power.revive()
    with closing(FewShards(power.root)) as backend, StoreLock(power.root) as lock:
        assert lock.share(BlobStore.open(backend).clear_incoming) is True
        assert list(backend.temporaries()) == []
        check_all(backend, acknowledged)


def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(
    power: PowerCut, scale: Callable[[int, int], int]
) -> None:
    blobs = packed = records = 0
    for first in range(1, scale(20, 1000) + 1, 10):
        power.wipe()
        with closing(FewShards(power.root)) as backend:
            BlobStore.initialise(backend)
        acknowledged = Acknowledged()
        for crash in range(first, first + 10):
            crash_while_writing(power, acknowledged, crash)
        blobs += len(acknowledged.blobs)
        packed += len(acknowledged.packed)
        records += len(acknowledged.records)
    assert blobs >= 10
    assert packed >= 10
    assert records >= 10


def test_an_interrupted_start_is_no_store_or_a_whole_one(power: PowerCut, scale: Callable[[int, int], int]) -> None:
    outcomes = set()
    dice = random.Random(2026)
    for crash in range(1, scale(10, 100) + 1):
        power.wipe()
        backend = FewShards(power.root)
        thread = threading.Thread(target=lambda backend=backend: suppressed(BlobStore.initialise, backend))
        thread.start()
        time.sleep(dice.uniform(0.0, 0.4))
        power.crash(seed=dice.choice([0, crash]))
        thread.join()
        backend.close()
        power.revive()
        with closing(FewShards(power.root)) as backend:
            outcomes.add(is_store(backend))
            if not is_store(backend):
                BlobStore.initialise(backend)
            check_new_store(backend)
    assert outcomes >= {False}


def suppressed(call: Callable[[Backend], object], backend: Backend) -> None:
    with suppress(CasError):
        call(backend)


def is_store(backend: Backend) -> bool:
    try:
        BlobStore.open(backend)
    except StoreNotReady:
        return False
    return True


def check_new_store(backend: LocalBackend) -> None:
    """A store that is there is ready for every blob, every pack and the journal."""
    store = BlobStore.open(backend)
    store.check(EMPTY_BLOB)
    for folder in ("incoming", "journal", "packs", "quarantine", "trash"):
        assert (backend.root / folder).is_dir()
    assert len(list((backend.root / "packs").iterdir())) == 256
    for first in ("00", "af"):
        assert len(list((backend.root / "blobs" / first).iterdir())) == 256


# -- the write path with one sync taken out


@dataclass
class Operation:
    """Something acknowledged: `act` does it, `check` raises if it is not there after a crash."""

    act: Callable[[MutantBackend], object]
    check: Callable[[MutantBackend], object]
    before: Callable[[MutantBackend], object] = lambda backend: None
    needless: AbstractSet[str] = frozenset()


BLOBS = {
    "small": content(10 * KIB, 1),
    "large": content(5 * MIB, 2),
    "zstd": content(64 * KIB, 3, compressible=True),
}


def put(data: bytes) -> Callable[[MutantBackend], Blob]:
    def act(backend: MutantBackend) -> Blob:
        store = BlobStore.open(backend)
        return store.place(store.stage([data]))

    return act


def blob_of(data: bytes) -> Blob:
    """What placing this data returns."""
    return BlobStore(MemoryBackend(), "").stage([data]).blob


def check_blob(data: bytes) -> Callable[[MutantBackend], None]:
    return lambda backend: BlobStore.open(backend).check(blob_of(data))


PACK_ID = "ab" + "0" * 30
PACKS = {
    "a pack": [b"1", prose(40 * KIB), noise(10 * KIB)],
    "a large pack": [noise(900 * KIB, seed) for seed in range(12)],
}


def put_named_pack(contents: list[bytes]) -> Callable[[MutantBackend], None]:
    """With an id that is the same in each run, so that its folder's sync can be named."""

    def act(backend: MutantBackend) -> None:
        store = BlobStore.open(backend)
        store.pack().abort()  # the folders are made ready by the first pack of a process
        with PackWriter(backend, PACK_ID) as writer:
            for data in contents:
                writer.add(data)
            store.place_pack(writer.finish())

    return act


def check_named_pack(contents: list[bytes]) -> Callable[[MutantBackend], None]:
    def check(backend: MutantBackend) -> None:
        blobs = BlobStore.open(backend).check_pack(PACK_ID)
        assert [blob.digest for blob in blobs] == [Digest.of(data) for data in contents]

    return check


def append(count: int, body: bytes = b"body") -> Callable[[MutantBackend], None]:
    def act(backend: MutantBackend) -> None:
        journal = Journal(backend)
        previous = None
        for sequence in range(254, 254 + count):
            previous = journal.append(CHAIN, sequence, previous, body)

    return act


def append_over(backend: MutantBackend) -> None:
    """After a commit that failed: its record is abandoned, another takes its place."""
    Journal(backend).append(CHAIN, 254, None, b"the one")


def check_records(bodies: list[bytes]) -> Callable[[MutantBackend], None]:
    def check(backend: MutantBackend) -> None:
        assert [record.body for record in Journal(backend).records(CHAIN)] == bodies

    return check


def damage(backend: MutantBackend) -> None:
    blob = put(BLOBS["large"])(backend)
    path = backend.root / blob_key(blob.digest, blob.encoding)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"wrong")
        file.flush()
        os.fsync(file.fileno())


def quarantine(backend: MutantBackend) -> None:
    assert BlobStore.open(backend).quarantine(blob_of(BLOBS["large"]))


def check_quarantined(backend: MutantBackend) -> None:
    assert len(list(backend.list("quarantine/"))) == 2
    assert list(backend.list("blobs/00/")) == []


def damage_slice(backend: MutantBackend) -> None:
    put_named_pack(PACKS["a pack"])(backend)
    path = backend.root / pack_key(PACK_ID)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES)
        file.write(b"2")
        file.flush()
        os.fsync(file.fileno())


def quarantine_slice(backend: MutantBackend) -> None:
    store = BlobStore.open(backend)
    assert store.quarantine(store.read_index(PACK_ID)[0])


def check_slice_quarantined(backend: MutantBackend) -> None:
    infos = list(backend.list("quarantine/"))
    assert len(infos) == 1
    with closing(backend.open(infos[0].key)) as reader:
        assert reader.read_at(0, 9) == b"2"
    store = BlobStore.open(backend)
    store.check(store.read_index(PACK_ID)[1])


def trash_pack(backend: MutantBackend) -> None:
    BlobStore.open(backend).trash_pack(PACK_ID, date(2024, 5, 3))


def check_pack_trashed(backend: MutantBackend) -> None:
    assert [info.key for info in backend.list("trash/")] == [f"trash/2024-05-03/{PACK_ID}.pack"]
    assert list(backend.list("packs/")) == []


def make_folders_and_die(backend: MutantBackend) -> None:
    """A process that was killed before it could sync what it made."""
    (backend.root / "journal" / CHAIN / "0000000000").mkdir(parents=True)


def note_gone(backend: MutantBackend) -> None:
    assert backend.read_only_reason is None


OPERATIONS = {
    **{f"{name} blob": Operation(put(data), check_blob(data)) for name, data in BLOBS.items()},
    # Its folders are there since the store is; they are made ready again for stores from before packs.
    **{
        name: Operation(put_named_pack(contents), check_named_pack(contents), needless={".", "packs"})
        for name, contents in PACKS.items()
    },
    "a damaged slice's copy": Operation(quarantine_slice, check_slice_quarantined, before=damage_slice),
    "a pack to the trash": Operation(
        trash_pack, check_pack_trashed, before=put_named_pack(PACKS["a pack"]), needless={"."}
    ),
    # journal/ is there since the store is, and the sync of the root with it.
    "records in new folders": Operation(append(5), check_records([b"body"] * 5), needless={"."}),
    "a record in folders of a killed process": Operation(
        append(1), check_records([b"body"]), before=make_folders_and_die, needless={"."}
    ),
    "a record over an abandoned one": Operation(
        append_over, check_records([b"the one"]), before=append(1),
        needless={".", "journal", f"journal/{CHAIN.partition('/')[0]}", f"journal/{CHAIN}"},
    ),
    "quarantine": Operation(quarantine, check_quarantined, before=damage),
    # The empty blob's file has no content to lose.
    "a new store": Operation(BlobStore.initialise, check_new_store, needless={"file 0"}),
    "writes allowed again": Operation(
        MutantBackend.allow_writes, note_gone, before=lambda backend: backend.turn_read_only("the disk is on fire")
    ),
}  # fmt: skip


def run(power: PowerCut, name: str, is_left_out: Callable[[str], bool]) -> list[str]:
    """Do it, cut the power at once, look. Returns the syncs that were due; raises what is wrong."""
    operation = OPERATIONS[name]
    power.wipe()
    if operation.act != BlobStore.initialise:
        with closing(MutantBackend(power.root)) as backend:
            BlobStore.initialise(backend)
            operation.before(backend)
    with closing(MutantBackend(power.root, is_left_out)) as backend:
        backend.arm()
        operation.act(backend)
        due = backend.log.targets
    power.crash()
    power.revive()
    with closing(MutantBackend(power.root)) as backend:
        operation.check(backend)
    return due


def is_lost(power: PowerCut, name: str, target: str) -> bool:
    try:
        run(power, name, target.__eq__)
    except (AssertionError, CasError):
        return True
    return False


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_sync_of_the_write_path_is_needed_and_its_loss_is_seen(power: PowerCut, name: str) -> None:
    due = dict.fromkeys(run(power, name, lambda target: False))
    needed = [target for target in due if target not in OPERATIONS[name].needless]
    assert needed
    assert [target for target in needed if not is_lost(power, name, target)] == []


class CrashingBackend(MutantBackend):
    """The power fails in the second sync of a folder, before it has done anything."""

    def __init__(self, power: PowerCut, seed: int, folder: str, is_first_left_out: bool) -> None:
        self._power, self._seed, self._watched = power, seed, folder
        self._is_first_left_out = is_first_left_out
        self._syncs = 0
        super().__init__(power.root)

    def _sync_folder(self, fd: int, folder: str) -> None:
        self._syncs += folder == self._watched
        if folder == self._watched and self._syncs == 2:
            self._power.crash(self._seed)
        if folder != self._watched or self._syncs != 1 or not self._is_first_left_out:
            super()._sync_folder(fd, folder)


def is_chain_broken(power: PowerCut, seed: int, is_first_left_out: bool) -> bool:
    power.wipe()
    with closing(FewShards(power.root)) as backend:
        BlobStore.initialise(backend)
        Journal(backend).append(CHAIN, 254, None, b"a commit that fails")
    crashing = CrashingBackend(power, seed, f"journal/{CHAIN}/0000000000", is_first_left_out)
    with closing(crashing) as backend, pytest.raises(StoreReadOnly):
        append_over(backend)
    power.revive()
    with closing(FewShards(power.root)) as backend:
        try:
            return len(list(Journal(backend).records(CHAIN))) > 1
        except JournalBroken:
            return True


def test_a_record_is_durably_abandoned_before_another_takes_its_place(power: PowerCut) -> None:
    assert not any(is_chain_broken(power, seed, is_first_left_out=False) for seed in range(8))
    # Which names outlive the power is chance: some crash among so many keeps the new one and loses the old one's move.
    assert any(is_chain_broken(power, seed, is_first_left_out=True) for seed in range(64))
