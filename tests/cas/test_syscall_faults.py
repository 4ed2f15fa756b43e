"""Every system call of the write path fails once: with EIO, with ENOSPC, and by killing the process in it (strace).

Whatever fails, nothing acknowledged is missing, nothing wrong lies under the name of a blob or pack, the journal stays
whole, every error is one of `cas`, and what was not published is gone: at once, or at the next start where even that
failed.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from cas.digest import Digest
from cas.errors import BlobMissing
from cas.journal import Journal
from cas.layout import object_keys
from cas.store import BlobStore
from tests.cas.power import FewShards
from tests.cas.test_crashes import blob_of
from tests.cas.write_path import CHAIN, contents, packed_contents

ACTIONS: Final = ("error=EIO", "error=ENOSPC", "signal=KILL")
INTERPRETERS_OWN: Final = re.compile(
    r"futex|mmap|munmap|mprotect|mremap|brk|madvise|clone3?|set_robust_list|rseq|exit|exit_group|rt_sig\w+|gettid|getpid"
    r"|getrandom|sched_\w+|clock_\w+|poll|select|restart_syscall|socket|connect|send\w+|prlimit64|sysinfo"
)
SECONDS_MAX: Final = 60


@dataclass
class Outcome:
    """What a run said and what was injected."""

    said: list[str] = field(default_factory=list)
    was_injected: bool = False

    def acknowledged(self, what: str) -> list[str]:
        return [line.split()[2] for line in self.said if line.startswith(f"ack {what}")]


class Walker:
    """The program of `tests.cas.write_path`, and a tracer to attach to its children."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.root.mkdir()
        self.run = 0
        self.blobs = {blob.digest.hex: blob for blob in map(blob_of, contents())}
        self._log = folder / "strace.log"
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(folder / "ear"))
        self._ear.settimeout(0.001)
        with closing(FewShards(self.root)) as backend:
            BlobStore.initialise(backend)
        command = [sys.executable, "-m", "tests.cas.write_path", str(self.root), str(folder / "ear")]
        self._program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def walk(self, *tracing: str) -> Outcome:
        """One run under strace with these options."""
        self.run += 1
        process = int(self._ask(f"{self.run}\n"))
        options = ["-qq", "-f", "-o", str(self._log), "-p", str(process), *tracing]
        tracer = subprocess.Popen(["strace", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_traced(process)
        os.kill(process, signal.SIGUSR1)
        assert self._ask("").strip() == "done"
        tracer.wait(SECONDS_MAX)
        log = self.log()
        return Outcome(self._heard(), "(INJECTED)" in log or "killed by SIGKILL" in log)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        self._program.communicate()
        self._ear.close()

    def _ask(self, line: str) -> str:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(line)
        self._program.stdin.flush()
        return self._program.stdout.readline()

    def _heard(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self._ear.recv(4096).decode())
            except TimeoutError:
                return said


def wait_until_traced(process: int) -> None:
    end = time.monotonic() + SECONDS_MAX
    while "TracerPid:\t0\n" in Path(f"/proc/{process}/status").read_text():
        assert time.monotonic() < end, "strace did not attach"
        time.sleep(0.001)


@pytest.fixture(scope="module")
def walker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walker]:
    walker = Walker(tmp_path_factory.mktemp("faults"))
    yield walker
    walker.stop()


def calls_of(log: str) -> dict[str, int]:
    """How often the busiest thread makes each system call: strace counts per thread."""
    counts: dict[tuple[str, str], int] = {}
    for thread, name in re.findall(r"^(\d+)\s+(\w+)\(", log, re.MULTILINE):
        counts[thread, name] = counts.get((thread, name), 0) + 1
    names = {name for _, name in counts if not INTERPRETERS_OWN.fullmatch(name)}
    return {name: max(count for (_, other), count in counts.items() if other == name) for name in sorted(names)}


def check(walker: Walker, outcome: Outcome, fault: str) -> None:
    """Look at the store as the next start would find it, and make it ready for the next run."""
    assert not [line for line in outcome.said if line.startswith("bug")], (fault, outcome.said)
    with closing(FewShards(walker.root)) as backend:
        store = BlobStore.open(backend)
        if "fsync:error=EIO" in fault and outcome.was_injected:
            assert backend.read_only_reason is not None, fault
        if not any(word in fault for word in ("KILL", "unlinkat", "close")):
            assert list(backend.temporaries()) == [], (fault, outcome.said)
        backend.allow_writes()
        store.clear_incoming()
        for digest in outcome.acknowledged("blob"):
            store.check(walker.blobs[digest])
        for blob in walker.blobs.values():
            with suppress(BlobMissing):
                store.check(blob)
            for key in object_keys(blob):
                backend.remove(key)
        packs = [store.check_pack(pack_id) for pack_id, _ in store.packs()]
        assert len(packs) <= 1, fault
        for digest in outcome.acknowledged("pack"):
            assert packs[0][-1].digest.hex == digest, fault
        for blobs in packs:
            assert [blob.digest for blob in blobs] == [Digest.of(data) for data in packed_contents()], fault
        for info in backend.list("packs/"):
            backend.remove(info.key)
        records = list(Journal(backend).records(CHAIN.format(run=walker.run)))
        assert len(records) <= 1, fault
        for digest in outcome.acknowledged("record"):
            assert [record.digest.hex for record in records] == [digest], fault


def test_every_system_call_of_the_write_path(walker: Walker, scale: Callable[[int, int], int]) -> None:
    plain = walker.walk()
    assert len(plain.acknowledged("blob")) == 3
    assert len(plain.acknowledged("pack")) == 1
    assert len(plain.acknowledged("record")) == 1
    check(walker, plain, "none")
    calls = calls_of(walker.log())
    assert {"openat", "write", "fsync", "fchmod", "mkdirat", "close", "flock"} <= set(calls)
    injected, faults = 0, planned(calls)
    faults = faults[: scale(40, len(faults))]
    for fault in faults:
        outcome = walker.walk("-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}")
        injected += outcome.was_injected
        check(walker, outcome, fault)
    assert injected >= len(faults) * scale(5, 9) // 10


def planned(calls: dict[str, int]) -> list[str]:
    """Every place of every call with every fault, in an order that has each call and fault once before any twice."""
    dice = random.Random(2026)
    turns: list[tuple[int, float, str]] = []
    for name, count in calls.items():
        for action in ACTIONS:
            places = dice.sample(range(1, count + 1), count)
            turns += [(turn, dice.random(), f"{name}:{action}:when={place}") for turn, place in enumerate(places)]
    return [fault for _, _, fault in sorted(turns)]
