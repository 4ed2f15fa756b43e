"""`TenantIndex`: one tenant's search index as this process has it, kept up with MariaDB.

What always holds: MariaDB is the truth, and the index follows it by the numbers of each device's manifests, so that a
search finds what was committed before it began. What a process has read since the last state stays in its memory, in
small segments; once that is much, whoever gets the folder's lock folds it into large ones and writes a state. Views are
replaced as a whole, never changed, so a search in a thread has one picture from beginning to end. An index that cannot
be kept on the disk works in memory.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np

from catalog import search_feed
from catalog.database import Database, Transaction
from catalog.search_documents import Array, Documents, joined
from catalog.search_feed import Head
from catalog.search_files import FORMAT, Followed, IndexFolder, State
from catalog.search_grams import SEGMENT_DOCUMENTS_MAX
from catalog.search_match import View
from catalog.search_segment import build, merged
from catalog.values import Tenant

log: Final = logging.getLogger("otb.search")

FOLD_DOCUMENTS: Final = 8_192
"""So many new or ended entries stay in memory at most before they are folded into the files."""
SMALL_DOCUMENTS: Final = SEGMENT_DOCUMENTS_MAX // 2
"""A segment with fewer living documents is folded together with what comes."""
_ROTTEN_BELOW: Final = 0.75
_ROTTEN_AT_ONCE: Final = 4
_IDS_AT_ONCE: Final = 10_000
_BUILDER_SECONDS: Final = 0.2
"""Between two looks at whether another process has built the index."""

_CLOSE_SECONDS: Final = 2.0


class Turn(Enum):
    """Who may write the files now."""

    OURS = auto()
    TAKEN = auto()
    NO_DISK = auto()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a search looks through. `is_complete`: false while entries are still being read in."""

    views: tuple[View, ...]
    is_complete: bool


class TenantIndex:
    """The index of one tenant. `snapshot` is safe at any time; the rest belongs to the event loop."""

    def __init__(self, database: Database, tenant: Tenant, folder: IndexFolder) -> None:
        self._database = database
        self._tenant = tenant
        self._folder = folder
        self._views: tuple[View, ...] = ()
        self._followed: dict[int, Followed] = {}
        self._notes = 0
        self._generation: str | None = None
        self._is_loaded = False
        self._unwritten = 0
        self._suspect: set[int] = set()
        self._distrusted: dict[int, int] = {}
        self._lock = asyncio.Lock()
        self._queued: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def document_count(self) -> int:
        """How many live entries it knows."""
        return sum(view.count for view in self._views)

    async def caught_up(self, seconds: float) -> Snapshot:
        """The index with all that was committed before the call; after `seconds`, what is there, not complete.

        Going on then happens in the background. Raises `DatabaseUnavailable`.
        """
        task = self.catch_up()
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            task.result()
        return Snapshot(self._views, bool(done) and self._is_loaded)

    def catch_up(self) -> "asyncio.Task[None]":
        """Read in what is new, in a task of the index's own; one that has not begun yet serves all who ask."""
        if self._queued is None:
            self._queued = asyncio.create_task(self._catch_up())
            self._tasks.add(self._queued)
            self._queued.add_done_callback(self._tasks.discard)
        return self._queued

    def without(self, ids: Sequence[int]) -> None:
        """Entries that are known to be gone for good."""
        self._end(np.array(ids, np.int64))

    async def close(self) -> None:
        """Let what is short end by itself, so that no statement is cut off; stop the rest, which loses nothing."""
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- following MariaDB ------------------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        async with self._lock:
            self._queued = None
            async with self._database.reading() as tx:
                heads = await search_feed.heads(tx, self._tenant.id)
                is_followed = False
                while not is_followed:
                    if not self._is_loaded:
                        await self._load(tx, heads)
                    if self._is_loaded:
                        await self._follow(tx, heads)
                        is_followed = self._is_loaded  # another process's files may be taken on the way

    async def _load(self, tx: Transaction, heads: dict[int, Head]) -> None:
        """Take what the files hold. Where they hold nothing that fits, read everything; one process does, others
        wait."""
        loaded = await asyncio.to_thread(self._read_files)
        if loaded is not None and await search_feed.is_continued(tx, self._tenant.id, loaded[0].followed):
            state, views = loaded
            self._views, self._followed, self._notes = tuple(views), dict(state.followed), state.notes
            self._generation, self._unwritten, self._is_loaded = state.generation, 0, True
            self._suspect = await search_feed.purged_since(tx, self._tenant.id, self._followed)
            return
        with self._writing() as turn:
            if turn is Turn.TAKEN:
                await asyncio.sleep(_BUILDER_SECONDS)
                return
            await self._read_everything(tx, heads, may_write=turn is Turn.OURS)
            await asyncio.to_thread(self._write, may_write=turn is Turn.OURS)

    async def _read_everything(self, tx: Transaction, heads: dict[int, Head], *, may_write: bool) -> None:
        self._views, self._followed = (), {}
        self._notes = await search_feed.last_note(tx, self._tenant.id)
        until = {device_id: head.sequence for device_id, head in heads.items()}
        waiting: list[Documents] = []
        async for documents in search_feed.every_entry(tx, self._tenant.id, until):
            waiting.append(documents)
            if sum(map(len, waiting)) + search_feed.PAGE_ROWS > SEGMENT_DOCUMENTS_MAX:
                view = await asyncio.to_thread(self._built, waiting, may_write=may_write)
                self._views, waiting = (*self._views, view), []
        if any(map(len, waiting)):
            self._views = (*self._views, await asyncio.to_thread(self._built, waiting, may_write=False))
        await self._mark_followed(tx, until)
        self._is_loaded = True

    async def _follow(self, tx: Transaction, heads: dict[int, Head]) -> None:
        """Read what each device's new manifests added and ended, in stages, so that memory stays bounded."""
        for device_id, head in heads.items():
            while (after := self._sequence(device_id)) < head.sequence:
                until = await search_feed.stage(tx, self._tenant.id, device_id, after, head.sequence)
                span = (self._tenant.id, device_id, after, until)
                async for documents in search_feed.added(tx, *span):
                    await self._take(documents)
                async for ids in search_feed.ended(tx, *span):
                    self._end(ids)
                await self._mark_followed(tx, {device_id: until})
                await self._write_if_much()
            miscounts = self._file_count(device_id) != head.file_count
            if device_id in self._suspect or (miscounts and self._distrusted.get(device_id) != head.sequence):
                await self._reconcile(tx, device_id, head.sequence)
                self._suspect.discard(device_id)
        await self._take_notes(tx)
        await self._write_if_much()

    async def _mark_followed(self, tx: Transaction, until: dict[int, int]) -> None:
        proofs = await search_feed.digests(tx, self._tenant.id, until)
        self._followed |= {device_id: Followed(last, proofs.get(device_id)) for device_id, last in until.items()}

    async def _reconcile(self, tx: Transaction, device_id: int, sequence: int) -> None:
        """Entries may have been purged that the index knows as living: by another process, or while none followed. All
        the device's living entries are compared, by their ids alone."""
        living = [part async for part in search_feed.living(tx, self._tenant.id, device_id, sequence)]
        there = np.concatenate([np.empty(0, np.int64), *living])
        known = np.concatenate([np.empty(0, np.int64), *(view.ids_of_device(device_id) for view in self._views)])
        self._end(np.setdiff1d(known, there))
        missing = np.setdiff1d(there, known).tolist()
        for start in range(0, len(missing), _IDS_AT_ONCE):
            await self._take(await search_feed.by_ids(tx, self._tenant.id, missing[start : start + _IDS_AT_ONCE]))
        # If it is another number still, it changed meanwhile or the device's row is wrong: the next manifest tells.
        self._distrusted[device_id] = sequence

    async def _take_notes(self, tx: Transaction) -> None:
        """Facts of media came, which may tell when a picture was taken: its entries are read again."""
        async for last, ids in search_feed.noted(tx, self._tenant.id, self._notes):
            known = np.concatenate([ids[:0], *(view.segment.ids[view.slots_of(ids)] for view in self._views)])
            for start in range(0, len(known), _IDS_AT_ONCE):
                part = known[start : start + _IDS_AT_ONCE]
                documents = await search_feed.by_ids(tx, self._tenant.id, part.tolist())
                self._end(part)
                await self._take(documents)
            self._notes = last

    def _sequence(self, device_id: int) -> int:
        followed = self._followed.get(device_id)
        return 0 if followed is None else followed.sequence

    def _file_count(self, device_id: int) -> int:
        return sum(view.file_counts.get(device_id, 0) for view in self._views)

    # -- segments ---------------------------------------------------------------------------------------------------

    async def _take(self, documents: Documents) -> None:
        if len(documents):
            self._views = await asyncio.to_thread(with_documents, self._views, documents, self._tenant.time_zone)
            self._unwritten += len(documents)

    def _end(self, ids: Array) -> None:
        if len(ids):
            before = self._views
            self._views = tuple(view.without(ids) for view in before)
            changed = any(old is not new for old, new in zip(before, self._views, strict=True))
            self._unwritten += len(ids) if changed else 0

    async def _write_if_much(self) -> None:
        if self._unwritten < FOLD_DOCUMENTS:
            return
        with self._writing() as turn:
            if turn is Turn.TAKEN:
                return  # whoever writes now will be found to have been first, the next time
            there = await asyncio.to_thread(self._generation_there) if turn is Turn.OURS else None
            if there not in {None, self._generation}:
                # Another process was first: its state is taken, and what is missing in it is read again.
                self._is_loaded = False
                return
            await asyncio.to_thread(self._write, may_write=turn is Turn.OURS, keep_files=there is not None)

    def _write(self, *, may_write: bool, keep_files: bool = True) -> None:
        """Make few large segments of many small ones, and a state of them where the disk takes it. In a thread."""
        views = folded(self._views, self._tenant.time_zone)
        if not keep_files:
            views = [View(view.segment, view.alive) for view in views]
        if may_write:
            state = State(
                FORMAT, self._tenant.uuid, self._tenant.time_zone, "", self._followed, self._notes, segments=[]
            )
            try:
                state, views = self._folder.publish(state, views)
                self._generation = state.generation
            except OSError as e:
                self._tell_of_disk(e)
        self._views, self._unwritten = tuple(views), 0

    def _built(self, parts: Sequence[Documents], *, may_write: bool) -> View:
        """A full segment, in a file where the disk takes it."""
        segment = build(joined(parts).sorted_by_id(), self._tenant.time_zone)
        if may_write:
            try:
                return self._folder.stored(View(segment))
            except OSError as e:
                self._tell_of_disk(e)
        return View(segment)

    def _read_files(self) -> tuple[State, list[View]] | None:
        try:
            return self._folder.load(self._tenant.time_zone)
        except OSError as e:
            self._tell_of_disk(e)
            return None

    def _generation_there(self) -> str | None:
        try:
            state = self._folder.state()
        except OSError as e:
            self._tell_of_disk(e)
            return None
        return None if state is None else state.generation

    @contextmanager
    def _writing(self) -> Iterator[Turn]:
        """Hold the folder's lock, if it is free."""
        try:
            turn = self._folder.lock()
        except OSError as e:
            self._tell_of_disk(e)
            yield Turn.NO_DISK
            return
        if turn is None:
            yield Turn.TAKEN
            return
        with turn:
            yield Turn.OURS

    def _tell_of_disk(self, error: OSError) -> None:
        log.warning("the search index of tenant %s is kept in memory alone: %s", self._tenant.uuid, error)


def with_documents(views: Sequence[View], documents: Documents, zone: str) -> tuple[View, ...]:
    """The views and one more in memory; as long as the last two in memory are of like size, they become one."""
    left = [*views, *(View(build(part, zone)) for part in documents.sorted_by_id().in_parts(SEGMENT_DOCUMENTS_MAX))]
    while len(left) > 1 and left[-2].stored is None:
        older, newer = left[-2:]
        if older.count > 2 * newer.count or older.count + newer.count > SMALL_DOCUMENTS:
            break
        left[-2:] = [View(segment) for segment in merged([(v.segment, v.alive) for v in (older, newer)], zone)]
    return tuple(left)


def folded(views: Sequence[View], zone: str) -> list[View]:
    """Large segments as they are; small ones, and some that have lost much, joined to new ones."""
    rotten = [view for view in views if view.count < len(view.segment) * _ROTTEN_BELOW][:_ROTTEN_AT_ONCE]
    joining = [view for view in views if view.count < SMALL_DOCUMENTS or view in rotten]
    if len(joining) == 1 and joining[0].stored is not None and joining[0].alive is None:
        return list(views)
    kept = [view for view in views if view not in joining]
    return kept + [View(segment) for segment in merged([(v.segment, v.alive) for v in joining], zone)]
