"""The library's pages: a folder as a list or a gallery, and the forms on it: a new folder, moving, deleting, a zip."""

from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from catalog.entries import ENTRIES_PER_REQUEST_MAX, PAGE_MAX
from catalog.errors import BadPath, BadRequest, Conflict, IndexBehind, NotFound, TooMany
from catalog.folders import FolderView
from catalog.values import Area, Device, EntryKind, EntryPath, MediaKind, parse_name
from web.answers import see_other
from web.bodies import Form, field
from web.deleting import delete_chosen
from web.errors import problem_of
from web.form_fields import back_of, chosen_of
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import cursor_of, parse_id, path_area, path_id, query_of
from web.paths import entry_path, parse_encoded
from web.places import Place, areas_of, folder_url
from web.queries import folder_view
from web.sessions import Caller
from web.state import services
from web.views import remember_view, view_of

FOLDER_ITEMS: Final = 240
"""On a page: full rows of a gallery of two to six columns."""

LIST_FIELDS: Final = ("sort", "kind", "from", "to")
SORTS: Final = {
    "name": "Name, A to Z",
    "name-falling": "Name, Z to A",
    "date-falling": "Newest first",
    "date": "Oldest first",
    "size-falling": "Largest first",
    "size": "Smallest first",
    "kind": "Kind",
}
"""What the page offers → its words; the part before the dash is a `FolderOrder`."""


async def folder_page(request: Request, caller: Caller) -> Response:
    """A folder's content. A file's address leads to its own page."""
    device, place = await _asked_for(request, caller)
    folder = await caller.scope.entries.by_path(device.id, place.area, place.path) if place.path.names else None
    if folder is not None and folder.kind is not EntryKind.DIRECTORY:
        return see_other(f"/entries/{folder.id}")
    return await _show(request, caller, device, place)


async def create_folder(request: Request, caller: Caller, fields: Form) -> Response:
    """A new folder in this one, and into it. Why it was refused stands in the dialog."""
    device, above = await _asked_for(request, caller)
    name = field(fields, "name")
    if above.area is not Area.ORIGINALS:
        raise BadRequest("Folders are made in originals. What is derived is put into folders by itself.")
    try:
        made = await caller.scope.entries.create_folder(device.id, above.path.child(parse_name(name.strip())))
    except (BadPath, Conflict) as error:
        return await _show(request, caller, device, above, error, folder_name=name)
    return see_other(folder_url(Place(device.id, made.area, made.path)))


async def _asked_for(request: Request, caller: Caller) -> tuple[Device, Place]:
    """The folder in the address. Raises `NotFound` for its device, `BadPath`."""
    device = await caller.scope.devices.get(path_id(request, "device"))
    area = path_area(request)
    path = entry_path(request.scope, f"/files/{request.path_params['device']}/{area}", trailing_slash=True)
    return device, Place(device.id, area, path)


async def _show(
    request: Request,
    caller: Caller,
    device: Device,
    place: Place,
    error: Exception | None = None,
    **context: object,
) -> Response:
    query = query_of(request)
    cursor, view, trouble = cursor_of(query), view_of(request), None
    try:
        wanted = _as_wanted(query)
        page = await caller.scope.folders.page(device.id, place.area, place.path, wanted, cursor, FOLDER_ITEMS)
    except (BadRequest, IndexBehind) as e:
        wanted, cursor, trouble = FolderView(), None, e
        page = await caller.scope.folders.page(device.id, place.area, place.path, wanted, limit=FOLDER_ITEMS)
    fault = error or trouble
    asked = {name: field(query, name) for name in LIST_FIELDS if field(query, name) and trouble is None}
    answer = await person_page(
        request,
        caller,
        "files.html",
        "devices",
        problem_of(fault).status if fault else 200,
        device=device,
        area=place.area,
        areas=areas_of(device.id, place.area),
        path=place.path,
        entries=page.items,
        next=page.next,
        cursor=cursor,
        view=view,
        asked=asked,
        query_string=urlencode(asked),
        is_filtered=wanted.is_filtered,
        sorts=SORTS,
        kinds=list(MediaKind),
        trouble=str(trouble) if trouble else None,
        may_upload=place.area is Area.ORIGINALS,
        problem=str(error) if error else None,
        **context,
    )
    return remember_view(request, answer, view)


async def area_redirect(request: Request, _caller: Caller) -> Response:
    """The address of an area without its slash at the end."""
    return see_other(f"/files/{path_id(request, 'device')}/{path_area(request)}/")


async def move_entries(request: Request, caller: Caller, fields: Form) -> Response:
    """Into the folder whose path was typed or picked, and there."""
    ids = await chosen(caller, fields)
    if not ids:
        return with_notice(see_other(back_of(fields)), services(request).settings, "choose")
    moved = await caller.scope.entries.move(ids, _typed_path(field(fields, "target")))
    place = Place(moved[0].device_id, moved[0].area, moved[0].path.parent)
    return with_notice(see_other(folder_url(place)), services(request).settings, "moved", len(ids))


async def delete_entries(request: Request, caller: Caller, fields: Form) -> Response:
    """Into the hold, and back to the page."""
    ids, settings = await chosen(caller, fields), services(request).settings
    if not ids:
        return with_notice(see_other(back_of(fields)), settings, "choose")
    await delete_chosen(caller.scope, ids, with_derived=field(fields, "derived") == "remove")
    return with_notice(see_other(back_of(fields)), settings, "deleted", len(ids))


def _as_wanted(query: Form) -> FolderView:
    """How the page's own query wants the folder. Raises `BadRequest`."""
    order, _, is_falling = field(query, "sort").partition("-")
    return folder_view(query | {"sort": [order], "order": ["descending" if is_falling else ""]})


async def chosen(caller: Caller, fields: Form) -> list[int]:
    """What a form of rows names, or all that its folder holds. Raises `TooMany`."""
    if not field(fields, "all"):
        return chosen_of(fields)
    place, cursor = _place(fields), None
    ids: list[int] = []
    while len(ids) <= ENTRIES_PER_REQUEST_MAX:
        page = await caller.scope.entries.page(place.device_id, place.area, place.path, cursor=cursor, limit=PAGE_MAX)
        ids += [entry.id for entry in page.items]
        cursor = page.next
        if cursor is None:
            return ids
    raise TooMany(ENTRIES_PER_REQUEST_MAX, "files and folders")


def _place(fields: Form) -> Place:
    """The folder that a form was on. Raises `NotFound`, `BadPath`."""
    area, path = field(fields, "in_area"), parse_encoded(field(fields, "in_directory"))
    if area not in set(Area):
        raise NotFound("area")
    return Place(parse_id(field(fields, "in_device"), "device"), Area(area), path)


def _typed_path(text: str) -> EntryPath:
    """A folder's path as a person types it: slashes at its ends are allowed."""
    try:
        return EntryPath.parse(text.strip().strip("/"))
    except BadPath as e:
        raise BadRequest(f"“{text[:100]}” cannot be a folder. {e}") from e
