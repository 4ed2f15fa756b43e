"""What happens when a stored blob turns out damaged or missing while somebody reads it: it is reported, never repaired
here.

The catalog marks it, so that the next upload of the same bytes heals it; `tools/verify` moves it to quarantine.
"""

import logging
from typing import Final

from cas.errors import BlobMissing, BlobUnreadable, PiecesDamaged
from catalog.errors import CatalogError
from catalog.tenant import TenantScope
from catalog.values import VerificationRecord
from web.errors import ContentDamaged
from web.state import Services

log: Final = logging.getLogger("otb.web")


async def report_damage(held: Services, scope: TenantScope, damaged: ContentDamaged, subject: str) -> None:
    """Log it, mark the blob, and tell the tenant's audit. Never raises: whoever reads has his own error to tell."""
    digest, cause = damaged.blob.digest, damaged.__cause__
    log.error("blob %s of tenant %s: %s", digest, scope.tenant.id, cause)
    outcome = "missing" if isinstance(cause, BlobMissing) else "damaged"
    try:
        if not isinstance(cause, BlobUnreadable | PiecesDamaged):
            row = await held.catalog.system.blob_by_digest(digest.raw)
            await held.catalog.system.record_verifications([VerificationRecord(row.id, outcome)])
        await scope.audit.record("file.damaged", subject, {"digest": digest.hex, "outcome": outcome})
    except CatalogError:
        # The log has it; the next read or scrub will find it again.
        log.exception("the damage of blob %s could not be recorded", digest)
