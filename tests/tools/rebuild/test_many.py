"""Many entries: dropped, rebuilt and compared, with the time it took, by the clock and of the processors."""

import os
import time
from collections.abc import Callable

import pytest

from tests.bench.where import cpu_seconds
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.test_rebuild import database_of, differences, rebuilt
from tools.run.mariadb import PrivateMariaDB

pytestmark = pytest.mark.anyio

FILES_PER_MANIFEST = 20_000


@pytest.mark.proof
async def test_many_entries_come_back_and_compare_without_a_difference(
    world: World, mariadb: PrivateMariaDB, scale: Callable[[int, int], int], capsys: pytest.CaptureFixture[str]
) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    left, number = scale(4_000, 1_000_000), 0
    while left:
        count = min(left, FILES_PER_MANIFEST)
        files = {
            f"Photos/{number:03}/{index % 40:02}/IMG_{index:05}.jpg": b"photo %d of %d" % (index, number)
            for index in range(count)
        }
        await laptop.put_packed(files)
        left, number = left - count, number + 1
    pids = (os.getpid(), mariadb.child.pid)
    before, started = [cpu_seconds(pid) for pid in pids], time.monotonic()
    settings, report, code = await rebuilt(world)
    seconds = time.monotonic() - started
    own, databases = (cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True))
    assert (code, report.faults) == (0, [])
    assert report.entries >= scale(4_000, 1_000_000)
    with capsys.disabled():
        print(
            f"\nrebuilt {report.entries:,} entries: {report.rate:,.0f} entries/s; with the comparison {seconds:.1f} s,"
            f" processor seconds: {own:.1f} of the program, {databases:.1f} of MariaDB; load {os.getloadavg()[0]:.0f}"
        )
    assert await differences(settings) == []
    async with database_of(settings) as database, database.reading() as tx:
        [(live,)] = await tx.fetch_all("SELECT file_count FROM device")
    assert live == scale(4_000, 1_000_000)
