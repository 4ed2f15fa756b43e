"""Re-reading blobs and saying what was found: one in a file of its own, or several of one pack in the order in which
they lie there."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from cas.blob import Blob, parsed_pack_location
from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing, BlobUnreadable, PiecesDamaged
from cas.store import BlobStore
from catalog.values import BlobRow
from tools.verify.pace import Pace
from tools.verify.report import Outcome

Finding = tuple[Outcome, str]
"""An outcome and, if it is not good, a sentence about it."""

GOOD: Final[Finding] = (Outcome.GOOD, "")


def groups_of(rows: Iterable[BlobRow]) -> list[list[BlobRow]]:
    """What is read in one go: the rows whose blobs lie in one pack together, every other row by itself."""
    groups: dict[str | int, list[BlobRow]] = {}
    for row in rows:
        place = parsed_pack_location(row.blob.location)
        groups.setdefault(row.id if place is None else place[0], []).append(row)
    return list(groups.values())


def examine_group(store: BlobStore, blobs: Sequence[Blob], pace: Pace) -> dict[Digest, Finding]:
    """Re-read the blobs of one group. Raises as `examine`."""
    place = parsed_pack_location(blobs[0].location)
    if place is None:
        return {blob.digest: examine(store, blob, pace) for blob in blobs}
    return _examine_packed(store, place[0], blobs, pace)


def examine(store: BlobStore, blob: Blob, pace: Pace) -> Finding:
    """Re-read one blob. Raises `Stopped`, and `StoreFailed` for what says nothing about the blob."""
    pace.read(0)
    return _finding(partial(store.check, blob, pace.read))


def _examine_packed(store: BlobStore, pack_id: str, blobs: Sequence[Blob], pace: Pace) -> dict[Digest, Finding]:
    pace.read(0)
    try:
        pack = store.open_pack(pack_id)
    except BlobUnreadable as error:
        return dict.fromkeys((blob.digest for blob in blobs), (Outcome.UNREADABLE, str(error)))
    except BlobMissing as error:
        return dict.fromkeys((blob.digest for blob in blobs), (Outcome.MISSING, str(error)))
    found = {}
    with pack:
        pack.forget_cached()
        for blob in sorted(blobs, key=_offset):
            found[blob.digest] = _finding(partial(pack.check, blob, pace.read))
    return found


def _offset(blob: Blob) -> int:
    place = parsed_pack_location(blob.location)
    return 0 if place is None else place[1]


def _finding(check: Callable[[], None]) -> Finding:
    try:
        check()
    except PiecesDamaged as error:
        return Outcome.MENDED, str(error)
    except BlobUnreadable as error:
        return Outcome.UNREADABLE, str(error)
    except BlobDamaged as error:
        return Outcome.DAMAGED, str(error)
    except BlobMissing as error:
        return Outcome.MISSING, str(error)
    return GOOD
