"""The work of a restore: one thread goes through the tree and decides, others fetch and write.

What always holds: a file gets its name only when all its bytes are here, durable, and have the right digest; nothing
that is here already is replaced unless that was asked for; a restore that is stopped, however hard, goes on where it
was.
"""

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, Optional

from blake3 import blake3

from otb_client.api import Api
from otb_client.conflicts import Asker, Policy
from otb_client.errors import USAGE, ClientError, Stopped, UsageError
from otb_client.fetch import BATCH_BLOBS_MAX, SMALL_BYTES_MAX, LargeFile, Lost, read_blobs
from otb_client.names import IS_WINDOWS, to_bytes, to_text
from otb_client.place import Namer, Obstructed, Parts, Place, is_same_time, numbered, temporary_name
from otb_client.rate import RateLimit
from otb_client.restore_report import Report
from otb_client.tree import FILE, FOLDER, IMPOSSIBLE, Node, Tree
from otb_client.words import size_text

CONNECTIONS = 4
JOBS_WAITING_MAX = 2 * CONNECTIONS
BATCH_BYTES = 8 << 20
"""Of small files in one request."""
BLOCK_BYTES = 4 << 20
DISK_BLOCK_BYTES = 4 << 10
RENAMED_TRIES_MAX = 1_000
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


class Restore:
    """One restore. The calling thread goes through the tree and decides; others fetch and write."""

    def __init__(
        self,
        api: Api,
        report: Report,
        place: Place,
        asker: Asker,
        limit: Optional[RateLimit],
        *,
        verify: bool,
        special: bool,
        is_dry: bool,
    ) -> None:
        self._api = api
        self._report = report
        self._place = place
        self._asker = asker
        self._limit = limit
        self._verify = verify
        self._special = special
        self._is_dry = is_dry
        self._namer = Namer()
        self._new_folders: set[Parts] = set()
        """Nothing is in them but what this run puts there."""
        self._small: dict[bytes, list[Want]] = {}
        self._small_bytes = 0
        self._room = threading.Semaphore(JOBS_WAITING_MAX)
        self._error: Optional[BaseException] = None

    def work(self, tree: Tree) -> None:
        """All of it. Raises `ClientError`."""
        self._report.add(files=tree.files, bytes=tree.bytes)
        if not self._is_dry:
            self._check_room(tree)
        self._report.start()
        pool = ThreadPoolExecutor(CONNECTIONS, "restore")
        try:
            self._go_through(tree, pool)
        except BaseException:
            self._api.stop.set()
            raise
        finally:
            pool.shutdown()
        self._raise_failure()
        if not self._is_dry:
            self._finish_folders(tree)

    def _go_through(self, tree: Tree, pool: ThreadPoolExecutor) -> None:
        for nodes in tree.pages():
            for node in nodes:
                want = self._prepare(node)
                if want is not None:
                    self._queue(want, pool)
                self._raise_failure()
        self._flush(pool)

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error

    def _check_room(self, tree: Tree) -> None:
        """Raises `UsageError` if what is still to come cannot fit."""
        free = shutil.disk_usage(self._place.top).free
        if tree.bytes + tree.files * DISK_BLOCK_BYTES <= free:
            return
        namer, needed = Namer(), 0
        for nodes in tree.pages():
            for node in nodes:
                if node.kind != FILE:
                    continue
                folder, name, _ = namer.parts(node.path)
                if not self._is_there(node, self._look(folder, name)):
                    needed += -(-node.size // DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES
        if needed > free:
            raise UsageError(f"This needs {size_text(needed)}, and {size_text(free)} are free in {self._place.top}.")

    def _look(self, folder: Parts, name: str) -> Optional[os.stat_result]:
        try:
            return self._place.look(folder, name)
        except (Obstructed, OSError):
            return None

    # -- deciding -----------------------------------------------------------------------------------------------------

    def _prepare(self, node: Node) -> Optional[Want]:
        """Make folders and links; a file that has to be fetched is returned."""
        if node.kind == IMPOSSIBLE:
            self._report.problem(node.path, "its name cannot be restored: it leads out of the folder")
            return None
        folder, name, is_changed = self._namer.parts(node.path)
        if is_changed:
            self._report.note_renamed(node.path, name)
        try:
            if node.kind == FOLDER:
                self._make_folder(folder, name)
                return None
            want = self._decide(node, folder, name)
            if want is None or node.kind == FILE:
                return want
            self._make_link(want)
        except Obstructed as e:
            self._failed(node, str(e))
        except OSError as e:
            self._failed(node, _disk_reason(e))
        return None

    def _make_folder(self, folder: Parts, name: str) -> None:
        if not self._is_dry:
            is_new = self._place.make_folder(folder, name)
            if is_new:
                self._new_folders.add((*folder, name))
        self._report.add(folders=1)

    def _decide(self, node: Node, folder: Parts, name: str) -> Optional[Want]:
        """What to fetch, and under which name; None if nothing has to be. Raises `Obstructed`, `OSError`."""
        st = None if folder in self._new_folders else self._place.look(folder, name)
        if st is None:
            return Want(node, folder, name, replace=False)
        if self._is_right(node, folder, name, st):
            self._report.add(there=1, done=1, done_bytes=node.size)
            return None
        if stat.S_ISDIR(st.st_mode):
            self._failed(node, "a folder of that name is here")
            return None
        policy = self._asker.decide(node.path)
        if policy is Policy.OVERWRITE:
            return Want(node, folder, name, replace=True)
        if policy is Policy.RENAME:
            return self._beside(node, folder, name)
        if policy is Policy.SKIP:
            self._report.add(skipped=1, done=1, done_bytes=node.size)
        else:
            self._failed(node, "another file of that name is here; choose --overwrite, --skip or --rename")
        return None

    def _beside(self, node: Node, folder: Parts, name: str) -> Optional[Want]:
        """Under a name that is free, or that an earlier run gave it."""
        for count in range(1, RENAMED_TRIES_MAX):
            other = numbered(name, " (restored)" if count == 1 else f" (restored {count})")
            st = self._place.look(folder, other)
            if st is not None and not self._is_right(node, folder, other, st):
                continue
            self._report.note_renamed(node.path, other)
            if st is None:
                return Want(node, folder, other, replace=False)
            self._report.add(there=1, done=1, done_bytes=node.size)
            return None
        self._failed(node, "every other name that was tried is taken")
        return None

    def _is_there(self, node: Node, st: Optional[os.stat_result]) -> bool:
        return (
            st is not None
            and stat.S_ISREG(st.st_mode)
            and st.st_size == node.size
            and is_same_time(st.st_mtime_ns, node.mtime_ns)
        )

    def _is_right(self, node: Node, folder: Parts, name: str, st: os.stat_result) -> bool:
        """Whether what stands there is what would be restored."""
        if node.kind != FILE:
            return stat.S_ISLNK(st.st_mode) and to_bytes(self._place.link_target(folder, name)) == node.target
        if not self._verify:
            return self._is_there(node, st)
        if not stat.S_ISREG(st.st_mode) or st.st_size != node.size:
            return False
        fd = self._place.open_to_read(folder, name)
        with os.fdopen(fd, "rb", buffering=0) as file:
            hasher = blake3(max_threads=blake3.AUTO)
            while data := file.read(BLOCK_BYTES):
                hasher.update(data)
        if hasher.digest() != node.digest:
            return False
        if not self._is_dry and not is_same_time(st.st_mtime_ns, node.mtime_ns):
            self._place.set_time(folder, name, node.mtime_ns)
        return True

    def _make_link(self, want: Want) -> None:
        node = want.node
        if not self._is_dry:
            self._place.make_link(want.folder, want.temporary, to_text(node.target), node.mtime_ns)
            self._put(want)
        self._report.add(links=1)

    def _failed(self, node: Node, reason: str) -> None:
        self._report.problem(node.path, reason)
        if node.kind == FILE:
            self._report.add(done=1, done_bytes=node.size)

    # -- fetching -----------------------------------------------------------------------------------------------------

    def _queue(self, want: Want, pool: ThreadPoolExecutor) -> None:
        node = want.node
        if self._is_dry:
            self._report.add(restored=1, restored_bytes=node.size, done=1, done_bytes=node.size)
        elif node.size > SMALL_BYTES_MAX:
            self._start(pool, self._fetch_large, want)
        else:
            if node.digest not in self._small:
                self._small_bytes += node.size
            self._small.setdefault(node.digest, []).append(want)
            if self._small_bytes >= BATCH_BYTES or len(self._small) >= BATCH_BLOBS_MAX:
                self._flush(pool)

    def _flush(self, pool: ThreadPoolExecutor) -> None:
        if self._small:
            batch, self._small, self._small_bytes = self._small, {}, 0
            self._start(pool, self._fetch_small, batch)

    def _start(self, pool: ThreadPoolExecutor, work: Any, job: Any) -> None:
        self._room.acquire()
        pool.submit(work, job).add_done_callback(self._ended)

    def _ended(self, future: "Future[None]") -> None:
        self._room.release()
        error = future.exception()
        if error is not None and (self._error is None or isinstance(self._error, Stopped)):
            self._error = error
            self._api.stop.set()

    def _fetch_small(self, batch: dict[bytes, list[Want]]) -> None:
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
            self._failed(want.node, reason)

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
            raise DiskFailed(f"This computer's disk does not keep what is written: {_disk_reason(e)}.") from e
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

    def _fetch_large(self, want: Want) -> None:
        """Into a temporary that the next run goes on with."""
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
            self._failed(node, str(e))
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
            raise DiskFailed(f"This computer's disk takes no more: {_disk_reason(e)}.") from e

    def _not_written(self, want: Want, error: Exception) -> None:
        """Of one file, unless it will be the same for all."""
        if isinstance(error, OSError) and error.errno in _HOPELESS:
            raise DiskFailed(f"This computer's disk takes no more: {_disk_reason(error)}.") from error
        with suppress(Obstructed, OSError):
            self._place.drop(want.folder, want.temporary)
        if isinstance(error, FileExistsError):
            self._failed(want.node, "another file of that name came here meanwhile")
        else:
            self._failed(want.node, _disk_reason(error) if isinstance(error, OSError) else str(error))

    # -- folders ------------------------------------------------------------------------------------------------------

    def _finish_folders(self, tree: Tree) -> None:
        """Their permissions and times, now that nothing in them changes any more; inner ones first."""
        for nodes in tree.folders_backwards():
            for node in nodes:
                if node.kind == IMPOSSIBLE:
                    continue
                try:
                    folder = self._namer.folder(node.path)
                    self._place.set_folder_facts(folder, node.mode, node.mtime_ns, special=self._special)
                except FileNotFoundError:
                    continue  # it could not be made, which was told
                except Obstructed:
                    continue
                except (OSError, OverflowError) as e:
                    self._report.problem(node.path, f"its time and permissions: {e}")


def _disk_reason(error: OSError) -> str:
    return error.strerror or str(error)
