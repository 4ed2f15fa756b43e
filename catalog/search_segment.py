"""`Segment`: up to 65,536 documents of the search index: columns, names, and posting lists of what the names have.

What always holds: a segment never changes. Documents stand in order of entry id; a document's place (*slot*) fits 16
bits. A word of up to three bytes is answered by one list exactly; of a longer one the lists of its parts give
candidates, and the names decide.

File: MAGIC, the header's length (4 bytes, little-endian), the header (JSON), then the arrays, each at a multiple of 64.
"""

import mmap
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from blake3 import blake3

from catalog.search_documents import DATES, FIRST_FILE_KIND, Array, Documents, joined, months_of
from catalog.search_grams import DENSE, DENSE_WORDS, SEGMENT_DOCUMENTS_MAX, both, postings_of
from catalog.search_groups import Groups, grouped

_MAGIC: Final = b"OTBSEG03"
_ALIGN: Final = 64
_COPY_FROM: Final = 1_000
"""From so many names on, looking into a copy of them all is cheaper than taking each one out."""

_COLUMNS: Final = (
    "ids",
    *DATES,
    "size",
    "folder",
    "device",
    "kind",
    "area",
    "extension",
    "rank",
    *(f"group_{name}" for name in DATES),
)
_INDEX: Final = (
    "folders",
    "devices",
    *(f"groups_{name}" for name in DATES),
    "extension_bytes",
    "name_bytes",
    "name_starts",
    "grams",
    "counts",
    "starts",
    "postings",
)


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
    """The arrays, in memory or mapped. Attributes are columns with an item per slot; `rank`: the place in the order of
    names, equal ones by id."""

    def __init__(self, arrays: dict[str, Array], mapped: mmap.mmap | None = None) -> None:
        self.arrays = arrays
        self._mapped = mapped
        self.ids = arrays["ids"]
        self.size, self.kind, self.area = arrays["size"], arrays["kind"], arrays["area"]
        self.device, self.devices = arrays["device"], arrays["devices"]
        self.extension, self.rank = arrays["extension"], arrays["rank"]
        self._extensions = arrays["extension_bytes"].tobytes().split(b"\0")[:-1]
        self._grams, self._counts, self._starts = arrays["grams"], arrays["counts"], arrays["starts"]
        self._postings = arrays["postings"]
        self._groups = {by: Groups(arrays[f"group_{by}"], arrays[f"groups_{by}"]) for by in DATES}
        self._folder, self._folders = arrays["folder"], arrays["folders"]
        self._names = arrays["name_bytes"].data if len(arrays["name_bytes"]) else memoryview(b"")
        self._name_starts = arrays["name_starts"]
        self.ranges = {name: _range(arrays[name]) for name in ("ids", *DATES)}

    def __len__(self) -> int:
        return len(self.ids)

    def dates(self, by: str) -> Array:
        return self.arrays[by]

    def groups(self, by: str) -> Groups:
        """The month of this date, the kind and the device."""
        return self._groups[by]

    def places_of_devices(self, devices: Collection[int]) -> list[int]:
        """Which numbers of the column `device` stand for these."""
        return np.flatnonzero(np.isin(self.devices, list(devices))).tolist()

    def places_of_extensions(self, extensions: Collection[bytes]) -> list[int]:
        """Which numbers of the column `extension` stand for these."""
        known = self._extensions
        places = ((extension, bisect_left(known, extension)) for extension in extensions)
        return [place for extension, place in places if place < len(known) and known[place] == extension]

    def in_folder(self, folder: int) -> Array | None:
        """Of each slot, whether it lies in this folder; None where none does."""
        place = int(np.searchsorted(self._folders, folder))
        if place == len(self._folders) or self._folders[place] != folder:
            return None
        there: Array = self._folder == place
        return there

    def name(self, slot: int) -> bytes:
        """The folded name with its NUL."""
        return bytes(self._names[int(self._name_starts[slot]) : int(self._name_starts[slot + 1])])

    def holds(self, slots: Array, word: bytes) -> Array:
        """Of each of the slots, whether its name has the word in it."""
        starts, ends = self._name_starts[slots].tolist(), self._name_starts[slots + 1].tolist()
        if len(slots) < _COPY_FROM:
            names = self._names
            return np.array(
                [word in bytes(names[start:end]) for start, end in zip(starts, ends, strict=True)], np.bool_
            )
        find = bytes(self._names).find
        return np.array([find(word, start, end) for start, end in zip(starts, ends, strict=True)], np.int64) >= 0

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
            found = both(found, self._posting(place))
            if not len(found):
                break
        return found if found.dtype == np.bool_ else found.astype(np.intp, copy=False)

    def _posting(self, place: int) -> Array:
        start, count = int(self._starts[place]), int(self._counts[place])
        if count <= DENSE:
            return self._postings[start : start + count]
        bits = self._postings[start : start + DENSE_WORDS].view(np.uint8)
        return np.unpackbits(bits, bitorder="little", count=len(self)).view(np.bool_)

    def documents(self, alive: Array | None) -> Documents:
        """Its documents, or those that are alive."""
        names = bytes(self._names).split(b"\0")[:-1]
        own = {name: self.arrays[name] for name in ("ids", *DATES, "size", "kind", "area")}
        parent, device = self._folders[self._folder], self.devices[self.device]
        every = Documents(**own, parent=parent, device=device, names=names)
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
    arrays: dict[str, Array] = {name: getattr(documents, name) for name in ("ids", *DATES, "size", "kind", "area")}
    arrays |= _numbered("device", documents.device) | _numbered("folder", documents.parent)
    for name in DATES:
        of, keys = grouped(months_of(arrays[name], zone), documents.kind, arrays["device"])
        arrays |= {f"group_{name}": of, f"groups_{name}": keys}
    arrays["rank"] = np.empty(count, np.uint16)
    arrays["rank"][sorted(range(count), key=documents.names.__getitem__)] = np.arange(count)
    text = np.frombuffer(b"".join([name + b"\0" for name in documents.names]), np.uint8)
    lengths = np.fromiter(map(len, documents.names), np.int64, count) + 1
    arrays["name_bytes"] = text
    arrays |= _extensions_of(documents)
    arrays["name_starts"] = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]).astype(np.uint32)
    return Segment(arrays | postings_of(text, np.repeat(np.arange(count, dtype=np.uint64), lengths)))


def extension_of(name: bytes) -> bytes:
    """What stands behind the last dot of a folded name; nothing where only the first character is a dot."""
    base, _, extension = name.rpartition(b".")
    return extension if base else b""


def merged(segments: Sequence[tuple[Segment, Array | None]], zone: str) -> list[Segment]:
    """The living documents of all of these, in as few segments as they fit."""
    every = joined([segment.documents(alive) for segment, alive in segments]).sorted_by_id()
    return [build(part, zone) for part in every.in_parts(SEGMENT_DOCUMENTS_MAX) if len(part)]


def _numbered(name: str, values: Array) -> dict[str, Array]:
    """A column of few different values: each one's place among them, and, under the name's plural, the values."""
    values, places = np.unique(values, return_inverse=True)
    return {name: places.astype(np.uint16), f"{name}s": values}


def _extensions_of(documents: Documents) -> dict[str, Array]:
    """`extension`: a place in `extension_bytes`, which has each one, rising, followed by a NUL. Folders and links have
    none."""
    is_file = (documents.kind >= FIRST_FILE_KIND).tolist()
    own = [extension_of(name) if file else b"" for name, file in zip(documents.names, is_file, strict=True)]
    known = sorted(set(own))
    place_of = {extension: place for place, extension in enumerate(known)}
    every = b"".join([extension + b"\0" for extension in known])
    places = np.array([place_of[extension] for extension in own], np.uint16)
    return {"extension": places, "extension_bytes": np.frombuffer(every, np.uint8)}


def _range(values: Array) -> Range:
    return Range(int(values.min()), int(values.max())) if len(values) else Range(0, 0)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
