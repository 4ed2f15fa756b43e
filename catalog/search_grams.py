"""Posting lists: for every one, two and three bytes of names, which slots of a segment have them.

What always holds: a list's slots rise; one of more than `DENSE` is a bit for each slot that a segment may have.
"""

from typing import Final

import numpy as np

from catalog.search_documents import Array

SEGMENT_DOCUMENTS_MAX: Final = 65_536
DENSE: Final = 4_096
"""A list of more slots than this is a bit for each of 65,536 instead: as many bytes as 4,096 slots."""
NAME_END: Final = 0
GRAM_BYTES_MAX: Final = 3
DENSE_WORDS: Final = SEGMENT_DOCUMENTS_MAX // 16
_FEW: Final = 64


def gram_keys(word: bytes) -> Array:
    """The keys of the lists that everything containing the word is in, rising, each once."""
    width = min(len(word), GRAM_BYTES_MAX)
    if not width:
        return np.empty(0, np.uint32)
    parts = {int.from_bytes(word[at : at + width], "big") for at in range(len(word) - width + 1)}
    return np.array(sorted(width << 24 | part for part in parts), np.uint32)


def postings_of(text: Array, slots: Array) -> dict[str, Array]:
    """The lists of names that each end with a NUL; `slots` has the slot of each byte: `grams` (rising keys), `counts`,
    `starts` (in `postings`), `postings` (slots, or bits where they are many)."""
    wide = text.astype(np.uint64)
    inside = text != NAME_END
    pairs = inside[:-1] & inside[1:]
    triples = pairs[:-1] & inside[2:]
    two = wide[:-1] << np.uint64(8) | wide[1:]
    three = two[:-1] << np.uint64(8) | wide[2:]
    keyed = [
        _keyed(1, wide, slots, inside),
        _keyed(2, two, slots[:-1], pairs),
        _keyed(3, three, slots[:-2], triples),
    ]
    found = np.concatenate([_unique(part) for part in keyed])
    grams = (found >> np.uint64(16)).astype(np.uint32)
    places = (found & np.uint64(0xFFFF)).astype(np.uint16)
    firsts = np.flatnonzero(np.concatenate([np.ones(min(1, len(grams)), np.bool_), grams[1:] != grams[:-1]]))
    counts = np.diff(np.append(firsts, len(grams)))
    kept = np.where(counts > DENSE, DENSE_WORDS, counts)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    postings = np.zeros(int(starts[-1]), np.uint16)
    is_sparse = np.repeat(counts <= DENSE, counts)
    shift = np.repeat(starts[:-1] - firsts, counts)
    postings[(np.arange(len(places)) + shift)[is_sparse]] = places[is_sparse]
    for place in np.flatnonzero(counts > DENSE).tolist():
        bits = np.zeros(SEGMENT_DOCUMENTS_MAX, np.bool_)
        bits[places[firsts[place] : firsts[place] + counts[place]]] = True
        start = int(starts[place])
        postings[start : start + DENSE_WORDS] = np.packbits(bits, bitorder="little").view(np.uint16)
    return {
        "grams": grams[firsts],
        "counts": counts.astype(np.uint32),
        "starts": starts[:-1].astype(np.uint32),
        "postings": postings,
    }


def _keyed(width: int, values: Array, slots: Array, wanted: Array) -> Array:
    """gram and slot as one number, which sorts by gram, then slot."""
    keyed: Array = (np.uint64(width << 24) | values[wanted]) << np.uint64(16) | slots[wanted]
    return keyed


def _unique(values: Array) -> Array:
    values = np.sort(values)
    once: Array = values[np.concatenate([np.ones(min(1, len(values)), np.bool_), values[1:] != values[:-1]])]
    return once


def both(left: Array, right: Array) -> Array:
    """What is in both lists, each of them slots or a bool for each; the shorter one first."""
    if left.dtype == np.bool_:
        # The other is longer, so it is bools too.
        every: Array = left & right
        return every
    if right.dtype == np.bool_:
        return left[right[left]]
    if len(left) < _FEW:
        places = np.searchsorted(right, left)
        places[places == len(right)] = 0
        few: Array = left[right[places] == left]
        return few
    marks = np.zeros(SEGMENT_DOCUMENTS_MAX, np.bool_)
    marks[right] = True
    common: Array = left[marks[left]]
    return common
