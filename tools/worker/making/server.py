"""The process inside the sandbox that waits for orders, with the decoders loaded, and forks a fresh child for each.

Forking what is loaded already costs some milliseconds, where starting Python with Pillow costs a quarter of a second.
The child gets limits on memory, processor time, the size of what it writes, open files and processes; this process
limits its wall clock, and when it has ended nothing that it started is left.

One order a line on stdin, as JSON; on stdout `{"progress": N}` lines and, at the end, one `{"ended": …}` line.
`{"stop": true}` ends the order that runs.
"""

import gc
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NoReturn

from tools.worker.making.make import make
from tools.worker.making.order import Ended, Limits, Order, Refused, Result
from tools.worker.making.pictures import prepare

RESULT_FILE: Final = "result.json"
LOG_FILE: Final = "log.txt"
LOG_BYTES_MAX: Final = 256 * 1024
FILES_MAX: Final = 64
PROCESSES_MAX: Final = 128
_REFUSED: Final = 3
"""Exit code of a child that wrote why it refuses."""
_NO_MEMORY: Final = 4


def main() -> int:
    """Serve until stdin ends. The argument: the work folder as it is called in here."""
    work = Path(sys.argv[1])
    prepare()
    # What is loaded stays: no collection goes through it again, which in each child would copy all its pages.
    gc.collect()
    gc.freeze()
    _tell({"ready": True})
    reader = _Lines(0)
    while (line := reader.next(None)) is not None:
        wanted = json.loads(line)
        if "order" in wanted:
            _tell({"ended": asdict(_carry_out(wanted["order"], Limits(**wanted["limits"]), work, reader))})
    return 0


class _Lines:
    """Lines of a file descriptor, with a wait that can end."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = b""
        self.is_over = False

    def next(self, seconds: float | None) -> bytes | None:
        """The next line; None when the time or the input is over."""
        while b"\n" not in self._buffer:
            if not select.select([self.fd], [], [], seconds)[0]:
                return None
            data = os.read(self.fd, 65_536)
            if not data:
                self.is_over = True
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _carry_out(order: dict[str, Any], limits: Limits, work: Path, orders: _Lines) -> Ended:
    reading, writing = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_the_child(order, limits, work, writing)
    os.close(writing)
    with suppress(OSError):
        os.setpgid(pid, pid)
    stopped = _watch(pid, _Lines(reading), orders, started + limits.seconds)
    os.close(reading)
    _kill_group(pid)
    _, status, used = os.wait4(pid, 0)
    _kill_all()
    cpu_seconds, seconds = used.ru_utime + used.ru_stime, time.monotonic() - started
    return Ended(
        os.waitstatus_to_exitcode(status), stopped, round(cpu_seconds, 3), used.ru_maxrss * 1024, round(seconds, 3)
    )


def _watch(pid: int, progress: _Lines, orders: _Lines, deadline: float) -> str:
    """Pass on progress until the child has ended, is told to stop, or its time is over. Returns why it was stopped."""
    ended = os.pidfd_open(pid)
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "time"
            fds = [ended, orders.fd, *([] if progress.is_over else [progress.fd])]
            ready = select.select(fds, [], [], left)[0]
            if progress.fd in ready:
                _pass_on(progress)
            if orders.fd in ready and (orders.is_over or b"stop" in (orders.next(0) or b"stop")):
                return "asked"
            if ended in ready:
                return ""
    finally:
        os.close(ended)


def _pass_on(progress: _Lines) -> None:
    line = progress.next(0)
    if line is not None and line.isdigit() and len(line) <= 3:
        _tell({"progress": min(100, int(line))})


def _be_the_child(order: dict[str, Any], limits: Limits, work: Path, progress: int) -> NoReturn:
    """Never returns: whatever happens, this process ends here."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.nice(limits.nice)
        log = os.open(work / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(log, 2)
        _limit(limits)
        code = _make(order, work, progress)
    except MemoryError:
        code = _NO_MEMORY
    except BaseException as error:  # noqa: BLE001 - the end of the process: the log says why
        with suppress(Exception):
            import traceback  # noqa: PLC0415

            traceback.print_exception(error)
            sys.stderr.flush()
    finally:
        os._exit(code)


def _make(order: dict[str, Any], work: Path, progress: int) -> int:
    def tell(percent: int) -> None:
        os.write(progress, b"%d\n" % percent)

    out = work / "out"
    try:
        made = make(Order(**{**order, "source": work / "in", "out": out}), tell)
    except Refused as error:
        made = Result(refusal=str(error))
    (work / "out" / RESULT_FILE).write_text(json.dumps(asdict(made)), encoding="utf-8")
    return 0 if made.refusal is None else _REFUSED


def _limit(limits: Limits) -> None:
    for what, wanted in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, FILES_MAX),
        (resource.RLIMIT_NPROC, PROCESSES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (most, most))


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _kill_all() -> None:
    """What the child started and put out of its group. Only where this namespace of processes is our own, with nobody
    in it but bubblewrap (1), us, and what is to go."""
    if os.environ.get("OTB_OWN_PROCESSES") != "1" or os.getppid() != 1 or os.getpid() > 9:
        return
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdigit() and int(name) not in {1, os.getpid()}:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(name), signal.SIGKILL)


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
