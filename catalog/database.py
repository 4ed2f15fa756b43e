"""MariaDB through asyncmy: the pool, transactions, and the retry of whole transactions.

What always holds: a connection whose statement was cut off (cancelled task, lost server) is closed, never used
again; no driver exception leaves this module; session state is set once, when a connection is made.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import asyncmy
from asyncmy.errors import Error as DriverError

from catalog.errors import DatabaseUnavailable

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Sequence[object]

POOL_CONNECTIONS_MAX: Final = 16
ACQUIRE_SECONDS_MAX: Final = 10
STATEMENT_SECONDS_MAX: Final = 60
ATTEMPTS_MAX: Final = 6
ROWS_PER_STATEMENT: Final = 1_000

_DEADLOCK, _LOCK_WAIT, _DUPLICATE = 1213, 1205, 1062
_LOST: Final = frozenset({2002, 2003, 2006, 2013, 2055, 1040, 1053, 1158, 1159, 1160, 1161, 1927, 1969})
_INIT: Final = (
    "SET SESSION time_zone = '+00:00', tx_isolation = 'READ-COMMITTED', sql_notes = 0, innodb_lock_wait_timeout = 20,"
    " sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE',"
    f" max_statement_time = {STATEMENT_SECONDS_MAX}"
)


class DuplicateKey(Exception):
    """A unique key refused a row (1062). The caller knows which it can be."""


class StatementFailed(Exception):
    """The server refused a statement: a fault of ours, or of the schema."""


class Retry(Exception):
    """The transaction was rolled back and may succeed when run again: deadlock, lock wait, lost server."""


class CommitUnknown(Exception):
    """The server was lost during COMMIT: the transaction may stand or not."""


class Transaction:
    """A connection in use: statements with bound parameters, rows as tuples."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement; returns the number of affected rows."""
        async with self._connection.cursor() as cursor:
            await _translated(cursor.execute(sql, tuple(params)))
            return int(cursor.rowcount)

    async def insert(self, sql: str, params: Params = ()) -> int:
        """Insert one row; returns its auto-increment id."""
        async with self._connection.cursor() as cursor:
            await _translated(cursor.execute(sql, tuple(params)))
            return int(cursor.lastrowid)

    async def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run an `INSERT … VALUES (…)` for many rows, in statements of bounded size."""
        async with self._connection.cursor() as cursor:
            for start in range(0, len(rows), ROWS_PER_STATEMENT):
                part = [tuple(row) for row in rows[start : start + ROWS_PER_STATEMENT]]
                await _translated(cursor.executemany(sql, part))

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        async with self._connection.cursor() as cursor:
            await _translated(cursor.execute(sql, tuple(params)))
            return list(await _translated(cursor.fetchall()))

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        rows = await self.fetch_all(sql, params)
        return rows[0] if rows else None


class Database:
    """The pool. `read` runs single statements; `run` runs a whole transaction, again when it may help."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, *, connect: Mapping[str, object], connections_max: int = POOL_CONNECTIONS_MAX) -> "Database":
        """`connect`: host and port or unix_socket, user, password, database. Raises `DatabaseUnavailable`."""
        try:
            pool = await asyncmy.create_pool(
                minsize=0,
                maxsize=connections_max,
                pool_recycle=3600,
                autocommit=True,
                charset="utf8mb4",
                stmt_cache_size=100,
                connect_timeout=5,
                init_command=_INIT,
                **connect,
            )
        except (DriverError, OSError) as e:
            raise DatabaseUnavailable("The database cannot be reached.") from e
        database = cls(pool)
        try:
            await database.ping()
        except StatementFailed as e:
            await database.close()
            raise DatabaseUnavailable(f"MariaDB refuses the connection: {e}") from e
        return database

    async def close(self) -> None:
        self._pool.close()
        await self._pool.wait_closed()

    async def ping(self) -> None:
        """Raises `DatabaseUnavailable` unless the server answers."""
        async with self.reading() as tx:
            await tx.fetch_one("SELECT 1")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Statements that each stand for themselves (autocommit). A lost server raises `DatabaseUnavailable`."""
        try:
            async with self._connection() as connection:
                yield Transaction(connection)
        except Retry as e:
            raise DatabaseUnavailable("The database did not answer. Try again in a moment.") from e

    async def run(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        was_committed: Callable[[], Awaitable[T | None]] | None = None,
    ) -> T:
        """Run `work` in a transaction and commit it; whole again, with a pause, after a deadlock or a lost server.

        A COMMIT whose outcome is unknown is not simply tried again: `was_committed` looks for its trace and
        returns the result if it stands, None if not. Without it, `DatabaseUnavailable` says so.
        """
        for attempt in range(ATTEMPTS_MAX):
            try:
                return await self._once(work)
            except Retry as e:
                fault: Exception = e
            except CommitUnknown as e:
                fault = e
                if was_committed is None:
                    raise DatabaseUnavailable(
                        "The database was lost; the change may stand. Look before you repeat it."
                    ) from e
                settled = await self._settle(was_committed)
                if settled is not None:
                    return settled
            await _pause(attempt)
        raise DatabaseUnavailable("The database is busy or restarting. Try again in a moment.") from fault

    async def _settle(self, was_committed: Callable[[], Awaitable[T | None]]) -> T | None:
        for attempt in range(ATTEMPTS_MAX):
            try:
                return await was_committed()
            except DatabaseUnavailable:
                await _pause(attempt)
        raise DatabaseUnavailable("The database was lost; the change may stand. Look before you repeat it.")

    async def _once(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            await _translated(connection.begin())
            try:
                result = await work(Transaction(connection))
            except Exception:
                await _roll_back(connection)
                raise
            try:
                await _translated(connection.commit())
            except Retry as e:
                if isinstance(e.__cause__, DriverError) and _code(e.__cause__) in {_DEADLOCK, _LOCK_WAIT}:
                    raise
                connection.close()
                raise CommitUnknown from e
            return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS_MAX):
                connection = await _translated(self._pool.acquire())
        except TimeoutError as e:
            raise DatabaseUnavailable("The database is busy. Try again in a moment.") from e
        try:
            yield connection
        except BaseException as e:
            # A cancelled or lost connection may still have an answer under way: nobody may read it as his own.
            if not isinstance(e, Exception) or isinstance(e, Retry):
                connection.close()
            raise
        finally:
            await asyncio.shield(_release(self._pool, connection))


async def _release(pool: Any, connection: Any) -> None:
    waiting = pool.release(connection)
    if waiting is not None:
        await waiting


async def _roll_back(connection: Any) -> None:
    try:
        await connection.rollback()
    except (DriverError, OSError, RuntimeError):
        # The server rolls back what a closed connection left open.
        connection.close()


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0.5, 1.0) * 0.02 * 3**attempt)  # noqa: S311 - jitter, not a secret


def _code(error: DriverError) -> int:
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


async def _translated(awaitable: Awaitable[T]) -> T:
    """Await the driver; its errors leave as this module's."""
    try:
        return await awaitable
    except DriverError as e:
        code = _code(e)
        if code == _DUPLICATE:
            raise DuplicateKey(str(e)) from e
        if code in {_DEADLOCK, _LOCK_WAIT} or code in _LOST or code == 0:
            raise Retry(str(e)) from e
        raise StatementFailed(str(e)) from e
    except (OSError, asyncio.IncompleteReadError, EOFError) as e:
        raise Retry(str(e)) from e
