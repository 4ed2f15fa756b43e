"""S3-compatible storage keeps the contract of every backend; a store works on it as on a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cas.errors import BlobMissing, BlobUnreadable, StoreFailed, StoreNotReady
from cas.journal import Journal
from cas.s3 import S3Backend
from cas.store import BlobStore
from tests.shared.backend_suite import BackendSuite, get, put
from tests.shared.s3 import new_bucket, s3_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture
def backend(url: str, tmp_path: Path) -> Iterator[S3Backend]:
    made = S3Backend(new_bucket(url).open(), tmp_path)
    yield made
    made.close()


class TestS3Backend(BackendSuite):
    has_folders = False

    @pytest.fixture
    def backend(self, url: str, tmp_path: Path) -> Iterator[S3Backend]:
        made = S3Backend(new_bucket(url).open(), tmp_path)
        yield made
        made.close()


def test_a_store_and_its_journal_on_s3(backend: S3Backend) -> None:
    class NoShards(S3Backend):
        """Folders are nothing here: 65,792 names need not be looked at."""

        def prepare(self, folders: object) -> None:
            """Nothing to do."""

    backend.__class__ = NoShards
    store = BlobStore.open(backend, BlobStore.initialise(backend))
    blob = store.place(store.stage([b"hello " * 100_000]))
    store.check(blob)
    writer = store.pack()
    small = writer.add(b"small")
    staged = writer.finish()
    store.place_pack(staged)
    assert store.check_pack(staged.pack_id)[0].digest == small.digest
    journal = Journal(backend)
    first = journal.append("a/b", 1, None, b"one")
    journal.append("a/b", 2, first, b"two")
    journal.erase("a/b", 1, ())
    assert [record.body for record in journal.records("a/b")] == [None, b"two"]


def test_a_bucket_that_is_not_there_is_named(url: str, tmp_path: Path) -> None:
    place = new_bucket(url)
    place = type(place)(
        bucket="no-such-bucket", prefix="", region="us-east-1", endpoint=url, access_key="a", secret_key="b"
    )
    with pytest.raises(StoreNotReady, match="bucket"):
        S3Backend(place.open(), tmp_path)


def test_a_server_that_went_away_fails_requests_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cas.s3.RETRIES_MAX", 0)
    with s3_server() as url:
        backend = S3Backend(new_bucket(url).open(), tmp_path)
        put(backend, "box/a", b"x")
        assert get(backend, "box/a") == b"x"
    with pytest.raises(StoreFailed):
        put(backend, "box/b", b"y")
    with pytest.raises((BlobMissing, BlobUnreadable)):
        backend.open("box/a")
    assert backend.read_only_reason is None
    backend.close()
