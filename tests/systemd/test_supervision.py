"""systemd's side of a start: the socket that outlives the server, and what the server tells of itself."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.shared.servers import AS_SYSTEMD
from tests.shared.settings import GivenSettings
from tools.run.processes import python

SECONDS_MAX = 60


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """The socket that systemd would hold."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS_MAX)
        yield listener


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """Where systemd would listen for what a service says."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(SECONDS_MAX)
        yield listening


def start(
    given: GivenSettings, held: socket.socket, ear: socket.socket, fds: int = 1, folder: Path | None = None
) -> "subprocess.Popen[str]":
    """`folder`: another release, by its code."""
    said = {"LISTEN_FDS": str(fds), "NOTIFY_SOCKET": ear.getsockname()}
    return subprocess.Popen(
        ["/bin/bash", "-c", AS_SYSTEMD, str(held.fileno()), *python("web")],
        env=given.environ | said,
        pass_fds=[held.fileno()],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS_MAX)
    return process.returncode


def test_who_comes_between_two_servers_waits_and_is_answered(
    given: GivenSettings, held: socket.socket, ear: socket.socket
) -> None:
    host, port = held.getsockname()
    given = given.with_values(PUBLIC_URL=f"http://{host}:{port}")
    first = start(given, held, ear)
    assert ear.recv(100) == b"READY=1"
    assert httpx2.get(f"http://{host}:{port}/readyz").status_code == 200
    assert ear.recv(100) == b"WATCHDOG=1"
    assert end(first) == 0
    while (said := ear.recv(100)) == b"WATCHDOG=1":
        pass
    assert said == b"STOPPING=1"
    with socket.create_connection((host, port), timeout=SECONDS_MAX) as early:
        early.sendall(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        second = start(given, held, ear)
        assert early.recv(100).startswith(b"HTTP/1.1 200")
    assert end(second) == 0


def test_more_than_one_socket_is_refused_with_a_sentence(
    given: GivenSettings, held: socket.socket, ear: socket.socket
) -> None:
    process = start(given, held, ear, fds=2)
    _, told = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 2
    assert "Give the socket unit one ListenStream=." in told


def test_a_socket_that_was_meant_for_another_process_is_not_taken(given: GivenSettings, ear: socket.socket) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        environ = given.with_values(APP_PORT=str(taken.getsockname()[1])).environ
        done = subprocess.run(
            python("web"),
            env=environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    assert done.returncode == 2
    assert "Set APP_PORT to a free port" in done.stderr
