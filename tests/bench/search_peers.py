"""What others do with the same words, in the same run: MariaDB's LIKE, plocate, SQLite's FTS5.

copyparty is not among them: its search knows what it found on a disk, and cannot be given a bare list of names.
"""

import asyncio
import random
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

from catalog.database import Database
from tests.bench.search_measure import HITS, line, measured
from tests.bench.search_names import KINDS, Kind


async def like(root: Database, tenant_id: int, times: int) -> AsyncIterator[str]:
    """MariaDB's LIKE over an index that covers it."""
    async with root.reading() as tx:
        await tx.execute("SET SESSION max_statement_time = 0")
        await tx.execute("DROP TABLE IF EXISTS names")
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
    (folder / "fts5.db").unlink(missing_ok=True)
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
