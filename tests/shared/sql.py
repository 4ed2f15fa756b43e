"""SQL of a test's own on the database of some settings, for what the catalog does not do: falsify, and look beneath."""

import asyncio
from collections.abc import Sequence
from typing import Any

from catalog.database import Database
from catalog.opening import connect_options
from catalog.settings import Settings


def execute(settings: Settings, sql: str, *rows: Sequence[object]) -> None:
    """The statement, once for each row of parameters, or once without any."""

    async def work() -> None:
        database = await Database.open(connect=connect_options(settings), connections_max=1)
        try:
            async with database.reading() as tx:
                for row in rows or [()]:
                    await tx.execute(sql, row)
        finally:
            await database.close()

    asyncio.run(work())


def fetched(settings: Settings, sql: str, row: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """What the statement finds."""

    async def work() -> list[tuple[Any, ...]]:
        database = await Database.open(connect=connect_options(settings), connections_max=1)
        try:
            async with database.reading() as tx:
                return list(await tx.fetch_all(sql, row))
        finally:
            await database.close()

    return asyncio.run(work())
