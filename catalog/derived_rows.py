"""What was made of what, as tools/verify goes through it to make it again: of all tenants, digests alone, no names."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from cas.digest import Digest
from catalog.database import Database
from catalog.recipes import Value, parameters_of

PAGE_ROWS: Final = 500
WAYS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class MadeRow:
    """That `digest` came of `source` in this way. The source itself may be gone: a derived file outlives it."""

    source: Digest
    recipe: str
    version: int
    parameters: dict[str, Value]
    digest: Digest


class DerivedRows:
    """Derived files and renditions. All of them come in the order of their keys; what is written meanwhile may be left
    out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def derivations(self) -> AsyncIterator[MadeRow]:
        """All files that were made because somebody asked."""
        tenant_id, key = 0, b""
        while True:
            async with self._database.reading() as tx:
                rows = await tx.fetch_all(
                    "SELECT d.tenant_id, d.key_digest, d.source_digest, d.recipe, d.version, d.parameters, b.digest"
                    " FROM derivation d JOIN `blob` b ON b.id = d.blob_id"
                    " WHERE d.tenant_id > %s OR (d.tenant_id = %s AND d.key_digest > %s)"
                    " ORDER BY d.tenant_id, d.key_digest LIMIT %s",
                    (tenant_id, tenant_id, key, PAGE_ROWS),
                )
            for *_, source, recipe, version, parameters, digest in rows:
                made_of, made = Digest(bytes(source)), Digest(bytes(digest))
                yield MadeRow(made_of, recipe, version, parameters_of(parameters), made)
            if len(rows) < PAGE_ROWS:
                return
            tenant_id, key = rows[-1][0], bytes(rows[-1][1])

    async def renditions(self) -> AsyncIterator[MadeRow]:
        """All thumbnails and previews that there are."""
        tenant_id, source_id, last = 0, 0, ""
        while True:
            async with self._database.reading() as tx:
                rows = await tx.fetch_all(
                    "SELECT r.tenant_id, r.source_id, r.recipe, r.version, s.digest, b.digest FROM rendition r"
                    " JOIN `blob` s ON s.id = r.source_id JOIN `blob` b ON b.id = r.derived_id"
                    " WHERE r.tenant_id > %s OR (r.tenant_id = %s AND (r.source_id > %s OR (r.source_id = %s"
                    " AND r.recipe > %s))) ORDER BY r.tenant_id, r.source_id, r.recipe LIMIT %s",
                    (tenant_id, tenant_id, source_id, source_id, last, PAGE_ROWS),
                )
            for _, _, recipe, version, source, digest in rows:
                yield MadeRow(Digest(bytes(source)), recipe, version, {}, Digest(bytes(digest)))
            if len(rows) < PAGE_ROWS:
                return
            tenant_id, source_id, last = rows[-1][:3]

    async def of_blob(self, blob_id: int) -> list[MadeRow]:
        """The ways in which a blob was made, by whomever; at most `WAYS_MAX`."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT d.source_digest, d.recipe, d.version, d.parameters, b.digest FROM possession p"
                " JOIN derivation d ON d.tenant_id = p.tenant_id AND d.blob_id = p.blob_id"
                " JOIN `blob` b ON b.id = p.blob_id WHERE p.blob_id = %s"
                " UNION SELECT s.digest, r.recipe, r.version, '{}', b.digest FROM rendition r"
                " JOIN `blob` s ON s.id = r.source_id JOIN `blob` b ON b.id = r.derived_id WHERE r.derived_id = %s"
                " LIMIT %s",
                (blob_id, blob_id, WAYS_MAX),
            )
        return [
            MadeRow(Digest(bytes(source)), recipe, version, parameters_of(parameters), Digest(bytes(digest)))
            for source, recipe, version, parameters, digest in rows
        ]
