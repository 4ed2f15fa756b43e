"""Search, folders and history over a catalog of a million entries and more: `python -m tests.bench.search`.

The catalog is filled with made-up names of cameras, phones and offices, in four accounts; the largest has the number
that is asked for (`tests/bench/search_filling.py`). Each kind of question is asked many times with other words, in this
process, as the server asks it: index, MariaDB's rows and all. Beside them, in the same run, the same words by others
(`tests/bench/search_peers.py`). With `--keep` the folder is filled once and serves the next run too.
"""

import argparse
import asyncio
import contextlib
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from catalog.errors import NotFound
from catalog.folders import FolderOrder, FolderView
from catalog.search import SearchQuery
from catalog.search_index import TenantIndex
from catalog.tenant import TenantScope
from catalog.values import Area, DateKind, Device, EntryPath, MediaKind
from tests.bench import search_peers
from tests.bench.search_filling import LARGE_FOLDER_NAME, Filled, filled
from tests.bench.search_measure import HITS, heading, line, measured
from tests.bench.search_names import EVERYTHING, FILTERED, KINDS, STARTED, Kind
from tests.bench.search_server import served
from tools.run.mariadb import PrivateMariaDB

ENTRIES: Final = 1_000_000
PEERS: Final = ("like", "plocate", "fts5")
_PLACES: Final = 40
"""So many folders, each at a moment at which it was there, are asked for again and again."""


async def searches(scope: TenantScope, times: int) -> AsyncIterator[str]:
    """Each kind of search, and its counts."""
    for by in (DateKind.TAKEN, DateKind.UPLOADED):
        for kind in (*KINDS, *(FILTERED if by is DateKind.TAKEN else ())):

            async def find(chosen: random.Random, kind: Kind = kind, by: DateKind = by) -> None:
                await scope.search.find(SearchQuery(kind.text(chosen), by=by), limit=HITS)

            yield line(
                f"search: {kind.name}{' (by upload)' if by is DateKind.UPLOADED else ''}", await measured(find, times)
            )

    async def deep(_: random.Random) -> None:
        first = await scope.search.find(SearchQuery("img"), limit=HITS)
        await scope.search.find(SearchQuery("img"), first.next, limit=HITS)

    yield line("search: two pages", await measured(deep, times))
    for by in (DateKind.TAKEN, DateKind.UPLOADED):
        for kind in (EVERYTHING, *KINDS, *(FILTERED if by is DateKind.TAKEN else ())):

            async def facets(chosen: random.Random, kind: Kind = kind, by: DateKind = by) -> None:
                await scope.search.facets(SearchQuery(kind.text(chosen), by=by))

            yield line(
                f"facets and timeline: {kind.name}{' (by upload)' if by is DateKind.UPLOADED else ''}",
                await measured(facets, times),
            )

    async def month(chosen: random.Random) -> None:
        last = date(chosen.randrange(2009, 2025), chosen.randrange(1, 13), 28)
        await scope.search.find(SearchQuery(last_day=last), limit=HITS)

    yield line("timeline: jump to a month", await measured(month, times))


async def browsing(scope: TenantScope, device: Device, times: int) -> AsyncIterator[str]:
    """Folders, small and large, sorted and filtered."""
    root = await scope.entries.page(device.id, Area.ORIGINALS, EntryPath(()), limit=1_000)
    folders = [entry.path for entry in root.items if entry.name != LARGE_FOLDER_NAME]
    large = EntryPath((LARGE_FOLDER_NAME,))

    async def browse(chosen: random.Random) -> None:
        await scope.folders.page(device.id, Area.ORIGINALS, chosen.choice(folders), FolderView(), limit=HITS)

    yield line("browse: a folder of 200", await measured(browse, times))
    try:
        await scope.entries.by_path(device.id, Area.ORIGINALS, large)
    except NotFound:
        return  # of few entries none is so large
    for view, words in (
        (FolderView(), "by name"),
        (FolderView(is_descending=True), "by name, falling"),
        (FolderView(FolderOrder.DATE, is_descending=True), "newest first"),
        (FolderView(FolderOrder.SIZE, is_descending=True), "largest first"),
        (FolderView(FolderOrder.KIND), "by kind"),
        (FolderView(media_kind=MediaKind.VIDEO), "videos, by name"),
    ):

        async def pages(_: random.Random, view: FolderView = view) -> None:
            place = (device.id, Area.ORIGINALS, large, view)
            first = await scope.folders.page(*place, limit=HITS)
            await scope.folders.page(*place, first.next, limit=HITS)

        yield line(f"browse: two pages of 100,000, {words}", await measured(pages, times))


async def history(scope: TenantScope, device: Device, times: int) -> AsyncIterator[str]:
    """A device as it was, and what its uploads changed."""
    moments = [STARTED + timedelta(days=6_000 * number // _PLACES) for number in range(1, _PLACES + 1)]
    places: list[tuple[datetime, EntryPath]] = []
    for at in moments:
        then = await scope.entries.page(device.id, Area.ORIGINALS, EntryPath(()), at=at, limit=HITS)
        places += [(at, entry.path) for entry in then.items[:1]]

    async def folder(chosen: random.Random) -> None:
        at, path = chosen.choice(places)
        await scope.entries.page(device.id, Area.ORIGINALS, path, at=at, limit=HITS)

    yield line("history: a folder at a moment", await measured(folder, times))

    async def top(chosen: random.Random) -> None:
        await scope.entries.page(device.id, Area.ORIGINALS, EntryPath(()), at=chosen.choice(moments), limit=HITS)

    yield line("history: all of a device at a moment", await measured(top, times))

    async def large(chosen: random.Random) -> None:
        place = (device.id, Area.ORIGINALS, EntryPath((LARGE_FOLDER_NAME,)))
        with contextlib.suppress(NotFound):  # of few entries none is so large
            first = await scope.entries.page(*place, at=moments[-1], limit=HITS)
            await scope.entries.page(*place, at=moments[-1], cursor=first.next, limit=HITS)

    yield line("history: two pages of 100,000 at a moment", await measured(large, times))

    async def manifests(_: random.Random) -> None:
        await scope.manifests.page(device.id)

    yield line("history: manifests", await measured(manifests, times))


async def peers(names: Sequence[str], there: Filled, folder: Path, times: int) -> AsyncIterator[str]:
    asked = {
        "like": lambda: search_peers.like(there.root, there.large.tenant.id, times),
        "plocate": lambda: search_peers.plocate(there.paths, folder, times),
        "fts5": lambda: search_peers.fts5(there.paths, folder, times),
    }
    for name in names:
        async for text in asked[name]():
            yield text


async def run(args: argparse.Namespace, folder: Path, private: PrivateMariaDB) -> None:
    begin = time.perf_counter()
    there = await filled(folder, private, args.entries)
    say(f"filled in {time.perf_counter() - begin:.0f} s by the clock")
    scope = there.large
    await built(there)
    device = next(device for device in await scope.devices.all() if device.name == "laptop")
    say(heading())
    for part in (
        searches(scope, args.times),
        browsing(scope, device, args.times),
        history(scope, device, args.times),
        served(there, folder, args.times),
        peers(args.peers, there, folder, args.times),
    ):
        async for text in part:
            say(text)
    say(heading())
    await there.close()


async def built(there: Filled) -> None:
    """Make the large account's index where there is none, and say what that costs, and what opening it again does."""
    tenant = there.large.tenant
    begin, ran = time.perf_counter(), time.process_time()
    index = there.catalog.searches.of(tenant)
    await index.catch_up()
    say(
        f"index of {index.document_count:,} entries, {len((await index.caught_up(60)).views)} segments:"
        f" {time.process_time() - ran:.0f} s of CPU, {time.perf_counter() - begin:.0f} s by the clock"
    )
    size = sum(file.stat().st_size for file in (there.settings.search_dir / tenant.uuid).iterdir())
    say(f"on disk: {size / index.document_count:.0f} bytes an entry")
    again = TenantIndex(there.catalog._database, tenant, there.catalog.searches.folder(tenant))
    begin = time.perf_counter()
    await again.catch_up()
    say(f"opened again by another process in {(time.perf_counter() - begin) * 1_000:.0f} ms")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    say(f"this process's memory at most: {peak:,} MiB, mapped files included")


def say(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[PrivateMariaDB]:
    # Nothing here must survive a power cut.
    options = ("--innodb-log-file-size=2G", "--innodb-doublewrite=0", "--innodb-io-capacity=2000")
    private = PrivateMariaDB(folder / "mariadb", folder / "mariadb.log", options=options)
    private.start()
    yield private
    private.stop()


@contextlib.contextmanager
def working_folder(args: argparse.Namespace) -> Iterator[Path]:
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
        yield args.keep
        return
    with tempfile.TemporaryDirectory(prefix="otb-bench-") as name:
        yield Path(name)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.search", description=__doc__)
    parser.add_argument(
        "--entries", type=int, default=ENTRIES, help="files in the large account; 10000000 for the long run"
    )
    parser.add_argument("--times", type=int, default=100, help="how often each kind of question is asked")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="who is asked beside us")
    parser.add_argument("--keep", type=Path, help="a folder that stays filled; needs some 800 bytes an entry")
    args = parser.parse_args(argv)
    with working_folder(args) as folder, server(folder) as private:
        asyncio.run(run(args, folder, private))
    return 0


if __name__ == "__main__":
    sys.exit(main())
