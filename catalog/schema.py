"""The schema: numbered migrations in `sql/`, applied by tools/migrate alone, and checked when the catalog opens."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog import clock
from catalog.database import Database, StatementFailed, Transaction
from catalog.errors import SchemaMismatch

SQL_FOLDER: Final = Path(__file__).resolve().parent.parent / "sql"
_FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_VERSION_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS schema_version (version INT UNSIGNED NOT NULL PRIMARY KEY,"
    " name VARCHAR(100) NOT NULL, applied_at DATETIME(6) NOT NULL) ENGINE = InnoDB"
)


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    statements: list[str]


def load_migrations(folder: Path = SQL_FOLDER) -> list[Migration]:
    """The migrations in order. Raises ValueError where a number is missing or doubled."""
    found = []
    for path in sorted(folder.glob("[0-9]*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not named like 0001_name.sql")
        found.append(Migration(int(match[1]), match[2], split_statements(path.read_text())))
    if [m.version for m in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations in {folder} are not numbered 1, 2, 3 …")
    return found


def split_statements(text: str) -> list[str]:
    """The statements of a script: each ends with `;` at a line's end; lines that begin with `--` are comments."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in re.split(r";\s*$", code, flags=re.MULTILINE) if part.strip()]


async def applied_version(tx: Transaction) -> int:
    """The newest migration applied; 0 where there is none."""
    try:
        row = await tx.fetch_one("SELECT MAX(version) FROM schema_version")
    except StatementFailed:
        return 0
    return int(row[0] or 0) if row else 0


async def migrate(database: Database, migrations: list[Migration]) -> list[Migration]:
    """Apply what is missing, one after the other; returns what was applied. DDL commits by itself in MariaDB."""
    applied = []
    async with database.reading() as tx:
        await tx.execute(_VERSION_TABLE)
        version = await applied_version(tx)
        for migration in migrations[version:]:
            for statement in migration.statements:
                await tx.execute(statement)
            await tx.execute(
                "INSERT INTO schema_version (version, name, applied_at) VALUES (%s, %s, %s)",
                (migration.version, migration.name, clock.to_db(clock.now())),
            )
            applied.append(migration)
    return applied


async def check_whole(database: Database) -> None:
    """Raise `SchemaMismatch` while tools/rebuild is filling this catalog, or was interrupted."""
    async with database.reading() as tx:
        row = await tx.fetch_one("SELECT 1 FROM rebuild WHERE finished_at IS NULL")
    if row is not None:
        raise SchemaMismatch("This catalog is being rebuilt, and is not whole yet. Run tools/rebuild until it is done.")


async def check(database: Database, store_id: str) -> None:
    """Raise `SchemaMismatch` unless the schema is this code's and the catalog belongs to this store."""
    async with database.reading() as tx:
        version, wanted = await applied_version(tx), len(load_migrations())
        if version != wanted:
            raise SchemaMismatch(f"The database has schema {version}, this code needs {wanted}. Run tools/migrate.")
        row = await tx.fetch_one("SELECT store_id FROM store")
    if row is None:
        raise SchemaMismatch("This catalog belongs to no store yet. Run tools/migrate.")
    if row[0] != store_id:
        raise SchemaMismatch(
            f"The catalog belongs to store {row[0]}, and STORAGE_ROOT holds store {store_id}."
            " Check that the right disk is mounted."
        )
