"""Changes: what a manifest can do to a device. By path, as a client names things, or by entry, as a person picks.

Where no mtime is given, what is there keeps its own, and what is new has the moment of the commit.
"""

import msgspec

from cas.blob import Blob
from cas.digest import Digest
from catalog.values import Area, EntryPath


class AddFile(msgspec.Struct, frozen=True):
    """A file whose bytes were just placed under a claim. No mode: as it was, else none. `beside`: it replaces nothing;
    where another file has the name, it gets a number."""

    path: EntryPath
    blob: Blob
    blob_id: int
    mtime_ns: int | None = None
    mode: int | None = None
    area: Area = Area.ORIGINALS
    beside: bool = False


class AddKnown(msgspec.Struct, frozen=True):
    """A file whose bytes the tenant possesses already."""

    path: EntryPath
    digest: Digest
    size_bytes: int
    mtime_ns: int | None = None
    mode: int | None = None
    area: Area = Area.ORIGINALS


class AddDirectory(msgspec.Struct, frozen=True):
    path: EntryPath
    mtime_ns: int | None = None
    mode: int | None = None
    area: Area = Area.ORIGINALS


class AddLink(msgspec.Struct, frozen=True):
    """A symbolic link; `target` is kept as it is and never followed here."""

    path: EntryPath
    target: bytes
    mtime_ns: int | None = None
    area: Area = Area.ORIGINALS


class RemovePath(msgspec.Struct, frozen=True):
    """Into the hold; a directory with all that is in it. A path that is not there changes nothing."""

    path: EntryPath
    area: Area = Area.ORIGINALS


class RenameEntry(msgspec.Struct, frozen=True):
    """Another last name for a live entry."""

    entry_id: int
    name: bytes


class MoveEntry(msgspec.Struct, frozen=True):
    """Another folder of the same area for a live entry, under its name; made where it is missing."""

    entry_id: int
    directory: EntryPath


class RevertEntry(msgspec.Struct, frozen=True):
    """The content of an old version, again, at the place where its file is now."""

    entry_id: int


class DeleteEntry(msgspec.Struct, frozen=True):
    """Into the hold; a directory with all that is in it."""

    entry_id: int


class DeleteEmpty(msgspec.Struct, frozen=True):
    """A live directory into the hold, if nothing live is in it any more; else it stays."""

    entry_id: int


class RecoverEntry(msgspec.Struct, frozen=True):
    """Out of the hold, to its place; a directory with what was deleted along with it."""

    entry_id: int


PathChange = AddFile | AddKnown | AddDirectory | AddLink | RemovePath
EntryChange = RenameEntry | MoveEntry | RevertEntry | DeleteEntry | DeleteEmpty | RecoverEntry
Change = PathChange | EntryChange
