"""Stores for tests: the real local backend, without the 65,792 folders that a real store has from its beginning on."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from cas.local import LocalBackend, parent_of
from cas.store import BlobStore

_SHARD: Final = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{2}|packs/[0-9a-f]{2}")


class SparseBackend(LocalBackend):
    """The local backend, except that a shard folder is made when it is first needed: a new store takes milliseconds."""

    def prepare(self, folders: Iterable[str]) -> None:
        super().prepare(folder for folder in folders if not _SHARD.fullmatch(folder))

    def publish(self, keys: Mapping[str, str]) -> None:
        super().prepare(folder for folder in map(parent_of, keys.values()) if _SHARD.fullmatch(folder))
        super().publish(keys)


def new_store(root: Path) -> tuple[SparseBackend, BlobStore]:
    """A new store below the folder `root`, which must be empty, and the backend it lies on."""
    backend = SparseBackend(root)
    return backend, BlobStore.open(backend, BlobStore.initialise(backend))
