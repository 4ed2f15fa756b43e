"""The packs' own indexes, re-read: a rebuild of the catalog needs them, and no reader of a blob looks at them."""

from cas.errors import BlobMissing, BlobUnreadable, PackDamaged
from cas.store import BlobStore
from tools.verify.pace import Pace
from tools.verify.report import LISTED_MAX, Report


def check_indexes(store: BlobStore, pace: Pace, report: Report) -> None:
    """Prove the index of every pack, or report it. The slices are read by the scrub. Raises `Stopped`."""
    for pack_id, _ in store.packs():
        pace.read(0)
        try:
            store.read_index(pack_id)
        except BlobMissing:
            continue  # it left the store meanwhile
        except (PackDamaged, BlobUnreadable) as error:
            if len(report.pack_faults) < LISTED_MAX:
                report.pack_faults.append(str(error))
        report.packs += 1
