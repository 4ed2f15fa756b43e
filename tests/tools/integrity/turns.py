"""Operations that stop before each of their transactions, and go on when they are told: whoever holds them decides who
runs next, so that any interleaving of the real code can be made, and made again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final
from unittest.mock import patch

from catalog.database import Database

_current: ContextVar["Turn | None"] = ContextVar("current turn", default=None)

STEP_SECONDS_MAX: Final = 30.0
"""An operation that neither stops nor ends for so long waits for one that was stopped: a fault."""


class Turn:
    """One operation under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[object]]) -> None:
        self._loop = loop
        self._stopped, self._go = asyncio.Event(), asyncio.Event()
        self._is_dead = False
        self._task = loop.create_task(self._run(work))

    @property
    def is_done(self) -> bool:
        return self._task.done()

    @property
    def error(self) -> BaseException | None:
        """What it ended with, once it is done."""
        return self._task.exception()

    def step(self) -> None:
        """Let it go on to its next transaction, or to its end."""
        self._stopped.clear()
        self._go.set()
        self._loop.run_until_complete(self._next_stop())

    def finish(self) -> None:
        """Let it go on to its end."""
        while not self.is_done:
            self.step()

    def drop(self) -> None:
        """Unwind it, without one more transaction. What it would clean up is cleaned up."""
        self._is_dead = True
        self._go.set()
        self._task.cancel()
        self._loop.run_until_complete(asyncio.wait({self._task}))

    async def pause(self) -> None:
        if self._is_dead:
            raise asyncio.CancelledError
        self._go.clear()
        self._stopped.set()
        await self._go.wait()

    async def _run(self, work: Callable[[], Awaitable[object]]) -> None:
        _current.set(self)
        await self._go.wait()
        await work()

    async def _next_stop(self) -> None:
        stopped = asyncio.ensure_future(self._stopped.wait())
        done, _ = await asyncio.wait({self._task, stopped}, timeout=STEP_SECONDS_MAX, return_when="FIRST_COMPLETED")
        stopped.cancel()
        assert done, "it waits for an operation that was stopped"


async def pause() -> None:
    """Where an operation may be stopped besides before its transactions. Outside of a turn it goes on."""
    turn = _current.get()
    if turn is not None:
        await turn.pause()


@contextmanager
def stopping_before_transactions() -> Iterator[None]:
    """Every use of a connection is a stop from here on, for operations that run in a turn."""
    whole = Database._connection

    @asynccontextmanager
    async def connection(database: Database) -> AsyncIterator[Any]:
        await pause()
        async with whole(database) as found:
            yield found

    with patch.object(Database, "_connection", connection):
        yield
