"""`make proof` continues where it stopped, and only on the tree that was proven."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.proof import fingerprint

CONFTEST = """
import pathlib, sys
from tests.shared.proof import ProofRecord
def pytest_configure(config):
    config.pluginmanager.register(ProofRecord(pathlib.Path(__file__).parent))
"""
TESTS = """
import pathlib
def test_good():
    pass
def test_depends():
    assert pathlib.Path("now").exists()
def test_broken_teardown(request):
    request.addfinalizer(lambda: pathlib.Path("now").read_text())
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / ".gitignore").write_text(".data/\n__pycache__/\nnow\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def run(tree: Path) -> tuple[int, str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        str(tree),
    ]
    environ = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tree, env=environ, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_only_what_has_not_wholly_passed_runs_again(tree: Path) -> None:
    status, output = run(tree)
    assert status == 1
    assert "1 failed, 2 passed, 1 error" in output
    (tree / "now").touch()
    status, output = run(tree)
    assert status == 0
    assert "2 passed, 1 deselected" in output
    status, output = run(tree)
    assert status == 0
    assert "3 tests passed on this tree before" in output


def test_any_change_of_a_file_starts_anew(tree: Path) -> None:
    run(tree)
    before = fingerprint(tree)
    (tree / "new.txt").write_text("not ignored")
    assert fingerprint(tree) != before
    assert "deselected" not in run(tree)[1]


def test_ignored_files_change_nothing(tree: Path) -> None:
    before = fingerprint(tree)
    (tree / "now").touch()
    assert fingerprint(tree) == before
