"""`SmallFile` and `Put`: an uploaded file that is whole in memory, and what became of an uploaded file."""

from dataclasses import dataclass

from cas.digest import Digest
from catalog.values import EntryPath


@dataclass(frozen=True, slots=True)
class SmallFile:
    """`digest` was made from these very bytes."""

    path: EntryPath
    mtime_ns: int | None
    digest: Digest
    data: bytes


@dataclass(frozen=True, slots=True)
class Put:
    """`possessed`: the tenant had these bytes before. `is_new`: there was nothing of that name."""

    entry_id: int
    digest: Digest
    size_bytes: int
    possessed: bool
    is_new: bool
