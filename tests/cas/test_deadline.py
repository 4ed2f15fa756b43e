"""Calls that do not return are given up; those that do cost no new thread."""

import threading
import time

import pytest

from cas.deadline import Deadline, DeadlinePassed


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "cas-deadline"}


def assert_ends(those: set[threading.Thread]) -> None:
    for thread in those:
        thread.join(5)
    assert not threads() & those


def test_gives_back_what_the_call_returns_or_raises() -> None:
    deadline = Deadline(10)
    assert deadline.run(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        deadline.run(lambda: 1 // 0)
    deadline.close()


def test_one_thread_serves_one_caller() -> None:
    before = threads()
    deadline = Deadline(10)
    for _ in range(20):
        deadline.run(lambda: None)
    made = threads() - before
    assert len(made) == 1
    deadline.close()
    assert_ends(made)


def test_a_call_that_hangs_is_given_up_and_others_go_on() -> None:
    before = threads()
    let_go = threading.Event()
    deadline = Deadline(0.1)
    started = time.monotonic()
    with pytest.raises(DeadlinePassed, match=r"0\.1 s"):
        deadline.run(let_go.wait)
    assert 0.1 <= time.monotonic() - started < 2
    assert deadline.run(lambda: 42) == 42
    made = threads() - before
    assert len(made) == 2
    let_go.set()
    deadline.close()
    assert_ends(made)


def test_threads_end_with_their_owner() -> None:
    before = threads()
    Deadline(10).run(lambda: None)
    assert_ends(threads() - before)


def test_callers_do_not_wait_for_each_other() -> None:
    deadline = Deadline(10)
    meeting = threading.Barrier(4, timeout=5)
    callers = [threading.Thread(target=deadline.run, args=(meeting.wait,)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not meeting.broken
    deadline.close()
