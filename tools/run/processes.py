"""Child processes that never outlive us.

Each child has a process group of its own, so that Ctrl-C reaches this program alone, which then ends its children in
order; and a parent-death signal (prctl(2), set by util-linux's setpriv), so that they end even when this program is
killed outright.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tools.run.errors import ServerFailed

LOG_LINES_SHOWN: Final = 15
LOG_BYTES_READ: Final = 16 * 1024
STOP_SECONDS_MAX: Final = 20.0

# SIGKILL, not SIGTERM: nothing may be left, and all that we start is made to survive it.
_UNTIL_WE_END: Final = ("setpriv", "--pdeathsig", "KILL")


class Child:
    """One process of ours and its log. Start it from the main thread: it ends with the thread that started it."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @classmethod
    def start(cls, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> "Child":
        """Start it; its output goes to the end of `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - commands are ours, never a customer's text
                [*_UNTIL_WE_END, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                process_group=0,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self, seconds_max: float = STOP_SECONDS_MAX) -> None:
        """SIGTERM, then SIGKILL when the time is over. Harmless when it has ended."""
        self.process.terminate()
        try:
            self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait for the end. Harmless when it has ended."""
        self.process.kill()
        self.process.wait()

    def failure(self) -> ServerFailed:
        """The sentence about its unasked end: how, and the last lines of its log."""
        return ServerFailed(f"{self.name} has ended ({_how(self.process.returncode)}). {end_of(self.log)}")


def run_to_end(name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a program that ends by itself. Raises ServerFailed, with the end of its log, unless it succeeds."""
    child = Child.start(name, command, log=log, env=env)
    try:
        status = child.process.wait()
    except BaseException:  # Ctrl-C: what was started here ends here
        child.stop()
        raise
    if status != 0:
        raise ServerFailed(f"{name} failed ({_how(status)}). {end_of(log)}")


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this checkout with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def end_of(log: Path) -> str:
    """The last lines of a log, fit to follow a sentence."""
    if not log.exists():
        return f"There is no log {log}."
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES_READ))
        lines = file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES_SHOWN:]
    if not lines:
        return f"Its log {log} is empty."
    return f"The end of {log}:\n\n" + "\n".join(f"  {line}" for line in lines)


def _how(status: int | None) -> str:
    if status is None:
        return "it still runs"
    return f"exit code {status}" if status >= 0 else signal.Signals(-status).name
