"""The replica that the settings name, as a backend."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from cas.backend import Backend
from cas.errors import StoreNotReady
from cas.local import LocalBackend
from cas.s3 import S3Backend, S3Place
from catalog.settings import Settings

S3: Final = "s3://"


@contextmanager
def opened_replica(settings: Settings) -> Iterator[Backend]:
    """Open for as long as the body runs. Raises `StoreNotReady` where none is set, or it cannot be reached."""
    if settings.replica is None:
        raise StoreNotReady("REPLICA is not set: name a folder, or s3://bucket/prefix")
    if not settings.replica.startswith(S3):
        with closing(LocalBackend(Path(settings.replica))) as folder:
            yield folder
        return
    # What is on its way is made anew by the next run, so the spool is a new folder each time.
    spool = Path(tempfile.mkdtemp(prefix="otb-replica-", dir=settings.replica_spool))
    try:
        with closing(S3Backend(place_of(settings).open(), spool)) as bucket:
            yield bucket
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def place_of(settings: Settings) -> S3Place:
    """Where an `s3://bucket/prefix` points."""
    bucket, _, prefix = (settings.replica or "").removeprefix(S3).partition("/")
    return S3Place(
        bucket=bucket,
        prefix=prefix,
        region=settings.replica_s3_region,
        endpoint=settings.replica_s3_endpoint,
        access_key=settings.replica_s3_access_key,
        secret_key=settings.replica_s3_secret_key,
    )
