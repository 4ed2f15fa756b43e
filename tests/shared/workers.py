"""The real worker process, as tests start, kill and watch it."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.shared.settings import GivenSettings
from tools.run.processes import Child, python

DONE_SECONDS_MAX: Final = 60.0
PAUSE_SECONDS_MIN: Final = 0.02
PAUSE_SECONDS_MAX: Final = 0.3
_numbers = itertools.count(1)


class WorkerProcess:
    """`python -m tools.worker` on the database and store of `given`. Use it from the main thread."""

    def __init__(self, given: GivenSettings, folder: Path, **values: str) -> None:
        self.given = given.with_values(**({"WORKER_SLOTS": "2"} | values))
        self.log_file = folder / f"worker-{next(_numbers)}.log"
        self.child: Child | None = None

    def start(self, *arguments: str) -> "WorkerProcess":
        command = [*python("tools.worker"), *arguments]
        self.child = Child.start("The worker", command, log=self.log_file, env=self.given.environ)
        return self

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    @property
    def has_ended(self) -> bool:
        return self.child is not None and not self.child.is_running

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        assert self.child is not None
        self.child.kill()

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")


def until(look: Callable[[], Any], what: str, seconds: float = DONE_SECONDS_MAX) -> Any:
    """The first answer of `look` that is not None or False. It looks often at first, then less so: what it asks for is
    to have the processor."""
    deadline, pause = time.monotonic() + seconds, PAUSE_SECONDS_MIN
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(pause)
        pause = min(1.5 * pause, PAUSE_SECONDS_MAX)


def rendition(client: httpx2.Client, entry: str, kind: str = "thumbnail") -> httpx2.Response:
    """The thumbnail's or preview's answer, once it is decided: 200 or 404."""

    def look() -> httpx2.Response | None:
        answer = client.get(f"/api/v1/entries/{entry}/{kind}")
        assert answer.status_code in {200, 202, 404}, answer.text
        return None if answer.status_code == 202 else answer

    found: httpx2.Response = until(look, f"the {kind} of {entry}")
    return found


def ended_job(client: httpx2.Client, job: str) -> dict[str, Any]:
    """The job, once it is done, failed or cancelled."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/api/v1/jobs/{job}").json()
        return found if found["state"] in {"done", "failed", "cancelled"} else None

    ended: dict[str, Any] = until(look, f"job {job}")
    return ended


def asked(client: httpx2.Client, entries: list[str], recipe: str, **parameters: int | str) -> list[str]:
    """Ask for a recipe; the ids of the jobs."""
    answer = client.post("/api/v1/derivations", json={"entries": entries, "recipe": recipe, "parameters": parameters})
    assert answer.status_code == 202, answer.text
    return [job["id"] for job in answer.json()["jobs"]]
