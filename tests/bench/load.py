"""A crowd of customers at two server processes on one socket: `python -m tests.bench.load`.

Each browses, searches, uploads and exports, with 5 to 10 seconds to think between. Printed are, for each kind of
request, how many there were, and p50 and p95 of their milliseconds; beside them those of one customer alone, just
before, at the same servers; then the servers' peaks of memory, and what the crowd itself, MariaDB and the servers took
of the processors. Exit code 1 where anything failed or had to be repeated.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.where import cpu_seconds
from tests.shared.crowd import Crowd, Seen
from tests.shared.servers import Servers, serving
from tests.shared.service import memory_peak_bytes
from tests.shared.sites import new_site
from tools.run.mariadb import PrivateMariaDB

THINK_SECONDS: Final = (5.0, 10.0)
ALONE_SECONDS: Final = 30
ALONE_THINK_SECONDS: Final = (0.0, 0.1)
PROCESSES: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=600)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="otb-bench-") as name:
        folder = Path(name)
        mariadb = PrivateMariaDB(folder / "mariadb", folder / "mariadb.log")
        mariadb.start()
        try:
            given = new_site(folder, mariadb.socket, "otb_load", PROXY_ADDRESSES="127.0.0.1")
            with serving(given, folder, PROCESSES) as servers:
                return asyncio.run(_measure(servers, mariadb.child.pid, args.customers, args.seconds))
        finally:
            mariadb.stop()


async def _measure(servers: Servers, mariadb_pid: int, customers: int, seconds: int) -> int:
    alone, _ = await _crowd(servers, 1, ALONE_THINK_SECONDS, ALONE_SECONDS)
    pids = [*servers.pids, mariadb_pid]
    before = [cpu_seconds(pid) for pid in pids]
    seen, own_seconds = await _crowd(servers, customers, THINK_SECONDS, seconds)
    took = [cpu_seconds(pid) - spent for pid, spent in zip(pids, before, strict=True)]
    print(f"{customers} customers for {seconds} s; milliseconds p50 · p95; alone: one customer without pauses")
    for kind, one in sorted(seen.seconds.items()):
        print(f"{kind:<10} {len(one):>7} requests {_percentiles(one):>16}   alone {_percentiles(alone.seconds[kind])}")
    of = seconds * (os.cpu_count() or 1)
    print(f"servers' peaks of memory: {', '.join(f'{memory_peak_bytes(pid) >> 20} MiB' for pid in servers.pids)}")
    shares = {"servers": sum(took[:-1]), "MariaDB": took[-1], "the crowd": own_seconds}
    print("of all processors: " + ", ".join(f"{name} {spent / of:.0%}" for name, spent in shares.items()))
    print(f"faults {len(seen.faults)}, repeated {seen.repeats}", *seen.faults[:10], sep="\n")
    return 1 if seen.faults or seen.repeats else 0


async def _crowd(servers: Servers, count: int, think: tuple[float, float], seconds: int) -> tuple[Seen, float]:
    """What it met, and the processor seconds of this process while it was there."""
    crowd = Crowd(servers.url, servers.given.settings, count, think)
    await crowd.move_in()
    began = time.process_time()
    crowd.begin()
    for left in range(seconds, 0, -10):
        print(f"{count} customers, {left} s left", file=sys.stderr)
        await asyncio.sleep(min(left, 10))
    await crowd.end()
    own = time.process_time() - began
    await crowd.close()
    return crowd.seen, own


def _percentiles(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return f"{cuts[9] * 1_000:.0f} · {cuts[18] * 1_000:.0f}"


if __name__ == "__main__":
    sys.exit(main())
