"""How this process keeps memory: what was freed is used again instead of going back to the kernel and coming anew.

Bodies pass through in blocks of 1 MiB. By default the C library gives each back to the kernel at once, and every page
of the next costs a fault: half of what receiving a body costs. Few arenas, so that threads share what is kept. And the
collector of cycles looks seldom: rows and entries are many and make none.
"""

import ctypes
import gc
from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD: Final = (-1, 256 << 20)
_TOP_PAD: Final = (-2, 8 << 20)
_MMAP_THRESHOLD: Final = (-3, 32 << 20)
_ARENA_MAX: Final = (-8, 2)
_OBJECTS: Final = 50_000
"""Objects made and not yet freed, between two looks at the youngest."""


def keep_freed_memory() -> None:
    """Call once at the start, before threads. Does nothing where the C library is not glibc (mallopt(3))."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for what, value in (_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX):
            mallopt(what, value)


def seldom_look_for_cycles() -> None:
    """Call once everything is imported: what is there now stays, and is looked at no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 20, 20)
