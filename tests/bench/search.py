"""Search, folders and history over a catalog of a million entries and more: `python -m tests.bench.search`.

The catalog is filled by LOAD DATA with made-up names of cameras, phones and offices, in four accounts; the largest has
the number that is asked for. Each kind of question is asked many times with other words, in this process, as the
server asks it: index, MariaDB's rows and all. Beside them, in the same run, the same words by MariaDB's LIKE over a
covering index, by SQLite's FTS5 with trigrams (newest first, as we do), by plocate over the same paths, and by
copyparty where it can load the set. Printed are p50 and p95 in milliseconds.
"""

import argparse
import asyncio
import contextlib
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

from catalog import schema
from catalog.binding import bind_store
from catalog.catalog import Catalog
from catalog.database import Database
from catalog.folders import FolderOrder, FolderView
from catalog.names import fold, media_kind
from catalog.search import SearchQuery
from catalog.search_index import TenantIndex
from catalog.settings import Settings, load_settings
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, DateKind, DeviceKind, EntryPath, HandoffClaims, MediaKind, Role
from tests.shared.journals import MemoryJournal
from tests.shared.settings import values_for
from tools.migrate.main import give_rights, make_database
from tools.run.mariadb import PrivateMariaDB

ENTRIES: Final = 1_000_000
STORE_ID: Final = "00000000-0000-4000-8000-000000000000"
OTHERS: Final = 3
"""Accounts beside the large one, each with a twentieth of its entries."""
FILES_PER_FOLDER: Final = 200
LARGE_FOLDER: Final = 100_000
ENTRIES_PER_MANIFEST: Final = 5_000
HITS: Final = 100
STARTED: Final = datetime(2008, 1, 1, tzinfo=UTC)
_WORDS: Final = {
    "people": "anna ben chloe david emma felix grace hugo iris jack kira liam mia noah olive paul",
    "things": (
        "invoice contract report budget minutes draft proposal receipt statement letter scan photo holiday beach"
        " wedding birthday garden kitchen kids school concert lake mountain snow paris montreal toronto lisbon logo"
    ),
    "office": "pdf pdf docx xlsx pptx txt csv odt zip",
}
_PEOPLE, _THINGS, _OFFICE = (words.split() for words in _WORDS.values())

Ask = Callable[[], Awaitable[object]]
Question = Callable[[random.Random], str]


@dataclass(frozen=True)
class Kind:
    """A kind of question; `text` makes one up."""

    name: str
    text: Question


KINDS: Final = (
    Kind("one letter", lambda r: r.choice("aeimst0129_")),
    Kind("two letters", lambda r: r.choice(["im", "ds", "jp", "20", "an", "xq", "_1", "be"])),
    Kind("a common word", lambda r: r.choice(["img", "dsc", ".jpg", "2019", "invoice"])),
    Kind("an inner part", lambda r: r.choice(["edd", "nvoi", "ontre", "mg_20", "olida", "ebru"])),
    Kind("a rare word", lambda r: f"{r.randrange(10**6):06d}"),
    Kind("a word that is nowhere", lambda r: r.choice(["zzqxv", "q7w", "notthere", "qxq"])),
    Kind("two words, any order", lambda r: f"{r.choice(_THINGS)} {r.choice(_PEOPLE)}"),
    Kind("three, one excluded", lambda r: f"{r.choice(_PEOPLE)} {r.choice(_THINGS)} 20 -draft"),
    Kind("a phrase", lambda r: f'"{r.choice(_PEOPLE)} {r.choice(_THINGS)}"'),
)
FILTERED: Final = (
    Kind("word, kind and year", lambda r: f"{r.choice(_PEOPLE)} kind:image on:{r.randrange(2009, 2026)}"),
    Kind("extension and size", lambda r: f"ext:{r.choice(['pdf', 'mp4', 'csv'])} size:>{r.randrange(1, 9)}M"),
    Kind("a day alone", lambda r: f"on:{STARTED.date() + timedelta(days=r.randrange(6_000))}"),
    Kind("device and common word", lambda r: f"device:{r.choice(['phone', 'laptop'])} {r.choice(['img', '20'])}"),
)


# -- filling --------------------------------------------------------------------------------------------------------


def name_of(chosen: random.Random, taken: datetime) -> str:
    """A name as cameras, phones, scanners and people give them."""
    kind = chosen.random()
    if kind < 0.35:
        return f"IMG_{taken:%Y%m%d_%H%M%S}{chosen.choice(['', '', '_HDR', '~2'])}.jpg"
    if kind < 0.50:
        camera = chosen.choice(["DSC", "DSCF", "P", "GOPR"])
        return f"{camera}{chosen.randrange(10_000):05d}.{chosen.choice(['JPG', 'ARW'])}"
    if kind < 0.58:
        return f"VID_{taken:%Y%m%d}_{chosen.randrange(10**6):06d}.mp4"
    if kind < 0.64:
        return f"Screenshot {taken:%Y-%m-%d at %H.%M.%S}.png"
    if kind < 0.70:
        return f"{chosen.randrange(16**8):08x}-{chosen.randrange(16**4):04x}.{chosen.choice(['heic', 'webp', 'tmp'])}"
    who, what, other = chosen.choice(_PEOPLE), chosen.choice(_THINGS), chosen.choice(_THINGS)
    style = chosen.random()
    ending = chosen.choice(_OFFICE)
    if style < 0.4:
        return f"{what.title()} {who.title()} {taken:%Y-%m}.{ending}"
    if style < 0.7:
        return f"{who}_{what}_{chosen.randrange(10**6):06d}.{ending}"
    return f"{taken:%Y} {who} {what} {other} (v{chosen.randrange(9)}).{ending}"


@dataclass
class Filler:
    """Writes one tenant's rows as LOAD DATA reads them. Ids follow those that the ledger gave so far."""

    tenant_id: int
    devices: Sequence[int]
    roots: dict[int, int]
    next_id: int
    chosen: random.Random

    def write(self, count: int, entry: TextIO, directory: TextIO, manifest: TextIO, paths: TextIO | None) -> None:
        """Folders of 200 files, and one of 100,000 where there are so many."""
        left, sequences = count, dict.fromkeys(self.devices, 1)
        added = dict.fromkeys(self.devices, 0)
        number = 0
        while left > 0:
            device = self.devices[number % len(self.devices)]
            size = LARGE_FOLDER if number == 1 and count > 4 * LARGE_FOLDER else FILES_PER_FOLDER
            folder = f"{self.chosen.choice(_THINGS)} {number:06d}" if size == FILES_PER_FOLDER else "everything"
            at = STARTED + timedelta(minutes=number * 9_000_000 // max(1, count // FILES_PER_FOLDER))
            node = self._take()
            directory.write(f"{self.tenant_id}\t{node}\t{device}\toriginals\t0\n")
            self._entry(entry, device, node, self.roots[device], folder, "directory", sequences[device], at)
            for _ in range(min(size, left)):
                taken = at + timedelta(seconds=self.chosen.randrange(86_400))
                name = name_of(self.chosen, taken)
                own = self._take()
                self._entry(entry, device, own, node, f"{name[:-4]}~{own}{name[-4:]}", "file", sequences[device], taken)
                if paths is not None:
                    paths.write(f"/{device}/{folder}/{name[:-4]}~{own}{name[-4:]}\n")
            left -= size
            added[device] += size + 1
            number += 1
            if added[device] >= ENTRIES_PER_MANIFEST:
                self._manifest(manifest, device, sequences[device], at, added[device])
                sequences[device], added[device] = sequences[device] + 1, 0
        for device in self.devices:
            self._manifest(manifest, device, sequences[device], datetime(2025, 12, 1, tzinfo=UTC), added[device])

    def _take(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def _entry(
        self, into: TextIO, device: int, node: int, parent: int, name: str, kind: str, sequence: int, at: datetime
    ) -> None:
        raw = name.encode()
        # All have the content of the empty blob, which every catalog holds; what it is plays no part here.
        blob, size = ("1", int(self.chosen.lognormvariate(13, 2))) if kind == "file" else ("\\N", 0)
        nanoseconds = int(at.timestamp()) * 10**9
        into.write(
            f"{self.tenant_id}\t{self._take()}\t{device}\toriginals\t{node}\t{parent}\t{name}\t{fold(raw)}\t{kind}\t"
            f"{media_kind(raw)}\t{blob}\t{size}\t{nanoseconds}\t{sequence}\t{at:%Y-%m-%d %H:%M:%S}\n"
        )

    def _manifest(self, into: TextIO, device: int, sequence: int, at: datetime, added: int) -> None:
        into.write(f"{self.tenant_id}\t{device}\t{sequence}\t{at:%Y-%m-%d %H:%M:%S}\tuser\tBench\t\t{added}\t0\t0\n")


_LOADS: Final = {
    "directory": "tenant_id, id, device_id, area, is_root",
    "manifest": "tenant_id, device_id, sequence, at, actor_kind, actor, note, added, removed, size_bytes",
    "entry": (
        "tenant_id, id, device_id, area, node_id, parent_id, name, name_fold, kind, media_kind, blob_id, size_bytes,"
        " mtime_ns, added_seq, added_at"
    ),
}


async def fill(
    root: Database, scope: TenantScope, tenant_id: int, count: int, folder: Path, paths: Path | None
) -> None:
    """Put `count` files into a tenant that has two devices and nothing else."""
    phone = await scope.devices.create("phone", DeviceKind.PHONE)
    laptop = await scope.devices.create("laptop", DeviceKind.LAPTOP)
    devices = [phone.id, laptop.id]
    async with root.reading() as tx:
        rows = await tx.fetch_all(
            "SELECT device_id, id FROM directory WHERE tenant_id = %s AND is_root = 1 AND area = 'originals'",
            (tenant_id,),
        )
        (next_id,) = await tx.fetch_one("SELECT next_id FROM ledger WHERE tenant_id = %s", (tenant_id,)) or (1,)
        filler = Filler(tenant_id, devices, dict(rows), int(next_id), random.Random(tenant_id))
        files = {name: folder / f"{name}.tsv" for name in _LOADS}
        with contextlib.ExitStack() as stack:
            opened = {name: stack.enter_context(file.open("w", encoding="utf-8")) for name, file in files.items()}
            listed = stack.enter_context(paths.open("w", encoding="utf-8")) if paths else None
            filler.write(count, opened["entry"], opened["directory"], opened["manifest"], listed)
        await tx.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0, max_statement_time = 0")
        for name in ("directory", "manifest", "entry"):
            await tx.execute(
                f"LOAD DATA INFILE '{files[name]}' INTO TABLE {name} CHARACTER SET utf8mb4 FIELDS ESCAPED BY '\\\\'"
                f" ({_LOADS[name]})"
            )
            files[name].unlink()
        await tx.execute("UPDATE ledger SET next_id = %s WHERE tenant_id = %s", (filler.next_id, tenant_id))
        await tx.execute(
            "UPDATE journal_head h SET manifest_sequence = (SELECT COALESCE(MAX(sequence), 0) FROM manifest m"
            " WHERE m.tenant_id = h.tenant_id AND m.device_id = h.device_id)"
            " WHERE h.tenant_id = %s AND h.device_id > 0",
            (tenant_id,),
        )
        await tx.execute(
            "UPDATE device d SET file_count = (SELECT COUNT(*) FROM entry e WHERE e.tenant_id = d.tenant_id"
            " AND e.device_id = d.id AND e.kind = 'file') WHERE d.tenant_id = %s",
            (tenant_id,),
        )


# -- measuring ------------------------------------------------------------------------------------------------------


async def measured(ask: Callable[[random.Random], Awaitable[object]], times: int, seed: int = 7) -> list[float]:
    """Milliseconds of each call, after three that warm up."""
    chosen, taken = random.Random(seed), []
    for number in range(times + 3):
        begin = time.perf_counter()
        await ask(chosen)
        if number >= 3:
            taken.append((time.perf_counter() - begin) * 1_000)
    return taken


def line(name: str, taken: Sequence[float]) -> str:
    ordered = sorted(taken)
    p95 = ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
    return f"{name:<46} {statistics.median(ordered):9.2f} {p95:9.2f}"


async def ours(scope: TenantScope, times: int) -> AsyncIterator[str]:
    """All that is ours, a line each."""
    for by in (DateKind.TAKEN, DateKind.UPLOADED):
        for kind in (*KINDS, *(FILTERED if by is DateKind.TAKEN else ())):

            async def find(chosen: random.Random, kind: Kind = kind, by: DateKind = by) -> None:
                await scope.search.find(SearchQuery(kind.text(chosen), by=by), limit=HITS)

            yield line(
                f"search: {kind.name}{' (by upload)' if by is DateKind.UPLOADED else ''}", await measured(find, times)
            )

    async def deep(chosen: random.Random) -> None:
        first = await scope.search.find(SearchQuery("img"), limit=HITS)
        await scope.search.find(SearchQuery("img"), first.next, limit=HITS)

    yield line("search: two pages", await measured(deep, times))
    for kind in (Kind("everything", lambda _: ""), *KINDS, FILTERED[0]):

        async def facets(chosen: random.Random, kind: Kind = kind) -> None:
            await scope.search.facets(SearchQuery(kind.text(chosen)))

        yield line(f"facets and timeline: {kind.name}", await measured(facets, max(5, times // 2)))

    async def month(chosen: random.Random) -> None:
        last = date(chosen.randrange(2009, 2025), chosen.randrange(1, 13), 28)
        await scope.search.find(SearchQuery(last_day=last), limit=HITS)

    yield line("timeline: jump to a month", await measured(month, times))
    async for text in browsing(scope, times):
        yield text


async def browsing(scope: TenantScope, times: int) -> AsyncIterator[str]:
    laptop = next(device for device in await scope.devices.all() if device.name == "laptop")
    everything = EntryPath((b"everything",))
    root = await scope.entries.page(laptop.id, Area.ORIGINALS, EntryPath(()), limit=1_000)
    folders = [entry.path for entry in root.items if entry.name != b"everything"]

    async def browse(chosen: random.Random) -> None:
        await scope.folders.page(laptop.id, Area.ORIGINALS, chosen.choice(folders), FolderView(), limit=HITS)

    yield line("browse: a folder of 200", await measured(browse, times))
    if not any(entry.name == b"everything" for entry in root.items):
        return
    for view, words in (
        (FolderView(), "by name"),
        (FolderView(is_descending=True), "by name, falling"),
        (FolderView(FolderOrder.DATE, is_descending=True), "newest first"),
        (FolderView(FolderOrder.SIZE, is_descending=True), "largest first"),
        (FolderView(FolderOrder.KIND), "by kind"),
        (FolderView(media_kind=MediaKind.VIDEO), "videos, by name"),
    ):

        async def pages(_: random.Random, view: FolderView = view) -> None:
            first = await scope.folders.page(laptop.id, Area.ORIGINALS, everything, view, limit=HITS)
            await scope.folders.page(laptop.id, Area.ORIGINALS, everything, view, first.next, limit=HITS)

        yield line(f"browse: two pages of 100,000, {words}", await measured(pages, max(5, times // 2)))

    async def past(chosen: random.Random) -> None:
        at = STARTED + timedelta(days=chosen.randrange(1_000, 6_000))
        await scope.entries.page(laptop.id, Area.ORIGINALS, chosen.choice(folders[:50]), at=at, limit=HITS)

    with contextlib.suppress(Exception):
        yield line("history: a folder at a moment", await measured(past, times))

    async def history(_: random.Random) -> None:
        await scope.manifests.page(laptop.id)

    yield line("history: manifests", await measured(history, times))


# -- peers ----------------------------------------------------------------------------------------------------------


async def like(root: Database, tenant_id: int, times: int) -> AsyncIterator[str]:
    """MariaDB's LIKE over an index that covers it."""
    async with root.reading() as tx:
        await tx.execute("SET SESSION max_statement_time = 0")
        await tx.execute(
            "CREATE TABLE names (tenant_id BIGINT, name_fold VARCHAR(512) COLLATE utf8mb4_nopad_bin, id BIGINT)"
        )
        await tx.execute("INSERT INTO names SELECT tenant_id, name_fold, id FROM entry")
        await tx.execute("ALTER TABLE names ADD KEY (tenant_id, name_fold, id)")
        for kind in KINDS[:7]:

            async def ask(chosen: random.Random, kind: Kind = kind) -> None:
                words = kind.text(chosen).split()
                conditions = " AND ".join(["name_fold LIKE %s"] * len(words))
                patterns = ["%" + word.replace("_", r"\_") + "%" for word in words]
                await tx.fetch_all(
                    f"SELECT id, name_fold FROM names WHERE tenant_id = %s AND {conditions} LIMIT {HITS}",
                    (tenant_id, *patterns),
                )

            yield line(f"MariaDB LIKE: {kind.name}", await measured(ask, max(5, times // 10)))


async def plocate(paths: Path, folder: Path, times: int) -> AsyncIterator[str]:
    """A process each time, as people use it; `/bin/true` tells what the process costs."""
    database = folder / "plocate.db"
    await asyncio.to_thread(
        subprocess.run, ["plocate-build", "-p", "-l", "no", str(paths), str(database)], check=True, capture_output=True
    )
    for kind in (Kind("(an empty process)", lambda _: ""), *KINDS[:7]):

        async def ask(chosen: random.Random, kind: Kind = kind) -> None:
            words = kind.text(chosen).split()
            command = ["plocate", "-i", "-b", "-l", str(HITS), "-d", str(database), *words] if words else ["/bin/true"]
            await asyncio.to_thread(subprocess.run, command, stdout=subprocess.DEVNULL, check=False)

        yield line(f"plocate: {kind.name}", await measured(ask, max(5, times // 5)))


async def fts5(paths: Path, folder: Path, times: int) -> AsyncIterator[str]:
    """SQLite's trigram index: in its own order, and newest first, which has to sort all hits."""
    begin = time.process_time()
    database = sqlite3.connect(folder / "fts5.db")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("CREATE VIRTUAL TABLE t USING fts5(name, content='', tokenize='trigram', detail='none')")
    database.execute("CREATE TABLE d (id INTEGER PRIMARY KEY, at INTEGER, name TEXT)")
    chosen = random.Random(5)
    with paths.open(encoding="utf-8") as listed:
        rows = [
            (number, chosen.randrange(10**9), text.rstrip("\n").rpartition("/")[2].lower())
            for number, text in enumerate(listed)
        ]
    database.executemany("INSERT INTO d VALUES (?, ?, ?)", rows)
    database.executemany("INSERT INTO t(rowid, name) VALUES (?, ?)", ((row[0], row[2]) for row in rows))
    database.execute("CREATE INDEX by_at ON d (at, id)")
    database.commit()
    size = (folder / "fts5.db").stat().st_size
    yield f"SQLite FTS5: built in {time.process_time() - begin:.0f} s of CPU, {size / len(rows):.0f} bytes an entry"
    for kind in KINDS[2:7]:
        for words, order in (("own order", ""), ("newest first", " ORDER BY d.at DESC, d.id DESC")):

            async def ask(chosen: random.Random, kind: Kind = kind, order: str = order) -> None:
                asked = [word for word in kind.text(chosen).split() if len(word) > 2]
                grams = {word[at : at + 3] for word in asked for at in range(len(word) - 2)}
                match = " AND ".join(f'"{gram}"' for gram in grams)
                like = " AND ".join(["d.name LIKE ?"] * len(asked))
                database.execute(
                    f"SELECT d.id FROM t JOIN d ON d.id = t.rowid WHERE t MATCH ? AND {like}{order} LIMIT {HITS}",
                    (match, *(f"%{word}%" for word in asked)),
                ).fetchall()

            yield line(f"SQLite FTS5, {words}: {kind.name}", await measured(ask, max(5, times // 5)))
    database.close()


# -- the run --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def server(folder: Path) -> Iterator[PrivateMariaDB]:
    private = PrivateMariaDB(folder / "mariadb", folder / "mariadb.log")
    private.start()
    yield private
    private.stop()


async def run(args: argparse.Namespace, folder: Path, private: PrivateMariaDB) -> None:
    settings, root = await prepared(folder, private)
    catalog = await Catalog.open(settings, MemoryJournal(), STORE_ID)
    begin = time.process_time()
    scopes = [await account(catalog, f"client-{number}") for number in range(1 + OTHERS)]
    paths = folder / "paths"
    for number, scope in enumerate(scopes):
        count = args.entries if number == 0 else args.entries // 20
        await fill(root, scope, scope.tenant.id, count, folder, paths if number == 0 else None)
        say(f"account {number + 1}: {count:,} files")
    say(f"filled in {time.process_time() - begin:.0f} s of this process's CPU")
    scope = scopes[0]
    await built(catalog, settings, scope)
    say(f"{'':<46} {'p50 ms':>9} {'p95 ms':>9}")
    async for text in ours(scope, args.times):
        say(text)
    if not args.alone:
        for peer in (
            like(root, scope.tenant.id, args.times),
            plocate(paths, folder, args.times),
            fts5(paths, folder, args.times),
        ):
            async for text in peer:
                say(text)
    await catalog.close()
    await root.close()


async def built(catalog: Catalog, settings: Settings, scope: TenantScope) -> None:
    """Make the large account's index, and say what that costs, and what opening it again does."""
    begin, cpu = time.perf_counter(), time.process_time()
    index: TenantIndex = catalog.searches.of(scope.tenant)
    await index.catch_up()
    size = sum(file.stat().st_size for file in (settings.search_dir / scope.tenant.uuid).iterdir())
    count = index.document_count
    say(
        f"index of {count:,} entries built in {time.perf_counter() - begin:.1f} s ({time.process_time() - cpu:.1f} s of"
        f" CPU here): {size / count:.0f} bytes an entry on disk"
    )
    again = TenantIndex(catalog._database, scope.tenant, catalog.searches.folder(scope.tenant))
    begin = time.perf_counter()
    await again.catch_up()
    say(f"opened again by another process in {(time.perf_counter() - begin) * 1_000:.0f} ms")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    say(f"this process's memory at most: {peak:,} MiB, mapped files included")


async def prepared(folder: Path, private: PrivateMariaDB) -> tuple[Settings, Database]:
    """A migrated database, and a connection that may do all."""
    settings = load_settings(values_for(folder, private.socket, "bench"), folder / "none")
    admin: dict[str, object] = {"unix_socket": settings.mariadb_socket, "user": "root", "password": ""}
    await make_database(admin, settings)
    root = await Database.open(connect=admin | {"database": "bench"}, connections_max=1)
    await schema.migrate(root, schema.load_migrations())
    await give_rights(root, settings)
    await bind_store(root, STORE_ID)
    async with root.reading() as tx:
        await tx.execute("SET GLOBAL innodb_buffer_pool_size = 2147483648")
    return settings, root


async def account(catalog: Catalog, client: str) -> TenantScope:
    now = datetime.now(UTC)
    claims = HandoffClaims(
        f"bench-{client}-{now}",
        now + timedelta(seconds=60),
        client,
        "owner",
        "o@example.com",
        "Owner",
        client,
        Role.OWNER,
    )
    token = await catalog.system.sessions.handoff(claims, "127.0.0.1", "bench")
    view = await catalog.system.sessions.find(token)
    if view.tenant is None or view.user is None:
        raise AssertionError("an owner has a tenant")
    return catalog.tenant(view.tenant, Actor("user", view.user.name, view.user.id))


def say(text: str) -> None:
    print(text, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.search", description=__doc__)
    parser.add_argument(
        "--entries", type=int, default=ENTRIES, help="files in the large account; 10000000 for the long run"
    )
    parser.add_argument("--times", type=int, default=100, help="how often each kind of question is asked")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--folder", type=Path, help="where to work; needs some 600 bytes an entry")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="otb-bench-", dir=args.folder) as name, server(Path(name)) as private:
        asyncio.run(run(args, Path(name), private))
    return 0


if __name__ == "__main__":
    sys.exit(main())
