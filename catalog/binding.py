"""Binding a catalog to its store, so that neither is ever used with another's half."""

from cas.blob import OWN_FILE, Encoding
from catalog import clock
from catalog.blobs import EMPTY
from catalog.database import Database, Transaction
from catalog.errors import SchemaMismatch


async def bind_store(database: Database, store_id: str) -> None:
    """Write the store's id into a new catalog, with the row of the empty blob, which every store holds.

    Raises `SchemaMismatch` where the catalog is another store's.
    """

    async def work(tx: Transaction) -> None:
        row = await tx.fetch_one("SELECT store_id FROM store FOR UPDATE")
        if row is not None and row[0] != store_id:
            raise SchemaMismatch(f"This catalog belongs to store {row[0]}, not to {store_id}. Check STORAGE_ROOT.")
        now = clock.to_db(clock.now())
        if row is None:
            await tx.execute("INSERT INTO store (id, store_id, created_at) VALUES (1, %s, %s)", (store_id, now))
        await tx.execute(
            "INSERT INTO `blob` (digest, size_bytes, stored_bytes, crc32, encoding, location, state, created_at,"
            " touched_at) VALUES (%s, 0, 0, 0, %s, %s, 'live', %s, %s) ON DUPLICATE KEY UPDATE state = 'live'",
            (EMPTY.raw, str(Encoding.IDENTITY), OWN_FILE, now, now),
        )

    await database.run(work)
