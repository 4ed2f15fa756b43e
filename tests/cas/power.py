"""`PowerCut`: a mounted forgetful file system, and the switch. Also backends with few shards, or without a sync."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from blake3 import blake3

from cas.local import LocalBackend
from tests.cas.lossyfs import CRASH, REVIVE, WIPE

MOUNT_SECONDS_MAX: Final = 20
_SHARDS: Final = ("blobs/00/", "blobs/af/")  # af13… is the empty blob


class PowerCut:
    """The file system of `tests.cas.lossyfs` at `root`, served by a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.cas.lossyfs", str(root)], stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + MOUNT_SECONDS_MAX
        while not root.is_mount():
            assert self._server.poll() is None, "the FUSE server ended"
            assert time.monotonic() < end, "the FUSE server did not mount"
            time.sleep(0.02)

    def crash(self, seed: int = 0) -> None:
        """Cut the power: everything fails from now on, and what was not synced is gone (seed 0) or in disorder."""
        os.setxattr(self.root, CRASH, b"%d" % seed)

    def revive(self) -> None:
        """Switch on again, with what was left."""
        os.setxattr(self.root, REVIVE, b"")

    def wipe(self) -> None:
        """Begin with an empty file system."""
        os.setxattr(self.root, WIPE, b"")

    def stop(self) -> None:
        """Unmount, also where a failed test left something open."""
        subprocess.run(["fusermount3", "-u", "-z", self.root], check=True)
        self._server.terminate()
        self._server.wait(MOUNT_SECONDS_MAX)


class FewShards(LocalBackend):
    """The local backend, and a store of 512 shards: FUSE makes 65,536 folders too slowly. Nothing else differs."""

    def prepare(self, folders: Iterable[str]) -> None:
        super().prepare(folder for folder in folders if not folder.startswith("blobs/") or folder.startswith(_SHARDS))


def content(size_bytes: int, seed: int, compressible: bool = False) -> bytes:
    """Bytes whose blob lies in one of those shards."""
    dice = random.Random(seed)
    fill = b"what compresses " * (size_bytes // 16) if compressible else dice.randbytes(size_bytes)
    start = blake3(fill)
    while True:
        end = dice.randbytes(8)
        if start.copy().update(end).digest()[0] == 0:
            return fill + end


class SyncLog:
    """Which syncs a backend did: `file 0`, `file 1`, … in order, and folders by name."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._files = 0

    def file(self) -> str:
        self.targets.append(f"file {self._files}")
        self._files += 1
        return self.targets[-1]

    def folder(self, folder: str) -> str:
        self.targets.append(folder)
        return folder


class MutantBackend(FewShards):
    """Does all but the syncs that `is_left_out` names, once `arm` was called."""

    def __init__(self, root: Path, is_left_out: Callable[[str], bool] = lambda target: False) -> None:
        self.log = SyncLog()
        self._is_left_out = is_left_out
        self._is_armed = False
        super().__init__(root)

    def arm(self) -> None:
        self.log = SyncLog()
        self._is_armed = True

    def _sync_file(self, fd: int, name: str) -> None:
        target = self.log.file()
        if not self._is_armed or not self._is_left_out(target):
            super()._sync_file(fd, name)

    def _sync_folder(self, fd: int, folder: str) -> None:
        target = self.log.folder(folder)
        if not self._is_armed or not self._is_left_out(target):
            super()._sync_folder(fd, folder)
