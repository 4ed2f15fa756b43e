"""`Groups`: the month, kind and device of each document of a segment as one small number, so that one look at each hit
counts all three.

What always holds: documents of one group have the same month, kind and device; a segment has at most as many groups
as documents, so a group's number fits 16 bits.
"""

from functools import cached_property

import numpy as np

from catalog.search_documents import Array

_KIND_BITS = 16
_MONTH_BITS = 32


class Groups:
    """`of`: the group of each slot. `months` (see `months_of`), `kinds` (places in KINDS), `devices` (places in the
    segment's devices): an item for each group."""

    def __init__(self, of: Array, keys: Array) -> None:
        self.of = of
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @cached_property
    def months(self) -> Array:
        return (self._keys >> _MONTH_BITS).astype(np.uint16)

    @cached_property
    def kinds(self) -> Array:
        return (self._keys >> _KIND_BITS & 0xFFFF).astype(np.uint8)

    @cached_property
    def devices(self) -> Array:
        return (self._keys & 0xFFFF).astype(np.uint16)

    def counts(self, slots: Array) -> Array:
        """How many of these slots each group has."""
        return np.bincount(self.of[slots], minlength=len(self))

    def counts_where(self, mask: Array | None) -> Array:
        """How many slots of the mask, which has a bool for each, are in each group; of all with None."""
        if mask is None:
            return self._all
        if np.count_nonzero(mask) * 2 > len(mask):
            # Fewer are left out.
            return self._all - self.counts(np.flatnonzero(~mask))
        return self.counts(np.flatnonzero(mask))

    @cached_property
    def _all(self) -> Array:
        return np.bincount(self.of, minlength=len(self))


def grouped(months: Array, kinds: Array, devices: Array) -> tuple[Array, Array]:
    """The group of each document, and the groups' keys: what `Groups` is made of."""
    keys = months.astype(np.int64) << _MONTH_BITS | kinds.astype(np.int64) << _KIND_BITS | devices
    groups, of = np.unique(keys, return_inverse=True)
    return of.astype(np.uint16), groups
