"""A customer's computer, as tests use it: folders of its own, and the real `otb-cloud` process."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device

SECONDS_MAX: Final = 120


@dataclass(frozen=True)
class Done:
    """What a process did. `events` where it was called with `--json`."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    @property
    def summary(self) -> dict[str, Any]:
        last = self.events[-1]
        assert last["event"] == "summary", self
        return last


class Computer:
    """One computer of one device. `home` is where its files are."""

    def __init__(self, service: Service, device: Device, folder: Path) -> None:
        self.service = service
        self.device = device
        self.home = folder / "home"
        self.settings = folder / "settings"
        self.home.mkdir(parents=True)
        self.settings.mkdir()
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "OTB_CLOUD_CONFIG": str(self.settings),
            "HOME": str(self.home),
        }
        self.write_settings(token=device.token())

    def write_settings(self, **values: Any) -> None:
        """`config.json`, as `otb-cloud login` leaves it."""
        given = {"server": self.service.url, "device": self.device.id, "device_name": "laptop"} | values
        (self.settings / "config.json").write_text(json.dumps(given))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "otb_client", *arguments]

    def run(self, *arguments: str, **options: Any) -> Done:
        """One command until its end."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environ,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            **{"timeout": SECONDS_MAX, **options},
        )
        return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def upload(self, *arguments: str, code: int = 0) -> Done:
        """`otb-cloud upload --json` of the home, or of the paths among the arguments; it ends with this code."""
        paths = [] if any(argument.startswith(str(self.home)) for argument in arguments) else [str(self.home)]
        done = self.run("upload", "--json", *arguments, *paths)
        assert done.code == code, done
        return done

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """A command that the test ends or waits for."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def cache_file(self) -> Path:
        (file,) = (self.settings / "cache").glob("*.sqlite")
        return file

    # -- what is in the backup --------------------------------------------------------------------------------------

    def backed_up(self, path: Path) -> str:
        """The path in the backup of a local one."""
        return str(path).lstrip("/")

    def listing(self, folder: Path | None = None) -> dict[str, dict[str, Any]]:
        """The entries of a folder in the backup, by name."""
        found: dict[str, dict[str, Any]] = {}
        cursor: str | None = None
        while True:
            query = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
            page = self.device.client.get(
                f"/api/v1/devices/{self.device.id}/entries",
                params={"directory": self.backed_up(folder or self.home)} | query,
            )
            assert page.status_code == 200, page.text
            found |= {entry["name"]: entry for entry in page.json()["entries"]}
            cursor = page.json()["next"]
            if cursor is None:
                return found

    def content(self, path: Path) -> bytes:
        """The bytes in the backup of a local path."""
        answer = self.device.get(self.backed_up(path))
        assert answer.status_code == 200, answer.text
        return answer.content

    def manifests(self) -> list[dict[str, Any]]:
        answer = self.device.client.get(f"/api/v1/devices/{self.device.id}/manifests")
        found: list[dict[str, Any]] = answer.json()["manifests"]
        return found


def join(service: Service) -> httpx2.Client:
    """The owner of a new account."""
    return sign_in(service.url, service.settings, new_person())


def new_computer(service: Service, folder: Path, client: httpx2.Client, name: str) -> Computer:
    """A computer of the client's account."""
    return Computer(service, Device.make(client, name), folder)


def interrupt(process: "subprocess.Popen[bytes]") -> Done:
    """Ctrl-C, and wait."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS_MAX)
    return Done(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
