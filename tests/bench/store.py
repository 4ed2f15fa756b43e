"""The store alone against a plain copy: `python -m tests.bench.store FOLDER [--gib 2] [--rounds 3] [--small 500]`.

Each round does all of it on the same bytes, one after the other, so that ratios within a round mean something on a
noisy machine. Seconds, and the ratio to `cp` with fsync of the same round.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from blake3 import blake3

from cas.blob import Blob
from cas.store import BlobStore
from tests.shared.stores import new_store

MIB: Final = 1 << 20


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(MIB):
            yield block


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", source, target], check=True)
    subprocess.run(["sync", target], check=True)


def put(store: BlobStore, source: Path) -> Blob:
    return store.place(store.stage(blocks(source)))


def put_pack(store: BlobStore, contents: list[bytes]) -> tuple[Blob, ...]:
    with store.pack() as writer:
        for data in contents:
            writer.add(data)
        return store.place_pack(writer.finish())


def read(store: BlobStore, blob: Blob) -> None:
    with store.read(blob) as reader:
        for _ in reader.chunks():
            pass


def read_all(store: BlobStore, blobs: list[Blob]) -> None:
    for blob in blobs:
        read(store, blob)


def read_ranges(store: BlobStore, blob: Blob) -> None:
    """The whole as ranges of 8 MiB."""
    with store.read(blob) as reader:
        for offset in range(0, blob.size_bytes, 8 * MIB):
            for _ in reader.range(offset, min(8 * MIB, blob.size_bytes - offset)):
                pass


def one_round(folder: Path, source: Path, small: list[Path]) -> dict[str, float]:
    root = folder / "store"
    root.mkdir()
    backend, store = new_store(root)
    with closing(backend):
        blobs: list[Blob] = []
        packed: list[Blob] = []
        held = [path.read_bytes() for path in small]
        figures = {
            "cp + fsync": timed(lambda: copy(source, folder / "copy")),
            "stage + place": timed(lambda: blobs.append(put(store, source))),
            "read whole, cold": timed(lambda: read(store, blobs[0])),
            "read whole, warm": timed(lambda: read(store, blobs[0])),
            "read as ranges": timed(lambda: read_ranges(store, blobs[0])),
            "check, cold": timed(lambda: store.check(blobs[0])),
            "small, one by one": timed(lambda: [put(store, path) for path in small]),
            "small, BLAKE3 alone": timed(lambda: [blake3(data).digest() for data in held]),
            "small, one pack": timed(lambda: packed.extend(put_pack(store, held))),
            "small, read from the pack": timed(lambda: read_all(store, packed)),
            "small, check_pack": timed(lambda: store.check_pack(next(store.packs())[0])),
        }
    (folder / "copy").unlink()
    shutil.rmtree(root)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an existing folder on the disk to measure")
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", type=int, default=500, help="how many files of 10 KiB")
    arguments = parser.parse_args()
    folder: Path = arguments.folder / "bench"
    folder.mkdir()
    try:
        source = folder / "source"
        with source.open("wb") as file:
            for _ in range(int(arguments.gib * 64)):
                file.write(os.urandom(16 * MIB))
        small = [folder / f"small {number}" for number in range(arguments.small)]
        for path in small:
            path.write_bytes(random.randbytes(10 << 10))
        subprocess.run(["sync"], check=True)
        rounds = [one_round(folder, source, small) for _ in range(arguments.rounds)]
    finally:
        shutil.rmtree(folder)
    for name in rounds[0]:
        seconds = [figures[name] for figures in rounds]
        ratios = [figures[name] / figures["cp + fsync"] for figures in rounds]
        print(
            f"{name:24} {statistics.median(seconds):7.2f} s   x {statistics.median(ratios):5.2f}"
            f"   ({', '.join(f'{value:.2f}' for value in seconds)})"
        )


if __name__ == "__main__":
    main()
