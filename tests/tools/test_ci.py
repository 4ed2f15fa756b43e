""".ci/run believes neither a skipped test nor a run without any."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("closing", "status", "expected"),
    [
        ("===== 12 passed in 3.20s =====", 0, 0),
        ("===== 12 passed, 3 warnings in 130.20s (0:02:10) =====", 0, 0),
        ("===== 12 passed, 1 skipped in 3.20s =====", 0, 1),
        ("===== 12 passed, 1 xfailed in 3.20s =====", 0, 1),
        ("===== 12 passed, 1 xpassed in 3.20s =====", 0, 1),
        ("===== 12 passed, 1 deselected in 3.20s =====", 0, 1),
        ("===== no tests ran in 0.10s =====", 0, 1),
        ("nothing like a closing line", 0, 1),
        ("===== 1 failed, 12 passed in 3.20s =====", 2, 2),
        ("===== 1 failed, 11 passed, 1 skipped in 3.20s =====", 2, 2),
    ],
)
def test_the_exit_code_is_true(tmp_path: Path, closing: str, status: int, expected: int) -> None:
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\n[ "$*" = test ] || exit 9\necho "{closing}"\nexit {status}\n')
    make.chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / ".ci" / "run"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout
    if "=====" in closing:
        assert done.stdout.count(closing) == 2


def test_the_readme_names_the_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    for words in ("apt-get install -y git make python3", "make run", "make test"):
        assert words in readme
