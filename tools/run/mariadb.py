"""A private MariaDB: its own data folder, a Unix socket in a folder that only its owner may enter, no network.

It never reads the machine's settings (`--no-defaults`) and flushes at each commit, as the production server must.
`make run` keeps one under its data folder; the tests make one in a temporary folder.
"""

import getpass
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.run.errors import ServerFailed
from tools.run.processes import Child, end_of, run_to_end

SOCKET_PATH_BYTES_MAX: Final = 107
"""What fits in `sockaddr_un.sun_path` with its final zero (unix(7))."""

START_SECONDS_MAX: Final = 120.0
"""Long enough for a crash recovery; an ordinary start takes a fraction of a second."""

ADMIN_USER: Final = "root"
"""Without a password: the socket's folder is the lock."""


class PrivateMariaDB:
    """One server on `folder`, which it makes on first start. Two programs must not share one: hold a lock around it."""

    def __init__(self, folder: Path, log: Path, *, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.log = log
        self.options = tuple(options)
        self._child: Child | None = None
        self._short_folder: Path | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """Where it listens: in its folder, or in a temporary one where that path would be too long for a socket."""
        path = self.folder / "server.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            return path
        if self._short_folder is None:
            self._short_folder = Path(tempfile.mkdtemp(prefix="otb-mariadb-"))
        return self._short_folder / "server.sock"

    @property
    def child(self) -> Child:
        """Its process. Raises ServerFailed if it was not started."""
        if self._child is None:
            raise ServerFailed("The private MariaDB was not started.")
        return self._child

    def start(self) -> None:
        """Make the data folder if there is none, start, return once it answers. Raises ServerFailed."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self.data.exists():
            self._install()
        self.socket.unlink(missing_ok=True)
        self._child = Child.start("MariaDB", self._command(), log=self.log)
        self._wait_until_it_answers(self._child)

    def stop(self) -> None:
        """A clean shutdown. Harmless when it does not run."""
        if self._child is not None:
            self._child.stop(seconds_max=60)
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder = None

    def kill(self) -> None:
        """SIGKILL: what a power cut leaves, as far as a process can show it."""
        self.child.kill()

    def restart(self) -> None:
        """A clean shutdown and a new start on the same data and socket."""
        self.child.stop(seconds_max=60)
        self.start()

    def _install(self) -> None:
        # Under another name first: a folder that an interruption left half made is never taken for a database.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        # Two installations at once that share a folder of temporary tables take each other's: one crashes.
        temporary = self.folder / "install.tmp"
        temporary.mkdir(exist_ok=True)
        command = [
            _program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={unfinished}",
            f"--tmpdir={temporary}",
            f"--user={getpass.getuser()}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]
        run_to_end("Making the data folder of MariaDB", command, log=self.log)
        shutil.rmtree(temporary)
        unfinished.rename(self.data)

    def _command(self) -> list[str]:
        return [
            _program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.data}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'server.pid'}",
            f"--user={getpass.getuser()}",
            "--skip-networking",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--default-time-zone=+00:00",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=128M",
            "--max-connections=200",
            *self.options,
        ]

    def _wait_until_it_answers(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if not child.is_running:
                raise child.failure()
            if time.monotonic() > deadline:
                child.kill()
                raise ServerFailed(f"MariaDB did not answer within {START_SECONDS_MAX:.0f} seconds. {end_of(self.log)}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(os.fspath(self.socket))
                return bool(connection.recv(1))  # the server speaks first
            except OSError:  # not there yet, not listening yet, or full: asked again until the deadline
                return False


def _program(name: str) -> str:
    # Debian puts servers where an ordinary account's PATH does not look.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerFailed(f"{name} is missing. `tools/setup run` installs MariaDB.")
    return found
