"""An S3 server of our own for tests: moto, in this process, on a loopback port."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from moto.server import ThreadedMotoServer

from cas.s3 import S3Place

_numbers = itertools.count(1)


@contextmanager
def s3_server() -> Iterator[str]:
    """Its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def new_bucket(url: str) -> S3Place:
    """A bucket of its own, with versioning."""
    name = f"bucket-{next(_numbers)}"
    place = S3Place(
        bucket=name, prefix="cloud", region="us-east-1", endpoint=url, access_key="test", secret_key="test-secret"
    )
    for query, body in (("", ""), ("?versioning", _VERSIONING)):
        answer = httpx2.put(f"{url}/{name}{query}", content=body, headers={"Authorization": _AUTHORIZATION})
        assert answer.status_code == 200, answer.text
    return place


_AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=test/20261128/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
_VERSIONING = (
    '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status>'
    "</VersioningConfiguration>"
)
