"""How the database of a store's catalog is reached, and that it is the right one. A program that needs no tenant's
scope leaves out `catalog.catalog`, and starts in two thirds of the time."""

from collections.abc import Mapping

from catalog import schema
from catalog.database import Database
from catalog.settings import Settings


def connect_options(settings: Settings) -> Mapping[str, object]:
    """How the application's own user reaches the database."""
    where: dict[str, object] = (
        {"unix_socket": settings.mariadb_socket}
        if settings.mariadb_socket
        else {"host": settings.mariadb_host, "port": settings.mariadb_port}
    )
    return where | {
        "user": settings.mariadb_user,
        "password": settings.mariadb_password,
        "database": settings.mariadb_db,
    }


async def open_database(settings: Settings, store_id: str, connections_max: int) -> Database:
    """Connect and check. The caller closes it. Raises DatabaseUnavailable, SchemaMismatch."""
    database = await Database.open(connect=connect_options(settings), connections_max=connections_max)
    try:
        await schema.check(database, store_id)
        await schema.check_whole(database)
    except BaseException:
        await database.close()
        raise
    return database
