"""What journal records say: one JSON line per fact, all that a rebuild needs. Bytes are base64, digests hex.

A device's chain carries manifests: a `manifest` line, then an `add` or `remove` line per entry, or one `purge` line,
and a `derivation` line per file that was made of another. The tenant's chain carries what was decided of the account,
its devices, their tokens and its settings. Either may carry a `checkpoint` line, which stands for all that lies before
it. Chains under `audit/` carry the audit's heads. Fields are only ever added, never renamed.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Protocol

import msgspec

from cas.digest import Digest


class JournalWriter(Protocol):
    """What the catalog needs of the journal; `cas.journal.Journal` is one."""

    def append(self, chain: str, sequence: int, previous: Digest | None, body: bytes) -> Digest:
        """Make the record durable and return its digest. A record that lay there already is marked abandoned."""


class JournalRecord(Protocol):
    """A link of a chain that was read: its place, its digest, and its body, if that was not erased."""

    @property
    def sequence(self) -> int: ...

    @property
    def digest(self) -> Digest: ...

    @property
    def body(self) -> bytes | None: ...


class JournalReader(Protocol):
    """What a rebuild needs of the journal. Everything raises the journal's own error where a chain is broken."""

    def chains(self) -> Iterator[str]:
        """Every chain there is."""

    def records(self, chain: str, first: int = 0) -> Iterator[JournalRecord]:
        """The chain's records in order, from `first` on."""

    def part(self, chain: str, through: int, number: int, digest: Digest) -> bytes:
        """One part of a checkpoint."""


class JournalKeeper(JournalReader, JournalWriter, Protocol):
    """What making a checkpoint needs besides."""

    def settle(self, chain: str, sequence: int) -> int:
        """Mark what lies beyond the head as abandoned."""

    def add_part(self, chain: str, through: int, number: int, lines: bytes) -> Digest:
        """Make one part of a checkpoint durable."""

    def erase(self, chain: str, through: int, keep: Collection[Digest]) -> int:
        """Erase the bodies up to there, and every part but these."""


class BlobFacts(msgspec.Struct, frozen=True):
    digest: str
    size_bytes: int
    stored_bytes: int
    crc32: int
    encoding: str
    media_type: str | None = None


class ManifestLine(msgspec.Struct, frozen=True, tag_field="fact", tag="manifest", omit_defaults=True):
    device: int
    sequence: int
    at: datetime
    actor_kind: str
    actor: str
    note: str
    action: str = ""
    commit: str = ""
    """The same random text in every record of a change that several devices share."""
    shared_with: dict[str, int] = msgspec.field(default_factory=dict)
    """Of such a change: device → sequence of its record. What is missing one of them was never committed."""
    history_from: datetime | None = None
    """Of a purge by a rule: the moment from which on the device can still be shown whole."""


class DerivationFact(msgspec.Struct, frozen=True):
    """How a file was made: of the bytes `source`, by a recipe's version, with `parameters` (canonical JSON, as in the
    catalog)."""

    source: str
    recipe: str
    version: int
    parameters: str
    made_at: datetime


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
    derivation: DerivationFact | None = None


class RemoveLine(msgspec.Struct, frozen=True, tag_field="fact", tag="remove"):
    id: int
    why: str


class PurgeLine(msgspec.Struct, frozen=True, tag_field="fact", tag="purge"):
    """These entries are gone for good, and each directory among them with its identity, unless it is a root. `live` of
    them were live."""

    ids: list[int]
    live: int = 0


class RetentionLine(msgspec.Struct, frozen=True, tag_field="fact", tag="retention"):
    """The tenant's rule for replaced versions from now on; None in both: kept for ever."""

    versions_kept: int | None
    days_kept: int | None
    at: datetime


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


class TenantLine(msgspec.Struct, frozen=True, tag_field="fact", tag="tenant"):
    """What an operator decided of the account, from now on. `quota_bytes` None: the default of the settings."""

    billing_client: str
    label: str
    status: str
    quota_bytes: int | None
    time_zone: str


class TokenLine(msgspec.Struct, frozen=True, tag_field="fact", tag="token"):
    """A device token that works from now on; its SHA-256 alone."""

    id: int
    device: int
    token_hash: bytes
    label: str
    created_at: datetime


class TokenRevokedLine(msgspec.Struct, frozen=True, tag_field="fact", tag="token_revoked"):
    id: int
    at: datetime


class ManifestStateLine(msgspec.Struct, frozen=True, tag_field="fact", tag="manifest_state"):
    """In a checkpoint: a manifest as its row has it, with the digest of the record that carried it."""

    manifest: ManifestLine
    record_digest: str
    added: int
    removed: int
    purged: int
    size_bytes: int
    files: int


class IntervalLine(msgspec.Struct, frozen=True, tag_field="fact", tag="interval", omit_defaults=True):
    """In a checkpoint: an entry with the manifest that added it and, if one did, the one that ended it and why."""

    entry: AddLine
    added: int
    removed: int = 0
    why: str = ""


class CheckpointLine(msgspec.Struct, frozen=True, tag_field="fact", tag="checkpoint"):
    """All that the records up to `through` say, and is still true, stands in these parts (hex digests, in order)."""

    through: int
    parts: list[str]
    next_id: int
    """No smaller id may be given again: entries that were purged had some of them."""


class AuditHeadFact(msgspec.Struct, frozen=True):
    """Where an audit chain stands. `chain`: the tenant's uuid, or `system`; `hash` of the event `sequence`, hex."""

    chain: str
    sequence: int
    hash: str


class AuditHeadsLine(msgspec.Struct, frozen=True, tag_field="fact", tag="audit_heads"):
    """The audit's heads that changed since the record before, in the chains under `audit/` (no rebuild needs them).

    `signature`: Ed25519, hex, of `catalog.audit_signing.message`, where a key is configured.
    """

    at: datetime
    heads: list[AuditHeadFact]
    signature: str | None = None


ManifestFact = ManifestLine | AddLine | RemoveLine | PurgeLine
TenantFact = TenantLine | DeviceLine | DeviceRemovedLine | TokenLine | TokenRevokedLine | RetentionLine
StateFact = ManifestStateLine | IntervalLine | CheckpointLine
Line = ManifestFact | TenantFact | StateFact | AuditHeadsLine

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(lines: Iterable[Line]) -> bytes:
    """The body of a journal record."""
    return _encoder.encode_lines(lines)


def decode(body: bytes) -> list[Line]:
    """The lines of a record's body. Raises `msgspec.ValidationError`."""
    return [_decoder.decode(line) for line in body.split(b"\n") if line]
