"""The search index's files: one folder per tenant, segments, and a `state` that names those which count.

What always holds: a segment's file is durable before a state names it; the state is replaced in one step, and carries
its own digest; only who holds the folder's lock writes. All of it can be made again from MariaDB, so whatever is
damaged is thrown away, never mended. A reader keeps what it has mapped, whatever a writer removes.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from blake3 import blake3

from catalog.search_match import View
from catalog.search_segment import BadSegment, Segment, Stored

FORMAT: Final = 3
_DIGEST_BYTES: Final = 32
_STATE: Final = "state"
_LOCK: Final = "lock"
_ATTEMPTS: Final = 5


class Followed(msgspec.Struct, frozen=True):
    """How far a device's manifests are in the index, and the digest of the last one's record: proof that the catalog's
    history is still the one that was read."""

    sequence: int
    digest: bytes | None


class SegmentLine(msgspec.Struct):
    """`dead`: slots of documents that are not alive any more, 16 bits each."""

    stored: Stored
    dead: bytes


class State(msgspec.Struct):
    """What an index holds. `generation`: random, another for each state."""

    format: int
    tenant: str
    zone: str
    generation: str
    followed: dict[int, Followed]
    notes: int
    """The last media note that was read."""
    segments: list[SegmentLine]


class IndexFolder:
    """The files of one tenant. Everything raises OSError where the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, zone: str) -> tuple[State, list[View]] | None:
        """The last state and its segments; None where there is none that is whole and for this time zone."""
        for _ in range(_ATTEMPTS):
            state = self.state()
            if state is None or state.zone != zone:
                return None
            try:
                return state, [self._view(line) for line in state.segments]
            except FileNotFoundError:
                continue  # a writer replaced it meanwhile
            except BadSegment:
                return None
        return None

    def state(self) -> State | None:
        """The last state, if it is whole."""
        try:
            raw = (self.folder / _STATE).read_bytes()
        except FileNotFoundError:
            return None
        body, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
        if blake3(body).digest() != digest:
            return None
        try:
            state = msgspec.msgpack.decode(body, type=State)
        except msgspec.DecodeError:
            return None
        return state if state.format == FORMAT and state.tenant == self.folder.name else None

    def publish(self, state: State, views: Sequence[View]) -> tuple[State, list[View]]:
        """Write what is new, then the state, durably; then remove what no state names. Hold the lock."""
        kept = [self.stored(view) for view in views]
        lines = [SegmentLine(view.stored, _dead(view)) for view in kept if view.stored is not None]
        written = msgspec.structs.replace(state, generation=secrets.token_hex(16), segments=lines)
        body = msgspec.msgpack.encode(written)
        self._put(_STATE, [body, blake3(body).digest()])
        self._remove_all_but({_STATE, _LOCK, *(line.stored.file for line in lines)})
        return written, kept

    def stored(self, view: View) -> View:
        """The same with its segment in a file, and mapped instead of in memory. Hold the lock."""
        if view.stored is not None:
            return view
        pieces, hasher = view.segment.pieces(), blake3()
        for piece in pieces:
            hasher.update(piece)
        stored = Stored(f"{secrets.token_hex(8)}.segment", sum(map(len, pieces)), hasher.hexdigest())
        self._put(stored.file, pieces)
        try:
            return View(Segment.open(self.folder, stored), view.alive, stored)
        except BadSegment as e:
            raise OSError(f"{stored.file} is not what was written") from e

    def lock(self) -> AbstractContextManager[None] | None:
        """The right to write until the block's end; None if another has it. It is never waited for."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return None
        except BaseException:
            os.close(held)
            raise
        return _closing(held)

    def forget(self) -> None:
        """Remove the state: whoever opens the index next makes it again."""
        (self.folder / _STATE).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything, of a tenant that is closed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _view(self, line: SegmentLine) -> View:
        segment = Segment.open(self.folder, line.stored)
        if not line.dead:
            return View(segment, None, line.stored)
        alive = np.ones(len(segment), np.bool_)
        alive[np.frombuffer(line.dead, "<u2")] = False
        return View(segment, alive, line.stored)

    def _put(self, name: str, pieces: Sequence[bytes]) -> None:
        new = self.folder / f"{name}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:  # noqa: PTH123
            output.writelines(pieces)
            output.flush()
            os.fsync(output.fileno())
        new.rename(self.folder / name)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _remove_all_but(self, kept: set[str]) -> None:
        for file in self.folder.iterdir():
            if file.name not in kept:
                # What cannot be removed now is tried again by the next writer.
                with suppress(OSError):
                    file.unlink()


def _dead(view: View) -> bytes:
    return b"" if view.alive is None else np.flatnonzero(~view.alive).astype("<u2").tobytes()


@contextmanager
def _closing(held: int) -> Iterator[None]:
    """An open file, closed at the end, and any lock on it let go."""
    try:
        yield
    finally:
        os.close(held)
