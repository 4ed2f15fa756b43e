"""`Trash`: what left the store and still waits, by day. Putting there is `BlobStore.trash` and `trash_pack`; here it is
listed, brought back where something names it after all, and at last removed."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from cas.backend import Backend, ObjectInfo
from cas.blob import Blob, parsed_pack_location
from cas.digest import Digest
from cas.errors import BlobMissing
from cas.layout import BLOBS, TRASH, object_keys, pack_key, trash_folder

DAYS_MAX: Final = 400
"""How far back the trash is searched for one object."""

_NAME: Final = re.compile(
    r"trash/(\d{4}-\d{2}-\d{2})/(?:([0-9a-f]{64})(\.zst|\.pieces)?\.[0-9a-f]{8}|([0-9a-f]{32})\.pack)"
)


@dataclass(frozen=True, slots=True)
class Trashed:
    """An object in the trash: `home` is the key that it had. One of `digest` and `pack_id` is None."""

    key: str
    day: date
    home: str
    size_bytes: int
    digest: Digest | None
    pack_id: str | None


class Trash:
    """The trash of the store on this backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def all(self) -> Iterator[Trashed]:
        """Everything, oldest day first. What was not put there by the store is left out."""
        return (found for info in self._backend.list(f"{TRASH}/") if (found := parsed(info)) is not None)

    def restore(self, blob: Blob, today: date) -> bool:
        """Bring back what holds this blob's bytes, the newest copy. False if the trash does not have it. Raises
        `StoreReadOnly`, `StoreFull`, `StoreFailed`."""
        place = parsed_pack_location(blob.location)
        homes = object_keys(blob) if place is None else [pack_key(place[0])]
        found = [self._newest(home, today) for home in homes]
        if not found or found[0] is None:
            return False
        for trashed in reversed(found):  # the pieces first: without the blob they harm nobody
            if trashed is not None:
                self.put_back(trashed)
        return True

    def put_back(self, trashed: Trashed) -> None:
        """Give it its key again. What is gone meanwhile is no error."""
        self._backend.prepare([trashed.home.rpartition("/")[0]])
        with suppress(BlobMissing):
            self._backend.move(trashed.key, trashed.home)

    def remove(self, trashed: Trashed) -> None:
        """For good."""
        self._backend.remove(trashed.key)

    def is_home(self, trashed: Trashed) -> bool:
        """Whether an object lies under the key that it had."""
        try:
            self._backend.stat(trashed.home)
        except BlobMissing:
            return False
        return True

    def _newest(self, home: str, today: date) -> Trashed | None:
        name = home.rpartition("/")[2]
        for days in range(-1, DAYS_MAX):
            folder = trash_folder(today - timedelta(days=days))
            found = [parsed(info) for info in self._backend.list(f"{folder}/{name}")]
            fitting = [one for one in found if one is not None and one.home == home]
            if fitting:
                return fitting[-1]
        return None


def parsed(info: ObjectInfo) -> Trashed | None:
    """What a key in the trash says of its object, or None for any other name."""
    match = _NAME.fullmatch(info.key)
    if match is None:
        return None
    day, hex_digest, suffix, pack_id = match.groups()
    if pack_id is not None:
        home, digest = pack_key(pack_id), None
    else:
        home, digest = (
            f"{BLOBS}/{hex_digest[:2]}/{hex_digest[2:4]}/{hex_digest}{suffix or ''}",
            Digest.from_hex(hex_digest),
        )
    try:
        return Trashed(info.key, date.fromisoformat(day), home, info.size_bytes, digest, pack_id)
    except ValueError:
        return None
