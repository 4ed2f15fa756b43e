"""`Deadline`: a blocking call that is given up after a while, because an fsync on a suspended pool never returns.

The call runs on a helper thread. If it does not return in time the thread is left to it (nothing can interrupt it),
with whatever it holds open; the callers turn the store read-only then, so the number of such threads is bounded.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class DeadlinePassed(Exception):
    """The call did not return in time. It may still take effect."""


class _Job:
    """One call and, later, its outcome."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._done = threading.Event()
        self.value: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value = self._call()
        except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread, which raises it
            self.error = error
        self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)


_Inbox = SimpleQueue[_Job | None]


def _work(inbox: _Inbox) -> None:
    while (job := inbox.get()) is not None:
        job.run()
        del job  # an idle thread must not keep the last call's buffers alive


def _dismiss(idle: deque[_Inbox]) -> None:
    while idle:
        idle.pop().put(None)


class Deadline:
    """Runs calls under one time limit, on threads that are kept for the next call. Safe from many threads."""

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._idle: deque[_Inbox] = deque()
        self._dismiss = weakref.finalize(self, _dismiss, self._idle)

    def run(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises. Raises `DeadlinePassed`."""
        inbox = self._hire()
        job = _Job(call)
        inbox.put(job)
        if not job.wait(self.seconds_max):
            inbox.put(None)  # should the call return after all, the thread ends
            raise DeadlinePassed(f"no answer within {self.seconds_max:g} s")
        self._idle.append(inbox)
        if job.error is not None:
            raise job.error
        return job.value  # type: ignore[return-value]  # it is what call() returned

    def close(self) -> None:
        """End the idle threads. `run` may still be called."""
        _dismiss(self._idle)

    def _hire(self) -> _Inbox:
        try:
            return self._idle.pop()
        except IndexError:
            inbox: _Inbox = SimpleQueue()
            threading.Thread(target=_work, args=(inbox,), name="cas-deadline", daemon=True).start()
            return inbox
