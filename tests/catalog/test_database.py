"""The pool under stress: cancelled tasks, deadlocks, a server that restarts, more tasks than connections."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from catalog import database as module
from catalog.database import Database, DuplicateKey, StatementFailed, Transaction
from catalog.errors import DatabaseUnavailable
from tools.run.mariadb import PrivateMariaDB

pytestmark = pytest.mark.anyio

_numbers = itertools.count(1)


@pytest.fixture
async def database(mariadb: PrivateMariaDB) -> AsyncIterator[Database]:
    """A database with one table `pair (id, value)` of two rows."""
    connect: dict[str, object] = {"unix_socket": str(mariadb.socket), "user": "root", "password": "", "database": None}
    name = f"pool_{next(_numbers)}"
    server = await Database.open(connect=connect, connections_max=1)
    async with server.reading() as tx:
        await tx.execute(f"CREATE DATABASE {name}")
    await server.close()
    opened = await Database.open(connect=connect | {"database": name}, connections_max=4)
    async with opened.reading() as tx:
        await tx.execute("CREATE TABLE pair (id INT PRIMARY KEY, value INT NOT NULL) ENGINE = InnoDB")
        await tx.execute("INSERT INTO pair VALUES (1, 0), (2, 0)")
    yield opened
    await opened.close()


async def values(database: Database) -> list[int]:
    async with database.reading() as tx:
        return [row[0] for row in await tx.fetch_all("SELECT value FROM pair ORDER BY id")]


async def test_an_error_in_the_work_rolls_all_of_it_back(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("UPDATE pair SET value = 9")
        raise LookupError("of the caller")

    with pytest.raises(LookupError):
        await database.run(work)
    assert await values(database) == [0, 0]


async def test_a_task_cancelled_in_mid_query_spoils_nobody_elses_answer(database: Database) -> None:
    async def slow(tx: Transaction) -> None:
        await tx.execute("UPDATE pair SET value = 7")
        await tx.fetch_one("SELECT SLEEP(2)")

    for round_number in range(20):
        task = asyncio.create_task(database.run(slow))
        await asyncio.sleep(0.002 * round_number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answers = await asyncio.gather(*(_echo(database, i) for i in range(8)))
        assert answers == list(range(8))
    assert await values(database) == [0, 0]


async def _echo(database: Database, number: int) -> int:
    async with database.reading() as tx:
        row = await tx.fetch_one("SELECT %s", (number,))
    assert row is not None
    return int(row[0])


async def test_deadlocks_are_run_again_until_every_work_stands(database: Database) -> None:
    async def add(first: int, second: int) -> None:
        async def work(tx: Transaction) -> None:
            await tx.execute("UPDATE pair SET value = value + 1 WHERE id = %s", (first,))
            await asyncio.sleep(0.01)
            await tx.execute("UPDATE pair SET value = value + 1 WHERE id = %s", (second,))

        await database.run(work)

    await asyncio.gather(*(add(1, 2) if i % 2 else add(2, 1) for i in range(4)))
    assert await values(database) == [4, 4]


async def test_more_tasks_than_connections_wait_their_turn(database: Database) -> None:
    assert await asyncio.gather(*(_echo(database, i) for i in range(200))) == list(range(200))


async def test_waiting_too_long_for_a_connection_says_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACQUIRE_SECONDS_MAX", 0.2)

    async def hold() -> None:
        async with database.reading() as tx:
            await tx.fetch_one("SELECT SLEEP(1)")

    holders = [asyncio.create_task(hold()) for _ in range(4)]
    await asyncio.sleep(0.1)
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    await asyncio.gather(*holders)
    await database.ping()


async def test_faults_of_statements_leave_as_ours(database: Database) -> None:
    async with database.reading() as tx:
        with pytest.raises(StatementFailed):
            await tx.execute("SELECT nothing FROM pair")
        with pytest.raises(DuplicateKey):
            await tx.execute("INSERT INTO pair VALUES (1, 1)")
        with pytest.raises(StatementFailed):
            await tx.execute("INSERT INTO pair VALUES (3, 'text')")
        assert await tx.fetch_one("SELECT COUNT(*) FROM pair") == (2,)


async def test_sessions_are_set_as_the_design_says(database: Database) -> None:
    async with database.reading() as tx:
        row = await tx.fetch_one("SELECT @@tx_isolation, @@time_zone, @@character_set_client, @@max_statement_time")
    assert row == ("READ-COMMITTED", "+00:00", "utf8mb4", module.STATEMENT_SECONDS_MAX)


async def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    server = PrivateMariaDB(tmp_path / "server", tmp_path / "log.err")
    server.start()
    connect: dict[str, object] = {"unix_socket": str(server.socket), "user": "root", "password": "", "database": None}
    database = await Database.open(connect=connect, connections_max=4)
    await asyncio.gather(*(_echo(database, i) for i in range(4)))
    running = asyncio.create_task(_sleep(database))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(server.stop)
    with pytest.raises(DatabaseUnavailable):
        await running
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    await asyncio.to_thread(server.start)
    assert await asyncio.gather(*(_echo(database, i) for i in range(8))) == list(range(8))
    await database.close()
    await asyncio.to_thread(server.stop)


async def _sleep(database: Database) -> None:
    async with database.reading() as tx:
        await tx.fetch_one("SELECT SLEEP(20)")


async def test_a_transaction_outlives_a_restart_by_running_again(tmp_path: Path) -> None:
    server = PrivateMariaDB(tmp_path / "server", tmp_path / "log.err")
    server.start()
    connect: dict[str, object] = {"unix_socket": str(server.socket), "user": "root", "password": "", "database": None}
    database = await Database.open(connect=connect, connections_max=2)
    async with database.reading() as tx:
        await tx.execute("CREATE DATABASE d")
        await tx.execute("CREATE TABLE d.t (id INT PRIMARY KEY) ENGINE = InnoDB")
    runs = 0

    async def work(tx: Transaction) -> int:
        nonlocal runs
        runs += 1
        await tx.execute("INSERT INTO d.t VALUES (1)")
        if runs == 1:
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
        await tx.execute("INSERT INTO d.t VALUES (2)")
        return runs

    assert await database.run(work) == 2
    async with database.reading() as tx:
        assert await tx.fetch_one("SELECT COUNT(*) FROM d.t") == (2,)
    await database.close()
    await asyncio.to_thread(server.stop)
