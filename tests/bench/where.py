"""Where a backup's time goes: processor seconds of client, server and MariaDB beside the clock.

`python -m tests.bench.where [--scale 0.25] [--rounds 3]`. Processor seconds say what the work costs even on a machine
that others use; seconds by the clock say what a customer waits.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.bench.peers import Ours, large_source, small_source
from tests.bench.run import running_with_database

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_RUNS: Final[dict[str, tuple[str, ...]]] = {"": (), " again": (), " reread": ("--rehash",)}
_PARTS: Final = ("clock", "client", "server", "MariaDB")

Spent = dict[str, float]
"""Seconds by part."""


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, its threads included (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.where", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full sizes, for a quick look")
    parser.add_argument("--only", choices=("small", "large"), help="leave the other out")
    args = parser.parse_args(argv)
    seen: dict[str, list[Spent]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="otb-where-")))
        service, mariadb = stack.enter_context(running_with_database(folder))
        pids = {"server": service.pid, "MariaDB": mariadb.child.pid}
        ours = Ours(service, folder)
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
            ours.begin()
            for name, make in (("small", small_source), ("large", large_source)):
                if args.only in {None, name}:
                    source = make(folder / "source", args.scale)
                    subprocess.run(["sync"], check=True)
                    for what, options in _RUNS.items():
                        spent = _spent(lambda s=source, o=options: ours.upload(s, *o), pids)  # type: ignore[misc]
                        seen.setdefault(name + what, []).append(spent)
            shutil.rmtree(folder / "source")
        peak_bytes = service.memory_peak_bytes()
    _report(seen)
    print(f"peak memory of the server {peak_bytes >> 20} MiB")
    return 0


def _spent(work: Callable[[], object], pids: dict[str, int]) -> Spent:
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    children = os.times()
    started = time.perf_counter()
    work()
    clock = time.perf_counter() - started
    after = os.times()
    client = after.children_user + after.children_system - children.children_user - children.children_system
    return {"clock": clock, "client": client, **{name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}}


def _report(seen: dict[str, list[Spent]]) -> None:
    print(f"\n{'medians, seconds':<18}" + "".join(f"{part:>10}" for part in _PARTS))
    for name, rounds in seen.items():
        print(f"{name:<18}" + "".join(f"{statistics.median(one[part] for one in rounds):10.2f}" for part in _PARTS))


if __name__ == "__main__":
    sys.exit(main())
