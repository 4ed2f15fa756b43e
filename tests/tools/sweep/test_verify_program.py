"""tools/verify as operators start it: damage found and healed from a replica, its history, its figures, its manners."""

import asyncio
import ctypes
import os
import platform
import secrets
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from cas.blob import Encoding, parsed_pack_location
from cas.layout import blob_key, pack_key
from cas.seekable import read_table
from tests.shared.rig import Rig
from tests.shared.settings import GivenSettings
from tests.tools.sweep.test_scrubbing import spoil
from tools.replicate.main import main as replicate
from tools.verify.repair import FROM_COPY

pytestmark = pytest.mark.anyio

KIB = 1 << 10


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tools.verify", *arguments]


async def run(site: GivenSettings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run, program(*arguments),
        env=site.environ, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


async def test_a_selection_is_read_and_healed_from_a_replica_and_told_of(
    site: GivenSettings, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"raw": secrets.token_bytes(3 * KIB), "text": b"compresses well " * KIB}
    alone = {name: await rig.upload(name, data) for name, data in files.items()}
    packed = {"packed": secrets.token_bytes(KIB), "beside": secrets.token_bytes(KIB)}
    in_pack, _ = await rig.upload_batch(packed)
    place = parsed_pack_location(in_pack.location)
    assert place is not None
    in_its_own = rig.backend.root / blob_key(in_pack.digest, Encoding.IDENTITY)
    in_its_own.parent.mkdir(parents=True, exist_ok=True)  # where it is healed to; tests' stores have few folders
    replica = tmp_path / "replica"
    replica.mkdir()
    monkeypatch.setenv("OTB_CLOUD_SETTINGS", str(site.with_values(REPLICA=str(replica)).file))
    assert replicate(["run", "--no-dump"]) == 0

    keys = {name: blob_key(blob.digest, blob.encoding) for name, blob in alone.items()}
    assert alone["text"].encoding is Encoding.ZSTD
    spoil(rig, keys["raw"], 5)
    make_undecodable(rig.backend.root / keys["text"], len(files["text"]))
    spoil(rig, pack_key(place[0]), place[1] + 7)
    metrics = tmp_path / "metrics.prom"
    selected = ["--tenant", rig.scope.tenant.billing_client, "--metrics", str(metrics)]
    found = await run(site, *selected)
    assert (found.returncode, found.stdout.count("damaged: blob")) == (1, 3), found.stderr
    [undecoded] = [line for line in found.stdout.splitlines() if alone["text"].digest.hex in line]
    assert "frame 0: decompression error" in undecoded
    assert 'otb_verify_blobs{outcome="damaged",kind="selection"} 3' in metrics.read_text()

    healed = await run(site, *selected, "--repair-from", str(replica))
    assert f"{FROM_COPY}: 3" in healed.stdout
    for name, data in (files | packed).items():
        assert await rig.read(name) == data
    for key in keys.values():
        assert (rig.backend.root / key).read_bytes() == (replica / key).read_bytes()
    assert (await run(site, *selected)).returncode == 0
    assert "otb_store_blobs_unhealthy 0" in metrics.read_text()

    told = (await run(site, "--history")).stdout.splitlines()
    what = f"tenant {rig.scope.tenant.id}: "
    assert [line.partition(what)[2] for line in told[:3]] == [
        "4 good",
        "1 damaged, 1 good, 2 missing",
        "3 damaged, 1 good",
    ]
    assert all(" took " in line for line in told[:3])


def make_undecodable(path: Path, plain_bytes: int) -> None:
    """A frame that is noise behind its header, and a checksum that says it was stored so."""
    stored = path.read_bytes()
    table = read_table(lambda offset, length: stored[offset : offset + length], len(stored), plain_bytes)
    frame = stored[: table.frame_ends[1]]
    noise = frame[:16] + secrets.token_bytes(len(frame) - 16)
    path.chmod(0o600)
    path.write_bytes(stored.replace(frame, noise).replace(checksum(frame), checksum(noise)))
    path.chmod(0o400)


def checksum(frame: bytes) -> bytes:
    """As it stands before the seek table."""
    return struct.pack("<I", zlib.crc32(frame))


async def test_idle_is_the_idle_class_of_every_thread_that_reads(site: GivenSettings, rig: Rig) -> None:
    for number in range(6):
        await rig.upload(f"{number}", secrets.token_bytes(256 * KIB))
    command = program("--tenant", rig.scope.tenant.billing_client, "--idle", "--progress", "--rate-limit", "512K")
    with subprocess.Popen(command, env=site.environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("reading") for line in process.stderr)
        while len(readers := threads_that_read(process.pid)) < 3:  # the main one, and two of the scrub
            assert process.poll() is None
            await asyncio.sleep(0.02)
        assert {io_class(thread) for thread in readers} == {IDLE}
        assert os.getpriority(os.PRIO_PROCESS, process.pid) >= 10
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    told = (await run(site, "--history")).stdout.splitlines()[0]
    assert "not finished, last heard of" in told


def threads_that_read(pid: int) -> list[int]:
    """Those that have read anything at all, by /proc."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        read_bytes = (task / "io").read_text().partition("rchar: ")[2].split()[0]
        if int(read_bytes):
            found.append(int(task.name))
    return found


IDLE = 3


def io_class(thread: int) -> int:
    """Of ioprio_get(2)."""
    number = {"x86_64": 252, "aarch64": 31}[platform.machine()]
    return int(ctypes.CDLL(None).syscall(number, 1, thread)) >> 13
