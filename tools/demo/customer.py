"""A customer at the service's front door: signs in by handoff, then speaks the HTTP API with cookie and CSRF token."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import httpx2
from otb_cloud_billing import HandoffSigner, Person

from tools.demo.errors import DemoError
from tools.demo.sample import SampleDevice, SampleFile

TIMEOUT_SECONDS: Final = 60.0


class Customer:
    """A signed-in session. Its calls may come from several threads."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> "Customer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def enter(self, signer: HandoffSigner, person: Person) -> bool:
        """Sign in. False if the service refuses this person (a suspended customer). Raises DemoError."""
        answer = self._send("POST", "/auth/handoff", data={"token": signer.sign(person)})
        if answer.status_code == httpx2.codes.FORBIDDEN:
            return False
        self._expect(answer, "the handoff")
        self._client.headers["X-CSRF-Token"] = self._json("GET", "/api/v1/me")["csrf_token"]
        return True

    def devices(self) -> dict[str, str]:
        """Name → id."""
        return {device["name"]: device["id"] for device in self._json("GET", "/api/v1/devices")["devices"]}

    def create_device(self, device: SampleDevice) -> str:
        wanted = {"name": device.name, "kind": device.kind, "source_directories": device.source_directories}
        return str(self._json("POST", "/api/v1/devices", json=wanted)["id"])

    def upload(self, device_id: str, file: SampleFile) -> None:
        headers = {"Last-Modified": _http_date(file.modified), "Content-Type": "application/octet-stream"}
        self._json("PUT", _file_url(device_id, file.path), content=file.content(), headers=headers)

    def delete(self, device_id: str, path: str) -> None:
        self._expect(self._send("DELETE", _file_url(device_id, path)), f"deleting {path}")

    def _json(self, method: str, url: str, **body: Any) -> Mapping[str, Any]:
        answer = self._send(method, url, **body)
        self._expect(answer, f"{method} {url}")
        found: Mapping[str, Any] = answer.json()
        return found

    def _send(self, method: str, url: str, **body: Any) -> httpx2.Response:
        try:
            return self._client.request(method, url, **body)
        except httpx2.TransportError as error:
            raise DemoError(f"{method} {url}: the service cannot be reached ({error}).") from error

    def _expect(self, answer: httpx2.Response, step: str) -> None:
        if answer.status_code >= httpx2.codes.BAD_REQUEST:
            raise DemoError(f"{step}: {answer.status_code}. {answer.text[:500]}")


def _file_url(device_id: str, path: str) -> str:
    return f"/api/v1/devices/{device_id}/files/originals/{quote(path)}"


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
