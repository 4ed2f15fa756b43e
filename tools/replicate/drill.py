"""The restore drill: a working service from the replica alone, in a folder of its own, and proof that it works.

What it does is what the runbook says for a lost host, command by command; so a drill that passes says that the runbook
works as well. Nothing of the running service is used or touched.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cas.backend import Backend
from cas.errors import CasError, StoreNotReady
from cas.layout import FORMAT_KEY, store_folders
from cas.local import FOLDER_MODE, LocalBackend
from tools.replicate.dumps import load_dump, newest_dump
from tools.replicate.replica import Replication
from tools.run.mariadb import PrivateMariaDB
from tools.run.processes import Child, python

STEP_SECONDS_MAX: Final = 24 * 3600
READY_SECONDS_MAX: Final = 60.0
DATABASE: Final = "otb_drill"
FROM_DUMP: Final = "otb_drill_dump"


class DrillFailed(CasError):
    """A step did not do what it should; its output is told."""


def restore(replica: Backend, root: Path, counted: Callable[[int], object]) -> Replication:
    """Make a store in `root`, which must be empty or missing, from the replica. Every byte is checked on its way;
    FORMAT comes last, so that what was interrupted is no store and is gone on with. Raises StoreNotReady, also for a
    store that is whole already: what came to it since would be taken away. Raises what reading and writing raise."""
    root.mkdir(FOLDER_MODE, exist_ok=True)
    if (root / FORMAT_KEY).exists():
        raise StoreNotReady(f"{root} is a store already; nothing was changed", str(root))
    with closing(LocalBackend(root)) as target:
        target.prepare(store_folders())
        copying = Replication(replica, target, counted)
        copying.run(datetime.now(UTC).date(), grace_days=0)
    return copying


class Drill:
    """One drill in `folder`. `say` hears of each step."""

    def __init__(self, replica: Backend, folder: Path, say: Callable[[str], object]) -> None:
        self._replica = replica
        self._folder = folder
        self._say = say
        self._port = _free_port()
        self._mariadb = PrivateMariaDB(folder / "mariadb", folder / "mariadb.log")

    def run(self, counted: Callable[[int], object]) -> None:
        """All steps. Raises `DrillFailed` at the first that fails, and leaves the folder as it is then."""
        if self._folder.exists() and any(self._folder.iterdir()):
            raise StoreNotReady(f"{self._folder} is not empty: a drill begins in an empty folder", str(self._folder))
        self._folder.mkdir(FOLDER_MODE, exist_ok=True)
        copying = restore(self._replica, self._folder / "store", counted)
        if copying.counts.faults:
            raise DrillFailed("the replica is damaged: " + "; ".join(copying.counts.faults[:10]))
        self._say(f"restored {copying.counts.copied:,} objects, {copying.counts.copied_bytes:,} bytes, each checked")
        self._mariadb.start()
        try:
            self._from_the_journal()
            self._from_the_dump()
        finally:
            self._mariadb.stop()

    def _from_the_journal(self) -> None:
        settings = self._settings(DATABASE)
        self._step("made a new database", settings, "tools.migrate")
        self._step("rebuilt the catalog from the journal, and compared", settings, "tools.rebuild")
        self._step(
            "re-read every blob", settings, "tools.verify", "--fresh", "--report", str(self._folder / "verify.json")
        )
        self._serve(settings)

    def _from_the_dump(self) -> None:
        key = newest_dump(self._replica)
        if key is None:
            self._say("there is no dump of the database in the replica")
            return
        client = [
            shutil.which("mariadb") or "mariadb", "--no-defaults", f"--socket={self._mariadb.socket}", "--user=root",
        ]  # fmt: skip
        made = [*client, "-e", f"CREATE DATABASE {FROM_DUMP}"]
        subprocess.run(made, check=True, timeout=60)  # noqa: S603 - a command of ours
        load_dump(self._replica, key, [*client, FROM_DUMP])
        settings = self._settings(FROM_DUMP)
        self._step(f"loaded {key}", settings, "tools.migrate")
        self._step("the dump agrees with the journal", settings, "tools.rebuild", "compare", "--may-be-older")

    def _serve(self, settings: Path) -> None:
        """The server starts on it, and says that it is ready."""
        environ = _environ(settings)
        server = Child.start("The restored server", python("web"), log=self._folder / "web.log", env=environ)
        try:
            deadline = time.monotonic() + READY_SECONDS_MAX
            while not self._is_ready():
                if not server.is_running or time.monotonic() > deadline:
                    raise DrillFailed(f"the restored server does not get ready: {server.failure()}")
                time.sleep(0.1)
        finally:
            server.stop()
        self._say("the server runs on it")

    def _is_ready(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as answer:
            return int(answer.status) == 200
        return False

    def _step(self, what: str, settings: Path, *command: str) -> None:
        done = subprocess.run(  # noqa: S603 - a command of ours
            python(*command), env=_environ(settings), capture_output=True, text=True, check=False,
            timeout=STEP_SECONDS_MAX,
        )  # fmt: skip
        if done.returncode:
            raise DrillFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        self._say(what)

    def _settings(self, database: str) -> Path:
        file = self._folder / f"settings-{database}"
        values = {
            "APP_HOST": "127.0.0.1",
            "APP_PORT": str(self._port),
            "PUBLIC_URL": f"http://127.0.0.1:{self._port}",
            "SECRET_KEY": secrets.token_hex(32),
            "STORAGE_ROOT": str(self._folder / "store"),
            "MARIADB_SOCKET": str(self._mariadb.socket),
            "MARIADB_DB": database,
            "MARIADB_USER": "otb_drill",
            "MARIADB_PASSWORD": "drill",
            "OTB_PORTAL_SHARED_SECRET": secrets.token_hex(32),
        }
        file.touch(0o600)
        file.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()), encoding="utf-8")
        return file


def _environ(settings: Path) -> dict[str, str]:
    """Nothing of the service's own settings reaches the drill."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"OTB_CLOUD_SETTINGS": str(settings)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
