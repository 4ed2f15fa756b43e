"""Who writes what, now: one writer of an upload, few writers in all; and the hashes of parts between requests.

What always holds: a newer request on an upload stops the older one and waits until it has let go; a place among the few
is held only while bytes flow, and is given in the order asked for, no tenant taking more than its share.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from cas.part import PartHash
from catalog.errors import UploadLost
from web.limits import (
    HASHES_KEPT_MAX,
    PARTS_WRITTEN_AT_ONCE,
    PARTS_WRITTEN_AT_ONCE_OF_TENANT,
    REHASHED_AT_ONCE,
)

Key = tuple[int, int]
"""Tenant and upload."""


class Turn:
    """One request's right to an upload, until a newer one comes."""

    def __init__(self) -> None:
        self.is_lost = False
        self.ended: Final = asyncio.Event()
        self._cut: anyio.CancelScope | None = None

    def lose(self) -> None:
        self.is_lost = True
        if self._cut is not None:
            self._cut.cancel()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A block that is cut short when the turn is lost. Raises `UploadLost` then."""
        with anyio.CancelScope() as cut:
            self._cut = cut
            if self.is_lost:
                cut.cancel()
            try:
                yield
            finally:
                self._cut = None
        if cut.cancelled_caught:
            raise UploadLost


class Turns:
    """The newest request on each upload."""

    def __init__(self) -> None:
        self._newest: dict[Key, Turn] = {}

    def is_taken(self, key: Key) -> bool:
        """Whether a request is under way on this upload."""
        return key in self._newest

    @asynccontextmanager
    async def take(self, key: Key) -> AsyncIterator[Turn]:
        """Be the newest: stop the one before and wait for its end. Raises `UploadLost` if a newer one comes."""
        before, turn = self._newest.get(key), Turn()
        self._newest[key] = turn
        try:
            if before is not None:
                before.lose()
                # Whatever happens to us, whoever waits for us must wait for the one before, too.
                with anyio.CancelScope(shield=True):
                    await before.ended.wait()
            if turn.is_lost:
                raise UploadLost
            yield turn
        finally:
            turn.ended.set()
            if self._newest.get(key) is turn:
                del self._newest[key]


class Places:
    """At most `count` at once, `count_of_tenant` of one tenant; who finds none free waits."""

    def __init__(self, count: int, count_of_tenant: int) -> None:
        self._count: Final = count
        self._of_tenant: Final = count_of_tenant
        self._taken: Counter[int] = Counter()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, tenant_id: int) -> None:
        """Wait for a place. Whoever has one gives it back with `leave`."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tenant_id, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.leave(tenant_id)
            raise

    def leave(self, tenant_id: int) -> None:
        self._taken[tenant_id] -= 1
        if not self._taken[tenant_id]:
            del self._taken[tenant_id]
        self._grant()

    def _grant(self) -> None:
        """Give free places to those who wait longest and may have one."""
        passed_over: deque[tuple[int, asyncio.Future[None]]] = deque()
        while self._waiting and self._taken.total() < self._count:
            tenant_id, granted = self._waiting.popleft()
            if granted.done():
                continue  # it was cancelled while it waited
            if self._taken[tenant_id] >= self._of_tenant:
                passed_over.append((tenant_id, granted))
                continue
            self._taken[tenant_id] += 1
            granted.set_result(None)
        self._waiting.extendleft(reversed(passed_over))


class Hashes:
    """The hashes of parts that no request is writing. A forgotten one costs reading the part again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, PartHash] = OrderedDict()

    def take(self, key: Key) -> PartHash | None:
        """It belongs to the caller then."""
        return self._kept.pop(key, None)

    def keep(self, key: Key, hashes: PartHash) -> None:
        self._kept[key] = hashes
        if len(self._kept) > HASHES_KEPT_MAX:
            self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Tus:
    """What the requests of resumable uploads share in this process."""

    turns: Turns = field(default_factory=Turns)
    places: Places = field(default_factory=lambda: Places(PARTS_WRITTEN_AT_ONCE, PARTS_WRITTEN_AT_ONCE_OF_TENANT))
    hashes: Hashes = field(default_factory=Hashes)
    rehashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REHASHED_AT_ONCE))
