"""Dumps of MariaDB beside the replica: consistent (one snapshot), compressed, the newest few kept.

The journal brings the catalog back without one; a dump brings back what the journal does not cover as well.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, cast

import zstandard

from cas.backend import Backend, ObjectReader
from cas.errors import CasError
from catalog.settings import Settings

DUMPS: Final = "dumps"
KEPT: Final = 14
DUMP_SECONDS_MAX: Final = 6 * 3600
_STEP_BYTES: Final = 1 << 20


class DumpFailed(CasError):
    """mariadb-dump is missing, or ended with an error, which is told."""


def add_dump(settings: Settings, target: Backend) -> str:
    """Write a dump of the whole database to the target, under `dumps/<moment>.sql.zst`; returns the key. Raises
    `DumpFailed`, and what the target raises."""
    key = f"{DUMPS}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}.sql.zst"
    with _credentials(settings) as file:
        command = [
            _program(), f"--defaults-extra-file={file}", "--single-transaction", "--quick", "--hex-blob",
            "--skip-lock-tables", "--skip-add-locks", "--no-tablespaces", "--default-character-set=utf8mb4",
            settings.mariadb_db,
        ]  # fmt: skip
        with (
            tempfile.TemporaryFile() as told,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told) as dump,  # noqa: S603 - a command of ours
        ):
            try:
                _write(target, key, dump)
            except BaseException:
                dump.kill()
                raise
            if dump.wait(DUMP_SECONDS_MAX):
                told.seek(0)
                target.remove(key)
                raise DumpFailed(f"mariadb-dump failed: {told.read(2000).decode('utf-8', 'replace').strip()}")
    for old in [info.key for info in target.list(f"{DUMPS}/")][:-KEPT]:
        target.remove(old)
    return key


def newest_dump(replica: Backend) -> str | None:
    """Its key; None where there is none."""
    return max((info.key for info in replica.list(f"{DUMPS}/")), default=None)


def load_dump(replica: Backend, key: str, client: list[str]) -> None:
    """Give a dump to `mariadb` (its command line, with the database). Raises `DumpFailed`."""
    reader = replica.open(key)
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(client, stdin=subprocess.PIPE, stderr=told) as loading,  # noqa: S603 - a command of ours
    ):
        pipe = _pipe(loading.stdin)
        try:
            for piece in zstandard.ZstdDecompressor().read_to_iter(cast("IO[bytes]", _Source(reader))):
                pipe.write(piece)
        except BrokenPipeError:
            pass  # it ended early, and says why below
        finally:
            reader.close()
            loading.communicate()
        if loading.returncode:
            told.seek(0)
            raise DumpFailed(f"loading {key} failed: {told.read(2000).decode('utf-8', 'replace').strip()}")


class _Source:
    """An object as something that zstandard reads from."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._offset = 0

    def read(self, length: int) -> bytes:
        data = self._reader.read_at(self._offset, length)
        self._offset += len(data)
        return data


def _write(target: Backend, key: str, dump: "subprocess.Popen[bytes]") -> None:
    target.prepare([DUMPS])
    writer = target.create()
    try:
        compressor = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
        while piece := _pipe(dump.stdout).read(_STEP_BYTES):
            writer.write(compressor.compress(piece))
        writer.write(compressor.flush())
        writer.seal()
        target.publish({writer.name: key})
    finally:
        writer.discard()


@contextmanager
def _credentials(settings: Settings) -> Iterator[Path]:
    """The password in a file that only we may read, so that no list of processes shows it."""
    where = (
        f'socket="{settings.mariadb_socket}"'
        if settings.mariadb_socket
        else f'host="{settings.mariadb_host}"\nport={settings.mariadb_port}\nprotocol=tcp'
    )
    with tempfile.TemporaryDirectory(prefix="otb-dump-") as folder:
        file = Path(folder) / "client.cnf"
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # Triggers belong to a dump, and only whoever may make them may read them.
        password = settings.mariadb_admin_password.replace("\\", "\\\\").replace('"', '\\"')
        with os.fdopen(fd, "w") as opened:
            opened.write(f'[client]\n{where}\nuser="{settings.mariadb_admin_user}"\npassword="{password}"\n')
        yield file


def _program() -> str:
    found = shutil.which("mariadb-dump")
    if found is None:
        raise DumpFailed("mariadb-dump is missing. `tools/setup run` installs it.")
    return found


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("the process was started with a pipe")
    return pipe
