"""What counts as a reference to a blob: every foreign key to `blob` that refuses to let the row go.

What always holds: the list comes from the schema itself, so that a new kind of reference needs no word here; one that
cascades (a verification) is a fact about the blob, not a reference.
"""

from typing import Final

from catalog.database import Transaction
from catalog.errors import SchemaMismatch

EXPECTED: Final = frozenset({("entry", "blob_id"), ("possession", "blob_id")})
"""Without these the schema was not read aright, and nothing may be swept."""

Reference = tuple[str, str]
"""Table and column."""


async def references(tx: Transaction) -> list[Reference]:
    """Every column that refers to a blob. Raises `SchemaMismatch` if one that must be there is missing."""
    rows = await tx.fetch_all(
        "SELECT k.TABLE_NAME, k.COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE k"
        " JOIN information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA"
        " AND r.TABLE_NAME = k.TABLE_NAME AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME"
        " WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME = 'blob' AND k.REFERENCED_COLUMN_NAME = 'id'"
        " AND r.DELETE_RULE NOT IN ('CASCADE', 'SET NULL') ORDER BY 1, 2"
    )
    found = [(str(table), str(column)) for table, column in rows]
    if missing := EXPECTED - set(found):
        raise SchemaMismatch(f"The schema does not show the references {sorted(missing)}. Nothing was swept.")
    return found


def is_referenced(found: list[Reference]) -> str:
    """The condition on `b`, a blob's row, that anything refers to it."""
    return " OR ".join(f"EXISTS (SELECT 1 FROM `{table}` r WHERE r.`{column}` = b.id)" for table, column in found)
