"""Memory is bounded whatever the size: writing, reading, ranges and checking, on every way a blob may go."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.stores import new_store

GROWTH_BYTES_MAX = 32 << 20
SMALL_MIB = 24
LARGE_MIB = 400

SCRIPT = """
import os, pathlib, sys
from cas.store import BlobStore
from tests.shared.stores import SparseBackend

MIB = 1 << 20
store = BlobStore.open(SparseBackend(pathlib.Path(sys.argv[1])))
noise = [os.urandom(MIB) for _ in range(4)]
prose = [b"%d what compresses " % number * (MIB // 20) for number in range(4)]

def blocks(kind, count):
    for number in range(count):
        yield prose[number % 4] if kind == "prose" or kind == "mixed" and number == 0 else noise[number % 4]

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024

def use_pack(mib):
    with store.pack() as writer:
        for number in range(mib):
            data = bytearray(noise[number % 4])
            data[:8] = number.to_bytes(8, "big")
            writer.add(data)
        blobs = store.place_pack(writer.finish())
    for blob in blobs:
        with store.read(blob) as reader:
            for _ in reader.chunks():
                pass
    assert store.check_pack(writer.pack_id) == blobs

def use(kind, mib):
    if kind == "pack":
        return use_pack(mib)
    blob = store.place(store.stage(blocks(kind, mib)))
    with store.read(blob) as reader:
        for _ in reader.chunks():
            pass
        for _ in reader.range(1, blob.size_bytes - 2):
            pass
    store.check(blob)

use(sys.argv[2], int(sys.argv[3]))
before = peak()
use(sys.argv[2], int(sys.argv[4]))
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["noise", "prose", "mixed", "pack"])
def test_a_large_blob_or_pack_takes_no_more_memory_than_a_small_one(tmp_path: Path, kind: str) -> None:
    new_store(tmp_path)[0].close()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), kind, str(SMALL_MIB), str(LARGE_MIB)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < GROWTH_BYTES_MAX
