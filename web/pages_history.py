"""The pages of a device's history: any moment of it, one change, and the forms that undo and bring back."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadPath, BadRequest, CatalogError, Conflict, HistoryGone, NotFound
from catalog.history import Span
from catalog.restoring import Wanted
from catalog.undoing import Undone
from catalog.values import Area, Entry, EntryPath, Manifest, Page
from web.answers import see_other
from web.bodies import Form, field
from web.errors import problem_of
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import choice, cursor_of, path_id, query_of
from web.paths import parse_encoded
from web.sessions import Caller
from web.state import services
from web.times import moment_text, parse_moment

BUCKETS: Final = 60
"""Of the picture above the slider."""
CHANGES_SHOWN: Final = 12
FOLDER_ITEMS: Final = 200
CHANGED_ITEMS: Final = 100
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class View:
    """What of a device is looked at: a folder at a moment."""

    area: Area
    path: EntryPath
    at: datetime

    @property
    def moment(self) -> str:
        """The moment as forms and addresses carry it."""
        return moment_text(self.at)

    @property
    def directory(self) -> str:
        """The folder as forms carry it."""
        return "/".join(_quoted(name) for name in self.path.names)

    def above(self, levels: int) -> EntryPath:
        """The folder so many levels below the area's root, on the way to this one."""
        return EntryPath(self.path.names[:levels])

    def query(self, path: EntryPath | None = None, area: str | None = None) -> str:
        """The query that shows this, or another folder or area at the same moment."""
        shown = self.path if path is None else path
        fields = {"at": self.moment, "area": area or str(self.area)}
        return urlencode(fields | {"directory": "/".join(_quoted(name) for name in shown.names)})


async def history_page(request: Request, caller: Caller) -> Response:
    """The device as it was: the line of its changes, a moment to choose, and its folders then."""
    device = await caller.scope.devices.get(path_id(request, "device"))
    span = await caller.scope.history.span(device.id)
    query, now = query_of(request), datetime.now(UTC)
    problem: CatalogError | None = None
    entries: Page[Entry] = Page([], None)
    at = now
    try:
        at = _moment(caller, field(query, "at"), now)
    except BadRequest as e:
        problem = e
    view = View(choice(query, "area", Area) or Area.ORIGINALS, parse_encoded(field(query, "directory")), at)
    if problem is None:
        try:
            entries = await caller.scope.entries.page(
                device.id, view.area, view.path, view.at, cursor_of(query), FOLDER_ITEMS
            )
        except (HistoryGone, NotFound) as e:
            problem = e
    return await person_page(
        request,
        caller,
        "history.html",
        "devices",
        _status(problem),
        device=device,
        span=span,
        line=await _line(caller, device.id, span, view.at, now),
        view=view,
        is_now=not field(query, "at"),
        changes=await caller.scope.history.until(device.id, view.at, CHANGES_SHOWN),
        entries=entries.items,
        next=entries.next,
        cursor=cursor_of(query),
        was_there=not isinstance(problem, NotFound),
        problem=None if problem is None or isinstance(problem, NotFound) else str(problem),
    )


async def manifest_page(request: Request, caller: Caller) -> Response:
    """One change: what it did to each name."""
    return await _show(request, caller, await _manifest(request, caller))


async def undo_manifest(request: Request, caller: Caller, _fields: Form) -> Response:
    """Undo it; where something was kept, the page says what."""
    manifest = await _manifest(request, caller)
    try:
        done = await caller.scope.undoing.undo(manifest.device_id, manifest.sequence)
    except (Conflict, BadPath, BadRequest) as error:
        return await _show(request, caller, manifest, error=error)
    if done.kept or done.result is None or done.result.manifest is None:
        return await _show(request, caller, manifest, undone=done)
    settings = services(request).settings
    address = f"/history/{manifest.device_id}/{done.result.manifest.sequence}"
    return with_notice(see_other(address), settings, "undone")


async def restore_folder(request: Request, caller: Caller, fields: Form) -> Response:
    """Bring the folder back to how it was, in place."""
    device_id, at = path_id(request, "device"), parse_moment(field(fields, "at"), "at")
    path = parse_encoded(field(fields, "directory"))
    area = field(fields, "area") or Area.ORIGINALS
    if area not in set(Area):
        raise NotFound("area")
    is_exact = field(fields, "exact") == "1"
    done = await caller.scope.restoring.restore(Wanted(device_id, Area(area), path, at, is_exact))
    address = f"/files/{device_id}/{area}/" + "/".join(_quoted(name) for name in path.names)
    count = done.added + done.replaced + done.removed
    name = "restored" if done.manifests else "restored_nothing"
    return with_notice(see_other(address), services(request).settings, name, count)


async def _manifest(request: Request, caller: Caller) -> Manifest:
    return await caller.scope.history.manifest(path_id(request, "device"), path_id(request, "sequence"))


async def _show(
    request: Request,
    caller: Caller,
    manifest: Manifest,
    *,
    undone: Undone | None = None,
    error: CatalogError | None = None,
) -> Response:
    cursor = cursor_of(query_of(request))
    page = await caller.scope.history.changes(manifest.device_id, manifest.sequence, cursor, CHANGED_ITEMS)
    is_last = manifest.sequence == (await caller.scope.history.span(manifest.device_id)).manifests
    return await person_page(
        request,
        caller,
        "change.html",
        "devices",
        _status(error),
        device=await caller.scope.devices.get(manifest.device_id),
        manifest=manifest,
        changes=page.items,
        next=page.next,
        cursor=cursor,
        is_last=is_last,
        before=moment_text(manifest.at - timedelta(microseconds=1)),
        after=moment_text(manifest.at),
        undone=undone,
        problem=None if error is None else str(error),
    )


@dataclass(frozen=True, slots=True)
class Line:
    """The line of time: how busy each of its parts was, and where on it the moment is, in thousandths."""

    first: datetime
    last: datetime
    counts: list[int]
    most: int
    position: int


async def _line(caller: Caller, device_id: int, span: Span, at: datetime, now: datetime) -> Line | None:
    if span.first_at is None:
        return None
    first = max(span.first_at, span.horizon or span.first_at)
    last = max(now, first + _DAY / 24)
    counts = await caller.scope.history.buckets(device_id, first, last, BUCKETS)
    position = round(1000 * min(1.0, max(0.0, (at - first) / (last - first))))
    return Line(first, last, counts, max(1, *counts), position)


def _moment(caller: Caller, text: str, now: datetime) -> datetime:
    """As RFC 3339, or as a date field has it, on the account's clock. Nothing: now. Raises `BadRequest`."""
    if not text:
        return now
    if text[-1:] in "Zz" or "+" in text:
        return parse_moment(text, "The moment")
    try:
        local = datetime.fromisoformat(text)
    except ValueError as e:
        raise BadRequest("Write the moment as a day and a time, such as 2024-05-03T14:05.") from e
    zone = caller.scope.zone
    # Of a field that says no seconds, the whole minute is meant.
    whole = local.replace(tzinfo=zone) if len(text) > len("2024-05-03T14:05") else _end_of(local, text, zone)
    return whole.astimezone(UTC)


def _end_of(local: datetime, text: str, zone: tzinfo) -> datetime:
    length = _DAY if len(text) == len("2024-05-03") else timedelta(minutes=1)
    return local.replace(tzinfo=zone) + length - timedelta(microseconds=1)


def _status(error: Exception | None) -> int:
    return 200 if error is None else problem_of(error).status


def _quoted(name: bytes) -> str:
    return quote(name, safe="")
