"""`/api/v1/entries`, a device's folders, and search: reading what is kept, and changing it by entry."""

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest
from catalog.folders import FolderView
from catalog.values import Area, EntryPath, parse_name
from web.answers import json_answer
from web.bodies import field, read_json
from web.deleting import delete_chosen
from web.downloads import content_answer
from web.parameters import choice, cursor_of, flag, page_limit, parse_id, path_id, query_of
from web.queries import directory_of, folder_view, path_of, search_query
from web.sessions import Caller
from web.shapes import entries_json, entry_json, facets_json
from web.times import parse_moment


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[str]


class Deleting(msgspec.Struct, forbid_unknown_fields=True):
    """`derived`: files made of these stay as they are, or go into the hold as well."""

    entries: list[str]
    derived: Literal["keep", "remove"] = "keep"


class Renaming(msgspec.Struct, forbid_unknown_fields=True):
    """`base_name`: without the extension, which a file keeps."""

    entries: list[str]
    base_name: str


class Moving(msgspec.Struct, forbid_unknown_fields=True):
    """`directory`: a path from the root of the entries' area, "" for the root; or `directory_bytes`."""

    entries: list[str]
    directory: str = ""
    directory_bytes: str = ""


class NewFolder(msgspec.Struct, forbid_unknown_fields=True):
    path: str


async def list_entries(request: Request, caller: Caller) -> Response:
    """A folder's content now, sorted and filtered, or at a moment, by name. Folders come first."""
    query = query_of(request)
    at, view = field(query, "at"), folder_view(query)
    where = (path_id(request, "device"), choice(query, "area", Area) or Area.ORIGINALS, directory_of(query))
    if not at:
        page = await caller.scope.folders.page(*where, view, cursor_of(query), page_limit(query))
    elif view == FolderView():
        moment = parse_moment(at, "at")
        page = await caller.scope.entries.page(*where, moment, cursor_of(query), page_limit(query))
    else:
        raise BadRequest("A folder as it was at a moment is listed by name alone. Leave out sort and filters, or at.")
    return json_answer(entries_json(page))


async def list_deleted(request: Request, caller: Caller) -> Response:
    """What can be recovered, newest first."""
    query = query_of(request)
    return json_answer(entries_json(await caller.scope.entries.held(cursor_of(query), page_limit(query))))


async def get_entry(request: Request, caller: Caller) -> Response:
    return json_answer(entry_json(await caller.scope.entries.get(path_id(request, "entry"))))


async def get_content(request: Request, caller: Caller) -> Response:
    """The entry's content, also of a version that was replaced or deleted."""
    entry = await caller.scope.entries.get(path_id(request, "entry"))
    return await content_answer(request, caller, entry, inline=flag(query_of(request), "inline"))


async def list_versions(request: Request, caller: Caller) -> Response:
    """All that stood in this file's place, newest first."""
    versions = await caller.scope.entries.versions(path_id(request, "entry"))
    return json_answer({"entries": [entry_json(entry) for entry in versions], "next": None})


async def rename_entry(request: Request, caller: Caller) -> Response:
    wanted = await read_json(request, Renaming)
    if len(wanted.entries) != 1:
        raise BadRequest("Rename one entry at a time.")
    entry = await caller.scope.entries.rename(parse_id(wanted.entries[0], "file"), parse_name(wanted.base_name))
    return json_answer({"entries": [entry_json(entry)]})


async def move_entries(request: Request, caller: Caller) -> Response:
    """Into another folder of the same device and area; all or none."""
    wanted = await read_json(request, Moving)
    ids = [parse_id(text, "file") for text in wanted.entries]
    directory = path_of(wanted.directory, wanted.directory_bytes, "directory_bytes")
    return json_answer({"entries": [entry_json(entry) for entry in await caller.scope.entries.move(ids, directory)]})


async def create_folder(request: Request, caller: Caller) -> Response:
    """A folder in a device's originals, with those above it."""
    wanted = await read_json(request, NewFolder)
    entry = await caller.scope.entries.create_folder(path_id(request, "device"), EntryPath.parse(wanted.path))
    return json_answer(entry_json(entry), 201)


async def revert_entry(request: Request, caller: Caller) -> Response:
    """A file has the content of this old version again."""
    ids = await selected_ids(request)
    if len(ids) != 1:
        raise BadRequest("Bring back one version at a time.")
    return json_answer({"entries": [entry_json(await caller.scope.entries.revert(ids[0]))]})


async def delete_entries(request: Request, caller: Caller) -> Response:
    """Into the hold; folders with their content; all or none. `derived` says what becomes of what was made of them."""
    wanted = await read_json(request, Deleting)
    ids = [parse_id(text, "file") for text in wanted.entries]
    results = await delete_chosen(caller.scope, ids, with_derived=wanted.derived == "remove")
    return json_answer({"removed": sum(result.removed for result in results)})


async def recover_entries(request: Request, caller: Caller) -> Response:
    """Out of the hold, to their places; all or none."""
    results = await caller.scope.entries.recover(await selected_ids(request))
    return json_answer({"recovered": sum(result.added for result in results)})


async def search(request: Request, caller: Caller) -> Response:
    """Live entries by any part of the name and by day, newest first."""
    query = query_of(request)
    page = await caller.scope.search.find(search_query(query), cursor_of(query), page_limit(query))
    return json_answer(entries_json(page) | {"complete": page.is_complete})


async def search_facets(request: Request, caller: Caller) -> Response:
    """How many entries a search finds, and how many on each device, of each kind, in each month."""
    return json_answer(facets_json(await caller.scope.search.facets(search_query(query_of(request)))))


async def selected_ids(request: Request) -> list[int]:
    """The entries that the body names. Raises `BadRequest`, `NotFound`."""
    return [parse_id(text, "file") for text in (await read_json(request, Selection)).entries]
