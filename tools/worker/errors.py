"""What can go wrong around a job that is not the file's fault."""


class WorkerError(Exception):
    """Base. Its text is a sentence."""


class SandboxBroken(WorkerError):
    """The sandbox could not be started, or ended by itself. The job may succeed in another one."""


class OutputRefused(WorkerError):
    """What came out of the sandbox is not what was agreed: too large, too many, or no plain file."""
