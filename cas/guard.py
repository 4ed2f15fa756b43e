"""`Guard`: runs the system calls of the write path, turns their failures into errors of `cas`, and shuts the gate
after bad ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cas.deadline import Deadline, DeadlinePassed
from cas.errors import StoreReadOnly
from cas.faults import as_cas_error, is_medium_failing
from cas.gate import WriteGate

T = TypeVar("T")


class Guard:
    """One gate and one deadline for everything a backend writes."""

    def __init__(self, gate: WriteGate, deadline: Deadline) -> None:
        self.gate = gate
        self.deadline = deadline

    @contextmanager
    def calls(self, doing: str, subject: str, syncing: bool = False) -> Iterator[None]:
        """Translate what the body raises. `doing` completes "… failed"."""
        try:
            yield
        except OSError as error:
            if is_medium_failing(error, syncing):
                self.gate.shut(f"{doing} {subject} failed: {error.strerror}")
            raise as_cas_error(error, doing, subject, syncing) from error
        except DeadlinePassed as passed:
            self.gate.shut(f"{doing} {subject}: {passed}")
            raise StoreReadOnly(f"{doing}: {passed}; the store is read-only now", subject) from passed

    def run(self, call: Callable[[], T], doing: str, subject: str) -> T:
        """`call` under the deadline, unless the gate is shut. It opens what it needs itself, so that nothing it uses is
        closed under it when it is given up."""
        self.gate.check()
        with self.calls(doing, subject):
            return self.deadline.run(call)
