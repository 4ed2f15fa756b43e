"""What `make run` decides from the environment."""

import os
import socket
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from catalog.settings import load_settings
from tests.shared.service import free_port
from tools.run.checks import check_ports, only_run
from tools.run.errors import RunError
from tools.run.plan import SECRET_NAMES, Plan, data_folder, make_plan

SOCKET = Path("/tmp/server.sock")  # never opened here


def plan(data: Path, **environ: str) -> Plan:
    return make_plan(environ, data, SOCKET)


def test_without_any_setting_everything_is_in_the_data_folder_and_on_loopback(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert (made.settings.app_host, made.settings.app_port, made.standin.port) == ("127.0.0.1", 5090, 5050)
    assert made.settings.storage_root == tmp_path / "store"
    assert made.settings.mariadb_socket == str(SOCKET)
    assert made.link == "http://127.0.0.1:5050/"
    assert made.settings.public_url == made.standin.cloud_url == "http://127.0.0.1:5090"
    assert made.settings.otb_portal_url == "http://127.0.0.1:5050"


def test_the_environment_is_honoured_so_that_two_runs_fit_on_one_machine(tmp_path: Path) -> None:
    secret = "s" * 40
    made = plan(
        tmp_path,
        APP_PORT="6001",
        STANDIN_PORT="6002",
        STORAGE_ROOT="/srv/store",
        OTB_PORTAL_SHARED_SECRET=secret,
        MARIADB_DB="second",
        HOLD_DAYS="3",
    )
    assert (made.settings.app_port, made.standin.port, made.settings.hold_days) == (6001, 6002, 3)
    assert made.settings.storage_root == Path("/srv/store")
    assert made.settings.search_dir == Path("/srv/store-search")
    assert made.settings.mariadb_db == "second"
    assert made.standin.signer.key == made.settings.otb_portal_shared_secret == secret
    assert made.settings.public_url == "http://127.0.0.1:6001"


def test_what_makes_a_run_private_is_not_for_choosing(tmp_path: Path) -> None:
    made = plan(tmp_path, APP_HOST="0.0.0.0", MARIADB_SOCKET="/run/mysqld/mysqld.sock", MARIADB_ADMIN_USER="admin")
    assert made.settings.app_host == "127.0.0.1"
    assert made.settings.mariadb_socket == str(SOCKET)
    assert made.settings.mariadb_admin_user == "root"


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first, second = plan(tmp_path).settings, plan(tmp_path).settings
    for name in SECRET_NAMES:
        assert getattr(first, name.lower()) == getattr(second, name.lower())
        assert len(getattr(first, name.lower())) >= 32
    assert first.secret_key != first.otb_portal_shared_secret
    for file in ("secrets", "settings"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600


def test_the_settings_file_alone_gives_an_operator_the_same_settings(tmp_path: Path) -> None:
    odd = "it's \\ odd #x $HOME"
    made = plan(tmp_path, MARIADB_PASSWORD=odd)
    assert load_settings({"OTB_CLOUD_SETTINGS": str(tmp_path / "settings")}) == made.settings
    assert made.settings.mariadb_password == odd


def test_children_get_the_settings_by_the_file_and_not_twice(tmp_path: Path) -> None:
    made = plan(tmp_path, APP_PORT="6001", PATH="/bin")
    assert made.environ["OTB_CLOUD_SETTINGS"] == str(tmp_path / "settings")
    assert made.environ["PATH"] == "/bin"
    assert "APP_PORT" not in made.environ


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"APP_PORT": "http"}, "APP_PORT must be a whole number"),
        ({"STANDIN_PORT": "70000"}, "STANDIN_PORT must be a whole number"),
        ({"STORAGE_ROOT": "relative"}, "STORAGE_ROOT must be an absolute path"),
        ({"OTB_PORTAL_SHARED_SECRET": "short"}, "OTB_PORTAL_SHARED_SECRET must be"),
        ({"SECRET_KEY": "two\nlines" * 8}, "SECRET_KEY holds a line break"),
    ],
)
def test_a_wrong_setting_is_a_sentence(tmp_path: Path, environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        plan(tmp_path, **environ)


def test_with_a_public_key_the_stand_in_needs_the_private_one(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public, private = tmp_path / "public.pem", tmp_path / "private.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(RunError, match="OTB_PORTAL_PRIVATE_KEY_FILE"):
        plan(tmp_path, OTB_PORTAL_PUBLIC_KEY_FILE=str(public))
    made = plan(tmp_path, OTB_PORTAL_PUBLIC_KEY_FILE=str(public), OTB_PORTAL_PRIVATE_KEY_FILE=str(private))
    assert made.standin.signer.algorithm == "EdDSA"


def test_a_data_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="DATA_DIR="):
        data_folder({"DATA_DIR": str(tmp_path / "file" / "data")}, tmp_path)
    with pytest.raises(RunError, match="DATA_DIR="):
        data_folder({"DATA_DIR": str(tmp_path / "file")}, tmp_path)


def test_the_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    data = data_folder({}, tmp_path)
    assert data == tmp_path / ".data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_a_second_run_on_the_same_folder_is_told_of_the_first(tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(RunError, match=f"process {os.getpid()}"), only_run(tmp_path):
        pass
    with only_run(tmp_path):
        pass


@pytest.mark.parametrize("name", ["APP_PORT", "STANDIN_PORT"])
def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path, name: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ports = {"APP_PORT": str(free_port()), "STANDIN_PORT": str(free_port())} | {name: str(port)}
        with pytest.raises(RunError, match=f"Port {port} is taken.*{name}={port + 1} make run"):
            check_ports(plan(tmp_path, **ports))


def test_one_port_for_both_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="two different ports"):
        check_ports(plan(tmp_path, APP_PORT="6001", STANDIN_PORT="6001"))
