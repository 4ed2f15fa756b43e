"""What an import did: counts, and a line for each name that it left out."""

from collections.abc import Sequence
from dataclasses import dataclass

DONE = 0
LEFT_OUT = 1
COULD_NOT_RUN = 2
INTERRUPTED = 130


@dataclass(slots=True)
class Report:
    """`passed_over`: links and special files, which are no originals. `problems`: names that should be in the store and
    are not."""

    dry_run: bool = False
    files: int = 0
    size_bytes: int = 0
    unchanged: int = 0
    folders: int = 0
    passed_over: int = 0
    problems: int = 0

    @property
    def exit_code(self) -> int:
        return LEFT_OUT if self.problems else DONE

    def pass_over(self, device: str, names: Sequence[bytes], what: str) -> None:
        """List a name that is no original."""
        self.passed_over += 1
        print(f"passed over: {place(device, names)}: {what}")

    def problem(self, device: str, names: Sequence[bytes], why: str) -> None:
        """List a name that could not be brought in."""
        self.problems += 1
        print(f"left out: {place(device, names)}: {why}")

    def text(self) -> str:
        """A summary for people."""
        would = "would be imported" if self.dry_run else "imported"
        return (
            f"{self.files:,} files ({self.size_bytes:,} bytes) and {self.folders:,} folders {would};"
            f" {self.unchanged:,} were there; {self.passed_over:,} passed over, {self.problems:,} left out"
        )


def place(device: str, names: Sequence[bytes]) -> str:
    """Where a name lies, on one line whatever is in it."""
    text = b"/".join(names).decode("utf-8", "backslashreplace")
    return f"{device}/originals/" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
