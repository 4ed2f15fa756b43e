"""Asking many times, and the figures of it: milliseconds by the clock, and of the processor, which a busy machine
changes less.

The processor's are those of this process, all its threads; MariaDB's work is in the clock's alone.
"""

import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

HITS: Final = 100
_WARM_UP: Final = 3


@dataclass(frozen=True)
class Taken:
    """Milliseconds of each call."""

    clock: Sequence[float]
    cpu: Sequence[float]


async def measured(ask: Callable[[random.Random], Awaitable[object]], times: int, seed: int = 7) -> Taken:
    """Each call's milliseconds, after three that warm up."""
    chosen = random.Random(seed)
    clock: list[float] = []
    cpu: list[float] = []
    for number in range(times + _WARM_UP):
        begin, ran = time.perf_counter(), time.process_time()
        await ask(chosen)
        if number >= _WARM_UP:
            clock.append((time.perf_counter() - begin) * 1_000)
            cpu.append((time.process_time() - ran) * 1_000)
    return Taken(clock, cpu)


def heading() -> str:
    load = os.getloadavg()[0]
    titles = "".join(f"{title:>10}" for title in ("p50 ms", "p95 ms", "cpu p50", "cpu p95"))
    return f"{f'(load {load:.1f})':<58}{titles}"


def line(name: str, taken: Taken) -> str:
    figures = [figure for each in (taken.clock, taken.cpu) for figure in (statistics.median(each), percentile(each))]
    return f"{name:<58}" + "".join(f"{figure:10.2f}" for figure in figures)


def percentile(taken: Sequence[float], of_hundred: int = 95) -> float:
    return sorted(taken)[min(len(taken) - 1, len(taken) * of_hundred // 100)]
