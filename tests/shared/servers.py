"""Several server processes on one listening socket, as systemd's socket unit gives it to them."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.shared.settings import GivenSettings
from tools.run.processes import python

WAITING_MAX: Final = 2048
SECONDS_MAX: Final = 60.0
# systemd sets LISTEN_PID between fork and exec; a shell that becomes the server does the same.
AS_SYSTEMD: Final = 'export LISTEN_PID=$$; exec 3<&"$0"; exec setpriv --pdeathsig KILL "$@"'


class Servers:
    """`count` processes of `python -m web`. Who connects while none runs waits for the next."""

    def __init__(self, given: GivenSettings, folder: Path, count: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=WAITING_MAX)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.given = given.with_values(PUBLIC_URL=self.url)
        self.log_file = folder / "servers.log"
        self._processes = [self._start() for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def replace(self, number: int, how: signal.Signals) -> None:
        """End one with this signal, and start another in its place."""
        self._end(self._processes[number], how)
        self._processes[number] = self._start()

    def stop(self) -> None:
        for process in self._processes:
            self._end(process, signal.SIGTERM)
        self._listener.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                ["/bin/bash", "-c", AS_SYSTEMD, str(self._listener.fileno()), *python("web")],
                env=self.given.environ | {"LISTEN_FDS": "1"},
                pass_fds=[self._listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _end(self, process: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
        assert process.poll() is None, f"A server ended by itself: {self.log_file.read_text()[-2_000:]}"
        os.kill(process.pid, how)
        process.wait(SECONDS_MAX)


@contextmanager
def serving(given: GivenSettings, folder: Path, count: int) -> Iterator[Servers]:
    servers = Servers(given, folder, count)
    try:
        yield servers
    finally:
        servers.stop()
