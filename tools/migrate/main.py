"""Creates the database and the application's user, applies the migrations, gives the rights, names the store.

Connects as MARIADB_ADMIN_USER. What always holds: a second run changes nothing; a catalog is bound to one store.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from cas.errors import CasError
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog import schema
from catalog.binding import bind_store
from catalog.database import Database, Transaction
from catalog.errors import CatalogError
from catalog.opening import connect_options
from catalog.settings import BadSettings, Settings, load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 it could not be done (the reason is on stderr)."""
    parser = argparse.ArgumentParser(prog="tools/migrate", description=__doc__)
    parser.parse_args(argv)
    try:
        settings = load_settings()
        store = BlobStore.open(LocalBackend(settings.storage_root))
        applied = asyncio.run(migrate(settings, store.store_id))
    except (BadSettings, CasError, CatalogError, ValueError) as e:
        print(f"tools/migrate: {e}", file=sys.stderr)
        return 2
    names = ", ".join(f"{m.version:04} {m.name}" for m in applied)
    print(f"tools/migrate: applied {names}" if applied else "tools/migrate: nothing to do")
    return 0


async def migrate(settings: Settings, store_id: str) -> list[schema.Migration]:
    """Make the database what this code needs, bound to the store. Returns what it applied. Raises CatalogError."""
    admin = dict(connect_options(settings)) | {
        "user": settings.mariadb_admin_user,
        "password": settings.mariadb_admin_password,
    }
    await make_database(admin | {"database": None}, settings)
    database = await Database.open(connect=admin, connections_max=1)
    try:
        applied = await schema.migrate(database, schema.load_migrations())
        await give_rights(database, settings)
        await bind_store(database, store_id)
    finally:
        await database.close()
    return applied


async def make_database(admin: dict[str, object], settings: Settings) -> None:
    server = await Database.open(connect=admin, connections_max=1)
    try:
        async with server.reading() as tx:
            await tx.execute(
                f"CREATE DATABASE IF NOT EXISTS `{settings.mariadb_db}`"
                " CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
            )
            for host in ("localhost", "127.0.0.1"):
                await _make_user(tx, settings, host)
    finally:
        await server.close()


async def _make_user(tx: Transaction, settings: Settings, host: str) -> None:
    user = f"`{settings.mariadb_user}`@`{host}`"
    await tx.execute(f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY %s", (settings.mariadb_password,))
    await tx.execute(f"ALTER USER {user} IDENTIFIED BY %s", (settings.mariadb_password,))


async def give_rights(database: Database, settings: Settings) -> None:
    script = (schema.SQL_FOLDER / "grants.sql").read_text()
    async with database.reading() as tx:
        for statement in schema.split_statements(script):
            for host in ("localhost", "127.0.0.1"):
                user = f"`{settings.mariadb_user}`@`{host}`"
                await tx.execute(statement.format(db=f"`{settings.mariadb_db}`", user=user))
