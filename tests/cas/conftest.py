"""Stores to test on: the local one and the one in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cas.backend import Backend
from cas.memory import MemoryBackend
from cas.store import BlobStore
from tests.shared.stores import SparseBackend, new_store


@pytest.fixture
def local(tmp_path: Path) -> Iterator[SparseBackend]:
    """The backend of a new local store."""
    backend, _ = new_store(tmp_path)
    yield backend
    backend.close()


@pytest.fixture
def local_store(local: SparseBackend) -> BlobStore:
    return BlobStore.open(local)


@pytest.fixture(scope="module")
def memory() -> MemoryBackend:
    """The backend of a store in memory, one for a module: its 65,536 folders are names only, but so many."""
    backend = MemoryBackend()
    BlobStore.initialise(backend)
    return backend


@pytest.fixture(params=["local", "memory"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn, with a store on it."""
    backend: Backend = request.getfixturevalue(request.param)
    return backend


@pytest.fixture
def store(backend: Backend) -> BlobStore:
    return BlobStore.open(backend)
