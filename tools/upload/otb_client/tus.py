"""Sending large files, each as a resumable upload (tus 1.0.0) that is gone on with after whatever breaks it.

The upload's address is kept in the cache, so that the next process goes on where the last one was killed. A file whose
digest is known goes as a `LargeFile`; one that the account cannot have yet is hashed while it is sent
(`UnhashedFile`): all but the last byte go as they are read, and the last one goes with the digest, so that nothing is
kept at the server of a file that changed meanwhile.
"""

import base64
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Optional
from urllib.parse import urlsplit

from blake3 import blake3

from otb_client.api import Patience, is_passing
from otb_client.cache import Record
from otb_client.errors import ApiError, BadAnswer, ClientError, LineFailed, Stopped
from otb_client.hashing import (
    ATTEMPTS,
    PAUSE_SECONDS,
    FileChanging,
    NotAFile,
    is_hot,
    is_same,
    open_file,
    page_buffer,
    record_of,
)
from otb_client.progress import Progress
from otb_client.run import Run
from otb_client.send import missing

OFFSET_TYPE = "application/offset+octet-stream"
TUS = {"Tus-Resumable": "1.0.0"}
AT_ONCE_BYTES_MAX = 4 << 20
"""A file up to this goes with its creation, in one request."""
PIECE_BYTES = 1 << 20
RESTARTS_MAX = 5
"""An upload that the server forgets is begun anew so often."""
_GONE = {403, 404, 410}
_WRONG_BYTES = {"digest-mismatch", "size-mismatch"}


class LargeFile:
    """One large file on its way. Raises `FileChanging` where the file is not the one that was hashed."""

    def __init__(self, run: Run, path: str, digest: bytes, size_bytes: int) -> None:
        self._run = run
        self._path = path
        self._key = digest
        """Under which the cache keeps the upload's address."""
        self._size_bytes = size_bytes

    def send(self) -> None:
        """Send it, or what is left of it. Raises `OSError`, `ApiError`, `LineFailed`."""
        url = self._run.cache.upload_url(self._key)
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
                    offset = self._send_from(url, offset)
                    if offset > before:
                        patience.progress()
            except (ApiError, LineFailed) as e:
                if url is not None and isinstance(e, ApiError) and e.status in _GONE:
                    self._run.cache.drop_upload(self._key)
                    if self._is_there():
                        return  # it was complete, and only the answer was lost
                    restarts += 1
                    if restarts > RESTARTS_MAX:
                        raise
                    url, offset = None, -1
                    continue
                offset = -1
                self._wait(patience, e)
                continue
            self._run.cache.drop_upload(self._key)
            return

    def _is_there(self) -> bool:
        return not missing(self._run, [self._key])

    def _wait(self, patience: Patience, error: ClientError) -> None:
        if isinstance(error, ApiError):
            if error.slug in _WRONG_BYTES or error.status == 460:
                self._run.cache.drop_upload(self._key)
                raise FileChanging(self._path) from error
            if error.status in {409, 423}:  # another writer, or another offset: the next HEAD tells
                error = LineFailed(str(error))
        if not is_passing(error):
            self._run.cache.drop_upload(self._key)
        patience.wait(error)

    def _create(self) -> tuple[str, int]:
        coded = base64.b64encode(self._key.hex().encode()).decode()
        return self._created({"Upload-Metadata": f"digest {coded}"}, AT_ONCE_BYTES_MAX)

    def _created(self, more: Mapping[str, str], at_once_bytes_max: int) -> tuple[str, int]:
        headers = {**TUS, **more, "Upload-Length": str(self._size_bytes)}
        end = 0
        if 0 < self._size_bytes <= at_once_bytes_max:
            end = self._size_bytes
            headers.update({"Content-Type": OFFSET_TYPE, "Content-Length": str(end)})
        answer = self._request("POST", "/api/v1/uploads", headers, 0, end)
        url = _path_of(answer.get("Location", ""))
        offset = _number(answer, "Upload-Offset", 0)
        if offset < self._size_bytes:
            self._run.cache.put_upload(self._key, url)
        return url, offset

    def _offset(self, url: str) -> int:
        return _number(self._request("HEAD", url, TUS), "Upload-Offset", -1)

    def _send_from(self, url: str, offset: int) -> int:
        """Send what follows; returns the new offset."""
        return self._patch(url, offset, self._size_bytes, {})

    def _patch(self, url: str, offset: int, end: int, more: Mapping[str, str]) -> int:
        headers = {
            **TUS,
            **more,
            "Upload-Offset": str(offset),
            "Content-Type": OFFSET_TYPE,
            "Content-Length": str(end - offset),
        }
        return _number(self._request("PATCH", url, headers, offset, end), "Upload-Offset", -1)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], offset: int = 0, end: int = 0
    ) -> Mapping[str, str]:
        """One attempt; the file's bytes from `offset` to `end` go along."""
        body = (lambda: self._limited(self._pieces(offset, end))) if end > offset else None
        return self._run.api.request(method, url, headers=headers, body=body, retried=False).headers

    def _pieces(self, offset: int, end: int) -> Iterator[memoryview]:
        """A part of the file. Each piece is used up before the next is read, so they share a buffer."""
        with os.fdopen(open_file(self._path), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != self._size_bytes:
                raise FileChanging(self._path)
            yield from _read(file, self._path, offset, end)

    def _limited(self, views: Iterator[memoryview]) -> Iterator[memoryview]:
        progress: Progress = self._run.progress
        for view in views:
            for piece in [view] if self._run.limit is None else self._run.limit.pieces(view):
                yield piece
                progress.on_line(len(piece))


class UnhashedFile(LargeFile):
    """One that is hashed while it is sent. `st`: how the file was when it was opened; it must stay so."""

    def __init__(self, run: Run, path: str, file: Any, st: os.stat_result) -> None:
        super().__init__(run, path, _key_of(path, st), st.st_size)
        self._file = file
        self._st = st
        self._hasher = blake3()
        self._hashed_bytes = 0
        self._told = ""
        """What the server says that the bytes hash to, in hex."""

    def send_and_hash(self) -> bytes:
        """Send it, or what is left of it; its digest. Raises as `send`, and `FileChanging` where it changed meanwhile:
        then nothing is left of the upload."""
        try:
            self.send()
            self._hash_to(self._size_bytes)  # what a process before this one has sent
        except FileChanging:
            self._abandon()
            raise
        digest: bytes = self._hasher.digest()
        if self._told != digest.hex():
            raise FileChanging(self._path)
        return digest

    def _is_there(self) -> bool:
        if self._hashed_bytes < self._size_bytes:
            return False
        digest = self._hasher.digest()
        self._told = "" if missing(self._run, [digest]) else digest.hex()
        return bool(self._told)

    def _create(self) -> tuple[str, int]:
        return self._created({}, 0)

    def _send_from(self, url: str, offset: int) -> int:
        self._hash_to(offset)
        last = self._size_bytes - 1
        if offset < last:
            return self._patch(url, offset, last, {})
        self._hash_to(self._size_bytes)
        coded = base64.b64encode(self._hasher.digest()).decode()
        return self._patch(url, last, self._size_bytes, {"Repr-Digest": f"blake3=:{coded}:"})

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], offset: int = 0, end: int = 0
    ) -> Mapping[str, str]:
        answer = super()._request(method, url, headers, offset, end)
        self._told = answer.get("X-OTB-Digest", "")
        return answer

    def _pieces(self, offset: int, end: int) -> Iterator[memoryview]:
        """As above. What was not hashed yet is hashed; `offset` is never beyond that."""
        for view in _read(self._file, self._path, offset, end):
            if not is_same(self._st, os.fstat(self._file.fileno())):
                raise FileChanging(self._path)
            offset += len(view)
            new_bytes = offset - self._hashed_bytes
            if new_bytes > 0:
                self._hasher.update(view[len(view) - new_bytes :])
                self._hashed_bytes = offset
            yield view

    def _hash_to(self, end: int) -> None:
        for _ in self._pieces(self._hashed_bytes, end):
            if self._run.api.stop.is_set():
                raise Stopped("Interrupted.")

    def _abandon(self) -> None:
        url = self._run.cache.upload_url(self._key)
        if url is not None:
            self._run.cache.drop_upload(self._key)
            with suppress(ApiError, LineFailed):  # it would expire by itself
                self._run.api.request("DELETE", url, headers=TUS, retried=False)


def send_unhashed(run: Run, path: str) -> Record:
    """Hash the file while it is sent; its record. Raises as `LargeFile.send`, and `FileChanging` where it changes each
    time, `NotAFile`."""
    last: Optional[os.stat_result] = None
    for _ in range(ATTEMPTS):
        now_ns = time.time_ns()
        with os.fdopen(open_file(path), "rb", buffering=0) as file:
            st = os.fstat(file.fileno())
            if not stat.S_ISREG(st.st_mode):
                raise NotAFile(path)
            if not is_hot(st, now_ns, last):
                with suppress(FileChanging):  # told if it does so each time
                    return record_of(st, UnhashedFile(run, path, file, st).send_and_hash(), now_ns)
        last = st
        if run.api.stop.wait(PAUSE_SECONDS):
            break
    raise FileChanging(path)


def _read(file: Any, path: str, offset: int, end: int) -> Iterator[memoryview]:
    file.seek(offset)
    view = page_buffer(min(PIECE_BYTES, max(end - offset, 1)))
    while offset < end:
        size = file.readinto(view[: min(end - offset, PIECE_BYTES)])
        if not size:
            raise FileChanging(path)
        offset += size
        yield view[:size]


def _key_of(path: str, st: os.stat_result) -> bytes:
    """What a file is known by whose digest is not: another one, or the same after a change, has another key."""
    record = record_of(st, b"", 1 << 62)
    return blake3(repr((path, record)).encode()).digest()


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
