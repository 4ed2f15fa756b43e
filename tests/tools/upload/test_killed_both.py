"""SIGKILL of the client, of the server, or of both, at random, while a computer is backed up: nothing acknowledged is
lost or sent twice, nothing is half there, and no part outlives its expiry."""

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from cas.backend import Backend
from cas.local import LocalBackend
from cas.store import BlobStore
from tests.shared.service import Service
from tests.tools.upload.computer import Computer, join, new_computer
from tools.run.mariadb import PrivateMariaDB

MIB = 1 << 20
SMALL_BYTES = 20_000


@pytest.mark.proof
def test_client_and_server_killed_at_random(
    make_service: Callable[..., Service], mariadb: PrivateMariaDB, tmp_path: Path, scale: Callable[[int, int], int]
) -> None:
    service = make_service(on_disk=scale(0, 1) == 1)
    with join(service) as client:
        computer = new_computer(service, tmp_path / "computer", client, "laptop")
        kill_and_look(service, computer, mariadb, scale(3, 100))
    service.stop()
    assert store_is_sound(LocalBackend(service.settings.storage_root))


def kill_and_look(service: Service, computer: Computer, mariadb: PrivateMariaDB, rounds: int) -> None:
    rng = random.Random(11)
    made = files_of(computer.home, rounds, rng)
    acknowledged: set[str] = set()
    for number in range(rounds):
        process = computer.start("upload", "--limit-rate", "3M", str(computer.home))
        time.sleep(rng.uniform(0.3, 1.5))
        victim = rng.choice(["client", "server", "both"])
        if victim != "client":
            service.kill()
        if victim != "server" or number % 3 == 0:
            process.kill()
        if victim != "client":
            service.start()
        process.kill()
        process.communicate()
        now = possessed(computer, made)
        assert acknowledged <= now, "what was acknowledged is gone"
        acknowledged = now
    acknowledged = settled(computer, made, acknowledged)
    left_bytes = sum(size for digest, (_, size) in made.items() if digest not in acknowledged)

    done = computer.upload()

    assert done.summary["sent_bytes"] == left_bytes, "what the account had was sent again"
    for digest, (path, _) in made.items():
        content = computer.content(path)
        assert blake3(content).hexdigest() == digest == blake3(path.read_bytes()).hexdigest()
    assert len(made) == sum(len(computer.listing(folder)) for folder in computer.home.iterdir() if folder.is_dir())
    expire_all(mariadb, service)
    service.restart()
    assert list((service.settings.storage_root / "incoming").iterdir()) == []


def expire_all(mariadb: PrivateMariaDB, service: Service) -> None:
    """A day goes by for every upload that is not finished."""
    command = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "--user=root", service.settings.mariadb_db]
    subprocess.run([*command, "--execute=UPDATE upload SET expires_at = UTC_TIMESTAMP(6)"], check=True)


def files_of(home: Path, rounds: int, rng: random.Random) -> dict[str, tuple[Path, int]]:
    """Digest → path and size of what is to be backed up: about as much as the rounds have time to send, and more."""
    made = {}
    for number in range(rounds * 2):
        folder = home / f"d{number}"
        folder.mkdir()
        sizes = [SMALL_BYTES] * 50 + ([rng.randrange(2 * MIB, 6 * MIB)] if number % 4 == 0 else [])
        for name, size in enumerate(sizes):
            content = os.urandom(size)
            (folder / str(name)).write_bytes(content)
            made[blake3(content).hexdigest()] = (folder / str(name), size)
    return made


def possessed(computer: Computer, made: dict[str, tuple[Path, int]]) -> set[str]:
    """The digests that the account has."""
    missing: set[str] = set()
    digests = list(made)
    for start in range(0, len(digests), 10_000):
        answer = computer.device.client.post("/api/v1/blobs/missing", json={"digests": digests[start : start + 10_000]})
        assert answer.status_code == 200, answer.text
        missing |= set(answer.json()["missing"])
    return set(digests) - missing


def settled(computer: Computer, made: dict[str, tuple[Path, int]], before: set[str]) -> set[str]:
    """What the account has once nothing more of a killed client's last request arrives."""
    while True:
        time.sleep(2)
        now = possessed(computer, made)
        if now == before:
            return now
        before = now


def store_is_sound(backend: Backend) -> bool:
    """Every pack is whole."""
    store = BlobStore.open(backend)
    for pack_id, _ in store.packs():
        store.check_pack(pack_id)
    backend.close()
    return True
