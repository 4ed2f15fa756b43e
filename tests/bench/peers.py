"""`otb-cloud upload` beside its peers on the same files in the same run: `python -m tests.bench.peers`.

Peers: copyparty with its own client and dedup, restic and borg into a local repository, and `cp` with `sync`. Every
side starts each round with bytes it does not know, on the same disk; client and server share the machine; each has its
turn. Printed is the ratio peer/ours, round by round: minimum, median, maximum; more than 1 means that ours is faster.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import httpx2

from tests.bench.run import LARGE_BYTES, SMALL_BYTES, SMALL_FILES, random_file, running, timed
from tests.shared.portal import sign_in
from tests.shared.service import Service, free_port

START_SECONDS: Final = 30
_BIN: Final = Path(sys.executable).parent
_PEERS: Final = Path(__file__).resolve().parents[2] / ".data/peers/bin"
"""Made by `tools/setup bench`, apart from .venv/, which holds what the project itself needs."""

Seconds = dict[str, float]
"""A side's times by the name of what it did."""


class Side(Protocol):
    """Something that is measured; each call begins with bytes it does not know."""

    name: str

    def measure(self, small: Path, large: Path) -> Seconds: ...


class Ours:
    """`otb-cloud` against a running server. Each round is another device of another account: nothing is known."""

    name = "ours"

    def __init__(self, service: Service, folder: Path) -> None:
        self._service = service
        self._config = folder / "config"

    def measure(self, small: Path, large: Path) -> Seconds:
        self.begin()
        return {
            "small": self.upload(small),
            "small again": self.upload(small),
            "small reread": self.upload(small, "--rehash"),
            "large": self.upload(large),
            "large again": self.upload(large),
        }

    @contextmanager
    def beginning(self) -> Iterator[tuple[httpx2.Client, str]]:
        """Another account, signed in, and its device, to which is backed up from now on."""
        shutil.rmtree(self._config, ignore_errors=True)
        with sign_in(self._service.url, self._service.settings) as client:
            yield client, self._connect(client)

    def begin(self) -> None:
        """Another account and device."""
        with self.beginning():
            return

    def _connect(self, client: httpx2.Client) -> str:
        device = client.post("/api/v1/devices", json={"name": "bench", "kind": "other"}).json()
        token = client.post(f"/api/v1/devices/{device['id']}/tokens", json={"label": "bench"}).json()["token"]
        self._config.mkdir(mode=0o700)
        made = {"server": self._service.url, "device": str(device["id"]), "device_name": "bench", "token": token}
        file = self._config / "config.json"
        file.write_text(httpx2.Request("POST", "http://x", json=made).content.decode())
        file.chmod(0o600)
        return str(device["id"])

    def upload(self, folder: Path, *options: str) -> float:
        """Seconds of one backup."""
        environ = os.environ | {"OTB_CLOUD_CONFIG": str(self._config)}
        return _timed([_BIN / "otb-cloud", "upload", *options, folder], environ)


class Copyparty:
    """Its server with dedup on, and its own client."""

    name = "copyparty"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hist = folder / "hist"

    def measure(self, small: Path, large: Path) -> Seconds:
        volume = self._folder / "volume"
        volume.mkdir(parents=True)
        options = ["--dedup", "-e2dsa", "--no-thumb", "--no-mtag-ff", "--hist", str(self._hist)]
        with copyparty(self._folder, volume, "A", *options) as served:
            times = {
                "small": self._upload(served, small),
                "small again": self._upload(served, small, "-z"),
                "small reread": self._upload(served, small),
                "large": self._upload(served, large),
                "large again": self._upload(served, large, "-z"),
            }
        shutil.rmtree(self._folder)
        return times

    def _upload(self, served: "Served", folder: Path, *options: str) -> float:
        environ = os.environ | {"HOME": str(self._folder)}
        return _timed([_PEERS / "u2c", "-ns", *options, served.url, folder], environ)


class Restic:
    """A local repository."""

    name = "restic"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environ = os.environ | {
            "RESTIC_REPOSITORY": str(folder / "repository"),
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": str(folder / "cache"),
        }

    def measure(self, small: Path, large: Path) -> Seconds:
        self._folder.mkdir()
        _timed(["restic", "init"], self._environ)
        times = {
            "small": self._backup(small),
            "small again": self._backup(small),
            "small reread": self._backup(small, "--force"),
            "large": self._backup(large),
            "large again": self._backup(large),
        }
        shutil.rmtree(self._folder)
        return times

    def _backup(self, folder: Path, *options: str) -> float:
        return _timed(["restic", "backup", "-q", *options, folder], self._environ)


class Borg:
    """A local repository without encryption."""

    name = "borg"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environ = os.environ | {
            "BORG_REPO": str(folder / "repository"),
            "BORG_BASE_DIR": str(folder),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }

    def measure(self, small: Path, large: Path) -> Seconds:
        self._folder.mkdir()
        _timed(["borg", "init", "-e", "none"], self._environ)
        times = {
            "small": self._create("1", small),
            "small again": self._create("2", small),
            "small reread": self._create("3", small, "--files-cache=disabled"),
            "large": self._create("4", large),
            "large again": self._create("5", large),
        }
        shutil.rmtree(self._folder)
        return times

    def _create(self, archive: str, folder: Path, *options: str) -> float:
        return _timed(["borg", "create", *options, f"::{archive}", folder], self._environ)


class Copy:
    """`cp -r` and `sync` of the file system: not a peer but the floor."""

    name = "cp + sync"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def measure(self, small: Path, large: Path) -> Seconds:
        self._folder.mkdir()
        times = {
            name: _timed(["cp", "-r", source, self._folder / name], os.environ)
            + _timed(["sync", "-f", self._folder], os.environ)
            for name, source in (("small", small), ("large", large))
        }
        shutil.rmtree(self._folder)
        return times


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--slow-rounds", type=int, default=2, help="rounds of copyparty, which takes half a minute each"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full sizes, for a quick look")
    parser.add_argument("--without", action="append", default=[], help="leave this side out")
    args = parser.parse_args(argv)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="otb-peers-")))
        service = stack.enter_context(running(folder))
        sides: list[Side] = [
            Ours(service, folder),
            Copyparty(folder / "copyparty"),
            Restic(folder / "restic"),
            Borg(folder / "borg"),
            Copy(folder / "copy"),
        ]
        rounds = []
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
            made = sources(folder / "source", args.scale)
            taking_part = [
                side
                for side in sides
                if side.name not in args.without and (side.name != "copyparty" or number < args.slow_rounds)
            ]
            rounds.append({side.name: _measured(side, *made) for side in taking_part})
            shutil.rmtree(folder / "source")
        peak_bytes = service.memory_peak_bytes()
    _report(rounds)
    print(f"peak memory of the server {peak_bytes >> 20} MiB")
    return 0


def _measured(side: Side, small: Path, large: Path) -> Seconds:
    """The disk is at rest when each begins, and what it took is told at once."""
    subprocess.run(["sync"], check=True)
    times = side.measure(small, large)
    print(f"  {side.name}: " + ", ".join(f"{what} {seconds:.2f}" for what, seconds in times.items()), file=sys.stderr)
    return times


def sources(folder: Path, scale: float) -> tuple[Path, Path]:
    """The small files' folder and the large one's: new random bytes each time, so that no side knows them."""
    made = small_source(folder, scale), large_source(folder, scale)
    subprocess.run(["sync"], check=True)
    return made


def small_source(folder: Path, scale: float) -> Path:
    """20,000 files of 10 KiB."""
    for number in range(int(SMALL_FILES * scale)):
        random_file(folder / f"small/{number // 500}/{number}.bin", SMALL_BYTES)
    return folder / "small"


def large_source(folder: Path, scale: float) -> Path:
    """One file of 2 GiB."""
    random_file(folder / "large/file.bin", int(LARGE_BYTES * scale))
    return folder / "large"


def _report(rounds: Sequence[Mapping[str, Seconds]]) -> None:
    ours = [one["ours"] for one in rounds]
    print(f"\n{'':<16} {'ours, s':>9}   ratio peer / ours: min, median, max (the peer's median in seconds)")
    for what in ours[0]:
        print(f"{what:<16} {statistics.median(times[what] for times in ours):9.2f}")
        for side in list(rounds[0])[1:]:
            if what not in rounds[0][side]:
                continue
            both = [one for one in rounds if side in one]
            ratios = sorted(one[side][what] / one["ours"][what] for one in both)
            seconds = statistics.median(one[side][what] for one in both)
            line = f"{ratios[0]:7.2f} {statistics.median(ratios):7.2f} {ratios[-1]:7.2f}   ({seconds:.2f} s)"
            line += f" of {len(both)}" if len(both) < len(rounds) else ""
            print(f"    {side:<12}          {line}")


@dataclass(frozen=True)
class Served:
    """A peer's server that runs."""

    url: str
    pid: int


@contextmanager
def copyparty(folder: Path, volume: Path, rights: str, *options: str) -> Iterator[Served]:
    """copyparty's server of one folder of files; `folder` is its home."""
    port = free_port()
    command: list[str | Path] = [
        _PEERS / "copyparty",
        "-q",
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-v",
        f"{volume}::{rights}",
        *options,
    ]
    with _server(command, f"http://127.0.0.1:{port}/", folder) as served:
        yield served


@contextmanager
def _server(command: Sequence[str | Path], url: str, folder: Path) -> Iterator[Served]:
    environ = os.environ | {"HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environ)
    try:
        _wait_until(lambda: _answers(url))
        yield Served(url, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).status_code < 500
    except httpx2.HTTPError:
        return False


def _wait_until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not is_so():
        if time.monotonic() > give_up:
            raise TimeoutError("a peer's server did not start")
        time.sleep(0.05)


def _timed(command: Sequence[str | Path], environ: Mapping[str, str]) -> float:
    """Seconds that the program took, its start included. Raises with its output if it fails."""

    # Without compiled modules a Python program starts slower than its users ever see it.
    compiled = {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def call() -> None:
        done = subprocess.run(command, env=compiled, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} exited with {done.returncode}: {(done.stdout + done.stderr)[-2000:]!r}")

    return timed(call)


if __name__ == "__main__":
    sys.exit(main())
