"""What can go wrong, each with the exit code that cron gets and a sentence that a person gets.

Every error of the client is a `ClientError`; `cli.main` alone turns one into text and an exit code.
"""

from typing import Any, Optional

DONE = 0
"""All of it was done."""
PARTIAL = 1
"""It was done, but some files could not be read, kept changing, or are not safe."""
USAGE = 2
"""The command line or the settings cannot be used."""
REFUSED = 3
"""Not signed in, or not allowed."""
FAILED = 4
"""The server or the line failed, and went on failing for as long as was waited."""
INTERRUPTED = 130
"""By Ctrl-C, or by the system's request to end."""


class ClientError(Exception):
    """Base. Its text is a sentence fit for the customer."""

    exit_code = FAILED


class UsageError(ClientError):
    """What was asked for, or what the settings say, cannot be done."""

    exit_code = USAGE


class NotConnected(ClientError):
    """This computer has no token yet."""

    exit_code = REFUSED

    def __init__(self) -> None:
        super().__init__("This computer is not connected yet. Run: otb-cloud login SERVER")


class LineFailed(ClientError):
    """No answer came: no connection, or one that broke. Worth another attempt."""


class BadAnswer(ClientError):
    """The server answered something that its API does not say."""


class Stopped(ClientError):
    """The program is ending; whoever waited or sent stops."""

    exit_code = INTERRUPTED


class ApiError(ClientError):
    """An answer of 400 and more. `slug` names the kind of problem (the last part of the RFC 9457 type)."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after_seconds: Optional[float] = None) -> None:
        self.status = status
        self.problem = problem
        self.slug = str(problem.get("type", "")).rpartition("/")[2]
        self.retry_after_seconds = retry_after_seconds
        self.exit_code = REFUSED if status in {401, 403} else FAILED
        detail = problem.get("detail") or problem.get("title") or f"The server answered with status {status}."
        super().__init__(str(detail))
