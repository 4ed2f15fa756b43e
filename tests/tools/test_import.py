"""tools/import on a real tree: every original is in the store, nothing in the tree is touched, and it may be killed."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, EntryKind, EntryPath
from tests.catalog.conftest import sign_in
from tests.shared.settings import GivenSettings
from tests.shared.trees import make_tree
from tools.importing import batch
from tools.importing.main import main
from tools.importing.source import Source, SourceFailed
from tools.importing.walk import walk
from tools.run.processes import python

T = TypeVar("T")

Facts = dict[bytes, tuple[str, bytes, int]]
"""By path: kind, bytes, mtime in nanoseconds."""

NOT_UTF8: Final = b"caf\xe9.txt"
LARGE: Final = b"films/large.bin"


@pytest.fixture(autouse=True)
def _surroundings(given: GivenSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings' name; and the handlers of signals as they were."""
    monkeypatch.setenv("OTB_CLOUD_SETTINGS", str(given.file))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def client(given: GivenSettings) -> str:
    """A customer who has signed in once."""
    name = f"client-{uuid.uuid4()}"
    in_catalog(given, lambda catalog, _: sign_in(catalog, name))
    return name


@pytest.fixture
def scaffold(tmp_path: Path, scale: Callable[[int, int], int]) -> Path:
    """What the scaffold keeps of a customer: two devices with all that a file system can hold."""
    laptop = make_tree(tmp_path / "scaffold" / "laptop" / "originals", scale(40, 4_000))
    (tmp_path / "scaffold" / "laptop" / "derived").mkdir()
    (tmp_path / "scaffold" / "laptop" / "derived" / "thumbnail.jpg").write_bytes(b"no original")
    (laptop / "films").mkdir()
    (laptop / os.fsdecode(LARGE)).write_bytes(random.Random(5).randbytes(2_500_000))
    (laptop / "copy of large.bin").write_bytes((laptop / os.fsdecode(LARGE)).read_bytes())
    (laptop / os.fsdecode(NOT_UTF8)).write_bytes(b"latin-1")
    (laptop / "link out").symlink_to("/etc/passwd")
    (laptop / "folder out").symlink_to("/etc")
    os.mkfifo(laptop / "pipe\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(laptop / "socket"))
    phone = tmp_path / "scaffold" / "old phone" / "originals"
    phone.mkdir(parents=True)
    (phone / "IMG_1.jpg").write_bytes((laptop / os.fsdecode(NOT_UTF8)).read_bytes())
    return tmp_path / "scaffold"


def in_catalog(given: GivenSettings, work: Callable[[Catalog, BlobStore], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        with closing(LocalBackend(given.settings.storage_root)) as backend:
            store = BlobStore.open(backend)
            catalog = await Catalog.open(given.settings, Journal(backend), store.store_id, connections_max=2)
            try:
                return await work(catalog, store)
            finally:
                await catalog.close()

    return asyncio.run(run())


async def scope_of(catalog: Catalog, client: str) -> TenantScope:
    return catalog.tenant(await catalog.system.tenant_by_client(client), Actor("system", "test"))


def stored(given: GivenSettings, client: str, device: str) -> Facts:
    """What a restore would bring back of a device's originals."""

    async def work(catalog: Catalog, store: BlobStore) -> Facts:
        scope = await scope_of(catalog, client)
        ids = {found.name: found.id for found in await scope.devices.all()}
        if device not in ids:
            return {}
        page = await scope.trees.page(ids[device], Area.ORIGINALS, EntryPath(()))
        facts: Facts = {}
        for entry in page.items:
            content = b""
            if entry.kind is EntryKind.FILE:
                blob = (await scope.entries.get(entry.id)).blob
                assert blob is not None
                with store.read(blob) as reader:
                    content = b"".join(reader.chunks())
            facts[entry.path] = (str(entry.kind), content, entry.mtime_ns)
        return facts

    return in_catalog(given, work)


def originals(top: Path) -> Facts:
    """The folders and files below a folder of the scaffold; nothing else is an original."""
    facts: Facts = {}
    for path in top.rglob("*"):
        status = path.lstat()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            continue
        kind = EntryKind.DIRECTORY if path.is_dir() else EntryKind.FILE
        content = b"" if path.is_dir() else path.read_bytes()
        facts[os.fsencode(path.relative_to(top))] = (str(kind), content, status.st_mtime_ns)
    return facts


def marks(top: Path) -> dict[Path, tuple[int, ...]]:
    """All that would show that something was changed: also of links and special files."""
    return {
        path: (s.st_mode, s.st_ino, s.st_nlink, s.st_uid, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for path in [top, *top.rglob("*")]
        for s in [path.lstat()]
    }


def manifests(given: GivenSettings, client: str) -> int:
    async def work(catalog: Catalog, _: BlobStore) -> int:
        scope = await scope_of(catalog, client)
        return sum([len((await scope.manifests.page(device.id)).items) for device in await scope.devices.all()])

    return in_catalog(given, work)


def test_every_original_comes_in_and_a_second_time_changes_nothing(
    given: GivenSettings, client: str, scaffold: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = marks(scaffold)
    arguments = [str(scaffold), client, "--device", "old phone=phone"]
    assert main([*arguments, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert stored(given, client, "laptop") == {}
    assert main(arguments) == 0
    assert capsys.readouterr().out == told.replace("would be imported", "imported")
    for line in (
        "link out: a symbolic link",
        "folder out: a symbolic link",
        "pipe\\n: a special file",
        "socket: a special",
    ):
        assert f"passed over: laptop/originals/{line}" in told
    laptop = stored(given, client, "laptop")
    assert laptop == originals(scaffold / "laptop" / "originals")
    assert {LARGE, NOT_UTF8} <= laptop.keys()
    assert stored(given, client, "phone") == originals(scaffold / "old phone" / "originals")
    count = manifests(given, client)
    assert main(arguments) == 0
    assert "0 files (0 bytes) and 0 folders imported" in capsys.readouterr().out
    assert manifests(given, client) == count
    assert marks(scaffold) == before


def test_what_the_device_has_stays(
    given: GivenSettings, client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    originals_ = tmp_path / "laptop" / "originals"
    (originals_ / "folder").mkdir(parents=True)
    (originals_ / "note.txt").write_bytes(b"one")
    (originals_ / "folder" / "inner.txt").write_bytes(b"inner")
    assert main([str(tmp_path), client]) == 0
    first = stored(given, client, "laptop")
    (originals_ / "note.txt").write_bytes(b"another")
    (originals_ / "folder" / "inner.txt").unlink()
    (originals_ / "folder").rmdir()
    (originals_ / "folder").write_bytes(b"a file now")
    (originals_ / "new.txt").write_bytes(b"new")
    capsys.readouterr()
    assert main([str(tmp_path), client]) == 1
    told = capsys.readouterr().out
    assert "left out: laptop/originals/note.txt: the device has another" in told
    assert "left out: laptop/originals/folder: the device has another" in told
    after = stored(given, client, "laptop")
    assert after.pop(b"new.txt")[1] == b"new"
    assert after == first


def test_a_folder_under_a_file_of_the_device_is_left_out(
    given: GivenSettings, client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    originals_ = tmp_path / "laptop" / "originals"
    originals_.mkdir(parents=True)
    (originals_ / "x").write_bytes(b"a file")
    assert main([str(tmp_path), client]) == 0
    (originals_ / "x").unlink()
    (originals_ / "x").mkdir()
    (originals_ / "x" / "inner").write_bytes(b"inner")
    (originals_ / "x-ray").write_bytes(b"beside")
    assert main([str(tmp_path), client]) == 1
    assert "x/inner: the device has something else where its folder" in capsys.readouterr().out
    assert {path: facts[1] for path, facts in stored(given, client, "laptop").items()} == {
        b"x": b"a file",
        b"x-ray": b"beside",
    }


# Ends like a power cut just before the given call of `publish`, which gives blobs and packs their names.
KILLED: Final = """
import os, signal, sys
from cas.local import LocalBackend
from tools.importing import batch
from tools.importing.main import main
from tools.importing.source import Source, SourceFailed
from tools.importing.walk import walk
left, publish = [int(sys.argv[1])], LocalBackend.publish
batch.CHANGES_MAX = 8
def counted(self, keys):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return publish(self, keys)
LocalBackend.publish = counted
sys.exit(main(sys.argv[2:]))
"""


def test_killed_in_the_middle_it_goes_on(
    given: GivenSettings, client: str, scaffold: Path, scale: Callable[[list[int], list[int]], list[int]]
) -> None:
    whole = originals(scaffold / "laptop" / "originals")
    for publications in scale([4], list(range(1, 40))):
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(publications), str(scaffold), client],
            env=given.environ, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        part = stored(given, client, "laptop")
        assert part.items() <= whole.items()
        assert len(part) < len(whole)
    assert part, "it was killed before its first commit"
    by_name = subprocess.run(python("tools.import", str(scaffold), client), env=given.environ, check=False, timeout=60)
    assert by_name.returncode == 0
    assert stored(given, client, "laptop") == whole


def test_told_to_end_it_commits_what_it_has(
    given: GivenSettings, client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals_ = tmp_path / "laptop" / "originals"
    originals_.mkdir(parents=True)
    for number in range(6):
        (originals_ / f"{number}").write_bytes(b"%d" % number)
    add_small = batch.Batch.add_small

    def interrupted(self: batch.Batch, path: EntryPath, data: bytes, mtime_ns: int) -> None:
        add_small(self, path, data, mtime_ns)
        if data == b"2":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(batch.Batch, "add_small", interrupted)
    assert main([str(tmp_path), client]) == 130
    assert sorted(stored(given, client, "laptop")) == [b"0", b"1", b"2"]
    assert main([str(tmp_path), client]) == 0
    assert len(stored(given, client, "laptop")) == 6


def test_what_cannot_be_done_is_said(
    given: GivenSettings, client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), client]) == 2
    assert "There is no DEVICE/originals/ below" in capsys.readouterr().err
    (tmp_path / "laptop" / "originals").mkdir(parents=True)
    assert main([str(tmp_path), "nobody"]) == 2
    assert "There is no such tenant." in capsys.readouterr().err
    assert main([str(tmp_path), client, "--device", "tablet=phone"]) == 2
    assert "There is no tablet/originals/" in capsys.readouterr().err


def test_a_file_that_changes_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"as it was")
    (found,) = walk(tmp_path)
    assert found.status is not None
    for change in (lambda: file.write_bytes(b"longer than it was"), lambda: file.write_bytes(b"shorter")):
        folder_fd = os.open(tmp_path, os.O_RDONLY)
        try:
            with (
                Source(replace(found, folder_fd=folder_fd), found.status, change) as source,
                pytest.raises(SourceFailed, match="changed while it was read"),
            ):
                source.read()
            file.unlink()
            file.symlink_to("/etc/passwd")
            with pytest.raises(SourceFailed, match="cannot be read"):
                Source(replace(found, folder_fd=folder_fd), found.status, change).__enter__()
        finally:
            os.close(folder_fd)
        file.unlink()
        file.write_bytes(b"as it was")
