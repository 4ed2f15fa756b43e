"""`Sandbox`: a process that decodes untrusted files, shut in by bubblewrap, and the folder it shares with us.

Inside there is no network, no other process, no environment, and no file but the system's libraries, the makers' own
code and one folder of ours with the input and what is made. What is done by one order is gone before the next.
Everything that comes out is looked at as if an enemy had written it.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from tools.worker.errors import OutputRefused, SandboxBroken
from tools.worker.making.order import Ended, Limits, Result

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS_MAX: Final = 60
KILL_SECONDS: Final = 15
"""What the process inside may take longer than it promised before all of it is killed."""
RESULT_BYTES_MAX: Final = 1 << 20
PIECES_MAX: Final = 64
LOG_BYTES_READ: Final = 64 * 1024
_FILE_NAME: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib64", "/lib32")
_SHARED: Final = ("/usr", "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/usr/share/fonts")
_INSIDE: Final = "/otb-file"
_CODE: Final = "/otb-code"


@dataclass(slots=True)
class Sandbox:
    """One sandbox, for one order at a time. `folder`: its own, made here and removed by `close`."""

    folder: Path
    kind: str
    vaapi: str = ""
    _process: asyncio.subprocess.Process | None = None

    @property
    def source(self) -> Path:
        """Where the input goes, before an order."""
        return self.folder / "in"

    @property
    def process_id(self) -> int | None:
        """Of the process that waits for orders; None where there is none."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Ready for an order. Raises `SandboxBroken`."""
        if self._process is not None and self._process.returncode is None:
            return
        self.clear()
        log = (self.folder.parent / f"{self.folder.name}.log").open("wb")
        with log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command(),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    env=self._environment(),
                    cwd="/",
                    start_new_session=True,
                )
                async with asyncio.timeout(START_SECONDS_MAX):
                    await self._line()
            except (OSError, TimeoutError, SandboxBroken) as error:
                await self.kill()
                raise SandboxBroken(f"The sandbox does not start ({self.kind}). {self._startup_log()}") from error

    async def run(self, order: dict[str, Any], limits: Limits, progress: Callable[[int], None]) -> Ended:
        """Carry out an order on what lies at `source`. Raises `SandboxBroken`."""
        await self.start()
        (self.folder / "out").mkdir(mode=0o700)
        await self._send({"order": order | {"vaapi": self.vaapi}, "limits": asdict(limits)})
        try:
            async with asyncio.timeout(limits.seconds + KILL_SECONDS):
                while True:
                    message = await self._line()
                    if "ended" in message:
                        return msgspec.convert(message["ended"], Ended)
                    progress(int(message.get("progress", 0)))
        except (
            TimeoutError,
            asyncio.CancelledError,
            SandboxBroken,
            msgspec.MsgspecError,
            TypeError,
            ValueError,
        ) as error:
            await self.kill()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise SandboxBroken("The sandbox did not answer, so it was ended.") from error

    async def stop(self) -> None:
        """End the order that runs; `run` then says that it was asked to."""
        with contextlib.suppress(SandboxBroken):
            await self._send({"stop": True})

    def result(self) -> Result | None:
        """What the makers wrote; None if they did not come so far. Raises `OutputRefused`."""
        try:
            data = self._read("result.json", RESULT_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputRefused("What the makers wrote is no plain file.") from error
        try:
            made = msgspec.json.decode(data, type=Result)
        except msgspec.DecodeError as error:
            raise OutputRefused("What the makers wrote cannot be read.") from error
        if len(made.pieces) > PIECES_MAX:
            raise OutputRefused(f"More than {PIECES_MAX} files were made.")
        return made

    def open_piece(self, name: str) -> int:
        """A file that was made, open for reading; the caller closes it. Raises `OutputRefused`."""
        if not _FILE_NAME.fullmatch(name):
            raise OutputRefused("A file that was made has a name that was not agreed.")
        try:
            return self._open(name)
        except OSError as error:
            raise OutputRefused("A file that was said to be made is not there.") from error

    def log(self) -> str:
        """The end of what was written on stderr."""
        try:
            fd = self._open_in(self.folder, "log.txt")
        except OSError:
            return ""
        with os.fdopen(fd, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_BYTES_READ))
            return file.read().decode("utf-8", "replace").replace(f"{self.folder}/", "").replace(f"{_INSIDE}/", "")

    def clear(self) -> None:
        """Nothing of an earlier order is left. The folder itself stays: it is what the sandbox sees."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            _remove(path)

    async def kill(self) -> None:
        """End it and all that it started, at once."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        await self.kill()
        _remove(self.folder)

    def _command(self) -> list[str]:
        python = [sys.executable, "-s", "-m", "tools.worker.making"]
        if self.kind == "limits":
            return [*python, str(self.folder)]
        return ["bwrap", *self.walls(), "--", *python, _INSIDE]

    def walls(self) -> list[str]:
        """bubblewrap's options: what is to be seen inside."""
        options = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
        options += ["--die-with-parent", "--new-session", "--clearenv"]
        # First of all mounts: the interpreter may lie below /tmp, and what is mounted later is seen.
        options += ["--tmpfs", "/tmp"]  # noqa: S108 - of the sandbox's own
        for name in (*_SHARED, sys.prefix, sys.base_prefix):
            options += ["--ro-bind-try", name, name]
        for name in _SYSTEM:
            path = Path(name)
            if path.is_symlink():
                options += ["--symlink", str(path.readlink()), name]
            elif path.is_dir():
                options += ["--ro-bind", name, name]
        for name in ("tools/__init__.py", "tools/worker"):
            options += ["--ro-bind", str(ROOT / name), f"{_CODE}/{name}"]
        options += ["--proc", "/proc", "--dev", "/dev", "--bind", str(self.folder), _INSIDE]
        if self.vaapi:
            options += ["--dev-bind-try", "/dev/dri", "/dev/dri"]
        for name, value in (self._environment() | {"PYTHONPATH": _CODE, "OTB_OWN_PROCESSES": "1"}).items():
            options += ["--setenv", name, value]
        return [*options, "--chdir", "/tmp"]  # noqa: S108 - of the sandbox's own

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": "/tmp",  # noqa: S108
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            # One file is one processor's work: the others have files of their own.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    async def _send(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise SandboxBroken("The sandbox is not there.")
        try:
            self._process.stdin.write(json.dumps(message, default=str).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionError) as error:
            raise SandboxBroken("The sandbox has ended.") from error

    async def _line(self) -> dict[str, Any]:
        if self._process is None or self._process.stdout is None:
            raise SandboxBroken("The sandbox is not there.")
        line = await self._process.stdout.readline()
        try:
            message = json.loads(line)
        except ValueError as error:
            raise SandboxBroken("The sandbox has ended.") from error
        if not isinstance(message, dict):
            raise SandboxBroken("The sandbox says what it should not.")
        return message

    def _startup_log(self) -> str:
        try:
            return (self.folder.parent / f"{self.folder.name}.log").read_text("utf-8", "replace")[-2_000:].strip()
        except OSError:
            return ""

    def _open(self, name: str) -> int:
        return self._open_in(self.folder / "out", name)

    @staticmethod
    def _open_in(folder: Path, name: str) -> int:
        """A plain file in a plain folder: neither may be a link, which would lead out of the sandbox."""
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
        finally:
            os.close(folder_fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OutputRefused("What was made is no plain file.")
        return fd

    def _read(self, name: str, most: int) -> bytes:
        with os.fdopen(self._open(name), "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise OutputRefused("What was made is larger than agreed.")
        return data


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)
