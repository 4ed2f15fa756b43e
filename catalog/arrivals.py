"""A pack that comes with the manifest that names its blobs: its rows are made in the manifest's own transaction.

What always holds: none of these blobs is ever leased; they are the tenant's by the entries of the same commit, or
not at all. `docs/decisions/0014-bundles.md`.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from cas.digest import Digest
from catalog.database import Transaction
from catalog.packs import NewPack, ReceivedPack
from catalog.possession import Possessed, among, blob_rows


@dataclass(frozen=True, slots=True)
class Arrived:
    """The pack's blobs, which the manifest may name. `unowned`: ids that the tenant has no row of its own for;
    `deduplicated`: what it possessed, undamaged, before they came again."""

    known: Mapping[Digest, Possessed]
    unowned: Set[int]
    deduplicated: list[Digest]


NOTHING_ARRIVED = Arrived({}, frozenset(), [])


async def arrived(tx: Transaction, tenant_id: int, pack: NewPack, received: ReceivedPack) -> Arrived:
    """What the rows of a received pack mean for the tenant, which owns the new ones already; read under the ledger's
    lock."""
    known = {
        blob.digest: Possessed(received.ids[blob.digest], blob, None, is_leased=False)
        for blob in pack.blobs
        if received.ids[blob.digest] in received.new
    }
    old = {blob_id: digest for digest, blob_id in received.ids.items() if blob_id not in received.new}
    if not old:
        return Arrived(known, frozenset(), [])
    owned = await among(tx, tenant_id, sorted(old))
    for blob_id, row in (await blob_rows(tx, old.keys())).items():
        known[old[blob_id]] = row._replace(is_leased=owned.get(blob_id, False))
    unowned = old.keys() - owned.keys()
    return Arrived(known, unowned, [old[blob_id] for blob_id in owned if blob_id not in received.healed])
