"""Who may touch the store's files: nobody but its owner, and blobs and packs not even he. Looked at while they are
listed, since of a store of 65,536 folders the listing takes longest."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from cas.backend import ObjectInfo, checked_key
from cas.errors import BadKey
from tools.verify.pace import Pace
from tools.verify.report import LISTED_MAX, Report

_OTHERS: Final = 0o077
_WRITING: Final = 0o200


def checked_files(root: Path, folder: str, pace: Pace, report: Report) -> Iterator[ObjectInfo]:
    """The files below a folder of the store, in no order, but for those that it never named so. On the way, what others
    may touch, what belongs to another user, and sealed files that can be written come into the report. Raises
    `Stopped`, OSError."""
    owner = root.stat().st_uid
    for key, found in _below(root, folder, pace):
        is_folder = S_ISDIR(found.st_mode)
        wrong = found.st_mode & (_OTHERS if is_folder else _OTHERS | _WRITING)
        if (wrong or found.st_uid != owner) and len(report.permission_faults) < LISTED_MAX:
            report.permission_faults.append(f"{key}: mode {found.st_mode & 0o7777:04o}, user {found.st_uid}")
        if S_ISREG(found.st_mode):
            with suppress(BadKey):
                yield ObjectInfo(checked_key(key), found.st_size, found.st_ctime)


def _below(root: Path, folder: str, pace: Pace) -> Iterator[tuple[str, os.stat_result]]:
    ahead = [folder] if (root / folder).is_dir() else []
    while ahead:
        pace.read(0)
        parent = ahead.pop()
        with os.scandir(f"{root}/{parent}") as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it left meanwhile
                key = f"{parent}/{entry.name}"
                if S_ISDIR(found.st_mode):
                    ahead.append(key)
                yield key, found
