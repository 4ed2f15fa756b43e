"""tools/store as an operator meets it: one command a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore


@pytest.fixture(scope="module")
def store_root(quick_folder: Path) -> Path:
    """A real store, with all of its folders."""
    root = quick_folder / "tools-store"
    done = run(root, "init")
    assert (done.returncode, done.stderr) == (0, "")
    return root


def run(
    root: Path, *arguments: str, program: tuple[str, ...] = ("-m", "tools.store")
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *program, "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_init_makes_every_folder(store_root: Path) -> None:
    backend = LocalBackend(store_root)
    BlobStore.open(backend)
    backend.close()
    firsts = sorted(path.name for path in (store_root / "blobs").iterdir())
    assert firsts == [f"{value:02x}" for value in range(256)]
    assert all(len(list((store_root / "blobs" / first).iterdir())) == 256 for first in firsts)
    assert {"FORMAT", "incoming", "journal", "packs", "quarantine", "trash"} <= {p.name for p in store_root.iterdir()}
    assert store_root.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("program", [("-m", "tools.store"), ("tools/store",)])
def test_status(store_root: Path, program: tuple[str, ...]) -> None:
    done = run(store_root, "status", program=program)
    assert done.returncode == 0
    assert "writable   yes" in done.stdout
    (store_root / "READ_ONLY").write_text("the disk is on fire\n")
    done = run(store_root, "status", program=program)
    assert done.returncode == 1
    assert "writable   no: the disk is on fire" in done.stdout
    assert run(store_root, "writable").returncode == 0
    assert run(store_root, "status").returncode == 0


def test_a_store_is_never_made_anew(store_root: Path) -> None:
    before = (store_root / "FORMAT").read_bytes()
    done = run(store_root, "init")
    assert (done.returncode, "already" in done.stderr) == (2, True)
    assert (store_root / "FORMAT").read_bytes() == before


def test_nothing_is_made_beside_a_running_process(tmp_path: Path) -> None:
    with StoreLock(tmp_path) as lock:
        assert lock.try_alone()
        done = run(tmp_path, "init")
    assert (done.returncode, "another process" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_an_unmounted_disk_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    done = run(tmp_path / "tank" / "otb-cloud", "init")
    assert (done.returncode, "parent folder must exist" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
    for command in ("status", "writable"):
        done = run(tmp_path, command)
        assert (done.returncode, "FORMAT is missing" in done.stderr) == (2, True)


def test_the_root_is_a_setting(store_root: Path, tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name != "STORAGE_ROOT"}
    done = subprocess.run(
        [sys.executable, "-m", "tools.store", "status"],
        env=bare | {"OTB_CLOUD_SETTINGS": str(tmp_path / "nothing")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "OTB_CLOUD_SETTINGS" in done.stderr) == (2, True)
