"""Large files that the account cannot have yet: hashed while they are sent, whatever happens meanwhile."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from otb_client.api import Answer, Patience
from otb_client.cache import Cache
from otb_client.hashing import ATTEMPTS, FileChanging
from otb_client.large import UNHASHED_BYTES_MIN
from otb_client.output import Output
from otb_client.progress import Progress
from otb_client.run import Run
from otb_client.tus import send_unhashed

from tests.shared.service import Service
from tests.tools.upload.computer import SECONDS_MAX, Computer, Done
from tests.tools.upload.test_failures import wait_until
from tests.tools.upload.test_upload import SETTLED_SECONDS, opened

MIB = 1 << 20
SIZE = UNHASHED_BYTES_MIN + 1


def film(computer: Computer, name: str = "film", content: bytes | None = None) -> Path:
    """A large file, and no longer a young one."""
    file = computer.home / name
    file.write_bytes(os.urandom(SIZE) if content is None else content)
    time.sleep(SETTLED_SECONDS)
    return file


def in_mid_stream(computer: Computer, *arguments: str) -> "subprocess.Popen[bytes]":
    """An upload whose first MiBs have arrived."""
    incoming = computer.service.settings.storage_root / "incoming"
    before = set(incoming.iterdir())
    process = computer.start("upload", "--limit-rate", "8M", *arguments, str(computer.home))
    wait_until(lambda: sum(path.stat().st_size for path in set(incoming.iterdir()) - before) > 4 * MIB)
    return process


def used_bytes(computer: Computer) -> int:
    """What counts in the quota, bytes that no manifest names included."""
    used: int = computer.device.client.get("/api/v1/me").json()["usage"]["used_bytes"]
    return used


def test_it_is_read_once_and_its_digest_is_right(computer: Computer, tmp_path: Path) -> None:
    file = film(computer)

    done, read = opened(computer, tmp_path)

    assert read == [str(file)]
    assert (done.summary["sent"], done.summary["line_bytes"]) == (1, SIZE)
    assert computer.listing()["film"]["digest"] == blake3(file.read_bytes()).hexdigest()
    assert computer.content(file) == file.read_bytes()
    assert computer.upload().summary["unchanged"] == 1


def test_equal_bytes_go_once_and_what_the_account_has_not_at_all(computer: Computer) -> None:
    content = os.urandom(SIZE)
    for name in ("a", "b"):
        film(computer, name, content)
    other = film(computer, "c")

    assert computer.upload().summary["sent_bytes"] == 2 * SIZE
    assert computer.content(other) == other.read_bytes()

    other.rename(other.with_name("elsewhere"))
    computer.cache_file.unlink()
    done = computer.upload()

    assert (done.summary["line_bytes"], done.summary["deduplicated"]) == (0, 3)


def test_killed_in_mid_stream_it_goes_on_there(computer: Computer) -> None:
    file = film(computer)
    process = in_mid_stream(computer)
    process.kill()
    process.communicate()

    done = computer.upload()

    assert 0 < done.summary["line_bytes"] < SIZE - 2 * MIB
    assert computer.content(file) == file.read_bytes()
    assert used_bytes(computer) == SIZE


def test_the_server_is_killed_in_mid_stream(service: Service, computer: Computer) -> None:
    file = film(computer)
    process = in_mid_stream(computer, "--json")
    service.kill()
    service.start()
    out, err = process.communicate(timeout=SECONDS_MAX)
    done = Done(process.returncode, out.decode(), err.decode())

    assert done.code == 0, done
    assert done.named("waiting")
    assert computer.content(file) == file.read_bytes()


def test_a_change_in_mid_stream_is_sent_as_it_is_then_and_nothing_is_kept_of_before(computer: Computer) -> None:
    file = film(computer)
    process = in_mid_stream(computer, "--json")
    with file.open("r+b") as writing:
        writing.write(b"another beginning")  # where it was sent already
    out, err = process.communicate(timeout=SECONDS_MAX)
    done = Done(process.returncode, out.decode(), err.decode())

    assert done.code == 0, done
    assert done.summary["line_bytes"] > SIZE
    assert computer.content(file) == file.read_bytes()
    assert used_bytes(computer) == SIZE
    assert computer.device.client.get("/api/v1/uploads").json()["uploads"] == []


class Lying:
    """A server that takes everything and says that it hashes to something else."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.asked: list[str] = []
        self.offset = 0

    def patience(self) -> Patience:
        return Patience(0, self.stop, None)

    def request(self, method: str, _url: str, *, headers: Mapping[str, str], body: Any = None, **_: object) -> Answer:
        self.asked.append(method)
        self.offset = sum(len(piece) for piece in body()) + self.offset if body else 0
        digest = {"X-OTB-Digest": "0" * 64} if "Repr-Digest" in headers else {}
        return Answer(201, {"Location": "/api/v1/uploads/1", "Upload-Offset": str(self.offset)} | digest, b"")


def test_another_digest_than_ours_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "film"
    file.write_bytes(os.urandom(3 * MIB))
    time.sleep(SETTLED_SECONDS)
    server, cache = Lying(), Cache(tmp_path / "cache")
    run = Run(server, cache, Progress(Output(as_json=False)), "1", used_bytes=0, limit=None)  # type: ignore[arg-type]
    with pytest.raises(FileChanging):
        send_unhashed(run, str(file))
    assert server.asked == ["POST", "PATCH", "PATCH"] * ATTEMPTS
    cache.close()
