"""`tools/verify` beside a parallel BLAKE3 of the same files, and beside `restic check --read-data` on the same data, in
the same run: `python -m tests.bench.verify`.

Two large files and 20,000 small ones, which lie in packs, are backed up once into each. Then each side has its turn in
every round and reads from the disk: what the page cache holds of its files is dropped before. `reading` is verify's own
figure for the blobs alone; `whole` is the program from its start to its end, with the listing of 65,536 folders, the
packs' indexes, the journal and the rows. Python's modules are compiled by a run that does not count, whatever the
environment says of writing that down. Printed are ratios of the rates, round by round: minimum, median, maximum.

Where the disk is slower than the processors, all sides wait for it alike; `--folder /dev/shm` compares what they cost.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.peers import Ours, large_source, small_source
from tests.bench.run import running, timed
from tests.shared.service import Service
from tools.run.processes import python

LARGE_FILES: Final = 2
GOALS: Final = {"BLAKE3": 0.9, "restic": 5.0}
"""Verify's rate in theirs, at least."""


class Turn(NamedTuple):
    """Seconds by the clock, and of the processors."""

    seconds: float
    processors: float


Turns = dict[str, Turn]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.verify", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full sizes, for a quick look")
    parser.add_argument("--folder", type=Path, help="where the files lie (default: the folder for temporary files)")
    args = parser.parse_args(argv)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="otb-verify-bench-", dir=args.folder)))
        service = stack.enter_context(running(folder))
        sources = [small_source(folder / "source", args.scale)]
        sources += [large_source(folder / f"source-{number}", args.scale) for number in range(LARGE_FILES)]
        ours, restic = Verify(service, folder, sources), Restic(folder / "restic", sources)
        subprocess.run(["sync"], check=True)
        rounds = []
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
            rounds.append(_round(ours, restic))
        size_bytes = sum(path.stat().st_size for path in ours.files)
    _report(rounds, size_bytes)
    return 0


class Verify:
    """A store with the data, and what reads it: the program, and `b3sum` of its files."""

    def __init__(self, service: Service, folder: Path, sources: Sequence[Path]) -> None:
        self._file = folder / "report.json"
        client = Ours(service, folder)
        client.begin()
        for source in sources:
            client.upload(source)
        root = service.settings.storage_root
        blobs = [path for path in (root / "blobs").glob("*/*/*") if path.suffix != ".pieces"]
        self.files = [*blobs, *(path for path in (root / "packs").rglob("*") if path.is_file())]
        self._environ = dict(service.given.environ) | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        self._environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self._run("--help")

    def reading(self) -> float:
        """Seconds that it read the blobs, by its own report."""
        self._run("--since", "1d", "--report", str(self._file))
        return float(json.loads(self._file.read_text("utf-8"))["seconds"])

    def whole(self) -> float:
        """Seconds of a run over everything."""
        return timed(lambda: self._run("--fresh"))

    def blake3(self) -> float:
        """Seconds of `b3sum`, on all processors."""
        return timed(lambda: subprocess.run(["b3sum", *self.files], check=True, stdout=subprocess.DEVNULL))

    def _run(self, *options: str) -> None:
        command = python("tools.verify", *options)
        subprocess.run(command, env=self._environ, check=True, stdout=subprocess.DEVNULL)


class Restic:
    """A local repository with the data."""

    def __init__(self, folder: Path, sources: Sequence[Path]) -> None:
        self._environ: Mapping[str, str] = os.environ | {
            "RESTIC_REPOSITORY": str(folder / "repository"),
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": str(folder / "cache"),
        }
        self._run("init")
        self._run("backup", "-q", *map(str, sources))
        self.files = [path for path in (folder / "repository").rglob("*") if path.is_file()]

    def check(self) -> float:
        """Seconds of `restic check --read-data`."""
        return timed(lambda: self._run("check", "--read-data"))

    def _run(self, *arguments: str) -> None:
        subprocess.run(["restic", *arguments], env=self._environ, check=True, stdout=subprocess.DEVNULL)


def _round(ours: Verify, restic: Restic) -> Turns:
    sides: dict[str, tuple[Callable[[], float], Iterable[Path]]] = {
        "reading": (ours.reading, ours.files),
        "BLAKE3": (ours.blake3, ours.files),
        "whole": (ours.whole, ours.files),
        "restic": (restic.check, restic.files),
    }
    turns = {}
    for name, (run, files) in sides.items():
        _forget_cached(files)
        before = _processor_seconds()
        turns[name] = Turn(run(), _processor_seconds() - before)
    print("  " + ", ".join(f"{name} {turn.seconds:.2f}" for name, turn in turns.items()), file=sys.stderr)
    return turns


def _processor_seconds() -> float:
    """Of all programs that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _forget_cached(files: Iterable[Path]) -> None:
    """Drop what the page cache holds of these files (posix_fadvise(2))."""
    for file in files:
        fd = os.open(file, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def _report(rounds: Sequence[Turns], size_bytes: int) -> None:
    print(f"\n{size_bytes / 1e9:.2f} GB in the store; medians of {len(rounds)} rounds")
    for name in rounds[0]:
        seconds = statistics.median(turns[name].seconds for turns in rounds)
        processors = statistics.median(turns[name].processors for turns in rounds)
        print(f"{name:<10} {seconds:8.2f} s {size_bytes / 1e6 / seconds:8.0f} MB/s {processors:8.2f} processor seconds")
    print("\nverify's rate in the peer's: min, median, max")
    for peer, goal in GOALS.items():
        for mine in ("reading", "whole"):
            ratios = sorted(turns[peer].seconds / turns[mine].seconds for turns in rounds)
            spread = f"{ratios[0]:6.2f} {statistics.median(ratios):6.2f} {ratios[-1]:6.2f}"
            print(f"{mine + ' / ' + peer:<20} {spread}   (goal: {goal:g})")


if __name__ == "__main__":
    sys.exit(main())
