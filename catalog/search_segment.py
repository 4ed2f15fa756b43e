"""`Segment`: up to 65,536 documents of the search index, with a posting list for every one, two and three bytes of
names.

What always holds: a segment never changes. Documents stand in order of entry id; a document's place (*slot*) fits 16
bits. A word of up to three bytes is answered by one list exactly; of a longer one the lists of its parts give
candidates, and the names decide.

File: MAGIC, the header's length (4 bytes, little-endian), the header (JSON), then the arrays, each at a multiple of 64.
"""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from blake3 import blake3

from catalog.search_documents import DATES, FIRST_FILE_KIND, Array, Documents, joined, months_of

SEGMENT_DOCUMENTS_MAX: Final = 65_536
DENSE: Final = 4_096
"""A list of more slots than this is a bit for each of 65,536 instead: as many bytes as 4,096 slots."""
NAME_END: Final = 0
GRAM_BYTES_MAX: Final = 3
_MAGIC: Final = b"OTBSEG01"
_ALIGN: Final = 64
_FEW: Final = 64
_DENSE_WORDS: Final = SEGMENT_DOCUMENTS_MAX // 16

_COLUMNS: Final = (
    "ids",
    *DATES,
    "size",
    "parent",
    "device",
    "kind",
    "area",
    "extension",
    *(f"month_{name}" for name in DATES),
)
_INDEX: Final = ("devices", "extension_bytes", "name_bytes", "name_starts", "grams", "counts", "starts", "postings")


class BadSegment(Exception):
    """The file is not what was written: the index is made again."""


class _Header(msgspec.Struct):
    arrays: dict[str, tuple[str, int, int]]
    """name → dtype, offset in bytes, number of items."""


class Stored(msgspec.Struct, frozen=True):
    """A segment's file; `digest`: BLAKE3 of it, in hex."""

    file: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Range:
    least: int
    most: int


class Segment:
    """The arrays, in memory or mapped. Attributes are columns with an item per slot."""

    def __init__(self, arrays: dict[str, Array], mapped: mmap.mmap | None = None) -> None:
        self.arrays = arrays
        self._mapped = mapped
        self.ids = arrays["ids"]
        self.size, self.parent, self.device = arrays["size"], arrays["parent"], arrays["device"]
        self.kind, self.area, self.devices = arrays["kind"], arrays["area"], arrays["devices"]
        self.extension = arrays["extension"]
        self.extensions = arrays["extension_bytes"].tobytes().split(b"\0")[:-1]
        self._grams, self._counts, self._starts = arrays["grams"], arrays["counts"], arrays["starts"]
        self._postings = arrays["postings"]
        self._names = arrays["name_bytes"].data if len(arrays["name_bytes"]) else memoryview(b"")
        self._name_starts = arrays["name_starts"]
        self.ranges = {name: _range(arrays[name]) for name in ("ids", *DATES)}

    def __len__(self) -> int:
        return len(self.ids)

    def dates(self, by: str) -> Array:
        return self.arrays[by]

    def months(self, by: str) -> Array:
        """See `months_of`."""
        return self.arrays[f"month_{by}"]

    def name(self, slot: int) -> bytes:
        """The folded name with its NUL."""
        return bytes(self._names[int(self._name_starts[slot]) : int(self._name_starts[slot + 1])])

    def slots_of(self, ids: Array) -> Array:
        """The slots of those of the entry ids that are here."""
        places = np.searchsorted(self.ids, ids)
        places[places == len(self.ids)] = 0
        return places[self.ids[places] == ids] if len(self.ids) else places[:0]

    def having(self, grams: Array) -> "Array | None":
        """What holds all these grams: rising slots where they are few, else a bool for each slot; None for all there
        are if no gram is asked for. `grams`: keys of `gram_keys`, each once."""
        if not len(grams):
            return None
        places = np.searchsorted(self._grams, grams)
        if places[-1] >= len(self._grams) or not np.array_equal(self._grams[places], grams):
            return np.empty(0, np.intp)
        order = places[np.argsort(self._counts[places], kind="stable")]
        found = self._posting(int(order[0]))
        for place in order[1:].tolist():
            found = _both(found, self._posting(place))
            if not len(found):
                break
        return found if found.dtype == np.bool_ else found.astype(np.intp, copy=False)

    def _posting(self, place: int) -> Array:
        start, count = int(self._starts[place]), int(self._counts[place])
        if count <= DENSE:
            return self._postings[start : start + count]
        bits = self._postings[start : start + _DENSE_WORDS].view(np.uint8)
        return np.unpackbits(bits, bitorder="little", count=len(self)).view(np.bool_)

    def documents(self, alive: Array | None) -> Documents:
        """Its documents, or those that are alive."""
        names = bytes(self._names).split(b"\0")[:-1]
        own = {name: self.arrays[name] for name in ("ids", *DATES, "size", "parent", "kind", "area")}
        every = Documents(**own, device=self.devices[self.device], names=names)
        return every if alive is None else every.taking(np.flatnonzero(alive))

    # -- files ------------------------------------------------------------------------------------------------------

    def pieces(self) -> list[bytes]:
        """The file's content."""
        arrays, offset = {}, 0
        for name in (*_COLUMNS, *_INDEX):
            array = self.arrays[name]
            arrays[name] = (array.dtype.str, offset, len(array))
            offset = _aligned(offset + array.nbytes)
        header = msgspec.json.encode(_Header(arrays))
        head = _MAGIC + len(header).to_bytes(4, "little") + header
        pieces = [head + bytes(_aligned(len(head)) - len(head))]
        for name in (*_COLUMNS, *_INDEX):
            raw = self.arrays[name].tobytes()
            pieces.append(raw + bytes(_aligned(len(raw)) - len(raw)))
        return pieces

    @classmethod
    def open(cls, folder: Path, stored: Stored) -> "Segment":
        """Map a file and prove it. Raises `BadSegment`, OSError."""
        with (folder / stored.file).open("rb") as source:
            if source.seek(0, 2) != stored.size_bytes:
                raise BadSegment(f"{stored.file} has another length")
            mapped = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        if blake3(mapped).hexdigest() != stored.digest:
            raise BadSegment(f"{stored.file} does not match its digest")
        # Proven by its digest, so what the header says is what was written.
        length = int.from_bytes(mapped[len(_MAGIC) : len(_MAGIC) + 4], "little")
        header = msgspec.json.decode(mapped[len(_MAGIC) + 4 : len(_MAGIC) + 4 + length], type=_Header)
        first = _aligned(len(_MAGIC) + 4 + length)
        arrays = {
            name: np.frombuffer(mapped, np.dtype(kind), count, first + offset)
            for name, (kind, offset, count) in header.arrays.items()
        }
        return cls(arrays, mapped)


def build(documents: Documents, zone: str) -> Segment:
    """A segment in memory. At most `SEGMENT_DOCUMENTS_MAX` documents, in order of id."""
    count = len(documents)
    if count > SEGMENT_DOCUMENTS_MAX:
        raise ValueError(f"a segment has at most {SEGMENT_DOCUMENTS_MAX:,} documents")
    devices, device = np.unique(documents.device, return_inverse=True)
    arrays: dict[str, Array] = {name: getattr(documents, name) for name in ("ids", *DATES, "size", "parent")}
    arrays |= {"kind": documents.kind, "area": documents.area, "device": device.astype(np.uint16), "devices": devices}
    arrays |= {f"month_{name}": months_of(arrays[name], zone) for name in DATES}
    text = np.frombuffer(b"".join([name + b"\0" for name in documents.names]), np.uint8)
    lengths = np.fromiter(map(len, documents.names), np.int64, count) + 1
    arrays["name_bytes"] = text
    arrays |= _extensions_of(documents)
    arrays["name_starts"] = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]).astype(np.uint32)
    return Segment(arrays | _postings_of(text, np.repeat(np.arange(count, dtype=np.uint64), lengths)))


def extension_of(name: bytes) -> bytes:
    """What stands behind the last dot of a folded name; nothing where only the first character is a dot."""
    base, _, extension = name.rpartition(b".")
    return extension if base else b""


def gram_keys(word: bytes) -> Array:
    """The keys of the lists that everything containing the word is in, rising, each once."""
    width = min(len(word), GRAM_BYTES_MAX)
    if not width:
        return np.empty(0, np.uint32)
    parts = {int.from_bytes(word[at : at + width], "big") for at in range(len(word) - width + 1)}
    return np.array(sorted(width << 24 | part for part in parts), np.uint32)


def merged(segments: Sequence[tuple[Segment, Array | None]], zone: str) -> list[Segment]:
    """The living documents of all of these, in as few segments as they fit."""
    every = joined([segment.documents(alive) for segment, alive in segments]).sorted_by_id()
    return [build(part, zone) for part in every.in_parts(SEGMENT_DOCUMENTS_MAX) if len(part)]


def _extensions_of(documents: Documents) -> dict[str, Array]:
    """`extension`: a place in `extension_bytes`, which has each one followed by a NUL. Folders and links have none."""
    known: dict[bytes, int] = {}
    is_file = (documents.kind >= FIRST_FILE_KIND).tolist()
    places = [
        known.setdefault(extension_of(name) if file else b"", len(known))
        for name, file in zip(documents.names, is_file, strict=True)
    ]
    every = b"".join([extension + b"\0" for extension in known])
    return {"extension": np.array(places, np.uint16), "extension_bytes": np.frombuffer(every, np.uint8)}


def _postings_of(text: Array, slots: Array) -> dict[str, Array]:
    """`grams` (rising keys), `counts`, `starts` (in `postings`), `postings` (slots, or bits where they are many)."""
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
    kept = np.where(counts > DENSE, _DENSE_WORDS, counts)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    postings = np.zeros(int(starts[-1]), np.uint16)
    is_sparse = np.repeat(counts <= DENSE, counts)
    shift = np.repeat(starts[:-1] - firsts, counts)
    postings[(np.arange(len(places)) + shift)[is_sparse]] = places[is_sparse]
    for place in np.flatnonzero(counts > DENSE).tolist():
        bits = np.zeros(SEGMENT_DOCUMENTS_MAX, np.bool_)
        bits[places[firsts[place] : firsts[place] + counts[place]]] = True
        start = int(starts[place])
        postings[start : start + _DENSE_WORDS] = np.packbits(bits, bitorder="little").view(np.uint16)
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


def _both(left: Array, right: Array) -> Array:
    if left.dtype == np.bool_:
        # The shorter list comes first, so the other is many too.
        both: Array = left & right
        return both
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


def _range(values: Array) -> Range:
    return Range(int(values.min()), int(values.max())) if len(values) else Range(0, 0)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
