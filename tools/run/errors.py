"""What `make run` refuses. The text of each is a sentence that says what to do, for the person at the terminal."""


class RunError(Exception):
    """Base of every refusal of `make run`."""


class ServerFailed(RunError):
    """A process that should run has ended, or does not answer."""
