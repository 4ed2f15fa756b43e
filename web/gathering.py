"""`Gatherer`: what arrives one by one while something is being done is done together, next.

What always holds: nobody waits for company: what comes alone is done at once and alone; each gets his own answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Work = Callable[[Sequence[T]], Awaitable[Sequence[R | BaseException]]]
"""Does all of these, and answers each in the same order. What it raises, each of them gets."""


@dataclass(slots=True)
class _Waiting(Generic[T, R]):
    item: T
    answer: "asyncio.Future[R]"


@dataclass(slots=True)
class _Group(Generic[T, R]):
    waiting: list[_Waiting[T, R]] = field(default_factory=list)


class Gatherer(Generic[T, R]):
    """Groups by a key. Of items that are the same by `identity` each group takes one; at most `count_max` in all."""

    def __init__(self, count_max: int, identity: Callable[[T], Hashable]) -> None:
        self._count_max: Final = count_max
        self._identity: Final = identity
        self._groups: dict[Hashable, _Group[T, R]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def put(self, key: Hashable, item: T, work: "Work[T, R]") -> R:
        """The item's answer. `work` is called for a group that nobody is working on; else the one there goes on."""
        one = _Waiting[T, R](item, asyncio.get_running_loop().create_future())
        group = self._groups.get(key)
        if group is not None:
            group.waiting.append(one)
        else:
            group = self._groups[key] = _Group([one])
            task = asyncio.create_task(self._drain(key, group, work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await one.answer

    async def _drain(self, key: Hashable, group: "_Group[T, R]", work: "Work[T, R]") -> None:
        try:
            while together := self._take(group):
                answers = await _answers(work, [one.item for one in together])
                for one, answer in zip(together, answers, strict=True):
                    _tell(one.answer, answer)
        finally:
            del self._groups[key]

    def _take(self, group: "_Group[T, R]") -> "list[_Waiting[T, R]]":
        taken: dict[Hashable, _Waiting[T, R]] = {}
        left = []
        for one in group.waiting:
            identity = self._identity(one.item)
            if identity in taken or len(taken) == self._count_max:
                left.append(one)
            else:
                taken[identity] = one
        group.waiting = left
        return list(taken.values())


async def _answers(work: "Work[T, R]", items: Sequence[T]) -> Sequence[R | BaseException]:
    try:
        return await work(items)
    except Exception as e:  # noqa: BLE001 - each who waits gets it, and answers for himself
        return [e] * len(items)


def _tell(waiting: "asyncio.Future[R]", answer: R | BaseException) -> None:
    if waiting.done():
        return  # whoever asked has gone away; it is done all the same
    if isinstance(answer, BaseException):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
