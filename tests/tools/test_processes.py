"""Children end with us, and their end is explained."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.run.errors import ServerFailed
from tools.run.processes import LOG_LINES_SHOWN, Child, end_of, run_to_end

SLEEP = ["sleep", "600"]


def test_stop_ends_with_sigterm_and_again_is_harmless(tmp_path: Path) -> None:
    child = Child.start("sleeper", SLEEP, log=tmp_path / "log")
    assert child.is_running
    child.stop()
    child.stop()
    assert child.process.returncode == -signal.SIGTERM


def test_stop_kills_what_does_not_heed_sigterm(tmp_path: Path) -> None:
    stubborn = [
        sys.executable,
        "-c",
        "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
    ]
    child = Child.start("stubborn", stubborn, log=tmp_path / "log")
    wait_for(lambda: "up" in (tmp_path / "log").read_text())
    child.stop(seconds_max=0.2)
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_has_its_own_process_group_in_our_session(tmp_path: Path) -> None:
    child = Child.start("sleeper", SLEEP, log=tmp_path / "log")
    assert os.getpgid(child.pid) == child.pid
    assert os.getsid(child.pid) == os.getsid(0)
    child.stop()


def test_children_die_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tools.run.processes import Child\n"
        "child = Child.start('sleeper', ['sleep', '600'], log=Path(sys.argv[1]))\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        wait_for(lambda: comm(child_pid) == "sleep")
        parent.kill()
    wait_for(lambda: comm(child_pid) is None)


def test_a_failure_names_the_program_the_way_it_ended_and_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f"for i in $(seq {LOG_LINES_SHOWN + 5}); do echo line $i; done; exit 7"
    with pytest.raises(ServerFailed, match=r"The thing failed \(exit code 7\)") as caught:
        run_to_end("The thing", ["sh", "-c", script], log=log)
    assert f"  line {LOG_LINES_SHOWN + 5}" in str(caught.value)
    assert "  line 5\n" not in str(caught.value)


def test_a_death_by_signal_is_named(tmp_path: Path) -> None:
    child = Child.start("The app", SLEEP, log=tmp_path / "log")
    child.kill()
    assert "The app has ended (SIGKILL)" in str(child.failure())


def test_the_end_of_a_log_that_is_empty_or_missing_says_so(tmp_path: Path) -> None:
    assert "no log" in end_of(tmp_path / "none")
    (tmp_path / "empty").touch()
    assert "empty" in end_of(tmp_path / "empty")


def comm(pid: int) -> str | None:
    """The running program's name; None once it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, state = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2]
    return None if state == "Z" else name


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
