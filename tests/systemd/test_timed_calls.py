"""What the timers start ends well under its unit's filter of system calls."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.shared.settings import GivenSettings
from tests.systemd.test_units import FOLDER, SERVICES, analyse
from tools.run.processes import python

TIMED: Final = [name for name in SERVICES if (FOLDER / name).with_suffix(".timer").exists()]
_COMMAND: Final = re.compile(r"^ExecStart=\S+/python -m (.+)$", re.MULTILINE)
_FORBIDDEN: Final = re.compile(r"^SystemCallFilter=~(.+)$", re.MULTILINE)


def forbidden(unit: str) -> set[str]:
    """The calls that a unit's filter takes out, its groups opened."""
    names: set[str] = set()
    waiting = [word for line in _FORBIDDEN.findall(unit) for word in line.split()]
    while waiting:
        word = waiting.pop()
        if word.startswith("@"):
            lines = analyse("syscall-filter", "--no-pager", word).stdout.splitlines()[1:]
            waiting += [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        else:
            names.add(word)
    return names


@pytest.mark.parametrize("name", TIMED)
def test_it_ends_well_without_the_calls_that_its_unit_forbids(given: GivenSettings, tmp_path: Path, name: str) -> None:
    unit = (FOLDER / name).read_text("utf-8")
    calls, commands = forbidden(unit), _COMMAND.findall(unit)
    assert {"setpriority", "setuid"} <= calls
    assert commands != []
    (tmp_path / "replica").mkdir()
    environ = given.with_values(REPLICA=str(tmp_path / "replica")).environ
    refused = ",".join(f"?{call}" for call in sorted(calls))
    filtered = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]
    filtered += [f"--trace={refused}", f"--inject={refused}:error=EPERM"]
    for command in commands:
        program = python(*command.replace("%S", str(tmp_path)).replace("/otb-cloud/", "/").split())
        done = subprocess.run([*filtered, *program], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
