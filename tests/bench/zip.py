"""An export's zip beside copyparty's zip of the same files, in the same run: `python -m tests.bench.zip`.

Both are fetched by curl and dropped; server, database and curl share the machine, and each side has its turn, first
one, then the other. Two selections: 20,000 files of 10 KiB, and a mix of 2 GB as people have it (photos, videos,
documents). Printed are the ratio copyparty/ours of the seconds by the clock, pair by pair (more than 1 means that ours
is faster), the processor seconds of each server per zip, and the peaks of their memory while zips were all they made.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.peers import Ours, copyparty, small_source
from tests.bench.run import random_file, running_with_database, timed, zip_url
from tests.bench.where import cpu_seconds
from tests.shared.portal import session_of
from tests.shared.service import memory_peak_bytes

PHOTOS: Final = 1_500
DOCUMENTS: Final = 450
VIDEOS: Final = 7
VIDEO_BYTES: Final = 100 << 20
_SEED: Final = 4
_WORDS: Final = ("invoice", "summer", "harbour", "the", "of", "and", "agreement", "storage", "letter", "2023", "number")


@dataclass(frozen=True)
class Zip:
    """Where a zip is fetched."""

    url: str
    cookie: str = ""

    def fetch(self) -> None:
        """By curl, which drops it."""
        command = ["curl", "-sS", "--fail", "-o", "/dev/null", "-H", f"Cookie: {self.cookie}", self.url]
        subprocess.run(command, check=True)


@dataclass
class Spent:
    """What a side's zips took, zip by zip: seconds by the clock, processor seconds of the server and its database."""

    clock: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Side:
    """A side's zips, and the processes that make them."""

    name: str
    zips: Mapping[str, Zip]
    server_pid: int
    database_pid: int | None = None

    def measure(self, what: str, spent: Spent) -> None:
        server, database = self._used()
        spent.clock.append(timed(self.zips[what].fetch))
        server_after, database_after = self._used()
        spent.server.append(server_after - server)
        spent.database.append(database_after - database)

    def _used(self) -> tuple[float, float]:
        return cpu_seconds(self.server_pid), cpu_seconds(self.database_pid) if self.database_pid else 0.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.zip", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full sizes, for a quick look")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="otb-zip-") as folder:
        source = Path(folder) / "source"
        selections = {"small": small_source(source, args.scale), "mix": mixed_source(source / "mix", args.scale)}
        with sides(Path(folder), selections) as both:
            spent = {side.name: {what: Spent() for what in selections} for side in both}
            for what in selections:
                for number in range(-1, args.rounds):
                    for side in both if number % 2 else both[::-1]:
                        # The first pair finds cold caches and is not counted.
                        side.measure(what, spent[side.name][what] if number >= 0 else Spent())
            peaks = {side.name: memory_peak_bytes(side.server_pid) for side in both}
    for what in selections:
        _report(what, spent["ours"][what], spent["copyparty"][what])
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f}")
    for name, size_bytes in peaks.items():
        print(f"peak memory of the server, {name}: {size_bytes >> 20} MiB")
    return 0


def mixed_source(folder: Path, scale: float = 1.0) -> Path:
    """About 2 GB: photos of 0.2 to 1.6 MB, a few videos, and documents, most of all letters, which compress."""
    sizes = random.Random(_SEED)
    for number in range(int(PHOTOS * scale)):
        random_file(folder / f"photos/{number // 200}/{number}.jpg", sizes.randrange(200_000, 1_600_000))
    for number in range(int(DOCUMENTS * scale)):
        path = folder / f"documents/{number // 100}/{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(sizes.choices(_WORDS, k=sizes.randrange(200, 40_000))))
    for number in range(VIDEOS):
        random_file(folder / f"videos/{number}.mp4", int(VIDEO_BYTES * scale))
    return folder


@contextmanager
def sides(folder: Path, selections: dict[str, Path]) -> Iterator[tuple[Side, Side]]:
    """Our server, to which the files were backed up, and copyparty, which serves them where they lie."""
    with ExitStack() as stack:
        service, mariadb = stack.enter_context(running_with_database(folder))
        backup = Ours(service, folder)
        zips: dict[str, Zip] = {}
        for what, source in selections.items():
            with backup.beginning() as (client, device):
                backup.upload(source)
                cookies, _ = session_of(client)
                cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
                zips[what] = Zip(service.url + zip_url(client, device, ""), cookie)
        service.restart()  # what the backup left in its memory is not the zips'
        home = folder / "copyparty"
        home.mkdir()
        served = stack.enter_context(copyparty(home, folder / "source", "r"))
        others = {what: Zip(f"{served.url}{source.name}/?zip") for what, source in selections.items()}
        yield (
            Side("ours", zips, service.pid, mariadb.child.pid),
            Side("copyparty", others, served.pid),
        )


def _report(what: str, ours: Spent, peer: Spent) -> None:
    ratios = sorted(theirs / own for own, theirs in zip(ours.clock, peer.clock, strict=True))
    print(f"\n{what}: ratio copyparty / ours by the clock {_three(ratios)} (more than 1: ours is faster)")
    for name, spent in (("ours", ours), ("copyparty", peer)):
        print(
            f"  {name:<10} {statistics.median(spent.clock):6.2f} s by the clock, processor seconds: server"
            f" {statistics.median(spent.server):.2f}, database {statistics.median(spent.database):.2f}"
        )


def _three(ratios: Sequence[float]) -> str:
    return f"min {ratios[0]:.2f}, median {statistics.median(ratios):.2f}, max {ratios[-1]:.2f}"


if __name__ == "__main__":
    sys.exit(main())
