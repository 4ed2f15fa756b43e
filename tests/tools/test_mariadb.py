"""The private MariaDB: private, durable, restartable."""

import stat
import subprocess
from pathlib import Path

import pytest

from tools.run.errors import ServerFailed
from tools.run.mariadb import SOCKET_PATH_BYTES_MAX, PrivateMariaDB


def sql(server: PrivateMariaDB, statement: str) -> str:
    command = ["mariadb", "--no-defaults", "-S", str(server.socket), "-uroot", "-N", "-e", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_it_has_no_port_speaks_utf8_and_flushes_each_commit(mariadb: PrivateMariaDB) -> None:
    assert sql(mariadb, "SELECT @@skip_networking, @@character_set_server, @@innodb_flush_log_at_trx_commit") == (
        "1\tutf8mb4\t1"
    )
    assert b"00000000:0CEA" not in Path("/proc/net/tcp").read_bytes()


def test_only_its_owner_may_enter_the_folder_of_the_socket(mariadb: PrivateMariaDB) -> None:
    assert stat.S_IMODE(mariadb.socket.parent.stat().st_mode) == 0o700


def test_committed_rows_survive_a_restart_and_a_sigkill(tmp_path: Path) -> None:
    server = PrivateMariaDB(tmp_path / "server", tmp_path / "log")
    server.start()
    try:
        sql(server, "CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY); INSERT INTO d.t VALUES (1)")
        server.restart()
        sql(server, "INSERT INTO d.t VALUES (2)")
        server.kill()
        server.start()
        assert sql(server, "SELECT GROUP_CONCAT(n ORDER BY n) FROM d.t") == "1,2"
    finally:
        server.stop()


def test_a_path_too_long_for_a_socket_gets_a_short_one_that_goes_away(tmp_path: Path) -> None:
    server = PrivateMariaDB(tmp_path / ("long-" * 20) / ("name-" * 20), tmp_path / "log")
    server.start()
    socket = server.socket
    assert len(bytes(socket)) <= SOCKET_PATH_BYTES_MAX
    assert sql(server, "SELECT 1") == "1"
    server.stop()
    assert not socket.parent.exists()


def test_an_interrupted_installation_is_not_taken_for_a_database(tmp_path: Path) -> None:
    server = PrivateMariaDB(tmp_path / "server", tmp_path / "log")
    (server.folder / "data.unfinished" / "mysql").mkdir(parents=True)
    server.start()
    try:
        assert sql(server, "SELECT COUNT(*) > 0 FROM mysql.user") == "1"
    finally:
        server.stop()


def test_a_server_that_cannot_start_is_explained_with_its_log(tmp_path: Path) -> None:
    server = PrivateMariaDB(tmp_path / "server", tmp_path / "log", options=["--no-such-option"])
    with pytest.raises(ServerFailed, match="MariaDB has ended") as caught:
        server.start()
    assert "no-such-option" in str(caught.value)


def test_installations_side_by_side_share_no_folder_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    server = PrivateMariaDB(tmp_path / "server", tmp_path / "log")
    server.start()
    server.stop()
    assert not (server.folder / "install.tmp").exists()
