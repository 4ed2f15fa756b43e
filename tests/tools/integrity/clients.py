"""Customers of two servers on one store: each sends, deletes, purges and reads through either of them, and remembers
what was acknowledged."""

import random
import threading
from collections.abc import Sequence
from typing import Final

import httpx2

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.tools.worker.corpus import picture, saved
from tests.web.device import Device
from tests.web.tus_client import begun, send

NAMES: Final = tuple(f"{number}.jpg" for number in range(6))
CONTENTS: Final = (
    *(saved(picture((40 + number, 30)), "JPEG") for number in range(4)),
    *(random.Random(number).randbytes(200 + 30_000 * number) for number in range(6)),
    b"text that compresses " * 20_000,
    random.Random(99).randbytes(5 << 20),
)
"""Shared by all, so that everybody is after the same blobs."""

BUSY: Final = frozenset({409, 429, 503})
"""Answers that a race may end in: nothing was acknowledged, and the same may be tried again."""


class Customer:
    """One account. A name stands for the contents that it may have: more than one where an answer left it open; None
    for nothing."""

    def __init__(self, servers: Sequence[Service], seed: int) -> None:
        self._random = random.Random(seed)
        person = new_person()
        self._clients = [sign_in(server.url, server.settings, person) for server in servers]
        first = Device.make(self._clients[0], "laptop")
        self._devices = [Device(client, first.id) for client in self._clients]
        self.names: dict[str, set[bytes | None]] = {name: {None} for name in NAMES}
        self.acknowledged = 0
        self.faults: list[str] = []

    def run(self, is_over: threading.Event) -> None:
        """Until it is over, or something is wrong."""
        acts = [
            self._put,
            self._put,
            self._send_in_parts,
            self._leave_unfinished,
            self._read,
            self._delete,
            self._purge,
        ]
        while not is_over.is_set() and not self.faults:
            try:
                self._random.choice(acts)(self._random.choice(self._devices), self._random.choice(NAMES))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test has to tell
                self.faults.append(repr(error))

    def check(self) -> None:
        """Everything that was acknowledged reads back right, through either server."""
        for device in self._devices:
            for name in NAMES:
                self._read(device, name)

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _put(self, device: Device, name: str) -> None:
        data = self._random.choice(CONTENTS)
        self._settle(name, data, device.put(name, data))

    def _send_in_parts(self, device: Device, name: str) -> None:
        data = self._random.choice(CONTENTS)
        upload = begun(device.client, len(data), device=device.id, filename=name)
        half = len(data) // 2
        if send(device.client, upload, 0, data[:half]).status_code == 204:
            other = self._random.choice(self._clients)  # the rest comes through whichever server answers
            self._settle(name, data, send(other, upload, half, data[half:]))

    def _leave_unfinished(self, device: Device, name: str) -> None:
        begun(device.client, 1_000, b"and no more", device=device.id, filename=f"unfinished {name}")

    def _read(self, device: Device, name: str) -> None:
        answer = device.get(name)
        if answer.status_code == 404:
            found = None
        else:
            assert answer.status_code == 200, f"{name}: {answer.status_code} {answer.text[:200]}"
            found = answer.content
        assert found in self.names[name], f"{name} is not what was acknowledged"

    def _delete(self, device: Device, name: str) -> None:
        answer = device.client.delete(f"{device.files}/{name}")
        if answer.status_code != 404:
            self._settle(name, None, answer)

    def _purge(self, device: Device, name: str) -> None:
        entries = [entry for entry in device.entries() if entry["name"] == name]
        if entries:
            wanted = {"entries": [entry["id"] for entry in entries]}
            self._settle(name, None, device.client.post("/api/v1/entries/purge", json=wanted))

    def _settle(self, name: str, data: bytes | None, answer: httpx2.Response) -> None:
        if answer.is_success:
            self.names[name] = {data}
            self.acknowledged += 1
            return
        assert answer.status_code in BUSY, f"{name}: {answer.status_code} {answer.text[:200]}"
        self.names[name] |= {data}
