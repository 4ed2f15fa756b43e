"""`WriteGate`: the one read-only switch of a backend. Once shut in a process, only an operator's act opens it."""

from collections.abc import Callable

from cas.errors import StoreReadOnly


class WriteGate:
    """Asked before every write. Remembers the first reason of its own process, and looks for the note of others.

    `noted` reads the note that survives the process (None if there is none); `note` writes it, or takes it away for
    None.
    """

    def __init__(self, noted: Callable[[], str | None], note: Callable[[str | None], None]) -> None:
        self._noted = noted
        self._note = note
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why writing is refused, or None."""
        return self._reason or self._noted()

    def check(self) -> None:
        """Raises `StoreReadOnly` while the gate is shut."""
        if (reason := self.reason) is not None:
            raise StoreReadOnly(f"the store is read-only: {reason}", reason)

    def shut(self, reason: str) -> None:
        """Refuse from now on. The process's own flag comes first: the note may fail on the very medium that failed."""
        if self._reason is None:
            self._reason = reason
            self._note(reason)

    def reopen(self) -> None:
        """Take the note and the flag away."""
        self._note(None)
        self._reason = None
