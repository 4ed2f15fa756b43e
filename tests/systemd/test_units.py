"""The units are such as systemd takes without a complaint, and leave a process little to do harm with."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).resolve().parents[2] / "systemd"
UNITS: Final = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".service", ".socket", ".timer"})
SERVICES: Final = [name for name in UNITS if name.endswith(".service")]
EXPOSURE_TENTHS_MAX: Final = 15
EXCEPT: Final = {"otb-cloud-worker@.service": 35}
"""The worker makes namespaces for the sandbox of each decode, and systemd counts that against it."""


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with this interpreter in place of the installed one, which verify wants to find."""
    folder = tmp_path_factory.mktemp("units")
    for name in UNITS:
        text = (FOLDER / name).read_text("utf-8")
        (folder / name).write_text(text.replace("/opt/otb_cloud/app/.venv/bin/python", sys.executable), "utf-8")
    return folder


def analyse(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    systemd_analyze = shutil.which("systemd-analyze")
    assert systemd_analyze
    return subprocess.run([systemd_analyze, *arguments], capture_output=True, text=True, check=False)


def test_verify_has_nothing_to_say(units: Path) -> None:
    named = [units / re.sub(r"@\.service$", "@1.service", name) for name in UNITS]
    done = analyse("verify", "--man=no", "--recursive-errors=no", *named)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_exposed_little(units: Path, name: str) -> None:
    most = EXCEPT.get(name, EXPOSURE_TENTHS_MAX)
    done = analyse("security", "--offline=true", "--no-pager", f"--threshold={most}", units / name)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_as_a_credential(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert "LoadCredential=settings:/opt/otb_cloud/.env" in text
    assert "OTB_CLOUD_SETTINGS=%d/settings" in text
    assert "EnvironmentFile" not in text


def test_the_server_may_read_what_health_tells_of_the_host() -> None:
    """`ProcSubset=pid` hides /proc/meminfo and /proc/loadavg, of which health, its JSON and the metrics are made."""
    assert "\nProcSubset=" not in (FOLDER / "otb-cloud-web@.service").read_text("utf-8")


@pytest.mark.parametrize(
    ("settings", "code"), [("REPLICA=/replica\n", 0), ("REPLICA=\n", 1), ("REPLICA_GRACE_DAYS=9\n", 1)]
)
def test_the_second_copy_waits_for_a_setting(tmp_path: Path, settings: str, code: int) -> None:
    """Asked of the file as root (`+`): systemd gives credentials to no condition."""
    file = tmp_path / "settings"
    file.write_text(settings, "utf-8")
    unit = (FOLDER / "otb-cloud-replicate.service").read_text("utf-8")
    (condition,) = re.findall(r"^ExecCondition=\+(.+)$", unit, re.MULTILINE)
    command = shlex.split(condition.replace("/opt/otb_cloud/.env", str(file)))
    assert subprocess.run(command, check=False).returncode == code
