"""What a failing system does to the write path: nothing half there or left behind, and no write after a bad sync."""

import errno
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cas.blob import EMPTY_BLOB, Blob
from cas.digest import Digest
from cas.errors import BlobUnreadable, CasError, StoreFailed, StoreFull, StoreNotReady, StoreReadOnly
from cas.journal import Journal
from cas.layout import pack_folders
from cas.store import BlobStore
from tests.cas.samples import KIB, MIB, noise, prose
from tests.shared.stores import SparseBackend, new_store
from tools.store.main import main as tools_store

Fault = Callable[..., object]


def leftovers(backend: SparseBackend) -> list[str]:
    return list(backend.temporaries())


def put(store: BlobStore, data: bytes) -> Blob:
    return store.place(store.stage([data]))


def put_pack(store: BlobStore, *contents: bytes) -> tuple[Blob, ...]:
    with store.pack() as writer:
        for data in contents:
            writer.add(data)
        return store.place_pack(writer.finish())


def whole(store: BlobStore, blob: Blob) -> bytes:
    with store.read(blob) as reader:
        return b"".join(reader.chunks())


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`fail("fsync", EIO, after=2)`: the third and every later call of this function of `os` fails."""

    def arm(name: str, code: int, after: int = 0, only_if: Callable[..., bool] = lambda *args: True) -> None:
        real, lock, calls = getattr(os, name), threading.Lock(), [0]

        def failing(*args: object, **kwargs: object) -> object:
            with lock:
                calls[0] += only_if(*args)
                if calls[0] > after and only_if(*args):
                    raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, failing)

    return arm


def is_in_incoming(fd: int) -> bool:
    return "/incoming/" in str(Path(f"/proc/self/fd/{fd}").readlink())


def is_in_blobs(fd: int) -> bool:
    return "/blobs/" in str(Path(f"/proc/self/fd/{fd}").readlink())


def is_direct(fd: int, *_: object) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)


def break_reading(fail: Fault, how: str, folder: str) -> None:
    """From now on no file below the folder can be opened, or nothing can be read out of an open one."""
    if how == "open":
        fail("open", errno.EIO, only_if=lambda *args: str(args[0]).startswith(folder))
    else:
        fail("pread", errno.EIO)
        fail("preadv", errno.EIO)


# -- a failing medium


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.ESTALE])
@pytest.mark.parametrize(
    ("name", "data", "after"),
    [
        ("write", noise(10), 0),
        ("write", noise(20 * MIB), 4),  # the pipeline's thread
        ("fchmod", noise(10), 0),
        ("fsync", noise(10), 0),
        ("fsync", noise(9 * MIB), 1),  # the pieces are synced first
        ("rename", noise(10), 0),
        ("rename", noise(9 * MIB), 1),
    ],
)
def test_a_failing_medium_makes_the_store_read_only(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes,
    after: int, code: int,
) -> None:  # fmt: skip
    before = put(local_store, b"stored before")
    local.prepare([f"blobs/{Digest.of(data).hex[:2]}/{Digest.of(data).hex[2:4]}"])
    fail(name, code, after)
    with pytest.raises(StoreReadOnly, match="failed"):
        put(local_store, data)
    monkeypatch.undo()
    assert leftovers(local) == []
    assert local_store.read_only_reason is not None
    with pytest.raises(StoreReadOnly):
        local_store.writer()
    with pytest.raises(StoreReadOnly):
        Journal(local).append("a/b", 1, None, b"")
    assert whole(local_store, before) == b"stored before"


LARGE_PACK = [noise(900 * KIB, seed) for seed in range(24)]


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
@pytest.mark.parametrize(
    ("name", "contents", "after"),
    [
        ("write", [noise(10)], 0),
        ("write", LARGE_PACK, 0),  # in the middle of adding
        ("write", LARGE_PACK, 8),  # the pipeline's thread
        ("fchmod", [noise(10)], 0),
        ("fsync", [noise(10)], 0),
        ("fsync", [noise(10)], 1),  # the folder, after the rename
        ("rename", [noise(10)], 0),
    ],
)
def test_a_failing_medium_in_the_middle_of_a_pack(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch, name: str,
    contents: list[bytes], after: int, code: int,
) -> None:  # fmt: skip
    before = put_pack(local_store, b"stored before")
    local.prepare(pack_folders())
    fail(name, code, after)
    with pytest.raises(StoreReadOnly, match="failed"):
        put_pack(local_store, *contents)
    monkeypatch.undo()
    assert leftovers(local) == []
    assert local_store.read_only_reason is not None
    with pytest.raises(StoreReadOnly):
        local_store.pack()
    assert whole(local_store, before[0]) == b"stored before"
    for pack_id, _ in local_store.packs():
        local_store.check_pack(pack_id)


def test_a_writer_that_failed_has_ended(local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_store.pack() as writer:
        writer.add(LARGE_PACK[0])
        fail("write", errno.ENOSPC)
        with pytest.raises(StoreFull):
            writer.add(LARGE_PACK[1])
        monkeypatch.undo()
        for call in (lambda: writer.add(b"x"), writer.finish):
            with pytest.raises(CasError, match="ended"):
                call()


@pytest.mark.parametrize("name", ["open", "read"])
def test_an_unreadable_pack_is_said_to_be_so_and_stays(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (blob,) = put_pack(local_store, noise(10))
    ((pack_id, _),) = local_store.packs()
    break_reading(fail, name, "packs/")
    for look in (local_store.check, local_store.quarantine):
        with pytest.raises(BlobUnreadable):
            look(blob)
    for look_at in (local_store.check_pack, local_store.read_index):
        with pytest.raises(BlobUnreadable):
            look_at(pack_id)
    monkeypatch.undo()
    assert local_store.check_pack(pack_id) == (blob,)
    assert list(local.list("quarantine/")) == []
    assert local_store.read_only_reason is None


def test_any_failed_sync_makes_the_store_read_only(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail("fsync", errno.EINVAL)
    with pytest.raises(StoreReadOnly):
        put(local_store, b"x")
    monkeypatch.undo()
    assert leftovers(local) == []


def test_a_failed_folder_sync_makes_the_store_read_only(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = local_store.stage([b"x"])
    local.prepare([f"blobs/{staged.digest.hex[:2]}/{staged.digest.hex[2:4]}"])
    fail("fsync", errno.EIO, only_if=is_in_blobs)
    with pytest.raises(StoreReadOnly):
        local_store.place(staged)
    monkeypatch.undo()
    assert leftovers(local) == []
    assert "syncing the folder blobs/" in str(local_store.read_only_reason)


def test_the_note_outlives_the_process_and_an_operator_clears_it(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fail("fsync", errno.EIO, only_if=is_in_incoming)
    with pytest.raises(StoreReadOnly):
        put(local_store, b"x")
    monkeypatch.undo()
    root = ["--root", str(local.root)]
    restarted = SparseBackend(local.root)
    with pytest.raises(StoreReadOnly, match="Input/output error"):
        BlobStore.open(restarted).writer()
    assert tools_store([*root, "status"]) == 1
    assert "no: syncing" in capsys.readouterr().out
    assert tools_store([*root, "writable"]) == 0
    assert "restart the servers" in capsys.readouterr().out
    assert tools_store([*root, "status"]) == 0
    put(BlobStore.open(restarted), b"x")
    with pytest.raises(StoreReadOnly):  # it saw the failure itself, and trusts nothing until it is started again
        local_store.writer()
    restarted.close()


def test_writable_tries_before_it_promises(
    local: SparseBackend, fail: Fault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local.turn_read_only("the disk is on fire")
    fail("fsync", errno.EIO, only_if=is_in_incoming)
    assert tools_store(["--root", str(local.root), "writable"]) == 2
    monkeypatch.undo()
    assert "read-only now" in capsys.readouterr().err
    assert SparseBackend(local.root).read_only_reason is not None
    assert leftovers(local) == []


# -- a refusal that says nothing about the medium


def is_making(*args: object) -> bool:
    return isinstance(args[1], int) and bool(args[1] & os.O_CREAT) and str(args[0]).startswith("incoming/")


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.ENOMEM])
def test_a_passing_refusal_leaves_the_store_writable(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fail("open", code, only_if=is_making)
    with pytest.raises(StoreFailed, match="making"):
        put(local_store, b"x")
    monkeypatch.undo()
    assert local_store.read_only_reason is None
    put(local_store, b"x")


def test_a_missing_shard_folder_is_a_failure_not_a_new_folder(tmp_path: Path) -> None:
    backend, store = new_store(tmp_path)
    staged = store.stage([b"x"])
    incoming = tmp_path / "incoming"
    incoming.rename(tmp_path / "gone")
    with pytest.raises(StoreFailed):
        store.place(staged)
    with pytest.raises(StoreFailed):
        store.stage([b"y"])
    assert not incoming.exists()
    backend.close()


@pytest.mark.parametrize("name", ["open", "pread"])
def test_a_store_that_cannot_be_read_is_not_ready(
    local: SparseBackend, fail: Fault, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fail(name, errno.EIO, only_if=lambda *args: name == "pread" or args[0] == "FORMAT")
    with pytest.raises(StoreNotReady, match="cannot be read: FORMAT"):
        BlobStore.open(local)
    monkeypatch.undo()
    BlobStore.open(local)


@pytest.mark.parametrize("name", ["open", "read"])
def test_an_unreadable_blob_is_said_to_be_so_and_stays(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    blob = put(local_store, noise(10))
    break_reading(fail, name, "blobs/")
    for look in (local_store.check, local_store.quarantine):
        with pytest.raises(BlobUnreadable):
            look(blob)
    monkeypatch.undo()
    assert whole(local_store, blob) == noise(10)
    assert local_store.read_only_reason is None


def test_where_direct_reads_are_refused_the_cache_is_read(
    local: SparseBackend, local_store: BlobStore, fail: Fault
) -> None:
    blob = put(local_store, noise(9 * MIB))
    fail("preadv", errno.EINVAL, only_if=is_direct)
    local_store.check(blob)
    fail("preadv", errno.EINVAL)
    with pytest.raises(BlobUnreadable):
        local_store.check(blob)


# -- no room


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("name", ["write", "fsync", "rename", "open"])
def test_no_room_is_said_and_passes(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    data = prose(3 * MIB)
    local.prepare([f"blobs/{Digest.of(data).hex[:2]}/{Digest.of(data).hex[2:4]}"])
    fail(name, code, only_if=is_making if name == "open" else lambda *args: True)
    with pytest.raises(StoreFull):
        put(local_store, data)
    monkeypatch.undo()
    assert leftovers(local) == []
    assert local_store.read_only_reason is None
    assert whole(local_store, put(local_store, data)) == data


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(
    ("name", "after"), [("open", 0), ("write", 0), ("write", 3), ("write", 8), ("fsync", 0), ("rename", 0)]
)
def test_no_room_for_a_pack_is_said_and_passes(
    local: SparseBackend, local_store: BlobStore, fail: Fault, monkeypatch: pytest.MonkeyPatch, name: str, after: int,
    code: int,
) -> None:  # fmt: skip
    local.prepare(pack_folders())
    fail(name, code, after, only_if=is_making if name == "open" else lambda *args: True)
    with pytest.raises(StoreFull):
        put_pack(local_store, *LARGE_PACK)
    monkeypatch.undo()
    assert leftovers(local) == []
    assert list(local_store.packs()) == []
    assert local_store.read_only_reason is None
    (*_, last) = put_pack(local_store, *LARGE_PACK)
    assert whole(local_store, last) == LARGE_PACK[-1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SparseBackend]:
    """A store on a file system of 16 MiB and 150 inodes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=150", "tmpfs", tmp_path], check=True)
    backend, _ = new_store(tmp_path)
    yield backend
    backend.close()
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("make", [noise, lambda size: prose(size // 2) + noise(size // 2)])
def test_a_full_disk_keeps_nothing_and_recovers_by_itself(
    small_disk: SparseBackend, make: Callable[[int], bytes]
) -> None:
    store = BlobStore.open(small_disk)
    kept = put(store, noise(2 * MIB))
    for _ in range(3):
        with pytest.raises(StoreFull):
            put(store, make(40 * MIB))
        assert leftovers(small_disk) == []
        assert whole(store, kept) == noise(2 * MIB)
    put(store, noise(8 * MIB, 2))


def test_a_full_disk_keeps_no_part_of_a_pack(small_disk: SparseBackend) -> None:
    store = BlobStore.open(small_disk)
    kept = put_pack(store, noise(MIB), prose(MIB))
    for _ in range(3):
        with pytest.raises(StoreFull):
            put_pack(store, *LARGE_PACK)
        assert leftovers(small_disk) == []
        assert len(list(store.packs())) == 1
        assert [whole(store, blob) for blob in kept] == [noise(MIB), prose(MIB)]
    put_pack(store, *LARGE_PACK[:8])


def test_no_inodes_left_is_no_room(small_disk: SparseBackend) -> None:
    store, journal = BlobStore.open(small_disk), Journal(small_disk)
    placed: list[Blob] = []

    def fill_up() -> None:
        for number in range(200):
            placed.append(put(store, noise(10, number)))  # noqa: PERF401 - what was placed before the error counts

    with pytest.raises(StoreFull):
        fill_up()
    with pytest.raises(StoreFull):
        journal.append("a/b", 1, None, b"")
    assert leftovers(small_disk) == []
    assert all(whole(store, blob) == noise(10, number) for number, blob in enumerate(placed))
    small_disk.remove(f"blobs/{placed[0].digest.hex[:2]}/{placed[0].digest.hex[2:4]}/{placed[0].digest.hex}")
    assert put(store, b"") == EMPTY_BLOB


# -- a sync that never returns


def test_a_sync_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    store_backend, _ = new_store(root)
    store_backend.close()
    backend = SparseBackend(root, fsync_seconds_max=0.3)
    store = BlobStore.open(backend)
    before = put(store, b"stored before")
    let_go, real = threading.Event(), os.fsync

    def hanging(fd: int) -> None:
        let_go.wait(20)
        real(fd)

    monkeypatch.setattr(os, "fsync", hanging)
    started = time.monotonic()
    with pytest.raises(StoreReadOnly, match=r"no answer within 0\.3 s"):
        put(store, b"x")
    assert time.monotonic() - started < 5
    with pytest.raises(StoreReadOnly):
        store.writer()
    with pytest.raises(StoreReadOnly):
        Journal(backend).append("a/b", 1, None, b"")
    assert whole(store, before) == b"stored before"
    let_go.set()
    monkeypatch.undo()
    # Nobody touches what the call may still be using: the next start clears it.
    assert len(leftovers(backend)) == 1
    backend.close()


def test_a_write_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_backend, _ = new_store(tmp_path)
    store_backend.close()
    backend = SparseBackend(tmp_path, fsync_seconds_max=0.2)
    store = BlobStore.open(backend)
    let_go, real = threading.Event(), os.write

    def hanging(fd: int, data: memoryview) -> int:
        if threading.current_thread().name == "cas-pipeline":
            let_go.wait(20)
        return real(fd, data)

    monkeypatch.setattr(os, "write", hanging)
    with pytest.raises(StoreReadOnly, match="no answer"):
        put(store, noise(30 * MIB))
    let_go.set()
    assert store.read_only_reason is not None
    backend.close()


# -- file systems without O_DIRECT


def test_where_o_direct_is_refused_at_once(local_store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.fcntl

    def refusing(fd: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fd, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", refusing)
    data = noise(21 * MIB + 5)
    assert whole(local_store, put(local_store, data)) == data


@pytest.mark.parametrize("part", [0, 4 * KIB])
def test_where_o_direct_is_refused_at_the_first_write(
    local_store: BlobStore, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    real, written = os.write, [False]

    def refusing(fd: int, data: memoryview) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            if part and not written[0]:
                written[0] = True
                return real(fd, data[:part])
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fd, data)

    monkeypatch.setattr(os, "write", refusing)
    data = noise(21 * MIB + 5)
    assert whole(local_store, put(local_store, data)) == data


def test_every_fault_is_an_error_of_cas() -> None:
    assert issubclass(StoreFull, CasError)
    assert issubclass(StoreReadOnly, CasError)
    assert issubclass(StoreFailed, CasError)
