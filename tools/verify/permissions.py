"""Who may touch the store's files: nobody but its owner, and blobs and packs not even he."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cas.layout import BLOBS, JOURNAL, PACKS
from tools.verify.pace import Pace
from tools.verify.report import LISTED_MAX, Report

_OTHERS: Final = 0o077
_WRITING: Final = 0o200


def check_permissions(root: Path, pace: Pace, report: Report) -> None:
    """List what others may touch, what belongs to another user, and sealed files that can be written. Raises
    `Stopped`."""
    owner = root.stat().st_uid
    for folder in (BLOBS, PACKS, JOURNAL):
        for entry in _below(root / folder):
            pace.read(0)
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # it left meanwhile
            wrong = found.st_mode & (_OTHERS if entry.is_dir(follow_symlinks=False) else _OTHERS | _WRITING)
            if (wrong or found.st_uid != owner) and len(report.permission_faults) < LISTED_MAX:
                key = os.path.relpath(entry.path, root)
                report.permission_faults.append(f"{key}: mode {found.st_mode & 0o7777:04o}, user {found.st_uid}")


def _below(folder: Path) -> Iterator["os.DirEntry[str]"]:
    ahead = [str(folder)] if folder.is_dir() else []
    while ahead:
        with os.scandir(ahead.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    ahead.append(entry.path)
