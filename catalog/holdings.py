"""Holdings: what the store holds of a tenant's bytes, asked by digest: to read them back, and to be sure of them.

What always holds: a digest is looked up among the tenant's own blobs alone, so that nothing is learned of others'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cas.blob import Blob
from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, digest_list
from catalog.blobs import DIGESTS_PER_REQUEST_MAX
from catalog.database import Transaction
from catalog.errors import BlobsNotFound, TooMany
from catalog.scope import Scope

READ_DIGESTS_MAX: Final = 1_000
_PER_STATEMENT: Final = 1_000

_POSSESSED: Final = (
    "(b.size_bytes = 0 OR p.tenant_id IS NOT NULL AND (p.leased_until IS NULL OR p.leased_until > UTC_TIMESTAMP(6)))"
)


class Unsafe(StrEnum):
    """Why bytes are not safe here."""

    UNKNOWN = "unknown"
    """Never sent, as far as this tenant may know."""
    NOT_KEPT = "not_kept"
    """Sent, but no live file has them: only deleted files, old versions, or an upload that was not finished."""
    DAMAGED = "damaged"
    """The stored copy is damaged or missing. Sending the bytes again heals it."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A blob that the tenant possesses. `is_damaged`: known to be damaged or missing."""

    blob: Blob
    is_damaged: bool


@dataclass(frozen=True, slots=True)
class BlobStatus:
    """Whether bytes may be deleted elsewhere. `verified_at`: when they were last re-read and found good."""

    digest: Digest
    unsafe: Unsafe | None
    verified_at: datetime | None

    @property
    def is_safe(self) -> bool:
        """A live entry of the tenant names them, and they are not known to be damaged."""
        return self.unsafe is None


class Holdings:
    """The tenant's blobs by digest."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self, digests: Sequence[Digest]) -> list[Holding]:
        """The blobs of these digests, each once. Raises `BlobsNotFound` for those the tenant does not possess."""
        self._scope.require_customer("read by digest")
        if len(digests) > READ_DIGESTS_MAX:
            raise TooMany(READ_DIGESTS_MAX, "digests")
        wanted = list(dict.fromkeys(digests))
        if not wanted:
            return []
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT v.blob_id IS NOT NULL, {BLOB_COLUMNS} FROM `blob` b"
                f" LEFT JOIN possession p ON p.tenant_id = {self._scope.tenant.id:d} AND p.blob_id = b.id"
                " LEFT JOIN verification v ON v.blob_id = b.id AND v.outcome <> 'good'"
                f" WHERE b.digest IN ({digest_list(wanted)}) AND b.state IN ('live', 'condemned') AND {_POSSESSED}"
            )
        found = [Holding(blob_of(*blob), bool(is_damaged)) for is_damaged, *blob in rows]
        known = {holding.blob.digest for holding in found}
        if unknown := [digest for digest in wanted if digest not in known]:
            raise BlobsNotFound(unknown)
        return found

    async def statuses(self, digests: Sequence[Digest]) -> list[BlobStatus]:
        """How each stands, in the order asked, each once."""
        self._scope.require_customer("read by digest")
        if len(digests) > DIGESTS_PER_REQUEST_MAX:
            raise TooMany(DIGESTS_PER_REQUEST_MAX, "digests")
        wanted = list(dict.fromkeys(digests))
        known: dict[Digest, BlobStatus] = {}
        async with self._scope.database.reading() as tx:
            for start in range(0, len(wanted), _PER_STATEMENT):
                known |= await self._statuses(tx, wanted[start : start + _PER_STATEMENT])
        return [known.get(digest) or BlobStatus(digest, Unsafe.UNKNOWN, None) for digest in wanted]

    async def _statuses(self, tx: Transaction, part: Sequence[Digest]) -> dict[Digest, BlobStatus]:
        tenant_id = self._scope.tenant.id
        rows = await tx.fetch_all(
            "SELECT b.digest, v.outcome, v.verified_at, EXISTS (SELECT 1 FROM entry e FORCE INDEX (blob_id)"
            f" WHERE e.blob_id = b.id AND e.tenant_id = {tenant_id:d} AND e.removed_key = 0)"
            f" FROM `blob` b JOIN possession p ON p.tenant_id = {tenant_id:d} AND p.blob_id = b.id"
            " LEFT JOIN verification v ON v.blob_id = b.id"
            f" WHERE b.digest IN ({digest_list(part)}) AND b.state IN ('live', 'condemned')"
        )
        return {digest: _status(digest, *row) for digest, row in ((Digest(bytes(d)), row) for d, *row in rows)}


def _status(digest: Digest, outcome: str | None, verified_at: datetime | None, is_live: int) -> BlobStatus:
    if outcome not in (None, "good"):
        return BlobStatus(digest, Unsafe.DAMAGED, None)
    unsafe = None if is_live else Unsafe.NOT_KEPT
    return BlobStatus(digest, unsafe, None if verified_at is None else clock.from_db(verified_at))
