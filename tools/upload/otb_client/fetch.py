"""Bytes from the server, verified: many small blobs in one answer, and large files that go on where they were cut.

What always holds: no byte is handed on as a blob's before its BLAKE3 was right; a line that breaks costs what was on
its way, not what had come; a blob that the server finds damaged holds up no other.
"""

import json
from collections import deque
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, Callable, Optional
from urllib.parse import quote

from blake3 import blake3

from otb_client.api import Api, Patience
from otb_client.errors import ApiError, BadAnswer, ClientError, LineFailed

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

SMALL_BYTES_MAX = 1 << 20
BATCH_BLOBS_MAX = 1_000
"""Both are limits of `blobs/read`."""
READ_BYTES = 1 << 20
CHUNK_BYTES = 4 << 20
_HEAD = Struct(">32sQ")

OnBytes = Callable[[int], None]


class Lost(Exception):
    """The server cannot give these bytes: damaged there, or not kept any more. Its text is a reason."""


DAMAGED = "the stored copy is damaged; the operators have been told"
GONE = "its bytes are not kept any more"


def read_blobs(
    api: Api, digests: list[bytes], on_lost: Callable[[bytes, str], None], on_bytes: OnBytes
) -> Iterator[tuple[bytes, bytes]]:
    """(digest, bytes) of each, in any order, each once; `on_lost` is told of those that cannot be had.

    Raises `ApiError`, `LineFailed` when patience ends, `Stopped`.
    """
    patience = api.patience()
    groups = deque([list(digests)])
    while groups:
        left = dict.fromkeys(groups.popleft())
        try:
            for digest, content in _read_once(api, list(left), on_bytes):
                if digest not in left:
                    raise LineFailed("The server sent bytes that were not asked for.")
                del left[digest]
                patience.progress()
                yield digest, content
        except (ApiError, LineFailed) as e:
            groups.extendleft(_next_groups(list(left), e, on_lost, patience))
            continue
        if left:
            raise BadAnswer("The server left out bytes that it was asked for.")


def _next_groups(
    left: list[bytes], error: ClientError, on_lost: Callable[[bytes, str], None], patience: Patience
) -> list[list[bytes]]:
    """How to ask again for what did not come. Raises the error where there is no point."""
    if not left:
        return []
    if isinstance(error, ApiError) and error.status == 404:
        missing = _named(error, left)
        for digest in missing:
            on_lost(digest, GONE)
        rest = [digest for digest in left if digest not in missing]
        return [rest] if rest else []
    if isinstance(error, ApiError) and error.slug == "damaged":
        if len(left) == 1:
            on_lost(left[0], DAMAGED)
            return []
        half = len(left) // 2
        return [left[half:], left[:half]]
    patience.wait(error)
    return [left]


def _named(error: ApiError, left: list[bytes]) -> set[bytes]:
    """The digests that a 404 names; all, if it names none of those asked for."""
    named = error.problem.get("missing")
    wanted = {digest.hex(): digest for digest in left}
    found = {wanted[text] for text in named if text in wanted} if isinstance(named, list) else set()
    return found or set(left)


def _read_once(api: Api, digests: list[bytes], on_bytes: OnBytes) -> Iterator[tuple[bytes, bytes]]:
    body = json.dumps({"digests": [digest.hex() for digest in digests]}).encode()
    with api.stream("POST", "/api/v1/blobs/read", body=body, headers={"Content-Type": "application/json"}) as response:
        data = b""
        at = 0
        while True:
            piece = response.read1(READ_BYTES)
            if not piece:
                break
            on_bytes(len(piece))
            data = data[at:] + piece
            at = 0
            while len(data) - at >= _HEAD.size:
                digest, size = _HEAD.unpack_from(data, at)
                end = at + _HEAD.size + size
                if size > SMALL_BYTES_MAX:
                    raise LineFailed("The server sent a blob that is larger than any of its kind.")
                if end > len(data):
                    break
                content = data[at + _HEAD.size : end]
                at = end
                if blake3(content).digest() != digest:
                    raise LineFailed("Bytes were changed on their way.")
                yield digest, content
        if at != len(data):
            raise LineFailed("The answer ended in the middle of a blob.")


class LargeFile:
    """One large file on its way into a temporary: `have` says how much of it is there, and hashes along."""

    def __init__(self, entry_id: str, digest: bytes, size: int) -> None:
        self._entry_id = entry_id
        self._digest = digest
        self._size = size
        self._hasher = blake3(max_threads=blake3.AUTO)
        self._have = 0

    def know(self, data: bytes) -> None:
        """Bytes that are in the temporary already, from its beginning on."""
        self._hasher.update(data)
        self._have += len(data)

    @property
    def is_right(self) -> bool:
        """All of it has come, and its digest is right."""
        return self._have == self._size and self._hasher.digest() == self._digest

    def fetch(self, api: Api, write: Callable[[bytes], None], on_bytes: OnBytes) -> None:
        """Write the rest. Raises `Lost`, `ApiError`, `LineFailed` when patience ends, `Stopped`."""
        patience = api.patience()
        while self._have < self._size:
            before = self._have
            try:
                self._fetch_once(api, write, on_bytes)
            except (ApiError, LineFailed) as e:
                if self._have > before:
                    patience.progress()
                if isinstance(e, ApiError):
                    reason = _reason(e)
                    if reason is not None:
                        raise Lost(reason) from e
                patience.wait(e)

    def _fetch_once(self, api: Api, write: Callable[[bytes], None], on_bytes: OnBytes) -> None:
        headers = {"Range": f"bytes={self._have}-", "If-Range": f'"{self._digest.hex()}"', "Accept": "*/*"}
        with api.stream(
            "GET", f"/api/v1/entries/{quote(self._entry_id, safe='')}/content", headers=headers
        ) as response:
            self._check_start(response)
            while self._have < self._size:
                piece = response.read1(min(CHUNK_BYTES, self._size - self._have))
                if not piece:
                    raise LineFailed("The answer ended before the file did.")
                write(piece)
                self.know(piece)
                on_bytes(len(piece))

    def _check_start(self, response: "BaseHTTPResponse") -> None:
        started = response.headers.get("Content-Range", "").partition("-")[0] if response.status == 206 else "bytes 0"
        if started != f"bytes {self._have}":
            raise BadAnswer("The server sent another part of a file than it was asked for.")


def _reason(error: ApiError) -> Optional[str]:
    if error.slug == "damaged":
        return DAMAGED
    return GONE if error.status in {404, 410} else None
