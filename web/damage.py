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


async def mark_damage(held: Services, damaged: ContentDamaged) -> bool:
    """Log it and mark the blob; False where the medium, or what lies beside the blob, is at fault and not its bytes.
    Raises `CatalogError`."""
    cause = damaged.__cause__
    log.error("blob %s: %s", damaged.blob.digest, cause)
    if isinstance(cause, BlobUnreadable | PiecesDamaged):
        return False
    row = await held.catalog.system.blob_by_digest(damaged.blob.digest.raw)
    await held.catalog.system.record_verifications([VerificationRecord(row.id, outcome_of(damaged))])
    return True


def outcome_of(damaged: ContentDamaged) -> str:
    """How the catalog calls it."""
    return "missing" if isinstance(damaged.__cause__, BlobMissing) else "damaged"


async def report_damage(held: Services, scope: TenantScope, damaged: ContentDamaged, subject: str) -> None:
    """Log it, mark the blob, and tell the tenant's audit. Never raises: whoever reads has his own error to tell."""
    digest = damaged.blob.digest.hex
    try:
        await mark_damage(held, damaged)
        await scope.audit.record("file.damaged", subject, {"digest": digest, "outcome": outcome_of(damaged)})
    except CatalogError:
        # The log has it; the next read or scrub will find it again.
        log.exception("the damage of blob %s could not be recorded", digest)
