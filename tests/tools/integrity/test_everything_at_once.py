"""Two servers, two workers, a sweep and a scrub at once on one store, and customers who send, delete and read."""

import asyncio
import multiprocessing
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.shared.rig import Rig, open_rig
from tests.shared.service import Service
from tests.shared.settings import GivenSettings
from tests.shared.workers import WorkerProcess, until
from tests.tools.integrity.clients import Customer
from tests.tools.sweep.racer import run
from tools.run.processes import python

BUSY_SECONDS_MAX: Final = 400.0


@contextmanager
def looping(given: GivenSettings, role: str) -> Iterator[None]:
    """A program that begins again as soon as it has ended."""
    process = multiprocessing.get_context("forkserver").Process(
        target=run, args=(role, str(given.file), 1), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


async def has_finished(rig: Rig) -> bool:
    """Whether a sweep and a scrub ran to their ends, beside everything else."""
    counts = await rig.fetch(
        "SELECT (SELECT COUNT(finished_at) FROM sweep_run), (SELECT COUNT(finished_at) FROM scrub_run)"
    )
    return all(int(str(count)) > 0 for count in counts[0])


@pytest.mark.anyio
async def test_what_was_acknowledged_is_there_and_nothing_is_left_over(
    make_settings: Callable[..., GivenSettings], tmp_path: Path, scale: Callable[[int, int], int]
) -> None:
    given = make_settings(SWEEP_GRACE_HOURS="0", TRASH_DAYS="0")
    root = given.settings.storage_root
    with ExitStack() as stack:
        servers = []
        for _ in range(2):
            servers.append(Service(given, tmp_path).start())
            stack.callback(servers[-1].stop)
            worker = WorkerProcess(given, tmp_path, WORKER_SLOTS="1", WORKER_HEAVY_SLOTS="0").start()
            stack.callback(worker.stop)
        customers = [Customer(servers, seed) for seed in range(scale(3, 8))]
        with looping(given, "sweep"), looping(given, "verify"):
            is_over = threading.Event()
            threads = [threading.Thread(target=one.run, args=(is_over,), daemon=True) for one in customers]
            for thread in threads:
                thread.start()
            is_over.wait(scale(0, 240))
            async with open_rig(given) as rig, asyncio.timeout(BUSY_SECONDS_MAX):
                while sum(one.acknowledged for one in customers) < scale(30, 500) or not await has_finished(rig):
                    await asyncio.sleep(0.1)
            is_over.set()
            for thread in threads:
                thread.join()
        assert [fault for one in customers for fault in one.faults] == []
        assert sorted(path.name for path in given.file.parent.glob("failed-*")) == []
        for one in customers:
            one.check()
        async with open_rig(given) as rig:
            await rig.fetch("UPDATE upload SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
        servers[0].restart()  # which looks at once for what expired
        until(lambda: not any(root.joinpath("incoming").iterdir()), "what expired is removed")
        for one in customers:
            one.close()
    async with open_rig(given) as rig:
        await rig.sweeps()
    verified = subprocess.run(python("tools.verify", "--fresh"), env=given.environ, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "files that no row names: 0" in verified.stdout
