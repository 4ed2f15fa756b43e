"""Exports as zips: made, planned once, and streamed as often as asked, the same bytes each time."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from catalog.exports import NAME_CHARACTERS_MAX
from catalog.tenant import TenantScope
from catalog.values import Area, EntryPath, Export, Member
from web.damage import report_damage
from web.downloads import attachment, read_blob
from web.errors import ContentDamaged
from web.ranges import is_unchanged
from web.sessions import Caller
from web.state import Services, services
from web.streaming import StreamedAnswer
from web.zip_export import plan_zip, zip_pieces
from web.zip_layout import ZIP_VERSION

DEFAULT_NAME: Final = "files"


async def make_export(request: Request, scope: TenantScope, entry_ids: list[int], name: str | None) -> Export:
    """Save a selection and plan its zip. The name of a single folder or file is the export's, if none is given."""
    if name is None:
        entry = await scope.entries.get(entry_ids[0]) if len(entry_ids) == 1 else None
        name = _plain(entry.name) if entry else DEFAULT_NAME
    return await _planned(services(request), scope, await scope.exports.create(entry_ids, name))


async def make_folder_export(
    request: Request, scope: TenantScope, device_id: int, area: Area, path: EntryPath, name: str | None
) -> Export:
    """Save a folder's content and plan its zip. The area's root is called like its device."""
    if name is None:
        name = _plain(path.name) if path.names else (await scope.devices.get(device_id)).name
    export = await scope.exports.create_of_directory(device_id, area, path, name)
    return await _planned(services(request), scope, export)


def export_url(export: Export) -> str:
    return f"/api/v1/exports/{export.id}/{quote(export.name, safe='')}.zip"


def export_etag(export: Export, scope: TenantScope) -> str:
    """Strong: the plan, the zone whose clock the zip shows, and how we write zips."""
    facts = f"{export.etag} {scope.tenant.time_zone} {ZIP_VERSION}"
    return f'"{blake2b(facts.encode(), digest_size=32).hexdigest()}"'


async def zip_answer(request: Request, caller: Caller, export: Export) -> Response:
    """The zip, of exactly the announced length. A damaged blob breaks it off. Raises `Purged`."""
    held, scope = services(request), caller.scope
    export = await _planned(held, scope, export)
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": attachment(f"{export.name}.zip"),
        "Content-Length": str(export.size_bytes),
        "ETag": export_etag(export, scope),
        "Accept-Ranges": "none",
        "Cache-Control": "private, no-cache",
    }
    if is_unchanged(request.headers.get("if-none-match"), headers["ETag"]):
        del headers["Content-Length"]
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers=headers)
    detail: dict[str, object] = {"export": str(export.id), "members": export.member_count, "bytes": export.size_bytes}
    await scope.audit.record("export.download", export.name, detail)
    return await StreamedAnswer.begin(200, headers, _pieces(held, scope, export), held.downloads.take(scope.tenant.id))


async def _pieces(held: Services, scope: TenantScope, export: Export) -> AsyncGenerator[bytes, None]:
    members = member_pages(scope, export.id)
    read = partial(read_blob, held.store)
    try:
        zipped = zip_pieces(members, ZoneInfo(scope.tenant.time_zone), read, held.readers)
        async with aclosing(zipped) as pieces:
            async for piece in pieces:
                yield piece
    except ContentDamaged as error:
        await report_damage(held, scope, error, f"{export.name}.zip")
        raise


async def member_pages(scope: TenantScope, export_id: int) -> AsyncGenerator[list[Member], None]:
    """The members, page by page: nothing is held open in the database while a slow reader takes his time."""
    after = -1
    while page := await scope.exports.members(export_id, after):
        yield page
        after = page[-1].position


async def _planned(held: Services, scope: TenantScope, export: Export) -> Export:
    """The export with its zip's length, worked out once."""
    if export.size_bytes is not None:
        return export
    layout = await plan_zip(member_pages(scope, export.id), ZoneInfo(scope.tenant.time_zone), held.readers)
    await scope.exports.set_size(export.id, layout.size_bytes)
    return await scope.exports.get(export.id)


def _plain(name: bytes) -> str:
    """A file's name as an export may be called."""
    text = name.decode("utf-8", "replace")
    return "".join(c if c.isprintable() and c != "/" else "_" for c in text)[:NAME_CHARACTERS_MAX]
