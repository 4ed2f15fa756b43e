"""Parts: a blob that comes in several goes is hashed as it comes, read again only where it must be, placed whole."""

import errno
import mmap
import os
import random
import threading
import time
from pathlib import Path

import pytest

from cas.blob import Encoding
from cas.digest import Digest
from cas.errors import BlobMissing, DigestMismatch, SizeMismatch, StoreFailed, StoreFull, StoreReadOnly
from cas.part import CATCH_UP_BYTES, PartHash, PartWriter
from cas.store import BlobStore
from tests.cas.samples import MIB, noise
from tests.shared.stores import SparseBackend


def whole(store: BlobStore, part_bytes: bytes, staged_digest: Digest) -> bytes:
    blob = store.stage([part_bytes]).blob
    assert blob.digest == staged_digest
    with store.read(blob) as reader:
        return b"".join(reader.chunks())


def rehash_slowly(part: PartWriter) -> None:
    while part.rehash(MIB):
        time.sleep(0.001)


@pytest.mark.parametrize("size", [0, 1, 1000, 4 * MIB, 4 * MIB + 1, 21 * MIB + 17])
def test_in_several_goes(store: BlobStore, size: int) -> None:
    data, rng = noise(size), random.Random(size)
    name, at, hashes = None, 0, None
    while True:
        with store.resume(name, at, hashes) as part:
            name, hashes = part.name, part.hashes
            end = min(size, at + rng.randrange(1, 9 * MIB))
            part.write(data[at:end])
            part.settle()
            assert part.sync() == end
            assert part.is_hashed
            at = end
            if at == size:
                blob = store.place(part.finish(Digest.of(data), size))
                break
    assert (blob.digest, blob.size_bytes, blob.encoding) == (Digest.of(data), size, Encoding.IDENTITY)
    store.check(blob)
    assert whole(store, data, blob.digest) == data
    assert store.part_bytes(name) == 0


@pytest.mark.parametrize("first", [5, 3 * MIB, CATCH_UP_BYTES + 3 * MIB])
def test_a_new_process_hashes_again_what_came_before_it(store: BlobStore, first: int) -> None:
    data = noise(first + 12 * MIB)
    with store.resume() as part:
        part.write(data[:first])
        part.settle()
        part.sync()
    with store.resume(part.name, first) as again:
        assert not again.is_hashed
        again.write(data[first:])
        staged = again.finish(Digest.of(data))
    store.check(store.place(staged))


@pytest.mark.parametrize("first", [0, 4096, 4097])
def test_memory_that_is_written_from_where_it_lies_is_free_after_the_call(store: BlobStore, first: int) -> None:
    """Whole pages of it, where the file's pages are pages in memory; all else is copied."""
    data, block = noise(first + 21 * MIB + 17), memoryview(mmap.mmap(-1, 7 * MIB + 1))
    with store.resume() as part:
        part.write(data[:first])
        for at in range(first, len(data), len(block)):
            size_bytes = min(len(block), len(data) - at)
            block[:size_bytes] = data[at : at + size_bytes]
            part.write(block[:size_bytes])
            block[:] = bytes(len(block))
        staged = part.finish(Digest.of(data), len(data))
    store.check(store.place(staged))


def test_hashing_again_goes_on_beside_the_writing(store: BlobStore) -> None:
    data = noise(40 * MIB)
    with store.resume() as part:
        part.write(data[: 20 * MIB])
        part.settle()
    with store.resume(part.name, 20 * MIB) as again:
        behind = threading.Thread(target=rehash_slowly, args=(again,))
        behind.start()
        for at in range(20 * MIB, 40 * MIB, MIB // 2):
            again.write(data[at : at + MIB // 2])
        behind.join()
        staged = again.finish(Digest.of(data))
    store.check(store.place(staged))


def test_once_caught_up_the_hashes_go_on_with_the_bytes(store: BlobStore) -> None:
    data = noise(12 * MIB)
    with store.resume() as part:
        part.write(data[: 10 * MIB])
        part.settle()
    with store.resume(part.name, 10 * MIB) as again:
        assert again.rehash(4 * MIB)
        assert again.hashes.size_bytes == 4 * MIB
        again.write(data[10 * MIB :])
        assert again.is_hashed
        store.check(store.place(again.finish(Digest.of(data))))


def test_hashes_of_bytes_that_were_cut_off_are_not_used(store: BlobStore) -> None:
    with store.resume() as part:
        part.write(b"right-wrong")
        part.settle()
    with store.resume(part.name, 6, part.hashes) as again:
        again.write(b"again")
        staged = again.finish()
    assert staged.digest == Digest.of(b"right-again")
    staged.discard()


def test_a_copy_of_the_hashes_goes_its_own_way() -> None:
    data = noise(9 * MIB)
    hashes = PartHash()
    hashes.update(data[: 5 * MIB])
    other = hashes.copy()
    other.update(b"x")
    hashes.update(data[5 * MIB :])
    assert (hashes.digest, hashes.size_bytes) == (Digest.of(data), 9 * MIB)
    assert other.digest == Digest.of(data[: 5 * MIB] + b"x")


def test_what_was_announced_wrongly_is_told_and_the_part_is_still_there(store: BlobStore) -> None:
    with store.resume() as part:
        part.write(b"0123")
        with pytest.raises(SizeMismatch):
            part.finish(expect_size_bytes=5)
        with pytest.raises(DigestMismatch):
            part.finish(Digest.of(b"other"))
    assert store.part_bytes(part.name) == 4
    store.discard_part(part.name)
    store.discard_part(part.name)
    with pytest.raises(BlobMissing):
        store.resume(part.name, 4)


def test_one_writer_at_a_time(store: BlobStore) -> None:
    with store.resume() as part:
        part.write(b"x")
        with pytest.raises(StoreFailed):
            store.resume(part.name, 1)
    store.resume(part.name, 0).discard()


def test_leftovers_are_cleared_but_the_parts_that_are_known(local: SparseBackend, local_store: BlobStore) -> None:
    names = []
    for _ in range(3):
        with local_store.resume() as part:
            part.write(b"x")
            names.append(part.name)
    assert local_store.clear_incoming(keep=set(names[:1])) == 2
    assert list(local.temporaries()) == names[:1]


def test_bytes_lost_behind_our_back_are_noticed(local: SparseBackend, local_store: BlobStore, tmp_path: Path) -> None:
    part = local_store.resume()
    part.write(noise(2 * MIB))
    part.settle()
    part.close()
    again = local_store.resume(part.name, 2 * MIB)
    file = local.root / "incoming" / part.name
    with file.open("r+b") as opened:
        opened.truncate(MIB)
    with pytest.raises(BlobMissing, match="lost bytes"):
        again.finish()
    again.discard()


def test_a_new_part_is_durable_with_its_name(
    local: SparseBackend, local_store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first sync reaches the folder too; later ones, and those of a part that goes on, need not."""
    synced: list[str] = []
    real = os.fsync

    def noting(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        real(fd)

    monkeypatch.setattr(os, "fsync", noting)
    with local_store.resume() as part:
        for _ in range(2):
            part.write(b"x")
            part.settle()
            part.sync()
    assert synced == [part.name, "incoming", part.name]
    with local_store.resume(part.name, 2) as again:
        again.write(b"y")
        again.settle()
        again.sync()
    assert synced[3:] == [part.name]


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_a_failed_sync_stops_all_writing_and_the_part_stays(
    local: SparseBackend, local_store: BlobStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def failing(fd: int) -> None:
        raise OSError(code, os.strerror(code))

    part = local_store.resume()
    part.write(b"0123")
    part.settle()
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StoreReadOnly):
        part.sync()
    monkeypatch.undo()
    with pytest.raises(StoreReadOnly):
        part.sync()
    part.close()
    with pytest.raises(StoreReadOnly):
        local_store.resume(part.name, 0)
    assert local_store.part_bytes(part.name) == 4


def test_a_full_disk_is_told_and_what_was_durable_goes_on(
    local_store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, real = local_store.resume(), os.write
    part.write(b"0123")
    part.settle()
    assert part.sync() == 4

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreFull):
        part.write(b"45")
    part.close()
    monkeypatch.setattr(os, "write", real)
    with local_store.resume(part.name, 4, part.hashes) as again:
        again.write(b"67")
        store_digest = local_store.place(again.finish()).digest
    assert store_digest == Digest.of(b"012367")


def write_for_ever(part: PartWriter, block: bytes) -> None:
    while True:
        part.write(block)


@pytest.mark.parametrize("after", [0, 3])
def test_no_byte_of_a_failed_pipeline_is_called_durable(
    local_store: BlobStore, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The thread that writes past the page cache fails; what is said to be durable ends before that."""
    part, real, calls = local_store.resume(), os.write, [0]
    block = noise(2 * MIB)
    for _ in range(6):
        part.write(block)

    def full(fd: int, data: bytes) -> int:
        calls[0] += 1
        if calls[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreFull):
        write_for_ever(part, block)
    durable = part.sync()
    part.close()
    assert 8 * MIB <= durable <= local_store.part_bytes(part.name)
    with local_store.resume(part.name, durable) as again:
        while again.rehash(100 * MIB):
            pass
        assert again.hashes.digest == Digest.of((block * 30)[:durable])
