"""tools/replicate as it is started: killed in the middle and gone on with, held back, and never into a store in use."""

import asyncio
import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from cas.local import LocalBackend
from tests.shared.settings import write_settings
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.test_rebuild import to_process
from tests.tools.replicate.test_replicate import content
from tools.run.processes import python
from tools.verify.pace import BURST_SECONDS

pytestmark = pytest.mark.anyio

KIB = 1 << 10
FILE_BYTES = 256 * KIB
SLOWLY, FASTER = 1 << 20, 2 << 20
"""Bytes a second."""


def published(replica: Path) -> dict[str, tuple[int, int]]:
    """Objects that have their names: where each lies on the disk, and its size in bytes."""
    files = [path for path in replica.glob("[bpj]*/**/*") if path.is_file()]
    return {str(path.relative_to(replica)): (path.stat().st_ino, path.stat().st_size) for path in files}


def size_of(objects: dict[str, tuple[int, int]]) -> int:
    return sum(size_bytes for _, size_bytes in objects.values())


async def test_a_run_that_is_killed_is_gone_on_with_and_sends_nothing_twice(world: World, tmp_path: Path) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({f"{number}.bin": os.urandom(FILE_BYTES) for number in range(16)})
    await laptop.put_packed({f"{number}.txt": b"%d" % number for number in range(9)})
    replica = tmp_path / "replica"
    replica.mkdir()
    given = write_settings(tmp_path / "settings", world.values | {"REPLICA": str(replica)})
    command = [*python("tools.replicate", "run"), "--no-dump", "--rate-limit"]

    started = time.monotonic()
    process = subprocess.Popen([*command, str(SLOWLY)], env=given.environ)
    while size_of(published(replica)) < 2 * FILE_BYTES:
        assert process.poll() is None
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = published(replica)
    assert size_of(before) <= SLOWLY * (time.monotonic() - started + BURST_SECONDS)
    assert not (replica / "FORMAT").exists(), "it was killed in the middle"
    (replica / "incoming" / "cut-short").write_bytes(b"what a kill may leave, if it comes a moment earlier")

    started = time.monotonic()
    done = await to_process([*command, str(FASTER)], given)
    seconds = time.monotonic() - started
    assert (done.returncode, done.stderr) == (0, "")
    after = published(replica)
    assert {key: after[key] for key in before} == before, "the very files that were there"
    assert f"{len(before)} were there" in done.stdout
    assert size_of(after) - size_of(before) <= FASTER * (seconds + BURST_SECONDS)
    assert list((replica / "incoming").iterdir()) == []
    with closing(LocalBackend(replica)) as copy:
        assert content(copy) == content(world.backend)

    of_the_replica = given.with_values(STORAGE_ROOT=str(replica))
    verified = await to_process(python("tools.verify", "--fresh"), of_the_replica)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "files that no row names: 0" in verified.stdout


async def test_a_store_in_use_is_never_restored_into(world: World, tmp_path: Path) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"a"})
    given = write_settings(tmp_path / "settings", world.values | {"REPLICA": str(tmp_path / "replica")})
    (tmp_path / "replica").mkdir()
    assert (await to_process(python("tools.replicate", "run", "--no-dump"), given)).returncode == 0
    await laptop.put({"b.txt": b"came since"})
    before = content(world.backend)
    refused = await to_process(python("tools.replicate", "restore", str(world.backend.root)), given)
    assert (refused.returncode, "is a store already" in refused.stderr) == (2, True)
    assert content(world.backend) == before
