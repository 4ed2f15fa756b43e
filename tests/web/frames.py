"""Bodies of `application/vnd.otb.blobs` as a client makes them."""

import struct
from collections.abc import Iterable

import httpx2
from blake3 import blake3

from web.blob_frames import BLOBS_TYPE


def hex_of(content: bytes) -> str:
    return blake3(content).hexdigest()


def frame(content: bytes, digest: str | None = None, size: int | None = None) -> bytes:
    """One blob; with another digest or length than its own where one is given."""
    return (
        struct.pack(">32sQ", bytes.fromhex(digest or hex_of(content)), len(content) if size is None else size) + content
    )


def send(client: httpx2.Client, *contents: bytes) -> httpx2.Response:
    return send_body(client, b"".join(map(frame, contents)))


def send_body(client: httpx2.Client, body: bytes | Iterable[bytes]) -> httpx2.Response:
    return client.post("/api/v1/blobs", content=body, headers={"Content-Type": BLOBS_TYPE})


def missing(client: httpx2.Client, *contents: bytes) -> list[str]:
    found = client.post("/api/v1/blobs/missing", json={"digests": [hex_of(content) for content in contents]})
    assert found.status_code == 200, found.text
    digests: list[str] = found.json()["missing"]
    return digests
