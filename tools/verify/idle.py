"""Reading only while nobody else wants the disk: the idle class of ioprio_set(2), where the scheduler heeds it."""

import ctypes
import os
import platform
from typing import Final

_CALL: Final = {"x86_64": 251, "aarch64": 30}
_WHO_PROCESS: Final = 1
_IDLE: Final = 3 << 13


def read_idly() -> bool:
    """For this thread and those that it starts; also gives the processor away first. False where the system has no such
    class. Raises `PermissionError` where a unit's filter forbids it: Nice= and IOSchedulingClass= do the same there."""
    os.nice(10)
    number = _CALL.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).syscall(number, _WHO_PROCESS, 0, _IDLE) == 0)
