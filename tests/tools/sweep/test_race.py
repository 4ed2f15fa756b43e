"""Uploaders, deleters, a sweep and verify at once on one store, without any grace and with an empty trash, killed at
random: no referenced blob is ever missing."""

import multiprocessing
import random
import subprocess
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Final

import pytest

from tests.shared.rig import open_rig
from tests.shared.settings import GivenSettings
from tests.tools.sweep.racer import run
from tools.run.processes import python

pytestmark = pytest.mark.anyio

KILL_EVERY_SECONDS: Final = 0.4


class Race:
    """The processes, by what they do. One that is killed is begun again."""

    def __init__(self, given: GivenSettings, uploaders: int, seed: int) -> None:
        self._given = given
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.tools.sweep.racer"])
        self._numbers = iter(range(seed, seed + 1_000_000))
        self.kills = 0
        self.processes = [self._begun(role) for role in ["upload"] * uploaders + ["sweep", "sweep", "verify"]]

    def _begun(self, role: str) -> tuple[str, ForkServerProcess]:
        arguments = (role, str(self._given.file), next(self._numbers))
        process = self._context.Process(target=run, args=arguments, daemon=True)
        process.start()
        return role, process

    def kill_one(self, random_: random.Random) -> None:
        place = random_.randrange(len(self.processes))
        role, process = self.processes[place]
        process.kill()
        process.join()
        self.kills += 1
        self.processes[place] = self._begun(role)

    def end(self) -> None:
        for _, process in self.processes:
            process.kill()
            process.join()

    def failures(self) -> list[str]:
        """Those who ended by themselves."""
        return sorted(path.name for path in self._given.file.parent.glob("failed-*"))


async def test_no_referenced_blob_goes_missing(
    make_settings: Callable[..., GivenSettings], scale: Callable[[float, float], float]
) -> None:
    given = make_settings(SWEEP_GRACE_HOURS="0", TRASH_DAYS="0")
    random_ = random.Random(20261128)
    race = Race(given, int(scale(3, 8)), 1)
    until = time.monotonic() + scale(8, 600)
    try:
        while time.monotonic() < until:
            time.sleep(KILL_EVERY_SECONDS)
            race.kill_one(random_)
    finally:
        race.end()
    assert race.failures() == []
    assert race.kills > scale(3, 300)
    for _ in range(3):
        swept = subprocess.run(python("tools.sweep", "--full"), env=given.environ, capture_output=True, text=True)
        assert swept.returncode == 0, swept.stdout + swept.stderr
    verified = subprocess.run(python("tools.verify", "--fresh"), env=given.environ, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "files that no row names: 0" in verified.stdout, "and nothing was left behind"
    async with open_rig(given) as rig:
        [(entries,)] = await rig.fetch("SELECT COUNT(*) FROM entry WHERE kind = 'file'")
        assert int(str(entries)) > 10, "the race did something"
        assert await rig.fetch(
            "SELECT l.tenant_id, l.used_bytes FROM ledger l"
            " LEFT JOIN (SELECT tenant_id, SUM(size_bytes) used FROM entry WHERE kind = 'file'"
            " AND (removal IS NULL OR removal IN ('deleted', 'replaced')) GROUP BY tenant_id) e"
            " ON e.tenant_id = l.tenant_id WHERE l.used_bytes <> COALESCE(e.used, 0)"
        ) == []  # fmt: skip
