"""What is known of jobs, renditions and media, as values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cas.blob import Blob
from catalog.recipes import Lane, SourceKind, Value
from catalog.values import Entry, EntryPath


class JobState(StrEnum):
    """`failed`: set aside, with the reason; it stays until somebody tries again or deletes it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What the lifetime counters count. `retried` and `lost` are tries, the others are jobs."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its card shows it. `path`: of the source; `outputs`: entries it made that are still there, live or
    held."""

    id: int
    recipe: str
    parameters: dict[str, Value]
    entry_id: int
    device_id: int
    path: EntryPath
    state: JobState
    progress: int
    failure: str | None
    has_log: bool
    asked_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outputs: list[Entry]
    output_count: int


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that a worker holds. `claim` is its right to finish it: a later claim of the same job takes it away."""

    id: int
    claim: int
    tenant_id: int
    recipe: str
    version: int
    parameters: dict[str, Value]
    source_id: int
    source: Blob
    entry_id: int | None
    device_id: int | None
    lane: Lane
    refusals: int
    asked_by: str

    @property
    def is_rendition(self) -> bool:
        return self.entry_id is None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file's content says of it. Sizes in pixels as a person sees it; `taken_ns` as UTC where the file gives an
    offset, else as the local time written there, which the catalog places in the tenant's time zone."""

    kind: SourceKind
    media_type: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    pages: int | None = None
    taken_ns: int | None = None
    taken_source: str | None = None
    taken_has_offset: bool = False
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Rendition:
    """A thumbnail or preview that is there."""

    blob: Blob
    media_type: str


class RenditionState(StrEnum):
    """What is to be said of a rendition that is not there."""

    COMING = "coming"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Origin:
    """How a derived file was made. `source`: an entry of the tenant's with these bytes, if one is left."""

    source_digest: str
    recipe: str
    version: int
    parameters: dict[str, Value]
    made_at: datetime
    source: Entry | None


@dataclass(frozen=True, slots=True)
class Derived:
    """A file made of another one."""

    entry: Entry
    recipe: str
    version: int
    parameters: dict[str, Value]
    made_at: datetime


@dataclass(frozen=True, slots=True)
class JobCount:
    """A lifetime counter."""

    recipe: str
    outcome: Outcome
    jobs: int
    milliseconds: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """How the queue stands now."""

    waiting: int
    running: int
    failed: int
    oldest_waiting: datetime | None
