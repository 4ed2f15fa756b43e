"""The tree of a device or folder as the server tells it, now or at a moment: read once, kept aside, gone through twice.

What always holds: it is of one moment, however long it takes; it lies compressed in a temporary file, so that 400,000
names take no memory; no name in it can lead out of the folder it is restored to: what could is told as impossible.
"""

import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional
from urllib.parse import quote

from otb_client.api import Api
from otb_client.errors import BadAnswer
from otb_client.names import json_path, path_of_json
from otb_client.times import parse_time

PAGE_ENTRIES = 10_000
LIST_ENTRIES = 1_000
FOLDER, FILE, LINK = "directory", "file", "link"
IMPOSSIBLE = "impossible"
"""A name that no honest server sends."""
_DIGEST_DIGITS = 64
_IMPOSSIBLE = re.compile(rb"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
"""An empty name, `.` or `..` anywhere, or a NUL."""
_LEVEL = 1


class Node(NamedTuple):
    """One name. `path` is below the folder asked for; `digest` and `size` are a file's, `target` a link's."""

    id: str
    path: bytes
    kind: str
    digest: bytes
    size: int
    mtime_ns: int
    mode: Optional[int]
    target: bytes


class Tree:
    """What is to be restored. Close it."""

    def __init__(self, folder: bytes) -> None:
        self._below = folder + b"/" if folder else b""
        self._file = tempfile.TemporaryFile(prefix="otb-cloud-")  # noqa: SIM115 - closed by `close`
        self._pages: list[tuple[int, int]] = []
        """Where each page lies in the file, and how long it is."""
        self._folders: list[tuple[int, int]] = []
        self.files = 0
        self.bytes = 0

    @classmethod
    def fetch(cls, api: Api, device: str, folder: bytes, area: str, at: Optional[str]) -> "Tree":
        """Read all of it. Raises `ApiError` (404: no such folder, or not then), `LineFailed`, `BadAnswer`."""
        tree = cls(folder)
        query = {"area": area, "limit": str(PAGE_ENTRIES)}
        if folder:
            query.update(json_path(folder, "directory"))
        if at is not None:
            query["at"] = at
        try:
            while True:
                page = api.get_json(f"/api/v1/devices/{quote(device, safe='')}/tree", query)
                entries, cursor = page.get("entries"), page.get("next")
                if not isinstance(entries, list) or not isinstance(cursor, (str, type(None))):
                    raise BadAnswer("The server's answer is not a tree. Is its address right?")
                tree.add(entries)
                if cursor is None:
                    return tree
                query["cursor"] = cursor
        except BaseException:
            tree.close()
            raise

    @classmethod
    def fetch_single(cls, api: Api, device: str, path: bytes, area: str, at: Optional[str]) -> Optional["Tree"]:
        """A file or link alone; None if there is no such thing. Raises as `fetch`."""
        folder = path.rpartition(b"/")[0]
        query = {"area": area, "limit": str(LIST_ENTRIES)}
        if folder:
            query.update(json_path(folder, "directory"))
        if at is not None:
            query["at"] = at
        while True:
            page = api.get_json(f"/api/v1/devices/{quote(device, safe='')}/entries", query)
            entries, cursor = page.get("entries"), page.get("next")
            if not isinstance(entries, list) or not isinstance(cursor, (str, type(None))):
                raise BadAnswer("The server's answer is not a folder. Is its address right?")
            found = [entry for entry in entries if isinstance(entry, dict) and path_of_json(entry) == path]
            if found:
                tree = cls(folder)
                tree.add(found)
                return tree
            if cursor is None:
                return None
            query["cursor"] = cursor

    def close(self) -> None:
        """Nothing of it is left."""
        self._file.close()

    def add(self, entries: list[Any]) -> None:
        """Keep a page. Raises `BadAnswer`."""
        folders = []
        for entry in entries:
            if not isinstance(entry, dict):
                raise BadAnswer("The server's tree has an entry that is none.")
            if entry.get("type") == FILE:
                self.files += 1
                self.bytes += _size(entry)
            elif entry.get("type") == FOLDER:
                folders.append(entry)
        self._pages.append(self._keep(entries))
        if folders:
            self._folders.append(self._keep(folders))

    def pages(self) -> Iterator[list[Node]]:
        """Parents before children. Raises `BadAnswer`."""
        for place in self._pages:
            yield self._page(place)

    def folders_backwards(self) -> Iterator[list[Node]]:
        """The folders, inner ones before those they are in."""
        for place in reversed(self._folders):
            yield self._page(place)[::-1]

    def _keep(self, entries: list[Any]) -> tuple[int, int]:
        data = zlib.compress(json.dumps(entries).encode(), _LEVEL)
        start = self._file.seek(0, 2)
        self._file.write(data)
        return start, len(data)

    def _page(self, place: tuple[int, int]) -> list[Node]:
        start, length = place
        self._file.seek(start)
        return [self._node(entry) for entry in json.loads(zlib.decompress(self._file.read(length)))]

    def _node(self, entry: dict[str, Any]) -> Node:
        path = path_of_json(entry)
        kind = entry.get("type")
        try:
            node = Node(
                id=str(entry["id"]),
                path=path[len(self._below) :],
                kind=kind if kind in {FOLDER, FILE, LINK} else IMPOSSIBLE,
                digest=_digest(entry) if kind == FILE else b"",
                size=_size(entry) if kind == FILE else 0,
                mtime_ns=parse_time(entry["mtime"]),
                mode=None if entry["mode"] is None else _count(entry["mode"]),
                target=path_of_json(entry, "target") if kind == LINK else b"",
            )
        except (KeyError, TypeError, ValueError) as e:
            raise BadAnswer(f"The server's tree has an entry that cannot be read: {e}.") from e
        if path.startswith(self._below) and is_possible(node.path) and b"\0" not in node.target:
            return node
        return node._replace(path=path, kind=IMPOSSIBLE)


def is_possible(path: bytes) -> bool:
    """Whether a path can stand below a folder, and only there."""
    return _IMPOSSIBLE.search(path) is None


def _digest(entry: Mapping[str, Any]) -> bytes:
    digest = entry["digest"]
    if not isinstance(digest, str) or len(digest) != _DIGEST_DIGITS:
        raise ValueError("a digest has 64 digits")
    return bytes.fromhex(digest)


def _size(entry: Mapping[str, Any]) -> int:
    size = entry.get("size")
    if type(size) is not int or size < 0:
        raise BadAnswer("The server's tree has a file without a size.")
    return size


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a number is none")
    return value
