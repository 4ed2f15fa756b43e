"""The deciding half of a restore: one thread goes through the tree, makes folders and links, and hands on what is to be
fetched.

What always holds: nothing that is here already is replaced unless that was asked for; a restore that is stopped goes on
where it was; what waits to be fetched is bounded, however large the tree is.
"""

import os
import shutil
import stat
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Optional

from blake3 import blake3

from otb_client.api import Api
from otb_client.conflicts import Asker, Policy
from otb_client.errors import Stopped, UsageError
from otb_client.fetch import BATCH_BLOBS_MAX, SMALL_BYTES_MAX
from otb_client.names import to_bytes
from otb_client.place import Namer, Obstructed, Parts, Place, is_same_time, numbered
from otb_client.rate import RateLimit
from otb_client.restore_report import Report
from otb_client.tree import FILE, FOLDER, IMPOSSIBLE, Node, Tree
from otb_client.words import size_text
from otb_client.writing import BLOCK_BYTES, Want, Writer, disk_reason

CONNECTIONS = 4
JOBS_WAITING_MAX = 2 * CONNECTIONS
BATCH_BYTES = 8 << 20
"""Of small files in one request."""
DISK_BLOCK_BYTES = 4 << 10
RENAMED_TRIES_MAX = 1_000


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
        self._writer = Writer(api, report, place, limit, special=special)
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
            if not self._is_dry:
                self._writer.link(want)
            self._report.add(links=1)
        except Obstructed as e:
            self._writer.failed(node, str(e))
        except OSError as e:
            self._writer.failed(node, disk_reason(e))
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
            self._writer.failed(node, "a folder of that name is here")
            return None
        policy = self._asker.decide(node.path)
        if policy is Policy.OVERWRITE:
            return Want(node, folder, name, replace=True)
        if policy is Policy.RENAME:
            return self._beside(node, folder, name)
        if policy is Policy.SKIP:
            self._report.add(skipped=1, done=1, done_bytes=node.size)
        else:
            self._writer.failed(node, "another file of that name is here; choose --overwrite, --skip or --rename")
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
        self._writer.failed(node, "every other name that was tried is taken")
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

    # -- fetching -----------------------------------------------------------------------------------------------------

    def _queue(self, want: Want, pool: ThreadPoolExecutor) -> None:
        node = want.node
        if self._is_dry:
            self._report.add(restored=1, restored_bytes=node.size, done=1, done_bytes=node.size)
        elif node.size > SMALL_BYTES_MAX:
            self._start(pool, self._writer.fetch_large, want)
        else:
            if node.digest not in self._small:
                self._small_bytes += node.size
            self._small.setdefault(node.digest, []).append(want)
            if self._small_bytes >= BATCH_BYTES or len(self._small) >= BATCH_BLOBS_MAX:
                self._flush(pool)

    def _flush(self, pool: ThreadPoolExecutor) -> None:
        if self._small:
            batch, self._small, self._small_bytes = self._small, {}, 0
            self._start(pool, self._writer.fetch_small, batch)

    def _start(self, pool: ThreadPoolExecutor, work: Any, job: Any) -> None:
        self._room.acquire()
        pool.submit(work, job).add_done_callback(self._ended)

    def _ended(self, future: "Future[None]") -> None:
        self._room.release()
        error = future.exception()
        if error is not None and (self._error is None or isinstance(self._error, Stopped)):
            self._error = error
            self._api.stop.set()

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
