"""What must be free before anything starts: the data folder and the two ports."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.run.errors import RunError
from tools.run.plan import Plan


@contextmanager
def only_run(data: Path) -> Iterator[None]:
    """Hold the data folder; the kernel lets go of it however this run ends. Raises RunError if another holds it."""
    lock = os.open(data / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"Another make run uses {data} (process {os.pread(lock, 20, 0).decode() or 'unknown'}). "
                "Use that one, or end it with Ctrl-C.\n"
                "To run a second beside it, give it a folder and ports of its own:\n\n"
                "    DATA_DIR=/some/folder APP_PORT=5091 STANDIN_PORT=5051 make run"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def check_ports(plan: Plan) -> None:
    """Raise RunError unless both ports can be listened on."""
    if plan.settings.app_port == plan.standin.port:
        raise RunError("APP_PORT and STANDIN_PORT are the same. Choose two different ports.")
    _check_port("APP_PORT", plan.settings.app_port)
    _check_port("STANDIN_PORT", plan.standin.port)


def _check_port(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise RunError(
                f"This account may not listen on port {port}. Choose one above 1023: {name}={port + 5000} make run"
            ) from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise RunError(
                f"Port {port} is taken by another program. End that, or choose another port: {name}={port + 1} make run"
            ) from error
