"""Sending bytes: small files in batches of one request, large ones through tus, both resumed and repeated.

A batch is sent whole and answered whole; only what the account does not have is sent. A large file's upload is kept
in the cache by its digest, so that the next process goes on where the last one was killed. The server checks each
digest.
"""

import base64
import os
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

from otb_client.api import Patience, is_passing
from otb_client.errors import ApiError, BadAnswer, ClientError, LineFailed
from otb_client.hashing import FileChanging, open_file
from otb_client.progress import Progress
from otb_client.run import Run

if TYPE_CHECKING:
    from otb_client.scan import Item

BLOBS_TYPE = "application/vnd.otb.blobs"
OFFSET_TYPE = "application/offset+octet-stream"
TUS = {"Tus-Resumable": "1.0.0"}
BUNDLE_TYPE = "application/vnd.otb.bundle"
BATCH_BYTES = 12 << 20
BATCH_BYTES_FIRST = 3 << 20
BATCH_BYTES_MIN = 1 << 20
BATCH_ITEMS_MAX = 2000
HEAD = struct.Struct(">32sQ")
_LENGTH = struct.Struct(">Q")
AT_ONCE_BYTES_MAX = 4 << 20
"""A large file up to this goes with its creation, in one request."""
PIECE_BYTES = 1 << 20
RESTARTS_MAX = 5
"""An upload that the server forgets is begun anew so often."""
_GONE = {403, 404, 410}
_WRONG_BYTES = {"digest-mismatch", "size-mismatch"}


class Batch:
    """A body of `application/vnd.otb.blobs` in the making, in a buffer that is used again, and the names for it.

    `room`: how many bytes are to be used of the buffer.
    """

    __slots__ = ("buffer", "digests", "ends", "items", "room", "used", "view")

    def __init__(self, room: int = BATCH_BYTES) -> None:
        self.room = room
        self.items: list[Item] = []
        self.buffer = bytearray(BATCH_BYTES)
        self.view = memoryview(self.buffer)
        self.used = 0
        self.digests: list[bytes] = []
        self.ends: list[int] = []
        """Where each blob ends; the next one's head follows."""

    def clear(self) -> None:
        """Ready to be filled again."""
        self.used = 0
        self.digests = []
        self.ends = []
        self.items = []

    def append(self, digest: bytes, data: bytes) -> None:
        """One blob; the caller looked that there is room."""
        HEAD.pack_into(self.buffer, self.used, digest, len(data))
        start = self.used + HEAD.size
        self.buffer[start : start + len(data)] = data
        self.used = start + len(data)
        self.digests.append(digest)
        self.ends.append(self.used)

    def has_room(self, size_bytes: int) -> bool:
        """For one more blob, and for one byte more, which tells that a file has grown."""
        return self.used + HEAD.size + size_bytes < self.room and len(self.digests) < BATCH_ITEMS_MAX

    def keep(self, wanted: set[bytes]) -> None:
        """Drop all other blobs."""
        used = start = 0
        digests, ends = self.digests, self.ends
        self.digests, self.ends = [], []
        for digest, end in zip(digests, ends):
            if digest in wanted:
                size = end - start
                self.buffer[used : used + size] = self.buffer[start:end]
                used += size
                self.digests.append(digest)
                self.ends.append(used)
            start = end
        self.used = used


class BatchResult:
    """Digests that the account has now. `sent`: how many of them, and how many bytes, it did not have before."""

    __slots__ = ("digests", "sent", "sent_bytes")

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.sent = self.sent_bytes = 0

    def add(self, digest: bytes, size_bytes: int, *, is_new: bool) -> None:
        self.digests.append(digest)
        if is_new:
            self.sent += 1
            self.sent_bytes += size_bytes


def missing(run: Run, digests: list[bytes]) -> set[bytes]:
    """Which of at most 10,000 digests the account has yet to be sent. Raises `ApiError`, `LineFailed`."""
    answer = run.api.post_json("/api/v1/blobs/missing", {"digests": [digest.hex() for digest in digests]})
    try:
        return {bytes.fromhex(text) for text in answer["missing"]}
    except (KeyError, TypeError, ValueError) as e:
        raise BadAnswer("The server's answer to what is missing cannot be read.") from e


def keep_missing(run: Run, batch: Batch) -> BatchResult:
    """Drop from the batch what the account has; returns that."""
    result = BatchResult()
    if run.is_fresh or not batch.digests:
        return result
    wanted = missing(run, batch.digests)
    if len(wanted) < len(batch.digests):
        for digest, size in _sizes(batch).items():
            if digest not in wanted:
                result.add(digest, size, is_new=False)
        batch.keep(wanted)
    return result


def send_batch(run: Run, batch: Batch) -> BatchResult:
    """Send what is missing of a batch. What arrived damaged is in neither list. Raises `ApiError`, `LineFailed`."""
    result = keep_missing(run, batch)
    send_blobs(run, batch, result)
    return result


def send_blobs(run: Run, batch: Batch, result: BatchResult) -> None:
    """Send the batch's bytes alone. Raises as `send_batch`."""
    if not batch.digests:
        return
    sizes = _sizes(batch)
    headers = {"Content-Type": BLOBS_TYPE, "Content-Length": str(batch.used)}
    answer = run.api.request(
        "POST", "/api/v1/blobs", headers=headers, body=_body_of(run, batch.view[: batch.used])
    ).json()
    run.progress.on_line(batch.used)
    try:
        for name, is_new in (("stored", True), ("deduplicated", False)):
            for text in answer[name]:
                digest = bytes.fromhex(text)
                result.add(digest, sizes[digest], is_new=is_new)
    except (KeyError, TypeError, ValueError) as e:
        raise BadAnswer("The server's answer to a batch cannot be read.") from e


def post_bundle(run: Run, url: str, manifest: bytes, batch: Batch) -> dict[str, Any]:
    """Send the manifest and the batch's bytes in one body. Raises `ApiError`, `LineFailed`."""
    head, blobs = _LENGTH.pack(len(manifest)) + manifest, batch.view[: batch.used]
    headers = {"Content-Type": BUNDLE_TYPE, "Content-Length": str(len(head) + len(blobs))}
    answer = run.api.request("POST", url, headers=headers, body=_body_of(run, memoryview(head), blobs)).json()
    run.progress.on_line(len(blobs))
    return answer


def bundle_result(batch: Batch, answer: Mapping[str, Any]) -> BatchResult:
    """What the answer to a bundle says of its bytes."""
    result = BatchResult()
    try:
        had = {bytes.fromhex(text) for text in answer["deduplicated"]}
    except (KeyError, TypeError, ValueError) as e:
        raise BadAnswer("The server's answer to a bundle cannot be read.") from e
    for digest, size in _sizes(batch).items():
        result.add(digest, size, is_new=digest not in had)
    return result


def _sizes(batch: Batch) -> dict[bytes, int]:
    return {digest: end - start - HEAD.size for digest, start, end in zip(batch.digests, [0, *batch.ends], batch.ends)}


def _body_of(run: Run, *parts: memoryview) -> Callable[[], Iterator[memoryview]]:
    limit = run.limit
    if limit is None:
        return lambda: iter(parts)
    return lambda: (piece for part in parts for piece in limit.pieces(part))


class LargeFile:
    """One large file on its way. Raises `FileChanging` where the file is not the one that was hashed."""

    def __init__(self, run: Run, path: str, digest: bytes, size_bytes: int) -> None:
        self._run = run
        self._path = path
        self._digest = digest
        self._size_bytes = size_bytes

    def send(self) -> None:
        """Send it, or what is left of it. Raises `OSError`, `ApiError`, `LineFailed`."""
        url = self._run.cache.upload_url(self._digest)
        patience = self._run.api.patience()
        offset, restarts = -1, 0
        while True:
            try:
                if url is None:
                    url, offset = self._create()
                elif offset < 0:
                    offset = self._offset(url)
                while offset < self._size_bytes:
                    before = offset
                    offset = self._patch(url, offset)
                    if offset > before:
                        patience.progress()
            except (ApiError, LineFailed) as e:
                if url is not None and isinstance(e, ApiError) and e.status in _GONE:
                    self._run.cache.drop_upload(self._digest)
                    if not missing(self._run, [self._digest]):
                        return  # it was complete, and only the answer was lost
                    restarts += 1
                    if restarts > RESTARTS_MAX:
                        raise
                    url, offset = None, -1
                    continue
                offset = -1
                self._wait(patience, e)
                continue
            self._run.cache.drop_upload(self._digest)
            return

    def _wait(self, patience: Patience, error: ClientError) -> None:
        if isinstance(error, ApiError):
            if error.slug in _WRONG_BYTES or error.status == 460:
                self._run.cache.drop_upload(self._digest)
                raise FileChanging(self._path) from error
            if error.status in {409, 423}:  # another writer, or another offset: the next HEAD tells
                error = LineFailed(str(error))
        if not is_passing(error):
            self._run.cache.drop_upload(self._digest)
        patience.wait(error)

    def _create(self) -> tuple[str, int]:
        coded = base64.b64encode(self._digest.hex().encode()).decode()
        headers = {**TUS, "Upload-Length": str(self._size_bytes), "Upload-Metadata": f"digest {coded}"}
        if self._size_bytes <= AT_ONCE_BYTES_MAX:
            headers.update({"Content-Type": OFFSET_TYPE, "Content-Length": str(self._size_bytes)})
            answer = self._request("POST", "/api/v1/uploads", headers, 0)
        else:
            answer = self._request("POST", "/api/v1/uploads", headers, -1)
        url = _path_of(answer.get("Location", ""))
        offset = _number(answer, "Upload-Offset", 0)
        if offset < self._size_bytes:
            self._run.cache.put_upload(self._digest, url)
        return url, offset

    def _offset(self, url: str) -> int:
        return _number(self._request("HEAD", url, TUS, -1), "Upload-Offset", -1)

    def _patch(self, url: str, offset: int) -> int:
        headers = {
            **TUS,
            "Upload-Offset": str(offset),
            "Content-Type": OFFSET_TYPE,
            "Content-Length": str(self._size_bytes - offset),
        }
        return _number(self._request("PATCH", url, headers, offset), "Upload-Offset", -1)

    def _request(self, method: str, url: str, headers: Mapping[str, str], offset: int) -> Mapping[str, str]:
        """One attempt. `offset`: where the file's bytes begin that go along, or -1 for none."""
        body = None if offset < 0 else (lambda: self._pieces(offset))
        return self._run.api.request(method, url, headers=headers, body=body, retried=False).headers

    def _pieces(self, offset: int) -> Iterator[memoryview]:
        """The file from `offset` on. Each piece is used up before the next is read, so they share a buffer."""
        left = self._size_bytes - offset
        with os.fdopen(open_file(self._path), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != self._size_bytes:
                raise FileChanging(self._path)
            file.seek(offset)
            buffer = bytearray(PIECE_BYTES)
            view = memoryview(buffer)
            while left:
                size = file.readinto(view[: min(left, PIECE_BYTES)])
                if not size:
                    raise FileChanging(self._path)
                left -= size
                yield from self._limited(view[:size])

    def _limited(self, view: memoryview) -> Iterator[memoryview]:
        progress: Progress = self._run.progress
        if self._run.limit is None:
            yield view
            progress.on_line(len(view))
            return
        for piece in self._run.limit.pieces(view):
            yield piece
            progress.on_line(len(piece))


def _path_of(location: str) -> str:
    """Of an upload's address only the path is used: the token goes to the configured server alone."""
    path = urlsplit(location).path
    if not path.startswith("/"):
        raise BadAnswer("The server did not say where the upload goes.")
    return path


def _number(headers: Mapping[str, str], name: str, default: int) -> int:
    text = headers.get(name, "")
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    if default >= 0:
        return default
    raise BadAnswer(f"The server's answer has no {name}.")
