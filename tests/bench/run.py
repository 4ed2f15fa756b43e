"""Upload, download, zip and verify, each beside a plain copy of the same bytes in the same run, in turn.

What is printed is the ratio time/baseline, pair by pair: minimum, median and maximum. Absolute times of a shared
machine say little; they are printed for orientation.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2

from tests.bench import plain
from tests.bench.client import Job
from tests.shared.portal import session_of, sign_in
from tests.shared.service import Service
from tests.shared.sites import new_site
from tools.run.mariadb import PrivateMariaDB
from tools.run.processes import python

LARGE_BYTES: Final = 2 << 30
SMALL_FILES: Final = 20_000
SMALL_BYTES: Final = 10 << 10
CONNECTIONS: Final = 4


@dataclass
class Figure:
    """One measured thing: pairs of (ours, baseline) in seconds."""

    name: str
    baseline: str
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def line(self) -> str:
        ratios = sorted(ours / base for ours, base in self.pairs)
        ours = statistics.median(pair[0] for pair in self.pairs)
        base = statistics.median(pair[1] for pair in self.pairs)
        spread = f"{ratios[0]:6.2f} {statistics.median(ratios):6.2f} {ratios[-1]:6.2f}"
        return f"{self.name:<34} {spread}   {ours:8.2f} s / {base:7.2f} s  {self.baseline}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full sizes, for a quick look")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="otb-bench-") as folder, running(Path(folder)) as service:
        figures, peak_bytes = measure(service, Path(folder), args.rounds, args.scale)
    print(f"\n{'ratio: ours / baseline':<34} {'min':>6} {'median':>6} {'max':>6}   medians")
    for figure in figures:
        print(figure.line())
    print(f"peak memory of the server {peak_bytes >> 20} MiB")
    return 0


@contextmanager
def running(folder: Path) -> Iterator[Service]:
    """The real server on a database and a store of its own below `folder`."""
    with running_with_database(folder) as (service, _):
        yield service


@contextmanager
def running_with_database(folder: Path) -> Iterator[tuple[Service, PrivateMariaDB]]:
    """The same, and its database."""
    mariadb = PrivateMariaDB(folder / "mariadb", folder / "mariadb.log")
    mariadb.start()
    given = new_site(folder, mariadb.socket, "otb_bench")
    service = Service(given, folder).start()
    try:
        yield service, mariadb
    finally:
        service.stop()
        mariadb.stop()


def measure(service: Service, folder: Path, rounds: int, scale: float) -> tuple[list[Figure], int]:
    figures = {
        "up large": Figure("upload, one 2 GiB file", "copy with fsync"),
        "up small": Figure("upload, 20,000 files of 10 KiB", "copy with fsync of each"),
        "down large": Figure("download, one 2 GiB file", "copy with fsync"),
        "zip large": Figure("zip of the 2 GiB file", "copy with fsync"),
        "zip small": Figure("zip of 20,000 files of 10 KiB", "copy with fsync of each"),
        "verify": Figure("verify, all of it", "BLAKE3 of the same files, one thread"),
    }
    with sign_in(service.url, service.settings) as client:
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            _round(service, client, folder / f"round-{number}", figures, number, scale)
    return list(figures.values()), service.memory_peak_bytes()


def _round(
    service: Service, client: httpx2.Client, folder: Path, figures: dict[str, Figure], number: int, scale: float
) -> None:
    made = client.post("/api/v1/devices", json={"name": f"round {number}", "kind": "other"})
    device = str(made.json()["id"])
    cookies, headers = session_of(client)
    headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    large = [random_file(folder / "large", int(LARGE_BYTES * scale))]
    small = [random_file(folder / f"small/{i}", SMALL_BYTES) for i in range(int(SMALL_FILES * scale))]
    job = Job("127.0.0.1", service.port, headers, device, "large", [str(p) for p in large], CONNECTIONS)
    small_job = Job("127.0.0.1", service.port, headers, device, "small", [str(p) for p in small], CONNECTIONS)
    for name, files, sent in (("large", large, job), ("small", small, small_job)):
        base = timed(lambda files=files, name=name: plain.copy_with_fsync(files, folder / f"copy-{name}"))  # type: ignore[misc]
        figures[f"up {name}"].pairs.append((client_time("upload", sent), base))
        url = zip_url(client, device, name)
        figures[f"zip {name}"].pairs.append((client_time("download", fetching(sent, url)), base))
        if name == "large":
            whole = f"/api/v1/devices/{device}/files/originals/large/0/0"
            figures["down large"].pairs.append((client_time("download", fetching(sent, whole)), base))
    ours = timed(lambda: verify(service))
    stored = [path for path in (service.settings.storage_root / "blobs").glob("*/*/*") if path.suffix != ".pieces"]
    figures["verify"].pairs.append((ours, timed(lambda: plain.hash_all(stored))))
    shutil.rmtree(folder)


def random_file(path: Path, size_bytes: int) -> Path:
    """A file of incompressible bytes, in the page cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path("/dev/urandom").open("rb") as source, path.open("xb") as file:
        left = size_bytes
        while left:
            left -= file.write(source.read(min(1 << 20, left)))
    return path


def zip_url(client: httpx2.Client, device: str, directory: str) -> str:
    made = client.post("/api/v1/exports", json={"device": device, "directory": directory, "name": directory})
    return str(made.json()["url"])


def fetching(job: Job, url: str) -> Job:
    return Job(job.host, job.port, job.headers, job.device, job.prefix, [], 1, url)


def client_time(what: str, job: Job) -> float:
    """Seconds the client took, its start included (about 0.1 s)."""
    command = [sys.executable, "-m", "tests.bench.client", what]
    return timed(lambda: subprocess.run(command, input=job.text(), text=True, check=True))


def verify(service: Service) -> None:
    subprocess.run(python("tools.verify"), env=service.given.environ, check=True, stdout=subprocess.DEVNULL)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
