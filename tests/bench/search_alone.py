"""The search index alone, without MariaDB, at any size: `python -m tests.bench.search_alone --entries 10000000`.

Segments are filled with the names of `tests.bench.search`, written and mapped as the service does. For each kind of
question it prints p50 and p95 of the processor's milliseconds, which a busy machine does not change, and of the
clock's. What a page costs beside this, reading 100 rows from MariaDB, does not depend on the size.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from catalog.names import fold, media_kind
from catalog.search_counts import count
from catalog.search_documents import KINDS as MEDIA_KINDS
from catalog.search_documents import Documents
from catalog.search_files import FORMAT, IndexFolder, State
from catalog.search_grams import SEGMENT_DOCUMENTS_MAX
from catalog.search_match import View, Wanted, newest
from catalog.search_segment import build
from tests.bench.search_measure import HITS, Taken, heading, line
from tests.bench.search_names import EVERYTHING, KINDS, STARTED, Kind, name_of

ZONE: Final = "America/Toronto"


def documents(first: int, number: int, of: int) -> Documents:
    """The next entries: taken in the order of upload but for three days this way or that, as several devices send
    them."""
    chosen = random.Random(first)
    span = 6_000 * 86_400 / of
    moments = [STARTED + timedelta(seconds=(first + n) * span + chosen.randrange(6 * 86_400)) for n in range(number)]
    seconds = [moment.hour * 3_600 + moment.minute * 60 + moment.second for moment in moments]
    days = [moment.date() for moment in moments]
    names = [fold(name_of(chosen, day, second).encode()).encode() for day, second in zip(days, seconds, strict=True)]
    taken = np.array([int(moment.timestamp()) for moment in moments], np.int64) * 10**9
    ids = np.arange(first, first + number, dtype=np.int64)
    return Documents(
        ids, taken, taken, ids * 10**9, ids * 7_919 % 10**8, ids // 200, ids // 200 % 2 + 1,
        np.array([MEDIA_KINDS.index(str(media_kind(name))) for name in names], np.uint8),
        np.zeros(number, np.uint8), names,
    )  # fmt: skip


def measured(ask: Callable[[random.Random], object], times: int) -> Taken:
    """Milliseconds of each call, after two that warm up."""
    chosen = random.Random(7)
    clock: list[float] = []
    cpu: list[float] = []
    for number in range(times + 2):
        began, ran = time.perf_counter(), time.process_time()
        ask(chosen)
        if number >= 2:
            cpu.append((time.process_time() - ran) * 1_000)
            clock.append((time.perf_counter() - began) * 1_000)
    return Taken(clock, cpu)


def wanted(text: str) -> Wanted:
    """The words of a question; a minus excludes, quotes hold together."""
    if text.startswith('"'):
        return Wanted((text.strip('"').encode(),))
    words = text.split()
    return Wanted(
        tuple(word.encode() for word in words if not word.startswith("-")),
        tuple(word[1:].encode() for word in words if word.startswith("-")),
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.search_alone", description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--keep", type=Path, help="a folder that stays filled; some 190 bytes an entry")
    args = parser.parse_args(argv)
    kept = nullcontext(args.keep) if args.keep else tempfile.TemporaryDirectory(prefix="otb-bench-")
    with kept as name:
        views = filled(IndexFolder(Path(name)), args.entries)
        print(heading())
        for kind in KINDS:
            taken = measured(partial(_newest, views, kind), args.times)
            print(line(f"search: {kind.name}", taken), flush=True)
        for kind in (EVERYTHING, *KINDS):
            taken = measured(partial(_count, views, kind), args.times)
            print(line(f"counts: {kind.name}", taken), flush=True)
    return 0


def _newest(views: Sequence[View], kind: Kind, chosen: random.Random) -> None:
    newest(views, wanted(kind.text(chosen)), HITS + 1)


def _count(views: Sequence[View], kind: Kind, chosen: random.Random) -> None:
    count(views, wanted(kind.text(chosen)), ZONE)


def filled(folder: IndexFolder, entries: int) -> list[View]:
    """What the folder holds; made where there is nothing."""
    loaded = folder.load(ZONE)
    if loaded is not None:
        return loaded[1]
    views, build_seconds = [], 0.0
    lock = folder.lock()
    if lock is None:
        raise AssertionError("a new folder has no writer")
    with lock:
        for first in range(0, entries, SEGMENT_DOCUMENTS_MAX):
            made = documents(first + 1, min(SEGMENT_DOCUMENTS_MAX, entries - first), entries)
            ran = time.process_time()
            views.append(folder.stored(View(build(made, ZONE))))
            build_seconds += time.process_time() - ran
        folder.publish(State(FORMAT, folder.folder.name, ZONE, "", {}, 0, []), views)
    size = sum(file.stat().st_size for file in folder.folder.iterdir())
    print(f"{entries:,} entries, {len(views)} segments: {build_seconds:.0f} s of CPU, {size / entries:.0f} bytes each")
    return views


if __name__ == "__main__":
    sys.exit(main())
