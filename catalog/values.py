"""The catalog's value types. Parsed once, at the edge: a path that could escape cannot exist further in."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, Generic, TypeVar

import msgspec

from cas.blob import Blob
from cas.digest import Digest
from catalog.errors import BadPath

NAME_BYTES_MAX: Final = 255
PATH_BYTES_MAX: Final = 4096
PATH_LEVELS_MAX: Final = 64
FOLDERS_REMEMBERED: Final = 1_024
"""A manifest says the same folders' names again and again."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

T = TypeVar("T")


class Area(StrEnum):
    """The two areas of a device whose content is entries."""

    ORIGINALS = "originals"
    DERIVED = "derived"


class EntryKind(StrEnum):
    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"


class MediaKind(StrEnum):
    """What a person would call the content."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    OTHER = "other"


class DeviceKind(StrEnum):
    LAPTOP = "laptop"
    PHONE = "phone"
    TABLET = "tablet"
    WORKPC = "workpc"
    HOMEPC = "homepc"
    SERVER = "server"
    OTHER = "other"


class Removal(StrEnum):
    """Why an entry's interval ended.

    `deleted` and `replaced` keep bytes that count in the quota; `renamed`, `amended` (same bytes, other times or
    mode) and `recovered` (was `deleted`, lives again since) have a successor that counts instead.
    """

    DELETED = "deleted"
    REPLACED = "replaced"
    RENAMED = "renamed"
    AMENDED = "amended"
    RECOVERED = "recovered"


class Role(StrEnum):
    OWNER = "owner"
    MEMBER = "member"
    STAFF = "staff"


class DateKind(StrEnum):
    """Which date a search means. `taken` falls back to `modified` where no date taken is known."""

    TAKEN = "taken"
    MODIFIED = "modified"
    UPLOADED = "uploaded"


class EntryPath(msgspec.Struct, frozen=True):
    """A path inside one area of one device: names from the area's root down; `EntryPath(())` is the root."""

    names: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.names) > PATH_LEVELS_MAX:
            raise BadPath(f"A path has at most {PATH_LEVELS_MAX} levels. Move this folder further up.")
        above, last = self.names[:-1], self.names[-1:]
        if _checked_bytes(above) + sum(map(len, last)) + len(self.names) > PATH_BYTES_MAX:
            raise BadPath(f"A path has at most {PATH_BYTES_MAX:,} bytes. Shorten the folders' names.")
        for name in last:
            check_name(name)

    @classmethod
    def parse(cls, text: str) -> "EntryPath":
        """Parse `a/b/c`: no empty, `.` or `..` name, no control character, no `/` at the ends. Raises `BadPath`."""
        if not text:
            return cls(())
        above, slash, last = text.rpartition("/")
        return cls((*(_parse_folders(above) if slash else ()), parse_name(last)))

    @classmethod
    def parse_bytes(cls, raw: bytes) -> "EntryPath":
        """Parse a path of any bytes but NUL, as file systems hold them (`path_bytes`). Raises `BadPath`."""
        return cls(tuple(raw.split(b"/")) if raw else ())

    @property
    def parent(self) -> "EntryPath":
        return EntryPath(self.names[:-1])

    @property
    def name(self) -> bytes:
        return self.names[-1] if self.names else b""

    @property
    def raw(self) -> bytes:
        return b"/".join(self.names)

    def child(self, name: bytes) -> "EntryPath":
        return EntryPath((*self.names, name))

    def __str__(self) -> str:
        return self.raw.decode("utf-8", "replace")


@lru_cache(maxsize=FOLDERS_REMEMBERED)
def _parse_folders(text: str) -> tuple[bytes, ...]:
    """The names of a path; for those above the last one."""
    return tuple(map(parse_name, text.split("/")))


@lru_cache(maxsize=FOLDERS_REMEMBERED)
def _checked_bytes(names: tuple[bytes, ...]) -> int:
    """How many bytes the names of a folder's path have. Raises `BadPath` unless each can be one."""
    for name in names:
        check_name(name)
    return sum(map(len, names))


def check_name(name: bytes) -> None:
    """Raise `BadPath` unless `name` can be one name in a directory."""
    if not name:
        raise BadPath("A name is empty. Give every folder and file a name, without doubled slashes.")
    if name in (b".", b".."):
        raise BadPath("A path must not contain “.” or “..” as a name. Give the full path from the device's root.")
    if b"/" in name or b"\0" in name:
        raise BadPath("A name must not contain a slash or a NUL character. Rename the file.")
    if len(name) > NAME_BYTES_MAX:
        raise BadPath(f"A name has at most {NAME_BYTES_MAX} bytes; this one has {len(name)}. Shorten it.")


def parse_name(text: str) -> bytes:
    """One name as a person or a URL writes it: `check_name`, and no control characters. Raises `BadPath`."""
    if _CONTROL.search(text):
        raise BadPath("A name must not contain control characters such as tab or line feed. Rename the file.")
    try:
        name = text.encode()
    except UnicodeEncodeError as e:
        raise BadPath("A name is not valid Unicode. Send its bytes as path_bytes instead.") from e
    check_name(name)
    return name


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: `kind` is user, device, staff, operator or system; `address` the client's, if any."""

    kind: str
    name: str
    id: int | None = None
    address: str | None = None
    on_behalf_of: str | None = None
    """Of staff: the owner who let them in."""
    grant_id: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list, and the cursor of the next one, or None."""

    items: list[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class Tenant:
    id: int
    uuid: str
    billing_client: str
    label: str
    status: str
    quota_bytes: int
    used_bytes: int
    time_zone: str


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    email: str
    role: Role


@dataclass(frozen=True, slots=True)
class Staff:
    id: int
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class UsedGrant:
    """What a redeemed grant gives a staff session, until `expires_at`. `devices` None: all of the account's."""

    id: int
    issued_by: str
    may_write: bool
    devices: frozenset[int] | None
    expires_at: datetime


class BillingStatus(StrEnum):
    """What OTB Billing says of a customer."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class BillingReport:
    """A verified report of OTB Billing. `expires_at` includes the allowed skew."""

    jti: str
    expires_at: datetime
    billing_client: str
    status: BillingStatus


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as its owner sees it. `devices` None: all. The token lives until `expires_at`, and so does the access."""

    id: int
    reason: str
    may_write: bool
    devices: frozenset[int] | None
    created_at: datetime
    created_by: str
    expires_at: datetime
    redeemed_at: datetime | None
    staff: str | None
    seen_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None

    def state(self, now: datetime) -> str:
        """`waiting` for staff to redeem it, in `use`, `ended` by somebody, or `expired`."""
        if self.ended_at is not None:
            return "ended"
        if now >= self.expires_at:
            return "expired"
        return "waiting" if self.redeemed_at is None else "use"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of an account, as OTB Billing last said who they are."""

    id: int
    name: str
    email: str
    role: Role
    created_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Where somebody is signed in. `id` names the session and opens nothing."""

    id: str
    user_id: int
    user: str
    address: str | None
    user_agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class HandoffClaims:
    """A verified handoff: what OTB Billing says of who comes. `expires_at` includes the allowed skew."""

    jti: str
    expires_at: datetime
    billing_client: str
    subject: str
    email: str
    name: str
    label: str
    role: Role


@dataclass(frozen=True, slots=True)
class SessionView:
    """A live session: either a tenant's user, or staff. Staff have a tenant while a grant lets them in."""

    id_hash: bytes
    tenant: Tenant | None
    user: User | None
    staff: Staff | None
    grant: UsedGrant | None = None


@dataclass(frozen=True, slots=True)
class DeviceTokenView:
    tenant: Tenant
    device_id: int
    token_id: int
    label: str


class System(StrEnum):
    """The operating systems that `otb-cloud` runs on."""

    LINUX = "linux"
    MACOS = "macos"
    WINDOWS = "windows"


@dataclass(frozen=True, slots=True)
class StartedConnection:
    """What a computer that asks to be connected is told: its own secret, and the code for its person."""

    device_code: str
    user_code: str
    expires_in_seconds: int
    interval_seconds: int


@dataclass(frozen=True, slots=True)
class Connection:
    """A computer that waits to be connected, as it described itself; `address`: where it asked from."""

    id: int
    code: str
    name: str
    system: System
    kind: DeviceKind
    address: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Connected:
    """The end of a connection: the device's token, shown this once, and whose it is."""

    token: str
    device_id: int
    device_name: str
    tenant_label: str


@dataclass(frozen=True, slots=True)
class DeviceToken:
    id: int
    label: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class PlacedToken:
    """A device token and its device."""

    device_id: int
    device_name: str
    token: DeviceToken


@dataclass(frozen=True, slots=True)
class Device:
    id: int
    name: str
    kind: DeviceKind
    source_directories: list[str]
    created_at: datetime
    last_upload_at: datetime | None
    file_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One interval of one name. `uploaded_at` is when it was added; `path` includes the name."""

    id: int
    device_id: int
    device_name: str
    area: Area
    node_id: int
    path: EntryPath
    name: bytes
    kind: EntryKind
    blob: Blob | None
    size_bytes: int
    mode: int | None
    mtime_ns: int
    taken_ns: int | None
    uploaded_at: datetime
    media_kind: MediaKind
    media_type: str
    link_target: bytes | None
    removed_at: datetime | None
    removal: Removal | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One change set of one device. `sequence` counts from 1 in the device. `purged`: entries that it removed for good,
    so that moments before it may show less than there was."""

    device_id: int
    sequence: int
    at: datetime
    actor_kind: str
    actor: str
    note: str
    added: int
    removed: int
    size_bytes: int
    purged: int = 0


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a commit did. `manifest` is None when nothing changed. `entry_ids`: per change, the entry it left, or 0;
    `is_new`: per change, whether it made a name that was not there. `deduplicated`: of the bytes that came along,
    what the tenant had before."""

    manifest: Manifest | None
    added: int
    replaced: int
    unchanged: int
    removed: int
    entry_ids: list[int]
    is_new: list[bool]
    deduplicated: list[Digest]


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge removed for good: entries of any kind, files among them (with all their versions), and the bytes
    that no longer count in the quota."""

    entries: int = 0
    files: int = 0
    freed_bytes: int = 0

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(
            self.entries + other.entries, self.files + other.files, self.freed_bytes + other.freed_bytes
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Restored:
    """What restoring a folder did, in so many manifests."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    manifests: int = 0

    def __add__(self, other: "Restored") -> "Restored":
        return Restored(
            self.added + other.added,
            self.replaced + other.replaced,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
            self.manifests + other.manifests,
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """The owner's rule for replaced versions: of each file the newest `versions_kept` stay, and all that were replaced
    within the last `days_kept` days. None: that half keeps nothing by itself; None in both: all stay for ever."""

    versions_kept: int | None = None
    days_kept: int | None = None

    @property
    def keeps_all(self) -> bool:
        return self.versions_kept is None and self.days_kept is None


@dataclass(frozen=True, slots=True)
class Claimable:
    """What is known of staged bytes before they are placed."""

    digest: Digest
    size_bytes: int
    stored_bytes: int
    crc32: int
    encoding: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed blob row. `blob_id` is its incarnation; `possessed`: this tenant had these bytes already; `packed`: the
    healthy copy in a pack, beside which a file of its own would be an orphan."""

    blob_id: int
    digest: Digest
    possessed: bool
    packed: Blob | None = None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event. `id` counts from 1 in the tenant; `hash` covers the event and the hash before it, as `detail_text`
    has it, which is `detail` as it is stored. `on_behalf_of`: of staff, who let them in."""

    id: int
    at: datetime
    actor_kind: str
    actor: str
    action: str
    subject: str
    detail: dict[str, object]
    address: str | None
    device_id: int | None = None
    on_behalf_of: str | None = None
    grant_id: int | None = None
    hash: bytes = b""
    actor_id: int | None = None
    detail_text: str = "{}"


@dataclass(frozen=True, slots=True)
class AuditActor:
    """Somebody whose acts are in the audit."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last event's number and hash; 0 and nothing while there is none."""

    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    used_bytes: int
    quota_bytes: int
    file_count: int
    device_count: int


@dataclass(frozen=True, slots=True)
class Export:
    """A saved selection. `size_bytes`: of its zips together; `etag` names the plan; `at`: the moment it shows, if not
    that of its making; `since`: the export after which it begins, `since_name` while that is still there."""

    id: int
    name: str
    created_at: datetime
    created_by: str
    member_count: int
    content_bytes: int
    size_bytes: int
    etag: str
    part_count: int
    time_zone: str
    part_bytes_max: int | None
    at: datetime | None
    since: int | None
    since_name: str | None


class Chosen(msgspec.Struct, frozen=True):
    """What an export takes. `raw_path` is as stored, names not made safe; parents come before their children."""

    entry_id: int
    raw_path: bytes
    kind: EntryKind
    blob: Blob | None
    mtime_ns: int
    mode: int | None

    @property
    def path(self) -> EntryPath:
        """Parsed anew each time: a zip of a million members needs it of none."""
        return EntryPath.parse_bytes(self.raw_path)


class Member(msgspec.Struct, frozen=True):
    """A member of an export in its place. `name`: in the zip, UTF-8; `offset`, `listed_at`, `central_at`: where its
    local header, its line in the list of digests and its central header begin, each from the start of its section of
    the part."""

    position: int
    part: int
    name: bytes
    offset: int
    listed_at: int
    central_at: int
    chosen: Chosen


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """One zip of an export: its members, the list of their digests, and the central directory, in bytes."""

    number: int
    member_count: int
    local_bytes: int
    central_bytes: int
    list_name: bytes
    list_bytes: int
    list_crc32: int
    list_mtime_ns: int
    size_bytes: int

    def sized(self, size_bytes: int) -> "PlannedPart":
        """The same with the length of its zip."""
        return replace(self, size_bytes=size_bytes)


@dataclass(frozen=True, slots=True)
class BlobRow:
    id: int
    blob: Blob
    state: str


@dataclass(frozen=True, slots=True)
class VerificationRecord:
    """The outcome of re-reading one blob: good, damaged or missing."""

    blob_id: int
    outcome: str


@dataclass(frozen=True, slots=True)
class ScrubRun:
    """A pass of tools/verify; `last_blob_id` is where it stands."""

    id: int
    started_at: datetime
    finished_at: datetime | None
    last_blob_id: int
    counts: dict[str, int] = field(default_factory=dict)
