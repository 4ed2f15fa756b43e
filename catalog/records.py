"""What journal records say: one JSON line per fact, all that a rebuild needs. Bytes are base64, digests hex.

A device's chain carries manifests: a `manifest` line, then an `add` or `remove` line per entry. The tenant's
chain carries `device` and `device_removed` lines. Fields are only ever added, never renamed.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import msgspec

from cas.digest import Digest


class JournalWriter(Protocol):
    """What the catalog needs of the journal; `cas.journal.Journal` is one."""

    def append(self, chain: str, sequence: int, previous: Digest | None, body: bytes) -> Digest:
        """Make the record durable and return its digest. A record that lay there already is marked abandoned."""


class BlobFacts(msgspec.Struct, frozen=True):
    digest: str
    size_bytes: int
    stored_bytes: int
    crc32: int
    encoding: str
    media_type: str | None = None


class ManifestLine(msgspec.Struct, frozen=True, tag_field="fact", tag="manifest"):
    device: int
    sequence: int
    at: datetime
    actor_kind: str
    actor: str
    note: str


class AddLine(msgspec.Struct, frozen=True, tag_field="fact", tag="add", omit_defaults=True):
    id: int
    node: int
    parent: int
    area: str
    name: bytes
    kind: str
    mtime_ns: int
    size_bytes: int = 0
    mode: int | None = None
    taken_ns: int | None = None
    link_target: bytes | None = None
    blob: BlobFacts | None = None


class RemoveLine(msgspec.Struct, frozen=True, tag_field="fact", tag="remove"):
    id: int
    why: str


class DeviceLine(msgspec.Struct, frozen=True, tag_field="fact", tag="device"):
    """A device as it is from now on, with the tenant it belongs to, so that a rebuild can name both."""

    id: int
    name: str
    kind: str
    source_directories: list[str]
    created_at: datetime
    roots: dict[str, int]
    billing_client: str
    label: str
    time_zone: str


class DeviceRemovedLine(msgspec.Struct, frozen=True, tag_field="fact", tag="device_removed"):
    id: int
    at: datetime


Line = ManifestLine | AddLine | RemoveLine | DeviceLine | DeviceRemovedLine

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(lines: Iterable[Line]) -> bytes:
    """The body of a journal record."""
    return _encoder.encode_lines(lines)


def decode(body: bytes) -> list[Line]:
    """The lines of a record's body. Raises `msgspec.ValidationError`."""
    return [_decoder.decode(line) for line in body.split(b"\n") if line]
