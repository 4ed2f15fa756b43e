"""Committing: names whose bytes are there become manifests, while other bytes are still being sent.

What has its bytes in a batch goes with them, in one step (`bundle`), by the threads that send. The other names, whose
bytes are there already, are committed by one thread, one manifest at a time: all that is ready whenever the last one is
answered. A manifest that the server refuses is mended:
bytes it does not have are read and sent again; a name it does not take is found by halving, told, and left out.
"""

import json
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring_ascii as json_text
from typing import Any, Callable, Optional

from otb_client import send
from otb_client.errors import ApiError, BadAnswer, Stopped
from otb_client.hashing import (
    SMALL_BYTES_MAX,
    FileChanging,
    NotAFile,
    hash_file,
    read_small,
)
from otb_client.history import NOTE, History
from otb_client.names import IS_WINDOWS, json_path
from otb_client.run import Run
from otb_client.scan import Folder, Item, Own
from otb_client.times import time_text
from otb_client.tus import LargeFile

ENTRIES_MAX = 10_000
BODY_BYTES_MAX = 16 << 20
READY_MIN = 1_500
"""Fewer wait for more …"""
READY_SECONDS = 30.0
"""… but not longer than this."""
MENDS_MAX = 20
BUNDLE_MANIFEST_BYTES_MAX = 2 << 20
"""The server's limit on the names in a bundle."""
_WRONG_TYPE = 415
_REFUSED = {400, 409, 413, _WRONG_TYPE, 422}
_LINK = stat.S_IFLNK
_DAY_NS = 86_400_000_000_000


class Committer:
    """Takes names with `add`, commits them on its own thread until `finish`."""

    def __init__(self, run: Run, sequence: int, *, may_remove: bool) -> None:
        self._run = run
        self._history = History(run.cache, sequence)
        self._may_remove = may_remove
        self._url = f"/api/v1/devices/{run.device}/manifests"
        self._ready: list[Item] = []
        self._waking = threading.Condition()
        self._is_finishing = False
        self._takes_bundles = True
        self._thread = threading.Thread(target=self._work, name="commit", daemon=True)
        self._thread.start()

    @property
    def is_alone(self) -> bool:
        """Whether nobody else committed to the device meanwhile; after `finish`."""
        return self._history.is_alone

    def add(self, items: Sequence[Item]) -> None:
        """Names whose bytes are there."""
        if not items:
            return
        with self._waking:
            was_empty = not self._ready
            self._ready += items
            if was_empty or len(self._ready) >= READY_MIN:
                self._waking.notify()

    def wake(self) -> None:
        """The run failed: end."""
        with self._waking:
            self._waking.notify()

    def finish(self) -> None:
        """Commit what is left, and wait for it."""
        with self._waking:
            self._is_finishing = True
            self._waking.notify()
        while self._thread.is_alive():
            self._thread.join(0.5)

    def remove(self, paths: Sequence[bytes]) -> None:
        """Into the hold; after `finish`. Raises `ApiError`, `LineFailed`."""
        for start in range(0, len(paths), ENTRIES_MAX):
            part = paths[start : start + ENTRIES_MAX]
            for path in part:
                self._run.cache.forget_below(path)
            self._post([], part)

    # -- the thread -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while True:
                items = self._take()
                if items is None:
                    return
                self._commit(items)
        except BaseException as e:  # noqa: BLE001  # told by the main thread
            self._run.fail(e)

    def _take(self) -> Optional[list[Item]]:
        """What is ready, when there is enough or it waited long enough; None at the end."""
        with self._waking:
            began = time.monotonic()
            while self._run.error is None:
                count = len(self._ready)
                waited = time.monotonic() - began
                if count and (count >= READY_MIN or self._is_finishing or waited > READY_SECONDS):
                    items, self._ready = self._ready[:ENTRIES_MAX], self._ready[ENTRIES_MAX:]
                    return items
                if self._is_finishing:
                    return None
                self._waking.wait(READY_SECONDS - waited + 0.1 if count else None)
        return None

    def _commit(self, items: list[Item]) -> None:
        """All of them, in one manifest or, where the server refuses some, in more."""
        for _ in range(MENDS_MAX):
            try:
                self._post(items, [])
            except ApiError as e:
                if e.slug == "not-possessed":
                    items = self._resent(items, e)
                elif e.status not in _REFUSED:
                    raise
                elif len(items) > 1:
                    self._commit(items[: len(items) // 2])
                    items = items[len(items) // 2 :]
                elif e.slug == "conflict" and self._make_way(items[0]):
                    continue
                else:
                    if items[0].name is None:
                        items[0].folder.own.is_there = True  # not in other manifests as well
                    self._run.failed(items[0].folder, items[0].name, str(e))
                    return
            else:
                self._done(items)
                return
            if not items:
                return
        raise BadAnswer("The server goes on asking for bytes that it was sent. Tell support.")

    def _post(self, items: Sequence[Item], removed: Sequence[bytes]) -> None:
        body = manifest_json(items, removed)
        headers = {"Content-Type": "application/json"}
        self._answered(lambda: self._run.api.request("POST", self._url, body=body, headers=headers).json())

    def _answered(self, post: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self._history.begin()
        answer: Optional[dict[str, Any]] = None
        try:
            answer = post()
        finally:
            self._history.end(answer)
        counts = {name: answer.get(name, 0) for name in ("added", "replaced", "removed")}
        self._run.progress.add(**{name: count for name, count in counts.items() if isinstance(count, int)})
        return answer

    def bundle(self, batch: send.Batch) -> Optional[send.BatchResult]:
        """Send a batch's bytes and names in one step. None: refused, and nothing of it is there; the bytes alone are to
        be sent, and the names added. Raises `ApiError`, `LineFailed`."""
        head = manifest_json(batch.items, ())
        if not self._takes_bundles or len(head) > BUNDLE_MANIFEST_BYTES_MAX:
            return None
        try:
            answer = self._answered(lambda: send.post_bundle(self._run, self._url, head, batch))
        except ApiError as e:
            if e.status not in _REFUSED:
                raise
            self._takes_bundles = e.status != _WRONG_TYPE
            return None
        result = send.bundle_result(batch, answer)
        self._done(batch.items)
        return result

    def _done(self, items: list[Item]) -> None:
        """The manifest is durable there: the cache may say so."""
        large = []
        with self._run.lock:
            for folder, name, record, _ in items:
                folder.is_changed = True
                if name is None:
                    folder.own.is_there = True
                    folder.committed_meta = (record[1], record[4] & 0o7777)
                else:
                    folder.records[name] = record
                    if record[0] > SMALL_BYTES_MAX:
                        large.append(folder.path_of(name))
        self._run.progress.add(committed=len(items))
        counted = Counter(id(item.folder) for item in items)
        folders = {id(item.folder): item.folder for item in items}
        self._run.settled([(folder, counted[key]) for key, folder in folders.items()])
        self.save(folders.values())
        self._run.cache.drop_large(large)

    def save(self, touched: Iterable[Folder] = ()) -> None:
        """Write the rows of folders that are done."""
        folders = self._run.to_save(touched)
        if folders:
            with self._run.lock:
                rows = [(folder.path, folder.row()) for folder in folders]
            self._run.cache.save(rows)

    # -- mending ----------------------------------------------------------------------------------------------------

    def _make_way(self, item: Item) -> bool:
        """A name of another kind stands in the way in the backup. A folder gives way only with `--mirror`."""
        if item.name is not None and not self._may_remove:
            parent = item.folder.path
            ways = [parent] if parent and self._is_no_folder(parent) else []
        else:
            ways = [item.folder.path if item.name is None else item.folder.path_of(item.name)]
        for way in ways:
            self._run.cache.forget_below(way)
            self._post([], [way])
        return bool(ways)

    def _is_no_folder(self, path: bytes) -> bool:
        """Whether the backup has a file or link at this path, or at one above it."""
        answer = self._run.api.request(
            "HEAD", f"/api/v1/devices/{self._run.device}/files/originals/{_quoted(path)}", passed=(404, 400, 409)
        )
        return answer.status == 200

    def _resent(self, items: list[Item], error: ApiError) -> list[Item]:
        """Send again what the server says it has not; returns the items as they are now."""
        lost = error.problem.get("missing")
        if not isinstance(lost, list) or not lost:
            raise error
        wanted = {bytes.fromhex(text) for text in lost if isinstance(text, str)}
        with self._run.lock:
            self._run.acknowledged -= wanted
        kept: list[Item] = []
        batch, sent = send.Batch(), set()
        for item in items:
            digest = item.record[5]
            if digest not in wanted or digest in sent or item.name is None:
                kept.append(item)
                continue
            again = self._again(item, batch)
            if again is not None:
                sent.add(again.record[5])
                kept.append(again)
        self._flush(batch)
        with self._run.lock:
            self._run.acknowledged |= sent
        return kept

    def _again(self, item: Item, batch: send.Batch) -> Optional[Item]:
        """Read one file again and send it, by the batch if it is small. None if it cannot be read."""
        if self._run.api.stop.is_set():
            raise Stopped("Interrupted.")
        assert item.name is not None
        path = item.folder.prefix + item.name
        try:
            if item.record[0] > SMALL_BYTES_MAX:
                record = hash_file(path)
                if record[0] > SMALL_BYTES_MAX:
                    LargeFile(self._run, path, record[5], record[0]).send()
                    self._run.progress.add(sent=1, sent_bytes=record[0])
                    return item._replace(record=record)
            record, data = read_small(path)
        except (OSError, FileChanging, NotAFile) as e:
            self._run.failed(item.folder, item.name, reason_of(e))
            return None
        if not batch.has_room(len(data)):
            self._flush(batch)
        batch.append(record[5], data)
        return item._replace(record=record)

    def _flush(self, batch: send.Batch) -> None:
        if batch.digests:
            result = send.send_batch(self._run, batch)
            self._run.progress.add(sent=result.sent, sent_bytes=result.sent_bytes)
        batch.clear()


def reason_of(error: Exception) -> str:
    """Why a file could not be read, in a few words."""
    if isinstance(error, FileChanging):
        return "it kept changing while it was read; the next run tries again"
    if isinstance(error, NotAFile):
        return "it became something else while it was read; the next run tries again"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return str(error)


# -- JSON, by hand: a quarter of the time of json.dumps, which counts with 400,000 names ------------------------------


def manifest_json(items: Sequence[Item], removed: Sequence[bytes]) -> bytes:
    """The manifest. Folders above, which another manifest may still be bringing, are in it too: whichever comes first
    makes them as they are here."""
    lines = [*_lines_above(items), *map(_entry, items)]
    gone = map(_removal, removed)
    return f'{{"note":"{NOTE}","entries":[{",".join(lines)}],"removed":[{",".join(gone)}]}}'.encode()


def _lines_above(items: Sequence[Item]) -> list[str]:
    own_items = {id(item.folder.own) for item in items if item.name is None}
    seen: set[int] = set()
    lines: list[str] = []
    for folder in {id(item.folder): item.folder for item in items}.values():
        own: Optional[Own] = folder.own
        chain: list[str] = []
        while own is not None and id(own) not in seen:
            seen.add(id(own))
            if not own.is_there and id(own) not in own_items:
                chain.append(_folder_entry(own.path, *own.meta))
            own = own.above
        lines += reversed(chain)
    return lines


def _entry(item: Item) -> str:
    """One entry of the manifest, as JSON."""
    folder, name, record, target = item
    if name is None:
        return _folder_entry(folder.path, record[1], record[4] & 0o7777)
    if folder.json_prefix and name.isprintable():
        path = f"{folder.json_prefix}{json_text(name)[1:]}"
    else:
        path = _json_of(folder.path_of(name))
    mtime = _mtime(record[1])
    kind = record[4] & 0o170000
    mode = "" if IS_WINDOWS else f',"mode":{record[4] & 0o7777}'
    if kind == _LINK:
        return f'{{{path},"type":"link",{_json_of(target or b"", "target")}{mtime}}}'
    return f'{{{path},"digest":"{record[5].hex()}","size":{record[0]}{mtime}{mode}}}'


def _folder_entry(path: bytes, mtime_ns: int, mode: int) -> str:
    told = "" if IS_WINDOWS else f',"mode":{mode}'
    return f'{{{_json_of(path)},"type":"directory"{_mtime(mtime_ns)}{told}}}'


def _removal(path: bytes) -> str:
    """A path to remove: its text, or `{"path_bytes": …}`."""
    shape = json_path(path)
    return json.dumps(shape.get("path", shape))


def _json_of(raw: bytes, field: str = "path") -> str:
    """`"path":"…"` or `"path_bytes":"…"`."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable():
        return f'"{field}":{json_text(text)}'
    ((name, value),) = json_path(raw, field).items()
    return f'"{name}":{json_text(value)}'


_dates: dict[int, str] = {}


def _mtime(nanoseconds: int) -> str:
    """`,"mtime":"…"`, or nothing for a time outside of what the server takes."""
    day, rest = divmod(nanoseconds, _DAY_NS)
    date = _dates.get(day)
    if date is None:
        text = time_text(day * _DAY_NS)
        if text is None or time_text(nanoseconds) is None:
            return ""
        if len(_dates) > 10_000:
            _dates.clear()
        date = _dates[day] = text[:11]
    seconds, fraction = divmod(rest, 1_000_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f',"mtime":"{date}{hour:02d}:{minute:02d}:{second:02d}.{fraction:09d}Z"'


def _quoted(path: bytes) -> str:
    from urllib.parse import quote  # noqa: PLC0415

    return quote(path)
