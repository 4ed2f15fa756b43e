"""One device of the scaffold into one device of a tenant: what is not there yet is brought in, in batches.

What always holds: what the device has already is never replaced or removed; a file that has changed while it was read
is left out. The folder and the device's entries are read side by side in one order, so that neither is held in memory.
"""

import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from cas.store import BlobStore
from catalog.errors import BadPath
from catalog.tenant import TenantScope
from catalog.trees import TreeEntry
from catalog.values import Area, EntryKind, EntryPath
from tools.importing.batch import Batch, is_small
from tools.importing.report import Report
from tools.importing.source import Source, SourceFailed
from tools.importing.walk import Found, walk

_OTHER: Final = "the device has another file, folder or link of this name, which stays"
_OTHER_ABOVE: Final = "the device has something else where its folder should be"
_TIME_MAX: Final = (1 << 63) - 1
"""The catalog's nanoseconds have 64 bits."""


class Interrupted(Exception):
    """The import was told to end. What was committed stands."""


class DeviceImport:
    """`device_id` None in a dry run for a device that is not there yet. `stopped` is asked before each file."""

    def __init__(
        self,
        scope: TenantScope,
        store: BlobStore,
        name: str,
        device_id: int | None,
        report: Report,
        stopped: Callable[[], bool],
        show: Callable[[str], None],
    ) -> None:
        self._scope = scope
        self._store = store
        self._name = name
        self._device_id = device_id
        self._report = report
        self._stopped = stopped
        self._show = show
        self._batch = None if report.dry_run or device_id is None else Batch(scope, store, device_id)
        self._blocked: tuple[bytes, ...] = ()
        """The last folder that the device has something else for."""

    async def run(self, top: Path) -> None:
        """Bring in what is below `top`. Raises `Interrupted`, `OSError`, and as `Batch.commit`."""
        known = self._known()
        there = await anext(known, None)
        try:
            for found in walk(top):
                self._check_stopped()
                while there is not None and _names(there) < found.names:
                    there = await anext(known, None)
                await self._take(found, there if there is not None and _names(there) == found.names else None)
                self._show(self._name)
        except Interrupted:
            await self._commit()
            raise
        await self._commit()

    async def _known(self) -> AsyncIterator[TreeEntry]:
        """The device's originals as they are at the beginning, in the order of `walk`."""
        cursor = None
        while self._device_id is not None:
            page = await self._scope.trees.page(self._device_id, Area.ORIGINALS, EntryPath(()), cursor=cursor)
            for entry in page.items:
                yield entry
            cursor = page.next
            if cursor is None:
                return

    async def _take(self, found: Found, there: TreeEntry | None) -> None:
        if found.status is None:
            self._problem(found, found.fault)
        elif stat.S_ISDIR(found.status.st_mode):
            await self._take_folder(found, found.status, there)
        elif stat.S_ISREG(found.status.st_mode):
            await self._take_file(found, found.status, there)
        else:
            what = "a symbolic link" if stat.S_ISLNK(found.status.st_mode) else "a special file"
            self._report.pass_over(self._name, found.names, what)

    async def _take_folder(self, found: Found, status: os.stat_result, there: TreeEntry | None) -> None:
        path = self._path(found)
        if there is not None and there.kind is not EntryKind.DIRECTORY:
            self._blocked = found.names
            self._problem(found, _OTHER)
        elif there is None and path is not None:
            self._report.folders += 1
            if self._batch is not None:
                self._batch.add_folder(path, _mtime_ns(status))
                await self._commit_full(self._batch)

    async def _take_file(self, found: Found, status: os.stat_result, there: TreeEntry | None) -> None:
        path = self._path(found)
        if there is not None:
            facts = (there.kind, there.size_bytes, there.mtime_ns)
            if facts == (EntryKind.FILE, status.st_size, _mtime_ns(status)):
                self._report.unchanged += 1
            else:
                self._problem(found, _OTHER)
        elif path is not None and (self._batch is None or await self._sent(self._batch, found, path, status)):
            self._report.files += 1
            self._report.size_bytes += status.st_size

    def _path(self, found: Found) -> EntryPath | None:
        """Where it goes; None where it cannot, which is told."""
        if self._blocked and found.names[: len(self._blocked)] == self._blocked:
            self._problem(found, _OTHER_ABOVE)
            return None
        try:
            return EntryPath(found.names)
        except BadPath as error:
            self._problem(found, str(error))
            return None

    async def _sent(self, batch: Batch, found: Found, path: EntryPath, status: os.stat_result) -> bool:
        """Whether the file is in the batch, or committed. Where its bytes are not those that were found, that is
        told."""
        try:
            with Source(found, status, self._check_stopped) as source:
                if is_small(status.st_size):
                    batch.add_small(path, source.read(), _mtime_ns(status))
                else:
                    await self._scope.blobs.check_room(status.st_size)
                    await batch.add_staged(path, self._store.stage(source.blocks()), _mtime_ns(status))
        except SourceFailed as error:
            self._problem(found, str(error))
            return False
        await self._commit_full(batch)
        return True

    def _check_stopped(self) -> None:
        if self._stopped():
            raise Interrupted

    async def _commit_full(self, batch: Batch) -> None:
        if batch.is_full:
            await batch.commit()

    async def _commit(self) -> None:
        if self._batch is not None:
            await self._batch.commit()

    def _problem(self, found: Found, why: str) -> None:
        self._report.problem(self._name, found.names, why)


def _names(entry: TreeEntry) -> tuple[bytes, ...]:
    return tuple(entry.path.split(b"/"))


def _mtime_ns(status: os.stat_result) -> int:
    return min(status.st_mtime_ns, _TIME_MAX)
