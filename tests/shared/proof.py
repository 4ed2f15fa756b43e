"""`--proof` runs take long, so an interrupted or failed one continues: what passed on this very tree is not run again.

What passed is kept in .data/proof/<fingerprint of every file of the checkout>, one test a line. Any change of any file,
tracked or not ignored, starts anew; so does `make proof FRESH=1`.
"""

import hashlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class ProofRecord:
    """A pytest plugin: leaves out the tests that passed already, and writes down each that passes in all its phases."""

    def __init__(self, root: Path = ROOT) -> None:
        self.file = root / ".data" / "proof" / fingerprint(root)
        self.passed = set(self.file.read_text("utf-8").splitlines()) if self.file.exists() else set()
        self._phases: dict[str, int] = {}
        self._left_out = 0

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        proven = [item for item in items if item.nodeid in self.passed]
        if proven:
            self._left_out = len(proven)
            config.hook.pytest_deselected(items=proven)
            items[:] = [item for item in items if item.nodeid not in self.passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed:
            self._phases[report.nodeid] = self._phases.get(report.nodeid, 0) + 1
        if report.when == "teardown" and self._phases.pop(report.nodeid, 0) == 3:
            self._write(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._left_out:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._left_out:
            terminalreporter.write_line(
                f"{self._left_out} tests passed on this tree before and are left out; `make proof FRESH=1` runs all."
            )

    def _write(self, nodeid: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{nodeid}\n")


def fingerprint(root: Path) -> str:
    """One digest over the name and the content of every file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    whole = hashlib.sha256()
    for name in sorted(set(listed.stdout.split(b"\0")) - {b""}):
        path = root / name.decode("utf-8", "surrogateescape")
        content = path.read_bytes() if path.is_file() else b""
        whole.update(hashlib.sha256(name).digest() + hashlib.sha256(content).digest())
    return whole.hexdigest()
