"""An upgrade under load: the database is migrated beside the old server, which ends, and a new release takes its
socket. Nobody who asks meanwhile is refused, cut off or told of an error."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from tests.shared.portal import sign_in
from tests.shared.settings import GivenSettings
from tests.systemd.test_supervision import end, start
from tests.web.device import Device, bearer
from tests.web.tus_client import begun, offset, send
from tools.run.processes import python

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS_MAX: Final = 90
ANSWERS_MIN: Final = 3
PAUSE_SECONDS: Final = 0.05
PIECE_BYTES: Final = 4_096
PIECE: Final = bytes(PIECE_BYTES)
SLOW_PIECES: Final = 10


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """This checkout's code with one more migration, which the old server does not know."""
    release = tmp_path / "next"
    for name in ("cas", "catalog", "web", "tools", "sql"):
        shutil.copytree(ROOT / name, release / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    number = len(list(release.glob("sql/[0-9]*.sql"))) + 1
    (release / "sql" / f"{number:04}_next.sql").write_text("ALTER TABLE device ADD COLUMN next_release INT NULL;\n")
    return release


@dataclass
class Load:
    """Clients that ask again and again, one a thread; each answer and each failure is kept."""

    statuses: dict[str, list[int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def add(self, name: str, ask: Callable[[int], int]) -> None:
        """`ask`: given a running number, the status of its answer."""
        answers = self.statuses[name] = []

        def run() -> None:
            number = 0
            while not self.over.is_set():
                try:
                    answers.append(ask(number))
                except Exception as error:  # noqa: BLE001 - whatever it is, a request was lost
                    self.failures.append(f"{name}: {error!r}")
                number += 1
                time.sleep(PAUSE_SECONDS)

        self.threads.append(threading.Thread(target=run, name=name))
        self.threads[-1].start()

    def wait_for_more(self) -> None:
        """Until each client had some more answers, or something failed."""
        before = {name: len(answers) for name, answers in self.statuses.items()}
        deadline = time.monotonic() + SECONDS_MAX
        while any(len(answers) < before[name] + ANSWERS_MIN for name, answers in self.statuses.items()):
            assert not self.failures
            assert time.monotonic() < deadline, self.statuses
            time.sleep(0.02)

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(SECONDS_MAX)


def test_an_upgrade_under_load_loses_no_request(given: GivenSettings, tmp_path: Path, next_release: Path) -> None:
    with ExitStack() as stack:
        held = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        ear = stack.enter_context(closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)))
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(SECONDS_MAX)
        host, port = held.getsockname()
        url = f"http://{host}:{port}"
        given = given.with_values(PUBLIC_URL=url)
        old = start(given, held, ear)
        stack.callback(old.kill)
        assert ear.recv(100) == b"READY=1"
        owner = stack.enter_context(sign_in(url, given.settings))
        laptop = Device.make(owner, "laptop")
        token = laptop.token()

        def fresh(method: str, path: str, content: bytes | Iterator[bytes] | None = None) -> tuple[int, bytes]:
            """Over a connection of its own, never tried again."""
            with closing(HTTPConnection(host, port, timeout=SECONDS_MAX)) as connection:
                connection.request(method, path, content, {"Authorization": f"Bearer {token}"}, encode_chunked=True)
                answer = connection.getresponse()
                return answer.status, answer.read()

        kept = stack.enter_context(bearer(url, token))
        upload = begun(kept, 1 << 30, device=laptop.id, filename="resumed.bin")
        load = Load()
        stack.callback(load.stop)
        load.add("uploads", lambda number: fresh("PUT", f"{laptop.files}/{number}", b"%d" % number)[0])
        load.add("looks", lambda _: fresh("GET", f"/api/v1/devices/{laptop.id}/entries")[0])
        load.add("looks over one connection", lambda _: owner.get("/api/v1/me").status_code)
        load.add("resumable upload", lambda number: send(kept, upload, number * PIECE_BYTES, PIECE).status_code)
        load.add("slow uploads", lambda number: fresh("PUT", f"{laptop.files}/slow{number}", slow_pieces())[0])
        load.wait_for_more()
        subprocess.run(
            python("tools.migrate"), cwd=next_release, env=given.environ, check=True, capture_output=True, timeout=60
        )
        load.wait_for_more()
        assert end(old) == 0
        new = start(given, held, ear, folder=next_release)
        stack.callback(new.kill)
        while ear.recv(100) != b"READY=1":
            pass
        load.wait_for_more()
        load.stop()
        assert load.failures == []
        assert {name: set(answers) for name, answers in load.statuses.items()} == {
            "uploads": {201},
            "looks": {200},
            "looks over one connection": {200},
            "resumable upload": {204},
            "slow uploads": {201},
        }
        for number in range(len(load.statuses["uploads"])):
            assert fresh("GET", f"{laptop.files}/{number}")[1] == b"%d" % number
        assert offset(kept, upload) == len(load.statuses["resumable upload"]) * PIECE_BYTES
        assert end(new) == 0


def slow_pieces() -> Iterator[bytes]:
    """A body that takes 0.3 s."""
    for _ in range(SLOW_PIECES):
        yield PIECE
        time.sleep(0.3 / SLOW_PIECES)
