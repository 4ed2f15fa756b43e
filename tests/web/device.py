"""A device as tests use it: short names for the calls of the API, and requests whose bytes are exactly as written."""

import select
import socket
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True)
class Device:
    """One device, through its owner's client."""

    client: httpx2.Client
    id: str

    @classmethod
    def make(cls, client: httpx2.Client, name: str) -> "Device":
        answer = client.post("/api/v1/devices", json={"name": name, "kind": "laptop"})
        assert answer.status_code == 201, answer.text
        return cls(client, answer.json()["id"])

    @property
    def files(self) -> str:
        return f"/api/v1/devices/{self.id}/files/originals"

    def put(self, path: str, content: bytes, **headers: str) -> httpx2.Response:
        return self.client.put(f"{self.files}/{path}", content=content, headers=headers)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.client.get(f"{self.files}/{path}", headers=headers)

    def entries(self, directory: str = "", **query: str) -> list[dict[str, Any]]:
        answer = self.client.get(f"/api/v1/devices/{self.id}/entries", params={"directory": directory} | query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["entries"]
        return found

    def token(self) -> str:
        """A new device token."""
        answer = self.client.post(f"/api/v1/devices/{self.id}/tokens", json={"label": "backup"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])


def stored(device: Device, path: str, content: bytes) -> str:
    """Upload a file; its entry's id."""
    answer = device.put(path, content)
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["entry"])


def bearer(url: str, token: str) -> httpx2.Client:
    """A client with a device token and no cookie."""
    return httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def as_sent(client: httpx2.Client) -> dict[str, str]:
    """The headers that make a raw request the client's."""
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return {"Cookie": cookies, "X-CSRF-Token": client.headers["X-CSRF-Token"]}


class Wire:
    """A connection whose requests are written byte by byte."""

    def __init__(self, url: str, seconds: float = 30) -> None:
        self._host = url.removeprefix("http://")
        name, port = self._host.rsplit(":", 1)
        self._socket = socket.create_connection((name, int(port)), timeout=seconds)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def head(self, method: str, raw_path: bytes, headers: dict[str, str]) -> None:
        """Send a request's line and headers."""
        lines = [method.encode() + b" " + raw_path + b" HTTP/1.1", f"Host: {self._host}".encode()]
        lines += [f"{name}: {value}".encode() for name, value in headers.items()]
        self.send(b"\r\n".join(lines) + b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers (lower case), and what came of the body until it was complete or cut off."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(body) < length and (more := self._socket.recv(1 << 20)):
            body += more
        return int(first.split()[1]), headers, body

    @property
    def has_answer(self) -> bool:
        """Whether something came, or the server has closed."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(0))

    def _some(self) -> bytes:
        data = self._socket.recv(1 << 16)
        assert data, "the server closed the connection without an answer"
        return data
