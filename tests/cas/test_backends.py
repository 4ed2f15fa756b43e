"""Both backends keep the contract."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cas.backend import Backend
from cas.errors import StoreNotReady
from cas.local import LocalBackend
from cas.memory import MemoryBackend
from tests.shared.backend_suite import BackendSuite, get, put


class TestMemoryBackend(BackendSuite):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        backend = MemoryBackend()
        backend.prepare(["box", "other"])
        return backend


class TestLocalBackend(BackendSuite):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[LocalBackend]:
        backend = LocalBackend(tmp_path)
        backend.prepare(["box", "other"])
        yield backend
        backend.close()

    def test_modes(self, backend: LocalBackend) -> None:
        writer = backend.create()
        path = backend.root / "incoming" / writer.name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        writer.seal()
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        backend.publish({writer.name: "box/a"})
        assert stat.S_IMODE((backend.root / "box/a").stat().st_mode) == 0o400
        assert stat.S_IMODE((backend.root / "box").stat().st_mode) == 0o700

    def test_a_large_file_has_no_holes(self, backend: LocalBackend) -> None:
        put(backend, "box/a", os.urandom(20 << 20))
        found = (backend.root / "box/a").stat()
        assert found.st_blocks * 512 >= found.st_size

    def test_no_descriptor_and_no_thread_is_left_behind(self, backend: LocalBackend) -> None:
        def resources() -> tuple[int, int]:
            return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))

        put(backend, "box/a", bytes(20 << 20))
        time.sleep(0.1)
        before = resources()
        for _ in range(5):
            put(backend, "box/a", bytes(20 << 20))
            get(backend, "box/a")
            writer = backend.create()
            writer.write(bytes(20 << 20))
            writer.discard()
        deadline = time.monotonic() + 5
        while resources() != before and time.monotonic() < deadline:
            time.sleep(0.01)  # a thread ends a moment after its work
        assert resources() == before

    def test_a_symlink_is_not_followed(self, backend: LocalBackend, tmp_path_factory: pytest.TempPathFactory) -> None:
        secret = tmp_path_factory.mktemp("elsewhere") / "secret"
        secret.write_bytes(b"secret")
        (backend.root / "box/link").symlink_to(secret)
        with pytest.raises(Exception, match="box/link"):
            backend.open("box/link")
        assert list(backend.list("")) == []

    def test_another_process_honours_the_note_and_a_new_one_finds_it(self, backend: LocalBackend) -> None:
        other = LocalBackend(backend.root)
        backend.turn_read_only("the disk is on fire")
        assert (backend.root / "READ_ONLY").read_text() == "the disk is on fire\n"
        assert other.read_only_reason == "the disk is on fire"
        other.allow_writes()
        assert other.read_only_reason is None
        # The process that met the failure trusts its medium no more until it is started again.
        assert backend.read_only_reason == "the disk is on fire"
        other.close()

    def test_a_missing_root_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreNotReady, match="nothing-here"):
            LocalBackend(tmp_path / "nothing-here")

    def test_another_process_sees_what_was_published(self, backend: Backend, tmp_path: Path) -> None:
        put(backend, "box/a", b"shared")
        script = "import sys, pathlib; sys.stdout.write(pathlib.Path(sys.argv[1]).read_text())"
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "box/a")], capture_output=True, text=True, check=True
        )
        assert done.stdout == "shared"
