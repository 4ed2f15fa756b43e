"""Leaving the store: a blob goes to its day's trash with all that belongs to it, and may come again."""

from datetime import date

import pytest

from cas.backend import Backend
from cas.blob import Blob
from cas.errors import BlobMissing
from cas.layout import TRASH
from cas.memory import MemoryBackend
from cas.store import BlobStore
from tests.cas.samples import KIB, MIB, noise, prose

DAY = date(2024, 5, 3)


@pytest.fixture
def backend() -> Backend:
    return MemoryBackend()


def put(store: BlobStore, data: bytes) -> Blob:
    return store.place(store.stage([data]))


@pytest.mark.parametrize("data", [noise(3 * KIB), prose(2 * MIB), noise(9 * MIB)], ids=["small", "zstd", "pieces"])
def test_what_is_trashed_is_gone_and_may_come_and_go_again(backend: Backend, data: bytes) -> None:
    store = BlobStore.open(backend, BlobStore.initialise(backend))
    for round_number in (1, 2):
        blob = put(store, data)
        before = len(list(backend.list("blobs/")))
        store.trash(blob, DAY)
        moved = before - len(list(backend.list("blobs/")))
        trash = list(backend.list(f"{TRASH}/2024-05-03/"))
        assert len(trash) == round_number * moved
        with pytest.raises(BlobMissing):
            store.check(blob)


def test_what_is_not_there_is_no_error(backend: Backend) -> None:
    store = BlobStore.open(backend, BlobStore.initialise(backend))
    blob = put(store, b"once")
    store.trash(blob, DAY)
    store.trash(blob, DAY)
    assert len(list(backend.list(f"{TRASH}/"))) == 1
