"""The baselines: the same bytes copied, read or hashed by plain means, durable where the service is durable."""

import os
from collections.abc import Sequence
from pathlib import Path

from blake3 import blake3

STEP_BYTES = 1 << 20


def copy_with_fsync(files: Sequence[Path], target: Path) -> None:
    """Copy each file and fsync it, then the folder: what a careful `cp` would do."""
    target.mkdir(parents=True)
    for number, source in enumerate(files):
        with source.open("rb") as reader, (target / str(number)).open("xb") as writer:
            while part := reader.read(STEP_BYTES):
                writer.write(part)
            writer.flush()
            os.fsync(writer.fileno())
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def read_all(files: Sequence[Path]) -> None:
    """Read every byte."""
    buffer = bytearray(STEP_BYTES)
    for file in files:
        with file.open("rb", buffering=0) as reader:
            while reader.readinto(buffer):
                pass


def hash_all(files: Sequence[Path]) -> None:
    """BLAKE3 of every file, on one thread."""
    for file in files:
        hasher = blake3()
        hasher.update_mmap(file) if file.stat().st_size else hasher.update(b"")
