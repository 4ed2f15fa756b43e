"""The real server process, as tests start, kill and watch it."""

import socket
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from catalog.settings import Settings
from tests.shared.settings import GivenSettings
from tools.run.processes import Child, end_of, python

START_SECONDS_MAX: Final = 120.0


class Service:
    """`python -m web` on a free loopback port, with a database and a store of its own. Use it from the main thread."""

    def __init__(self, given: GivenSettings, folder: Path, public_url: str | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        public_url = public_url or self.url
        self._host = urlsplit(public_url).netloc
        self.given = given.with_values(APP_HOST="127.0.0.1", APP_PORT=str(self.port), PUBLIC_URL=public_url)
        self.settings: Settings = self.given.settings
        self.log_file = folder / f"web-{self.port}.log"
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    @property
    def exit_code(self) -> int | None:
        """Of the last process, once it has ended: negative for a signal."""
        return self._running().process.poll()

    def start(self) -> "Service":
        """Return once it is ready. Fails with the end of its log."""
        self._child = Child.start("The app", python("web"), log=self.log_file, env=self.given.environ)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._is_ready():
            if not self._child.is_running:
                raise AssertionError(str(self._child.failure()))
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"Not ready after {START_SECONDS_MAX} s. {end_of(self.log_file)}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """SIGTERM, and wait. Harmless when it does not run."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._running().kill()

    def restart(self) -> None:
        """Start again on the same port, database and store; ends it first if it still runs."""
        self.stop()
        self.start()

    def log(self) -> str:
        """All that it and its predecessors wrote."""
        return self.log_file.read_text("utf-8", "replace")

    def memory_peak_bytes(self) -> int:
        """The most resident memory since the start or the last `forget_memory_peak` (VmHWM of proc_pid_status(5))."""
        return memory_peak_bytes(self.pid)

    def forget_memory_peak(self) -> None:
        """Measure the peak from now on (proc_pid_clear_refs(5))."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", "ascii")

    def _running(self) -> Child:
        assert self._child is not None, "The service was not started."
        return self._child

    def _is_ready(self) -> bool:
        asked = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            asked.request("GET", "/readyz", headers={"Host": self._host})
            return asked.getresponse().status == 200
        except (OSError, HTTPException):  # not listening yet: asked again until the deadline
            return False
        finally:
            asked.close()


def memory_peak_bytes(pid: int) -> int:
    """The most resident memory of a process so far (VmHWM of proc_pid_status(5))."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("The kernel tells no VmHWM.")


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
