"""What lies below a folder, in the order in which the catalog lists a device: by name, and a folder right before all
that is in it.

What always holds: nothing is followed out of the folder, and nothing is written. Memory grows with the names of the
folders that are open, one a level.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.values import PATH_LEVELS_MAX

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Found:
    """One name, by the names from the top down. `status` is of the name itself, never of what a link points to; None
    where `fault` says why there is none. `folder_fd` is open until the next one is asked for."""

    names: tuple[bytes, ...]
    status: os.stat_result | None
    folder_fd: int
    fault: str = ""

    def open(self) -> int:
        """The file, for reading. Raises `OSError`, also where it has become a link since."""
        return os.open(self.names[-1], _FILE, dir_fd=self.folder_fd)


def walk(top: Path) -> Iterator[Found]:
    """All that is below `top`. Raises `OSError` if that is no folder, or a link."""
    yield from _below(os.open(top, _FOLDER), ())


def _below(folder_fd: int, above: tuple[bytes, ...]) -> Iterator[Found]:
    """Closes the folder in the end."""
    try:
        for name in sorted(map(os.fsencode, os.listdir(folder_fd))):
            yield from _named(folder_fd, (*above, name))
    finally:
        os.close(folder_fd)


def _named(folder_fd: int, names: tuple[bytes, ...]) -> Iterator[Found]:
    inner_fd = None
    try:
        status = os.stat(names[-1], dir_fd=folder_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            inner_fd = os.open(names[-1], _FOLDER, dir_fd=folder_fd)
    except OSError as error:
        yield Found(names, None, folder_fd, reason(error))
        return
    if inner_fd is None:
        yield Found(names, status, folder_fd)
    elif len(names) == PATH_LEVELS_MAX:
        os.close(inner_fd)
        yield Found(names, None, folder_fd, f"is a folder {PATH_LEVELS_MAX} levels down: what is in it cannot be kept")
    else:
        yield from _entered(Found(names, status, folder_fd), inner_fd)


def _entered(folder: Found, inner_fd: int) -> Iterator[Found]:
    try:
        yield folder
    except BaseException:
        os.close(inner_fd)
        raise
    yield from _below(inner_fd, folder.names)


def reason(error: OSError) -> str:
    """Why a file was left out, in words."""
    return f"cannot be read ({error.strerror})"
