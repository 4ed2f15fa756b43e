"""A blob that moved, or went to the trash by a fault, between its row and the reader: found all the same."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest
from cas.errors import BlobMissing
from cas.memory import MemoryBackend
from cas.store import BlobStore
from cas.trash import Trash
from catalog.errors import DatabaseUnavailable
from catalog.values import BlobRow
from web.second_look import SecondLook

pytestmark = pytest.mark.anyio

TODAY = datetime.now(UTC).date()


class Rows:
    """The one call of `SystemScope` that is needed."""

    def __init__(self) -> None:
        self.rows: dict[Digest, BlobRow] = {}
        self.fault: Exception | None = None

    async def blobs_by_digest(self, digests: list[Digest]) -> dict[Digest, BlobRow]:
        if self.fault is not None:
            raise self.fault
        return {digest: self.rows[digest] for digest in digests if digest in self.rows}


class Bench:
    def __init__(self) -> None:
        self.backend = MemoryBackend()
        plain = BlobStore.open(self.backend, BlobStore.initialise(self.backend))
        self.rows = Rows()
        look = SecondLook(self.rows, Trash(self.backend), asyncio.get_running_loop())  # type: ignore[arg-type]
        self.store = plain.with_second_look(look)

    def put(self, data: bytes) -> Blob:
        blob = self.store.place(self.store.stage([data]))
        self.name(blob)
        return blob

    def name(self, blob: Blob, state: str = "live") -> None:
        self.rows.rows[blob.digest] = BlobRow(1, blob, state)

    async def read(self, blob: Blob) -> bytes:
        return await asyncio.to_thread(self._read, blob)

    def _read(self, blob: Blob) -> bytes:
        with self.store.read(blob) as reader:
            return b"".join(reader.chunks())


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_blob_that_was_gathered_into_a_pack_is_read_there(bench: Bench) -> None:
    before = bench.put(b"content")
    with bench.store.pack() as writer:
        writer.add(b"content")
        [after] = bench.store.place_pack(writer.finish())
    bench.name(after)
    bench.store.trash(before, TODAY)
    assert await bench.read(before) == b"content"
    assert [info.key for info in bench.backend.list("trash/")], "nothing was brought back"


async def test_a_blob_whose_pack_was_rewritten_is_read_in_the_new_one(bench: Bench) -> None:
    blobs: list[Blob] = []
    for _ in range(2):
        with bench.store.pack() as writer:
            writer.add(b"content")
            blobs += bench.store.place_pack(writer.finish())
    bench.name(blobs[1])
    bench.store.trash_pack(blobs[0].location.split(":")[1], TODAY)
    assert await bench.read(blobs[0]) == b"content"


@pytest.mark.parametrize("size", [7, 9 << 20], ids=["small", "with pieces"])
async def test_what_is_in_the_trash_and_named_comes_back_loudly(
    bench: Bench, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    blob = bench.put(bytes(range(7)) * (size // 7))
    bench.store.trash(blob, TODAY)
    assert len(await bench.read(blob)) == blob.size_bytes
    bench.store.check(blob)
    assert list(bench.backend.list("trash/")) == []
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


async def test_a_pack_in_the_trash_that_is_named_comes_back(bench: Bench) -> None:
    with bench.store.pack() as writer:
        writer.add(b"content")
        [blob] = bench.store.place_pack(writer.finish())
    bench.name(blob)
    bench.store.trash_pack(blob.location.split(":")[1], TODAY)
    assert await bench.read(blob) == b"content"


@pytest.mark.parametrize("state", ["deleting", None])
async def test_what_the_catalog_let_go_of_is_missing_and_stays_in_the_trash(bench: Bench, state: str | None) -> None:
    blob = bench.put(b"content")
    bench.store.trash(blob, TODAY)
    if state is None:
        bench.rows.rows.clear()
    else:
        bench.name(blob, state)
    with pytest.raises(BlobMissing):
        await bench.read(blob)
    assert len(list(bench.backend.list("trash/"))) == 1


async def test_what_is_nowhere_is_missing(bench: Bench) -> None:
    blob = Blob(Digest.of(b"never"), 5, 5, 0, Encoding.IDENTITY, OWN_FILE)
    bench.name(blob)
    with pytest.raises(BlobMissing):
        await bench.read(blob)


async def test_without_a_catalog_it_is_missing(bench: Bench) -> None:
    blob = bench.put(b"content")
    bench.store.trash(blob, TODAY)
    bench.rows.fault = DatabaseUnavailable("away")
    with pytest.raises(BlobMissing):
        await bench.read(blob)
