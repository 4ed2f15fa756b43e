"""The fence, explored exhaustively; and what each part of it is for: without it the walk finds a lost blob."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tools.sweep.model import Cast, Design, explore, without

CASTS = {
    "three uploads, two crashes": Cast(uploaders=3, crashes=2),
    "leftovers": Cast(uploaders=2, crashes=1, packs=False),
    "rewriting": Cast(uploaders=2, crashes=1, starts_packed=True),
    "gathering, leftovers": Cast(uploaders=1, crashes=2),
    "a batch": Cast(uploaders=1, crashes=1, batcher=True, leftovers=False),
    "a second sweep": Cast(uploaders=2, sweepers=2, crashes=1, packs=False, leftovers=False),
}
LARGE = {
    "three uploads, rewriting": Cast(uploaders=3, crashes=2, starts_packed=True),
    "a second sweep, all": Cast(uploaders=2, sweepers=2, crashes=2, starts_packed=True),
    "a batch, all": Cast(uploaders=2, crashes=2, batcher=True, starts_packed=True),
}
FAULTS = {
    "fence": Cast(uploaders=2, crashes=1, packs=False, leftovers=False),
    "one_sweep": Cast(uploaders=2, sweepers=2, crashes=1, packs=False, leftovers=False),
    "deleting_first": Cast(uploaders=1, crashes=0, packs=False, leftovers=False),
    "claims_wait": Cast(uploaders=1, crashes=0, packs=False, leftovers=False),
    "very_file": Cast(uploaders=2, crashes=1),
    "live_packs_only": Cast(uploaders=1, crashes=1, batcher=True),
}


@pytest.mark.parametrize("name", CASTS)
def test_no_referenced_blob_is_ever_lost(name: str) -> None:
    states, way = explore(Design(), CASTS[name])
    assert way is None, "\n".join(way)
    assert states > 500


@pytest.mark.parametrize("name", LARGE)
def test_no_referenced_blob_is_ever_lost_with_more_of_everybody(name: str, scale: Callable[[int, int], int]) -> None:
    cast = LARGE[name]
    left_out = scale(1, 0)
    _, way = explore(Design(), replace(cast, crashes=cast.crashes - left_out, uploaders=cast.uploaders - left_out))
    assert way is None, "\n".join(way)


@pytest.mark.parametrize("part", FAULTS)
def test_every_part_of_the_fence_is_needed(part: str) -> None:
    _, way = explore(without(part), FAULTS[part])
    assert way is not None
