"""Sending small files: a batch is one request, sent whole and answered whole; only what the account does not have is
sent, and the server checks each digest. Large files go through `tus`.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable

from otb_client.errors import BadAnswer
from otb_client.run import Run

if TYPE_CHECKING:
    from otb_client.scan import Item

BLOBS_TYPE = "application/vnd.otb.blobs"
BUNDLE_TYPE = "application/vnd.otb.bundle"
BATCH_BYTES = 12 << 20
BATCH_BYTES_FIRST = 3 << 20
BATCH_BYTES_MIN = 1 << 20
BATCH_ITEMS_MAX = 2000
HEAD = struct.Struct(">32sQ")
_LENGTH = struct.Struct(">Q")


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
