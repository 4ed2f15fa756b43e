"""Sample contexts for every template, as the handlers would give them: to look at, and to test the templates with.

The names are awkward on purpose: long, right-to-left, emoji, markup, bidirectional controls.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest
from cas.replicated import Replicated
from catalog.condition import Condition
from catalog.errors import HistoryGone
from catalog.history import Changed, ChangeKind, Span
from catalog.job_values import Outcome, QueueState
from catalog.safety import Assurance, Reread
from catalog.search import Facets
from catalog.trail import Keeping, Step, What
from catalog.undoing import Conflict, Undone, Why
from catalog.uploads import NewUpload, Upload
from catalog.usage import Breakdown, DeviceShare, KindShare, UsedDay
from catalog.values import (
    Area,
    AuditActor,
    AuditEvent,
    AuditHead,
    CommitResult,
    Connection,
    Device,
    DeviceKind,
    DeviceToken,
    Entry,
    EntryKind,
    EntryPath,
    Export,
    Grant,
    Manifest,
    MediaKind,
    OpenSession,
    Person,
    PlacedToken,
    PlannedPart,
    Removal,
    Retention,
    Role,
    System,
    Usage,
    UsedGrant,
)
from tests.browser.samples_jobs import NO_DERIVED, derive_context, derived_of, jobs_context, log_context
from web.client_files import InstallLine
from web.health import Health
from web.pages_folder import SORTS
from web.pages_health import Work
from web.pages_history import Line, View
from web.pages_people import LASTS
from web.pages_search import Choice, Year
from web.places import areas_of

NOW: Final = datetime.now(UTC).replace(microsecond=0)
GIB: Final = 1 << 30
PORTAL: Final = "https://portal.outsidethebox.top"


@dataclass(frozen=True, slots=True)
class Sample:
    """One page: where the preview serves it, its template, context and status."""

    url: str
    template: str
    context: dict[str, Any]
    status: int = 200


WORK: Final = [
    Work("Thumbnail", {Outcome.DONE: 12_345, Outcome.FAILED: 17, Outcome.LOST: 1}, 1_520.4),
    Work("Video", {Outcome.DONE: 42, Outcome.CANCELLED: 3, Outcome.RETRIED: 5}, 86_500.0),
]


def condition(verified_at: datetime | None, damaged: int, missing: int, uploads: int) -> Condition:
    return Condition(verified_at, damaged, missing, uploads, QueueState(12, 2, damaged, NOW), [])


def health(condition: Condition | None, *, status: str = "ok", is_store_writable: bool = True) -> Health:
    return Health(
        status, condition, 0.0021, is_store_writable, 3 * 86400 + 500, (0.42, 0.51, 0.6), 32 * GIB, 19 * GIB, 900 * GIB,
        610 * GIB, True, Replicated(NOW - timedelta(hours=9), NOW - timedelta(hours=33)),
    )  # fmt: skip


def blob(size_bytes: int = 4_718_592) -> Blob:
    return Blob(Digest.of(str(size_bytes).encode()), size_bytes, size_bytes, 7, Encoding.IDENTITY, OWN_FILE)


def entry(
    number: int,
    path: str,
    *,
    kind: EntryKind = EntryKind.FILE,
    media_kind: MediaKind = MediaKind.OTHER,
    media_type: str = "application/octet-stream",
    size_bytes: int = 4_718_592,
    age: timedelta = timedelta(days=40),
    removed: timedelta | None = None,
    removal: Removal | None = None,
    device: str = "laptop",
    area: Area = Area.ORIGINALS,
) -> Entry:
    where = EntryPath.parse_bytes(path.encode())
    is_file = kind is EntryKind.FILE
    return Entry(
        id=number,
        device_id=1,
        device_name=device,
        area=area,
        node_id=number,
        path=where,
        name=where.name,
        kind=kind,
        blob=blob(size_bytes) if is_file else None,
        size_bytes=size_bytes if is_file else 0,
        mode=0o644,
        mtime_ns=int((NOW - age).timestamp()) * 1_000_000_000,
        taken_ns=None,
        uploaded_at=NOW - min(age, timedelta(hours=3)),
        media_kind=media_kind,
        media_type=media_type,
        link_target=b"../elsewhere" if kind is EntryKind.LINK else None,
        removed_at=NOW - removed if removed else None,
        removal=removal,
    )


def image(number: int, path: str, **more: Any) -> Entry:
    return entry(number, path, media_kind=MediaKind.IMAGE, media_type="image/jpeg", **more)


DEVICES: Final = [
    Device(
        1,
        "laptop",
        DeviceKind.LAPTOP,
        ["/home/maya/Pictures", "/home/maya/Documents"],
        NOW,
        NOW - timedelta(hours=2),
        9_214,
        212 * GIB,
    ),
    Device(2, "Maya’s phone", DeviceKind.PHONE, [], NOW, NOW - timedelta(days=1), 3_120, 64 * GIB),
    Device(3, "studio PC", DeviceKind.WORKPC, ["D:\\Projects"], NOW, NOW - timedelta(days=12), 146, 31 * GIB),
    Device(4, "old tablet", DeviceKind.TABLET, [], NOW, None, 0, 0),
]
INSTALL: Final = [
    InstallLine("Linux and macOS", "Terminal", "curl -fsSL https://otb-cloud.example.com/connect/install.sh | sh"),
    InstallLine("Windows", "PowerShell", "irm https://otb-cloud.example.com/connect/install.ps1 | iex"),
]
KINDS: Final = [kind.value for kind in DeviceKind]
MEDIA_KINDS: Final = [kind.value for kind in MediaKind]
TOKENS: Final = [
    DeviceToken(5, "nightly backup", NOW - timedelta(days=90), NOW - timedelta(hours=8)),
    DeviceToken(6, "camera import", NOW - timedelta(days=3), None),
]
FOLDER: Final = [
    entry(10, "Photos/2019", kind=EntryKind.DIRECTORY),
    entry(11, "Photos/2020 – Gaspésie", kind=EntryKind.DIRECTORY),
    entry(12, "Photos/العائلة", kind=EntryKind.DIRECTORY),
    image(13, "Photos/IMG_2041.jpg"),
    image(
        14,
        "Photos/IMG_2042 (edited, final, really final, sent to the printer and to Grandma).jpg",
        size_bytes=12_600_000,
    ),
    entry(
        15,
        "Photos/first steps 👣.mp4",
        media_kind=MediaKind.VIDEO,
        media_type="video/mp4",
        size_bytes=3 * GIB + 77,
        age=timedelta(hours=5),
    ),
    entry(16, "Photos/song for Léo.flac", media_kind=MediaKind.AUDIO, media_type="audio/flac", age=timedelta(days=1)),
    entry(
        17,
        "Photos/Contract <b>draft.pdf",
        media_kind=MediaKind.DOCUMENT,
        media_type="application/pdf",
        size_bytes=91_000,
    ),
    entry(18, "Photos/invoice\u202egpj.exe", size_bytes=0),
    entry(19, "Photos/latest", kind=EntryKind.LINK),
]
EVENTS: Final = [
    *(
        AuditEvent(
            99 - n,
            NOW - timedelta(minutes=n),
            "user",
            "Maya Chen",
            "upload",
            f"Photos/IMG_{n:04}.jpg",
            {"added": 1, "bytes": 4_718_592},
            "203.0.113.7",
        )
        for n in range(6)
    ),
    AuditEvent(89, NOW - timedelta(minutes=12), "user", "Maya Chen", "sign_in", "user-1", {}, "203.0.113.7"),
    AuditEvent(
        88,
        NOW - timedelta(hours=30),
        "device",
        "nightly backup",
        "upload",
        "214 files",
        {"added": 214, "bytes": 2 * GIB},
        "2001:db8::7",
    ),
    AuditEvent(
        87,
        NOW - timedelta(hours=31),
        "user",
        "Jordan Okafor",
        "delete",
        "Photos/old and 2 more",
        {"removed": 3},
        "198.51.100.23",
    ),
    AuditEvent(
        86,
        NOW - timedelta(hours=32),
        "user",
        "Jordan Okafor",
        "sign_in.refused",
        "",
        {"reason": "wrong_audience"},
        "198.51.100.23",
    ),
    AuditEvent(
        85, NOW - timedelta(hours=33), "user", "Maya Chen", "export.create", "Photos", {"members": 214}, "203.0.113.7"
    ),
    AuditEvent(
        84,
        NOW - timedelta(hours=34),
        "user",
        "Maya Chen",
        "token.create",
        "studio PC",
        {"label": "nightly backup"},
        "203.0.113.7",
    ),
    AuditEvent(
        83,
        NOW - timedelta(days=9),
        "operator",
        "root",
        "tenant.quota",
        "Maple Street Photography",
        {"quota_bytes": 7},
        None,
    ),
    AuditEvent(82, NOW - timedelta(days=9), "system", "otb-cloud", "something.new", "laptop", {}, None),
]


def common(active: str, **more: Any) -> dict[str, Any]:
    """The names that every signed-in page is given."""
    me = {
        "tenant_id": "7",
        "tenant_label": "Maple Street Photography",
        "user_name": "Maya Chen",
        "user_email": "maya@maplestreet.example",
        "role": Role.OWNER,
        "time_zone": "America/Toronto",
    }
    usage = Usage(used_bytes=331 * GIB, quota_bytes=1024 * GIB, file_count=12_480, device_count=4)
    return {"me": me, "csrf_token": "sample", "usage": usage, "active": active, "portal_url": PORTAL, **more}


def samples() -> Iterator[Sample]:
    """Every page in every state worth looking at."""
    yield from _ways_in()
    yield from _devices()
    yield from _connecting()
    yield from _files()
    yield from _finding()
    yield from _exports()
    yield from _people()
    yield from _history()
    yield from _usage()
    yield from _settings()
    yield from _jobs()


def _jobs() -> Iterator[Sample]:
    yield Sample("/jobs", "jobs.html", common("jobs", **jobs_context(image, NOW)))
    none = {"cards": [], "alive": False, "next": None, "cursor": None}
    yield Sample("/x/jobs-none", "jobs.html", common("jobs", **none))
    yield Sample("/jobs/7/log", "job_log.html", common("jobs", **log_context(image, NOW)))
    one, many = [image(13, "Photos/IMG_2041.jpg")], [image(n, f"Photos/IMG_{n}.jpg") for n in range(100, 112)]
    yield Sample("/entries/13/derive", "derive.html", common("devices", **derive_context(one)))
    refused = derive_context(many, problem="“width” is needed.")
    yield Sample("/x/derive-many", "derive.html", common("devices", **refused))
    nothing = derive_context(one, recipes=[], chosen="")
    yield Sample("/x/derive-nothing", "derive.html", common("devices", **nothing))


WELL: Final[dict[str, Any]] = {
    "assurance": Assurance(0, NOW - timedelta(days=2), Reread(12_001, 12_001, NOW - timedelta(days=6))),
    "quiet": set(),
}
QUIET: Final[dict[str, Any]] = {
    "assurance": Assurance(0, None, Reread(12_001, 9_340, NOW - timedelta(days=40))),
    "quiet": {2},
}


def _ways_in() -> Iterator[Sample]:
    out = {"portal_url": PORTAL, "request_id": "7f3a91c2"}
    yield Sample("/x/sign-in", "sign_in_required.html", out, 401)
    yield Sample(
        "/health", "health.html", out | {"health": health(condition(NOW - timedelta(days=3), 0, 0, 4)), "work": WORK}
    )
    ailing = health(condition(None, 2, 1, 0), status="degraded", is_store_writable=False)
    yield Sample("/x/health-degraded", "health.html", out | {"health": ailing, "work": []})
    yield Sample("/x/health-away", "health.html", out | {"health": health(None, status="unavailable"), "work": []}, 503)
    for reason in ("expired", "replayed", "forged", "wrong_audience", "suspended", "unavailable", "missing"):
        yield Sample(f"/x/refused-{reason}", "handoff_refused.html", out | {"reason": reason}, 403)
    staff = out | {"staff_name": "Sam Rivera", "csrf_token": "sample"}
    yield Sample("/x/staff", "staff.html", staff, 403)
    yield Sample("/x/staff-refused", "staff.html", staff | {"problem": "This token opens nothing."}, 404)
    fault = {
        "title": "The database is not answering",
        "sentence": "Nothing was changed.",
        "advice": "Wait a minute, then try again.",
        "request_id": "7f3a91c2",
    }
    yield Sample("/x/error-out", "error.html", out | fault | {"status": 503}, 503)
    missing = {
        "title": "There is nothing here",
        "sentence": "There is no such file.",
        "advice": "It may have been renamed or deleted. Look in its folder, or search for it.",
        "status": 404,
    }
    yield Sample("/x/error", "error.html", common("", request_id="7f3a91c2", **missing), 404)
    recent = [row for row in FOLDER if row.kind is EntryKind.FILE]
    yield Sample("/", "dashboard.html", common("home", devices=DEVICES, recent=recent, **WELL))
    yield Sample("/x/dashboard-new", "dashboard.html", common("home", devices=[], recent=[], **WELL))
    yield Sample("/x/dashboard-device", "dashboard.html", common("home", devices=DEVICES[3:], recent=[], **WELL))
    bad = {"assurance": Assurance(3, None), "quiet": set()}
    yield Sample("/x/dashboard-bad", "dashboard.html", common("home", devices=DEVICES, recent=recent, **bad))
    full = common("home", devices=DEVICES, recent=recent, notice={"tone": "good", "text": "Welcome back."}, **QUIET)
    full["usage"] = Usage(1_000 * GIB, 1024 * GIB, 12_480, 4)
    yield Sample("/x/dashboard-full", "dashboard.html", full)


def _devices() -> Iterator[Sample]:
    yield Sample("/devices", "devices.html", common("devices", devices=DEVICES, kinds=KINDS))
    yield Sample("/x/devices-new", "devices.html", common("devices", devices=[], kinds=KINDS))
    refused = {
        "form": {"name": "laptop", "kind": "phone", "source_directories": "/a\n/b"},
        "problem": "There is a device of that name already. Choose another name.",
    }
    yield Sample("/x/devices-refused", "devices.html", common("devices", devices=DEVICES, kinds=KINDS, **refused))
    device = {"device": DEVICES[0], "kinds": KINDS, "tokens": TOKENS, "removable": False, "may_manage": True}
    device["install"] = INSTALL
    yield Sample("/devices/1", "device.html", common("devices", **device))
    made = device | {
        "new_token": {"label": "nas", "token": "otb_1_6hKq2Zr8vXw0YtB4nLmPcD3sFgJ7aE9u"},
        "notice": {"tone": "good", "text": "Saved."},
    }
    yield Sample("/x/device-token", "device.html", common("devices", **made))
    bare = {"device": DEVICES[3], "kinds": KINDS, "tokens": [], "removable": True, "may_manage": True, "install": []}
    yield Sample("/devices/4", "device.html", common("devices", **bare))


def _connecting() -> Iterator[Sample]:
    page = {"install": INSTALL, "may_approve": True, "code": ""}
    yield Sample("/connect", "connect.html", common("devices", **page))
    gone = {"code": "bcdf <b>", "problem": "No computer waits with this code. Compare it with the computer’s screen."}
    yield Sample("/x/connect-wrong", "connect.html", common("devices", **page | gone), 404)
    member = common("devices", **page | {"may_approve": False, "install": []})
    yield Sample("/x/connect-member", "connect.html", member)
    asking = Connection(
        1,
        "WDJB-MJHT",
        "maya’s-\u202eomen <b>",
        System.MACOS,
        DeviceKind.LAPTOP,
        "2001:db8:85a3::8a2e:370:7334",
        NOW,
        NOW,
    )
    decision = {"connection": asking, "devices": DEVICES, "kinds": KINDS}
    new = {"form": {"device": "new", "name": "maya’s <b>", "kind": "laptop"}}
    yield Sample("/x/connect-new", "connect_decide.html", common("devices", **decision | new))
    again = {"form": {"device": "1", "name": "laptop", "kind": "laptop"}}
    yield Sample("/x/connect-again", "connect_decide.html", common("devices", **decision | again))
    taken = {"problem": "You have a device named “laptop” already. Choose it, or another name.", "devices": []}
    yield Sample("/x/connect-first", "connect_decide.html", common("devices", **decision | new | taken), 409)
    yield Sample("/x/connect-sign-in", "sign_in_required.html", {"portal_url": PORTAL, "comes_back": True}, 401)


STORY: Final = [
    Step(NOW - timedelta(hours=2), What.DOWNLOADED, "staff", "Sam Rivera"),
    Step(NOW - timedelta(days=1), What.RENAMED, "user", "Maya Chen", 91, "DSC\u202e0001.jpg".encode()),
    Step(NOW - timedelta(days=3), What.REPLACED, "device", "nightly", 88),
    Step(NOW - timedelta(days=60), What.ADDED, "user", "Maya Chen", 4),
]


def _uploads() -> Iterator[Sample]:
    def upload(number: int, path: str | None, size_bytes: int | None, offset_bytes: int) -> Upload:
        wanted = NewUpload(size_bytes, 0, 1 if path else None, EntryPath.parse(path) if path else None)
        begun, kept = NOW - timedelta(hours=3), NOW + timedelta(hours=21)
        return Upload(number, "part", wanted, None, offset_bytes, 1, None, begun, kept, None)

    under_way = [
        upload(1, "Videos/Île-Bonaventure – the whole afternoon, uncut (4K).mov", 43 * GIB, 12 * GIB),
        upload(2, "backup.tar", None, 3 << 20),
        upload(3, None, GIB, 0),
    ]
    page: dict[str, Any] = {"devices": {device.id: device for device in DEVICES}, "device": None, "areas": []}
    yield Sample("/uploads", "uploads.html", common("devices", **page, uploads=under_way))
    of_one = page | {"device": DEVICES[0], "areas": areas_of(1, "tmp")}
    yield Sample("/x/uploads-none", "uploads.html", common("devices", **of_one, uploads=[]))


def _files() -> Iterator[Sample]:
    here = {"device": DEVICES[0], "area": "originals", "path": EntryPath.parse("Photos"), "directory_id": 9}
    listed: dict[str, Any] = {"entries": FOLDER, "next": "c2", "cursor": None, "may_upload": True, "view": "list"}
    listed["areas"] = areas_of(1, "originals")
    listed |= {"sorts": SORTS, "kinds": list(MediaKind), "asked": {}, "query_string": ""}
    listed |= {"is_filtered": False, "trouble": None}
    yield Sample("/files/1/originals/Photos", "files.html", common("devices", **here, **listed))
    top = here | {"path": EntryPath(()), "directory_id": None}
    root = [entry(9, "Photos", kind=EntryKind.DIRECTORY), entry(8, "Documents", kind=EntryKind.DIRECTORY)]
    yield Sample(
        "/files/1/originals/", "files.html", common("devices", **top, **listed | {"entries": root, "next": None})
    )
    yield Sample("/x/files-gallery", "files.html", common("devices", **here, **listed | {"view": "gallery"}))
    asked: dict[str, Any] = {"asked": {"sort": "size", "kind": "image", "from": "2024-01-01"}, "is_filtered": True}
    yield Sample("/x/files-asked", "files.html", common("devices", **here, **listed | asked | {"query_string": "a=b"}))
    behind = asked | {"entries": [], "next": None, "trouble": "Your files are being put in order right now."}
    yield Sample("/x/files-behind", "files.html", common("devices", **here, **listed | behind), 503)
    refused = {"problem": "There is a folder named “Photos” here already.", "folder_name": "Photos"}
    yield Sample("/x/files-refused", "files.html", common("devices", **here, **listed | refused), 409)
    nothing: dict[str, Any] = listed | {"entries": [], "next": None}
    yield Sample("/x/files-empty", "files.html", common("devices", **top, **nothing))
    derived = top | {"area": "derived"} | nothing | {"may_upload": False, "areas": areas_of(1, "derived")}
    yield Sample("/files/1/derived/", "files.html", common("devices", **derived))
    deep = here | {"path": EntryPath.parse("Photos/2020 – Gaspésie/Percé & Île-Bonaventure/RAW?/Day #3")}
    many = [image(1000 + n, f"Photos/IMG_{n:04}.jpg") for n in range(100)]
    yield Sample("/x/files-many", "files.html", common("devices", **deep, **listed | {"entries": many, "cursor": "c1"}))
    file = {
        "device": DEVICES[0],
        "versions": [],
        "places": [],
        "keeping": Keeping(NOW - timedelta(hours=7), is_damaged=False),
        "steps": [Step(NOW, What.ADDED, "user", "Maya Chen", 14)],
        "may_change": True,
        "preview": None,
        **NO_DERIVED,
    }
    shown = image(13, "Photos/IMG_2041.jpg")
    old = image(3, "Photos/IMG_2041.jpg", age=timedelta(days=60), removed=timedelta(days=3), removal=Removal.REPLACED)
    with_versions = file | {"entry": shown, "preview": "image", "versions": [shown, old], "steps": STORY}
    with_versions["places"] = [shown, image(40, "Trips/2024/<b>best</b>/IMG_2041.jpg", device="phone")]
    smaller = image(31, "Photos/IMG_2041-2048px.jpg", area=Area.DERIVED)
    with_derived: dict[str, Any] = {**with_versions, **derived_of(smaller, NOW)}
    yield Sample("/entries/13", "entry.html", common("devices", **with_derived))
    yield Sample(
        "/x/entry-tall", "entry.html", common("devices", **with_versions | {"entry": image(21, "Photos/tall.jpg")})
    )
    yield Sample("/entries/15", "entry.html", common("devices", **file | {"entry": FOLDER[5], "preview": "video"}))
    yield Sample("/entries/16", "entry.html", common("devices", **file | {"entry": FOLDER[6], "preview": "audio"}))
    made = file | {"entry": FOLDER[7], "preview": "made", "keeping": Keeping(None, is_damaged=False)}
    yield Sample("/entries/17", "entry.html", common("devices", **made))
    broken = {"preview": "text", "keeping": Keeping(None, is_damaged=True)}
    yield Sample("/x/entry-damaged", "entry.html", common("devices", **made | broken))
    yield from _uploads()
    held = image(30, "Photos/sunset.jpg", removed=timedelta(days=2), removal=Removal.DELETED)
    gone = {"entry": held, "gone_at": NOW + timedelta(days=28), "preview": "image", "may_change": False}
    yield Sample("/x/entry-held", "entry.html", common("devices", **file | gone))


def _finding() -> Iterator[Sample]:
    query = {"q": "", "from_day": "", "to_day": "", "by": "taken", "device": "", "area": "", "kind": ""}
    form = {"devices": DEVICES, "kinds": MEDIA_KINDS, "today": date.today(), "cursor": None, "next": None}  # noqa: DTZ011
    form |= {"view": "list", "facets": None, "is_complete": True, "device_choices": [], "kind_choices": [], "years": []}
    blank = form | {"query": query, "asked": False, "query_string": "", "entries": []}
    yield Sample("/search", "search.html", common("search", **blank))
    months = [
        Choice("May", 12, "/search?q=img&from=2024-05-01&to=2024-05-31", True, 1_000),
        Choice("March", 3, "?m", False, 250),
    ]
    found = form | {
        "query": query | {"q": "img", "kind": "image"},
        "asked": True,
        "query_string": "q=img&kind=image",
        "entries": FOLDER[2:],
        "next": "c9",
        "facets": Facets(1_234, False, True, {1: 1_000}, {"image": 1_234}, {"2024-05": 12}),
        "device_choices": [Choice("laptop <b>", 1_000, "?d", False), Choice("phone", 234, "?p", False)],
        "kind_choices": [Choice("image", 1_234, "/search?q=img", True), Choice("video", 20, "?v", False)],
        "years": [
            Year(Choice("2024", 15, "?y", False), months, True),
            Year(Choice("2019", 7, "?z", False), [Choice("July", 7, "?j", False, 580)], False),
        ],
    }
    yield Sample("/x/search-found", "search.html", common("search", **found))
    yield Sample(
        "/x/search-gallery", "search.html", common("search", **found | {"view": "gallery", "is_complete": False})
    )
    none = found | {
        "entries": [],
        "next": None,
        "facets": Facets(0, True, True, {}, {}, {}),
        "device_choices": [],
        "kind_choices": [],
        "years": [],
        "query": query | {"q": "zzz <i>", "from_day": "2024-05-03", "to_day": "2024-05-03"},
    }
    yield Sample("/x/search-none", "search.html", common("search", **none))
    wrong = none | {"problem": "30 February 2024 is not a day. Write days as 2024-02-28.", "facets": None}
    yield Sample("/x/search-wrong", "search.html", common("search", **wrong))
    held = [
        image(40 + n, f"Photos/sunset {n}.jpg", removed=timedelta(days=n + 1), removal=Removal.DELETED)
        for n in range(6)
    ]
    left = {row.id: NOW + timedelta(days=28, hours=-117 * n) for n, row in enumerate(held)}
    deleted = {"entries": held, "hold_days": 30, "gone_at": left, "next": None, "cursor": None}
    deleted |= {"asked": {"q": "", "device": "", "kind": ""}, "query_string": "", "devices": DEVICES}
    deleted |= {"kinds": MEDIA_KINDS, "may_purge": True}
    recovered = {"notice": {"tone": "good", "text": "2 files are back in their places."}}
    yield Sample("/deleted", "deleted.html", common("deleted", **deleted, **recovered))
    yield Sample("/x/deleted-none", "deleted.html", common("deleted", **deleted | {"entries": [], "gone_at": {}}))
    yield Sample("/damaged", "damaged.html", common("damaged", entries=held[:2], next=None, cursor=None))
    yield Sample("/x/damaged-none", "damaged.html", common("damaged", entries=[], next=None, cursor=None))
    events = {
        "events": EVENTS,
        "actions": ["upload", "sign_in"],
        "actors": [AuditActor("user", "Maya Chen"), AuditActor("staff", "Sam Support")],
        "devices": DEVICES,
        "head": AuditHead(1284, bytes(range(32))),
        "chosen": dict.fromkeys(("action", "actor", "device", "grant", "from", "to"), ""),
        "query": "",
        "next": "c3",
        "cursor": None,
    }
    yield Sample("/audit", "audit.html", common("activity", **events))
    yield Sample(
        "/x/audit-none", "audit.html", common("activity", **events | {"events": [], "query": "action=x", "next": None})
    )


def export(number: int, name: str, **more: Any) -> Export:
    made = Export(
        number, name, NOW - timedelta(days=number), "Maya Chen", 2_481, 9 * GIB, 9 * GIB + 700_000, "ab" * 32, 1,
        "America/Toronto", None, None, None, None,
    )  # fmt: skip
    return replace(made, **more)


def _exports() -> Iterator[Sample]:
    exports = [
        export(1, "laptop"),
        export(2, "Summer ☀ <b>2024</b>", at=NOW - timedelta(days=400)),
        export(3, "laptop", since=1, since_name="laptop", member_count=1),
        export(
            4, "Everything there is, with a name that is a good deal longer than a line on any telephone", part_count=4
        ),
    ]
    page = {
        "exports": exports,
        "urls": {one.id: f"/api/v1/exports/{one.id}/x.zip" for one in exports},
        "devices": DEVICES,
        "part_sizes": (1, 2, 4),
        "next": "c2",
        "cursor": None,
    }
    yield Sample("/exports", "exports.html", common("exports", **page))
    yield Sample("/x/exports-none", "exports.html", common("exports", **page | {"exports": [], "next": None}))
    parts = [PlannedPart(n, 800, 2 * GIB, 90_000, b"B3SUMS", 60_000, 7, 0, 2 * GIB + 150_000) for n in range(1, 5)]
    zips = [
        (part, f"/api/v1/exports/4/x.zip?part={part.number}", f"Everything ({part.number} of 4).zip") for part in parts
    ]
    yield Sample("/exports/1", "export.html", common("exports", export=exports[0], zips=zips[:1], gone=[]))
    yield Sample("/exports/4", "export.html", common("exports", export=exports[3], zips=zips, gone=[]))
    gone = {"gone": ["Photos/IMG_2041.jpg", "Photos/\u202egpj.exe"], "zips": zips[:1]}
    yield Sample("/x/export-gone", "export.html", common("exports", export=exports[2], **gone))


def grant(number: int, reason: str, **facts: Any) -> Grant:
    hours = timedelta(hours=number)
    given: dict[str, Any] = {"may_write": False, "devices": None, "redeemed_at": None, "staff": None, "seen_at": None}
    given |= {"ended_at": None, "ended_by": None, "expires_at": NOW + timedelta(hours=4)} | facts
    return Grant(number, reason, created_at=NOW - hours, created_by="Maya Chen", **given)


def _people() -> Iterator[Sample]:
    """People & access as an owner and as a member see it, and the banner of support access on both sides."""
    used = {"redeemed_at": NOW - timedelta(minutes=30), "staff": "Sam Rivera", "seen_at": NOW}
    live = grant(1, "Find the wedding folder <b>2019</b>", devices=frozenset({DEVICES[0].id}), may_write=True, **used)
    over = grant(30, "A zip that will not open", ended_at=NOW - timedelta(hours=26), ended_by="Maya Chen", **used)
    looks = [
        AuditEvent(
            number, NOW - timedelta(minutes=number), "staff", "Sam Rivera", "support.look",
            f"laptop: Photos/{number} 🌄 a rather long folder name that goes on", {}, "198.51.100.7", 1, "Maya Chen", 1,
        )
        for number in (3, 2, 1)
    ]  # fmt: skip
    grants = [(grant(0, "Quota question"), "waiting", []), (live, "use", looks), (over, "ended", [])]
    grants.append((grant(200, "Old", expires_at=NOW - timedelta(days=7)), "expired", []))
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
    sessions = [
        OpenSession("a" * 32, 1, "Maya Chen", "203.0.113.7", agent, NOW - timedelta(hours=2), NOW, NOW),
        OpenSession("b" * 32, 1, "Maya Chen", None, "", NOW - timedelta(days=2), NOW - timedelta(hours=9), NOW),
    ]
    people = [
        Person(1, "Maya Chen", "maya@maplestreet.example", Role.OWNER, NOW, NOW),
        Person(2, "", "ravi.with.a.long.address@maplestreet.example", Role.MEMBER, NOW, NOW - timedelta(days=9)),
    ]
    page = {
        "owner": True,
        "people": people,
        "sessions": sessions,
        "here": "a" * 32,
        "own": 1,
        "tokens": [PlacedToken(DEVICES[0].id, DEVICES[0].name, token) for token in TOKENS],
        "devices": DEVICES,
        "grants": grants,
        "lasts": LASTS,
    }
    banner = {"support": {"side": "account", "grants": [live]}}
    yield Sample("/people", "people.html", common("people", **page, **banner))
    made = {"new_grant": {"token": "otbs_Zk3v9Q1mT7xB2nW5cR8yL4pH6dJ0aF3gS1uE7iO9qKw", "grant": grants[0][0]}}
    yield Sample("/x/people-token", "people.html", common("people", **page, **made))
    wrong = {"problem": "Choose the devices that support may see, or all.", "form": {"reason": "Help", "may": "write"}}
    yield Sample("/x/people-refused", "people.html", common("people", **page | {"grants": []}, **wrong))
    member = {"owner": False, "people": [], "tokens": [], "grants": [], "sessions": sessions[:1]}
    yield Sample("/x/people-member", "people.html", common("people", **page | member))
    staff = common("devices", devices=DEVICES[:1], kinds=KINDS)
    inside = UsedGrant(1, "Maya Chen", False, frozenset({1}), NOW + timedelta(hours=3))
    staff["me"] = staff["me"] | {
        "user_name": "Sam Rivera",
        "user_email": "sam@outsidethebox.example",
        "role": Role.STAFF,
    }
    staff["support"] = {"side": "staff", "grant": inside, "account": "Maple Street Photography"}
    yield Sample("/x/support-inside", "devices.html", staff)


def _history() -> Iterator[Sample]:
    manifests = [
        Manifest(1, 412, NOW - timedelta(hours=2), "user", "Maya Chen", "", 214, 0, 3 * GIB),
        Manifest(1, 411, NOW - timedelta(days=1), "device", "nightly backup", "nightly", 12, 7, GIB),
        Manifest(1, 410, NOW - timedelta(days=2), "user", "Maya <b>Chen</b>", "undoes change 409", 0, 31, 0),
        Manifest(1, 409, NOW - timedelta(days=40), "system", "sweep", "", 0, 0, 0, 18),
    ]
    span = Span(412, NOW - timedelta(days=200), NOW - timedelta(hours=2), NOW - timedelta(days=190))
    counts = [(n * 7919) % 23 if n % 5 else 0 for n in range(60)]
    line = Line(NOW - timedelta(days=190), NOW, counts, 22, 700)
    then = {
        "device": DEVICES[0],
        "span": span,
        "line": line,
        "view": View(Area.ORIGINALS, EntryPath.parse("Photos/2020 – Gaspésie"), NOW - timedelta(days=57)),
        "is_now": False,
        "changes": manifests,
        "entries": [*FOLDER[:5], image(30, "Photos/sunset.jpg", removed=timedelta(days=2), removal=Removal.DELETED)],
        "next": "c2",
        "cursor": None,
        "was_there": True,
        "problem": None,
    }
    yield Sample("/history/1", "history.html", common("devices", **then))
    top = {"view": View(Area.ORIGINALS, EntryPath(()), NOW), "is_now": True}
    yield Sample("/x/history-now", "history.html", common("devices", **then | top))
    absent = {"entries": [], "was_there": False, "next": None}
    yield Sample("/x/history-absent", "history.html", common("devices", **then | absent))
    refused: dict[str, Any] = {"entries": [], "next": None, "problem": str(HistoryGone(NOW - timedelta(days=190)))}
    yield Sample("/x/history-gone", "history.html", common("devices", **then | refused), 410)
    new: dict[str, Any] = {"span": Span(0, None, None, None), "line": None, "entries": [], "changes": [], "next": None}
    yield Sample("/x/history-new", "history.html", common("devices", **then | top | new))
    old = image(3, "Photos/IMG_2041.jpg", age=timedelta(days=60), removed=timedelta(days=3), removal=Removal.REPLACED)
    moved = entry(50, "Scans/2019/a file that has a rather long name so that it does not fit on one line.pdf")
    changed = [
        Changed(ChangeKind.ADDED, FOLDER[0], None),
        Changed(ChangeKind.ADDED, FOLDER[4], None),
        Changed(ChangeKind.REPLACED, image(13, "Photos/IMG_2041.jpg"), old),
        Changed(ChangeKind.MOVED, moved, entry(49, "Scans/a.pdf")),
        Changed(ChangeKind.RECOVERED, FOLDER[5], None),
        Changed(ChangeKind.REMOVED, entry(51, "Photos/\u202egpj.exe"), None),
    ]
    change = {
        "device": DEVICES[0],
        "manifest": manifests[1],
        "changes": changed,
        "next": "c9",
        "cursor": None,
        "is_last": False,
        "before": "2026-01-01T00:00:00Z",
        "after": "2026-01-01T00:00:01Z",
        "undone": None,
        "problem": None,
    }
    yield Sample("/history/1/411", "change.html", common("devices", **change))
    conflicts = [Conflict("Photos/IMG_2041.jpg", Why.CHANGED_SINCE), Conflict("Scans/a.pdf", Why.NAME_TAKEN)]
    result = CommitResult(manifests[0], 1, 0, 0, 3, [], [], [])
    partly = change | {"undone": Undone(result, conflicts, 2)}
    yield Sample("/x/change-undone", "change.html", common("devices", **partly))
    purged = change | {"manifest": manifests[3], "changes": [], "next": None}
    yield Sample("/x/change-purged", "change.html", common("devices", **purged))


def _usage() -> Iterator[Sample]:
    kinds = [
        KindShare(MediaKind.IMAGE, 8_100, 150 * GIB),
        KindShare(MediaKind.VIDEO, 240, 54 * GIB),
        KindShare(MediaKind.DOCUMENT, 870, 8 * GIB),
    ]
    devices = [
        DeviceShare(1, "laptop", kinds, 3 * GIB, 11 * GIB),
        DeviceShare(2, "Maya’s phone", [KindShare(MediaKind.IMAGE, 3_000, 64 * GIB)], 0, 0),
        DeviceShare(3, "a device with a name that is rather long", [KindShare(MediaKind.OTHER, 146, 31 * GIB)]),
    ]
    breakdown = Breakdown(NOW - timedelta(minutes=3), devices, 300 * GIB, 22 * GIB)
    today = NOW.date()
    days = [UsedDay(today - timedelta(days=29 - n), (280 + n) * GIB, 12_000 + n, 1024 * GIB) for n in range(30)]
    yield Sample("/usage", "usage.html", common("usage", breakdown=breakdown, days=days))
    full = common("usage", breakdown=None, days=[])
    full["usage"] = Usage(used_bytes=1024 * GIB, quota_bytes=1024 * GIB, file_count=5_000_000, device_count=2)
    yield Sample("/x/usage-full", "usage.html", full)


def _settings() -> Iterator[Sample]:
    page = {"rule": Retention(), "may_change": True, "hold_days": 30, "problem": None}
    everything = {"keep": "all", "versions": "", "days": ""}
    yield Sample("/settings", "settings.html", common("settings", **page, typed=everything))
    some = {"keep": "some", "versions": "", "days": ""}
    refused = page | {"problem": "Say how many versions to keep, or for how many days, or both."}
    yield Sample("/x/settings-refused", "settings.html", common("settings", **refused, typed=some), 400)
    member = page | {"rule": Retention(10, 90), "may_change": False}
    yield Sample("/x/settings-member", "settings.html", common("settings", **member, typed=some))
