"""The real `otb-cloud` process with settings of its own, and the owner who approves it over HTTP."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import httpx2

END_SECONDS_MAX = 120


def environ_for(folder: Path, **more: str) -> dict[str, str]:
    """This process's environment with the settings in `folder`, and no screen to open a browser on."""
    kept = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"}}
    return kept | {"OTB_CLOUD_CONFIG": str(folder)} | more


def otb_cloud(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "otb_client", *arguments], env=environ_for(folder, **environ),
        capture_output=True, text=True, check=False, timeout=END_SECONDS_MAX,
    )  # fmt: skip


class Login:
    """`otb-cloud login --json` that waits for somebody to approve it. End it with `end`."""

    def __init__(self, folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "otb_client", "login", "--json", *arguments],
            env=environ_for(folder) | dict(environ or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        self._reader.start()

    def event(self) -> dict[str, Any]:
        """The next line of its JSON."""
        found: dict[str, Any] = json.loads(self._lines.get(timeout=END_SECONDS_MAX))
        return found

    def code(self) -> str:
        """The code that it shows."""
        event = self.event()
        assert event["event"] == "code", event
        return str(event["user_code"])

    def end(self) -> tuple[int, str]:
        """Wait; its exit code and its words for people."""
        code = self.process.wait(END_SECONDS_MAX)
        self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        words = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, words

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)


def decide(owner: httpx2.Client, code: str, do: str = "approve", **fields: str) -> httpx2.Response:
    """The form of the portal's page, for a new device unless `device` names one."""
    typed = {"device": "new", "name": "laptop", "kind": "laptop"} | fields
    form = {"csrf_token": owner.headers["X-CSRF-Token"], "do": do, "code": code} | typed
    return owner.post("/connect", data=form)
