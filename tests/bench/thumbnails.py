"""Thumbnails beside libvips: `python -m tests.bench.thumbnails`.

Photos of 12 megapixels are uploaded, and a real worker makes their thumbnails, from the queue to the committed row; in
turn with that, `vipsthumbnail` makes the same (320 pixels, WebP) of the same files, one process for each processor.
What is printed is our rate as a share of its rate, by the clock and by the processor's seconds, which other programs on
the machine hardly change. Then single photos: from the beginning of the upload until the thumbnail can be fetched.
"""

import argparse
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import numpy as np
from PIL import Image

from catalog.recipes import PREVIEW, THUMBNAIL
from tests.bench.run import running_with_database
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.shared.sql import execute, fetched
from tests.shared.workers import WorkerProcess, rendition, until
from tests.web.device import Device, stored
from tools.run.mariadb import PrivateMariaDB
from tools.worker.making.pictures import THUMBNAIL_EDGE

PHOTOS: Final = 1_000
SINGLE_PHOTOS: Final = 10
SIZE: Final = (4_000, 3_000)
_SCENES: Final = 4
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_READY: Final = "is ready"
_SECONDS_MAX: Final = 1_800
_LOOK_SECONDS: Final = 0.5
"""Each look costs MariaDB a connection, which counts as ours."""


@dataclass(frozen=True)
class Taken:
    """What one round took: by the clock, and of the processors, in seconds."""

    clock: float
    processor: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.thumbnails", description=__doc__)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--rounds", type=int, default=2, help="the photos are divided among them")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="otb-bench-") as name:
        folder = Path(name)
        with running_with_database(folder) as (service, mariadb), sign_in(service.url, service.settings) as client:
            device, camera = Device.make(client, "camera"), photos()
            rounds = [
                _round(service, mariadb, device, folder / f"round-{number}", camera, args.photos // args.rounds)
                for number in range(args.rounds)
            ]
            singles = _singles(service, client, device, folder, camera)
    ours, theirs = ([one[side] for one in rounds] for side in (0, 1))
    print(f"thumbnails of {args.photos:,} photos of 12 megapixels; load {os.getloadavg()[0]:.1f}")
    for what in ("clock", "processor"):
        mine, vips = (sum(getattr(one, what) for one in some) for some in (ours, theirs))
        ratios = " ".join(f"{getattr(b, what) / getattr(a, what):.2f}" for a, b in rounds)
        print(f"{what:<10} {vips / mine:6.2f} of vipsthumbnail's rate ({mine:.1f} s / {vips:.1f} s; rounds {ratios})")
    print(f"upload to visible, one photo: median {statistics.median(singles):.2f} s, most {max(singles):.2f} s")
    return 0


def photos() -> Iterator[bytes]:
    """Photos without end, no two alike: some scenes with detail of every size and a sensor's noise, and a number as
    comment."""
    scenes = [_scene(number) for number in range(_SCENES)]
    number = 0
    while True:
        text = f"photo {number}".encode()
        scene = scenes[number % _SCENES]
        yield scene[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + scene[2:]
        number += 1


def _scene(seed: int) -> bytes:
    width, height = SIZE
    chance = np.random.default_rng(seed)
    pixels = chance.normal(120, 3, (height, width, 1)).astype(np.float32).repeat(3, axis=2)
    for cells, strength in ((4, 90), (16, 40), (64, 25), (256, 14), (1_024, 8)):
        coarse = chance.normal(0, strength, (cells * 3 // 4, cells, 3)).astype(np.float32)
        for channel in range(3):
            plane = Image.fromarray(np.ascontiguousarray(coarse[:, :, channel]))
            pixels[:, :, channel] += np.asarray(plane.resize(SIZE, Image.Resampling.BICUBIC))
    data = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=92)
    return data.getvalue()


def _round(
    service: Service, mariadb: PrivateMariaDB, device: Device, folder: Path, camera: Iterator[bytes], count: int
) -> tuple[Taken, Taken]:
    """(ours, vipsthumbnail's)."""
    folder.mkdir()
    files = [folder / f"{number}.jpg" for number in range(count)]
    for file in files:
        file.write_bytes(next(camera))
        stored(device, f"{folder.name}/{file.name}", file.read_bytes())
    theirs = _by_vips(files, folder)
    ours = _by_workers(service, mariadb, folder, count)
    for file in files:
        file.unlink()
    return ours, theirs


def _by_vips(files: Sequence[Path], folder: Path) -> Taken:
    processors = os.cpu_count() or 1
    output = f"{folder}/vips-%s.webp[Q=80]"
    command = ["vipsthumbnail", "--size", f"{THUMBNAIL_EDGE}x{THUMBNAIL_EDGE}", "-o", output]
    used, began = _used_by_children(), time.perf_counter()
    running = [
        subprocess.Popen([*command, *map(str, files[first::processors])], env=os.environ | {"VIPS_CONCURRENCY": "1"})
        for first in range(processors)
    ]
    codes = [process.wait() for process in running]
    assert not any(codes), codes
    taken = Taken(time.perf_counter() - began, _used_by_children() - used)
    made = list(folder.glob("vips-*.webp"))
    assert len(made) == len(files), len(made)
    for file in made:
        file.unlink()
    return taken


def _by_workers(service: Service, mariadb: PrivateMariaDB, folder: Path, count: int) -> Taken:
    """One worker with a slot for each processor, from its readiness until all rows are committed; what MariaDB used
    counts."""
    execute(service.settings, "DELETE FROM job WHERE recipe = %s", (PREVIEW.name,))
    before, mariadb_id = _made(service), mariadb.child.pid
    worker = WorkerProcess(service.given, folder, WORKER_SLOTS=str(os.cpu_count() or 1)).start()
    try:
        until(lambda: _READY in worker.log(), "the worker")
        used, began = _used(worker.pid) + _used(mariadb_id), time.perf_counter()
        while _made(service) < before + count:
            assert time.perf_counter() - began < _SECONDS_MAX
            time.sleep(_LOOK_SECONDS)
        return Taken(time.perf_counter() - began, _used(worker.pid) + _used(mariadb_id) - used)
    finally:
        worker.stop()


def _made(service: Service) -> int:
    ((count,),) = fetched(service.settings, "SELECT COUNT(*) FROM rendition WHERE recipe = %s", (THUMBNAIL.name,))
    return int(count)


def _singles(
    service: Service, client: httpx2.Client, device: Device, folder: Path, camera: Iterator[bytes]
) -> list[float]:
    """Seconds from the beginning of the upload until the thumbnail is there, nothing else being done."""
    execute(service.settings, "DELETE FROM job WHERE recipe = %s", (PREVIEW.name,))
    worker = WorkerProcess(service.given, folder).start()
    seconds = []
    try:
        until(lambda: _READY in worker.log(), "the worker")
        for number in range(SINGLE_PHOTOS):
            photo = next(camera)
            began = time.perf_counter()
            answer = rendition(client, stored(device, f"single/{number}.jpg", photo))
            seconds.append(time.perf_counter() - began)
            assert answer.status_code == 200, answer.text
    finally:
        worker.stop()
    return seconds


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used(process: int) -> float:
    """Processor seconds of a process and its children, of those that have ended as well (proc_pid_stat(5))."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / _TICKS
    children = Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()
    return own + sum(_used(int(child)) for child in children)


if __name__ == "__main__":
    sys.exit(main())
