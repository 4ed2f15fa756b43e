"""The writing half of a restore: bytes come, are written under temporary names, and get their own when all is right.

What always holds: a file gets its name only when all its bytes are here, durable, and have the right digest; an error
of this disk never looks like one of the line; what concerns one file is told of it, what will concern all ends the
restore.
"""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple, Optional

from blake3 import blake3

from otb_client.api import Api
from otb_client.errors import USAGE, ClientError, Stopped
from otb_client.fetch import LargeFile, Lost, read_blobs
from otb_client.names import IS_WINDOWS, to_text
from otb_client.place import Obstructed, Parts, Place, temporary_name
from otb_client.rate import RateLimit
from otb_client.restore_report import Report
from otb_client.tree import FILE, Node

BLOCK_BYTES = 4 << 20
EMPTY_DIGEST: bytes = blake3(b"").digest()
_HOPELESS = {errno.ENOSPC, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}


class DiskFailed(ClientError):
    """This computer's disk is full or fails: going on makes no sense."""

    exit_code = USAGE


class Want(NamedTuple):
    """A file to fetch, and where it goes. `replace`: over whatever file or link stands there."""

    node: Node
    folder: Parts
    name: str
    replace: bool

    @property
    def temporary(self) -> str:
        return temporary_name(self.name, self.node.digest)


class Writer:
    """Fetches and writes. May be used from several threads."""

    def __init__(self, api: Api, report: Report, place: Place, limit: Optional[RateLimit], *, special: bool) -> None:
        self._api = api
        self._report = report
        self._place = place
        self._limit = limit
        self._special = special

    def failed(self, node: Node, reason: str) -> None:
        """A name that is not restored."""
        self._report.problem(node.path, reason)
        if node.kind == FILE:
            self._report.add(done=1, done_bytes=node.size)

    def link(self, want: Want) -> None:
        """Raises `Obstructed`, `OSError`."""
        node = want.node
        self._place.make_link(want.folder, want.temporary, to_text(node.target), node.mtime_ns)
        self._put(want)

    def fetch_small(self, batch: dict[bytes, list[Want]]) -> None:
        """Files by their digest. Raises `ClientError`."""
        written: list[Want] = []
        try:
            empty = batch.pop(EMPTY_DIGEST, [])
            self._write_all(empty, b"", written)
            if batch:
                for digest, content in read_blobs(
                    self._api, list(batch), lambda d, r: self._lost(batch[d], r), self._came
                ):
                    self._write_all(batch[digest], content, written)
        finally:
            self._finish(written)

    def _lost(self, wants: Iterable[Want], reason: str) -> None:
        for want in wants:
            self.failed(want.node, reason)

    def _came(self, size_bytes: int) -> None:
        """So much came over the line. Waits, where the rate is limited."""
        self._report.on_line(size_bytes)
        if self._limit is not None:
            for _ in self._limit.pieces(bytes(size_bytes)):
                pass

    def _write_all(self, wants: Iterable[Want], content: bytes, written: list[Want]) -> None:
        for want in wants:
            try:
                fd = self._place.create(want.folder, want.temporary)
                try:
                    if os.write(fd, content) != len(content):
                        raise OSError("the disk took a part of it only")
                    self._place.set_facts(fd, want.node.mode, want.node.mtime_ns, special=self._special)
                finally:
                    os.close(fd)
            except (Obstructed, OSError, OverflowError) as e:  # noqa: PERF203
                self._not_written(want, e)
            else:
                written.append(want)

    def _finish(self, written: list[Want]) -> None:
        """Durable, then under their names."""
        if not written:
            return
        try:
            self._place.sync([(want.folder, want.temporary) for want in written])
        except OSError as e:
            raise DiskFailed(f"This computer's disk does not keep what is written: {disk_reason(e)}.") from e
        for want in written:
            try:
                self._put(want)
            except (Obstructed, OSError) as e:  # noqa: PERF203
                self._not_written(want, e)
            else:
                size = want.node.size
                self._report.add(restored=1, restored_bytes=size, done=1, done_bytes=size)

    def _put(self, want: Want) -> None:
        if IS_WINDOWS and want.node.kind == FILE:
            self._place.set_time(want.folder, want.temporary, want.node.mtime_ns)
        self._place.put(want.folder, want.temporary, want.name, replace=want.replace)

    def fetch_large(self, want: Want) -> None:
        """Into a temporary that the next run goes on with. Raises `ClientError`."""
        node, place = want.node, self._place
        try:
            fd = place.reopen(want.folder, want.temporary)
            if fd is None:
                fd = place.create(want.folder, want.temporary)
            with os.fdopen(fd, "r+b", buffering=0) as file:
                large = self._known(node, file)
                large.fetch(self._api, lambda data: self._write(file, data), self._came)
                if not large.is_right:  # what an earlier run left was not the beginning of this file
                    file.seek(0)
                    file.truncate()
                    large = LargeFile(node.id, node.digest, node.size)
                    large.fetch(self._api, lambda data: self._write(file, data), self._came)
                if not large.is_right:
                    raise Lost("its bytes were changed on their way, twice")
                place.set_facts(file.fileno(), node.mode, node.mtime_ns, special=self._special)
        except Lost as e:
            place.drop(want.folder, want.temporary)
            self.failed(node, str(e))
        except (Obstructed, OSError, OverflowError) as e:
            self._not_written(want, e)
        else:
            self._finish([want])

    def _known(self, node: Node, file: Any) -> LargeFile:
        """The file so far; a temporary that is too long begins anew."""
        large = LargeFile(node.id, node.digest, node.size)
        if os.fstat(file.fileno()).st_size > node.size:
            file.truncate(0)
        while data := file.read(BLOCK_BYTES):
            large.know(data)
            if self._api.stop.is_set():
                raise Stopped("Interrupted.")
        return large

    def _write(self, file: Any, data: bytes) -> None:
        """An error of the disk must not look like one of the line."""
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        except OSError as e:
            raise DiskFailed(f"This computer's disk takes no more: {disk_reason(e)}.") from e

    def _not_written(self, want: Want, error: Exception) -> None:
        """Of one file, unless it will be the same for all."""
        if isinstance(error, OSError) and error.errno in _HOPELESS:
            raise DiskFailed(f"This computer's disk takes no more: {disk_reason(error)}.") from error
        with suppress(Obstructed, OSError):
            self._place.drop(want.folder, want.temporary)
        if isinstance(error, FileExistsError):
            self.failed(want.node, "another file of that name came here meanwhile")
        else:
            self.failed(want.node, disk_reason(error) if isinstance(error, OSError) else str(error))


def disk_reason(error: OSError) -> str:
    return error.strerror or str(error)
