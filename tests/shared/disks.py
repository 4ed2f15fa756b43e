"""File systems of a test's own, gone in a moment at the end: on a disk image, or in memory. Both need root to mount."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

IMAGE_BYTES: Final = 24 << 30
"""Sparse: only what is written takes room."""


@contextmanager
def own_disk(folder: Path) -> Iterator[Path]:
    """An empty ext4, mounted at `folder/disk`; unmounted and deleted at the end."""
    image, mounted = folder / "disk.img", folder / "disk"
    mounted.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    _run("mount", "-o", "loop", str(image), str(mounted))
    try:
        yield mounted
    finally:
        _run("umount", "--lazy", str(mounted))
        image.unlink()


@contextmanager
def own_memory(folder: Path) -> Iterator[Path]:
    """An empty tmpfs, mounted at the new `folder`. To delete the 65,792 folders of a store would take a second."""
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "otb-test", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))
        folder.rmdir()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
