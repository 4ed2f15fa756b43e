"""What happens when a stored blob turns out damaged or missing while somebody reads it: it is reported, never repaired
here.

The catalog marks it, so that the next upload of the same bytes heals it; `tools/verify` moves it to quarantine.
"""

import logging
from typing import Final

from cas.blob import Blob
from cas.errors import BlobDamaged, BlobMissing, BlobUnreadable, PiecesDamaged
from catalog.errors import CatalogError
from catalog.tenant import TenantScope
from catalog.values import VerificationRecord
from web.state import Services

log: Final = logging.getLogger("otb.web")


async def report_damage(
    held: Services, scope: TenantScope, blob: Blob, error: BlobDamaged | BlobMissing, subject: str
) -> None:
    """Log it, mark the blob, and tell the tenant's audit. Never raises: whoever reads has his own error to tell."""
    log.error("blob %s of tenant %s: %s", blob.digest, scope.tenant.id, error)
    outcome = "missing" if isinstance(error, BlobMissing) else "damaged"
    try:
        if not isinstance(error, BlobUnreadable | PiecesDamaged):
            row = await held.catalog.system.blob_by_digest(blob.digest.raw)
            await held.catalog.system.record_verifications([VerificationRecord(row.id, outcome)])
        await scope.audit.record("file.damaged", subject, {"digest": blob.digest.hex, "outcome": outcome})
    except CatalogError:
        # The log has it; the next read or scrub will find it again.
        log.exception("the damage of blob %s could not be recorded", blob.digest)
