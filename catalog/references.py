"""What counts as a reference to a blob: every foreign key to `blob` that refuses to let the row go.

What always holds: the list comes from the schema itself, so that a new kind of reference needs no word here; one that
cascades (a verification) is a fact about the blob, not a reference.
"""

import re
from typing import Final

from catalog.database import Transaction
from catalog.errors import SchemaMismatch

EXPECTED: Final = frozenset({("entry", "blob_id"), ("possession", "blob_id")})
"""Without these the schema was not read aright, and nothing may be swept."""

_FOREIGN_KEY: Final = re.compile(
    r"FOREIGN KEY \(([^)]*)\) REFERENCES `blob` \(([^)]*)\)(?: ON DELETE (CASCADE|SET NULL|RESTRICT|NO ACTION))?"
)

Reference = tuple[str, str]
"""Table and column."""


async def references(tx: Transaction) -> list[Reference]:
    """Every column that refers to a blob. Raises `SchemaMismatch` if one that must be there is missing.

    The tables come from `information_schema.KEY_COLUMN_USAGE`, the rules from `SHOW CREATE TABLE`: the application's
    user does not see `REFERENTIAL_CONSTRAINTS`.
    """
    tables = await tx.fetch_all(
        "SELECT DISTINCT TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE"
        " WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME = 'blob' ORDER BY 1"
    )
    found = []
    for (table,) in tables:
        row = await tx.fetch_one(f"SHOW CREATE TABLE `{table}`")
        found += [(str(table), column) for column in _columns(str(row[1]) if row else "")]
    if missing := EXPECTED - set(found):
        raise SchemaMismatch(f"The schema does not show the references {sorted(missing)}. Nothing was swept.")
    return found


def _columns(definition: str) -> list[str]:
    """The columns of a table's definition that refer to a blob's id and keep it from going."""
    columns = []
    for key, referenced, rule in _FOREIGN_KEY.findall(definition):
        if rule not in {"CASCADE", "SET NULL"}:
            pairs = zip(key.split(","), referenced.split(","), strict=True)
            columns += [name.strip(" `") for name, target in pairs if target.strip(" `") == "id"]
    return columns


def is_referenced(found: list[Reference]) -> str:
    """The condition on `b`, a blob's row, that anything refers to it."""
    return " OR ".join(f"EXISTS (SELECT 1 FROM `{table}` r WHERE r.`{column}` = b.id)" for table, column in found)
