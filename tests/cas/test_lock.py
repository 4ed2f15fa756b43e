"""The store lock, between processes: many writers, or one that is alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from cas.errors import StoreNotReady
from cas.lock import StoreLock
from cas.store import BlobStore

SCRIPT = """
import sys, pathlib
from cas.lock import StoreLock
lock = StoreLock(pathlib.Path(sys.argv[1]))
if sys.argv[2] == "try":
    print("alone" if lock.try_alone() else "not alone", flush=True)
else:
    print("alone" if lock.share(lambda: print("clearing", flush=True)) else "shared", flush=True)
sys.stdin.read()
"""


class Other:
    """Another process that takes the lock and keeps it until it ends."""

    def __init__(self, root: Path, how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(root), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> "Other":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def test_the_first_is_alone_once_and_others_share(tmp_path: Path) -> None:
    calls: list[str] = []
    with StoreLock(tmp_path) as lock:
        assert lock.share(lambda: calls.append("cleared")) is True
        assert calls == ["cleared"]
        with Other(tmp_path, "share") as other:
            assert other.said == "shared"
        with Other(tmp_path, "try") as other:
            assert other.said == "not alone"
    with Other(tmp_path, "share") as other:
        assert other.said == "clearing"


def test_nobody_clears_while_another_writes(tmp_path: Path) -> None:
    with Other(tmp_path, "share"), StoreLock(tmp_path) as lock:
        assert lock.share(lambda: pytest.fail("cleared beside a writer")) is False


def test_a_killed_process_frees_the_lock(tmp_path: Path) -> None:
    with Other(tmp_path, "share") as other, StoreLock(tmp_path) as lock:
        assert lock.try_alone() is False
        other.kill()
        assert lock.try_alone() is True


def test_a_failure_while_alone_gives_the_lock_back(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), StoreLock(tmp_path) as lock:
        lock.share(fail)
    with StoreLock(tmp_path) as lock:
        assert lock.try_alone() is True
        lock.release()
        lock.release()


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreNotReady, match="nothing-here"):
        StoreLock(tmp_path / "nothing-here")


def test_leftovers_of_a_killed_writer_are_cleared_at_the_next_start(tmp_path: Path, local_store: BlobStore) -> None:
    script = """
import sys, os, signal, pathlib
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
lock = StoreLock(pathlib.Path(sys.argv[1]))
lock.share(lambda: None)
writer = BlobStore.open(LocalBackend(pathlib.Path(sys.argv[1]))).writer()
writer.write(os.urandom(20 << 20))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(list((tmp_path / "incoming").iterdir())) == 1
    with StoreLock(tmp_path) as lock:
        assert lock.share(local_store.clear_incoming) is True
        assert list((tmp_path / "incoming").iterdir()) == []
