"""Restoring a folder in place: what it held at a moment is there again, as new manifests.

What always holds: nothing is lost. What is missing or different now comes back as a new version; what was added since
stays, unless it is asked that exactly the old state be there: then it goes into the hold. Pages of a large folder are
manifests of their own, each complete; doing it again changes nothing more.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cas.digest import Digest
from catalog.changes import AddDirectory, AddKnown, AddLink, PathChange, RemovePath
from catalog.commit import commit
from catalog.errors import TooMany
from catalog.scope import Scope
from catalog.trees import TreeEntry, Trees
from catalog.values import Area, EntryKind, EntryPath, Restored

NAMES_PER_MANIFEST: Final = 5_000
NAMES_MAX: Final = 200_000
"""Of a folder that is restored exactly: its names are compared in memory."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A folder of a device as it was at a moment; the area's root stands for all of it. `is_exact`: what was added
    since goes."""

    device_id: int
    area: Area
    path: EntryPath
    at: datetime
    is_exact: bool = False


class Restoring:
    """Brings folders of the tenant's devices back to how they were."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._trees = Trees(scope)

    async def restore(self, wanted: Wanted) -> Restored:
        """Raises `NotFound` for a folder that was not there then; `Conflict` where a file and a folder stand in each
        other's place; `HistoryGone`, `TooMany`, `QuotaExceeded`, `NotAllowed`."""
        self._scope.require_writable()
        done = Restored()
        kept: set[bytes] = set()
        async for page in self._pages(wanted, wanted.at):
            if wanted.is_exact:
                kept.update(entry.path for entry in page)
                if len(kept) > NAMES_MAX:
                    raise TooMany(NAMES_MAX, "names in a folder that is restored exactly")
            done += await self._commit(wanted, [_change(wanted.area, entry) for entry in page])
        if wanted.is_exact:
            async for page in self._pages(wanted, None):
                gone = _outermost(entry.path for entry in page if entry.path not in kept)
                done += await self._commit(wanted, [RemovePath(path, wanted.area) for path in gone])
        return done

    async def _pages(self, wanted: Wanted, at: datetime | None) -> AsyncIterator[Sequence[TreeEntry]]:
        cursor: str | None = None
        while True:
            page = await self._trees.page(
                wanted.device_id, wanted.area, wanted.path, at, cursor, NAMES_PER_MANIFEST
            )  # fmt: skip
            yield page.items
            if (cursor := page.next) is None:
                return

    async def _commit(self, wanted: Wanted, changes: Sequence[PathChange]) -> Restored:
        if not changes:
            return Restored()
        note = f"as of {wanted.at:%Y-%m-%d %H:%M:%S} UTC"
        subject = str(wanted.path) or str(wanted.area)
        done = (await commit(self._scope, {wanted.device_id: changes}, "restore", subject, note))[wanted.device_id]
        return Restored(done.added, done.replaced, done.unchanged, done.removed, int(done.manifest is not None))


def _change(area: Area, entry: TreeEntry) -> PathChange:
    path = EntryPath.parse_bytes(entry.path)
    if entry.kind is EntryKind.DIRECTORY:
        return AddDirectory(path, entry.mtime_ns, entry.mode, area)
    if entry.kind is EntryKind.LINK:
        return AddLink(path, entry.link_target or b"", entry.mtime_ns, area)
    if entry.digest is None:
        raise AssertionError("a file has a digest")
    return AddKnown(path, Digest(entry.digest), entry.size_bytes, entry.mtime_ns, entry.mode, area)


def _outermost(paths: Iterable[bytes]) -> list[EntryPath]:
    """Those that lie in none of the others; parents come before their children."""
    found: list[bytes] = []
    for path in paths:
        if not found or not path.startswith(found[-1] + b"/"):
            found.append(path)
    return [EntryPath.parse_bytes(path) for path in found]
