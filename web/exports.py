"""Exports as zips: planned once, when they are made, and streamed as often as asked, from any byte on, the same bytes
each time, whichever process answers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import anyio
from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import Purged
from catalog.export_making import NAME_CHARACTERS_MAX
from catalog.export_values import Directory, Terms
from catalog.tenant import TenantScope
from catalog.values import Entry, Export, Member, PlannedPart
from web.bodies import parse_form
from web.damage import report_damage
from web.downloads import attachment
from web.errors import ContentDamaged
from web.queries import search_query
from web.ranges import ByteRange, is_unchanged, parse_range, range_still_fits
from web.sessions import Caller
from web.state import Services, services
from web.streaming import StreamedAnswer
from web.zip_export import ZipPart
from web.zip_layout import ZIP_VERSION, ZipPlanner
from web.zip_reading import MemberReads

DEFAULT_NAME: Final = "files"
_SEARCH_PAGE: Final = 1_000
_MEMBERS_PAGE: Final = 2_000
"""About 1.5 MiB; two are in memory."""


@dataclass(frozen=True, slots=True)
class ExportMaking:
    """Makes exports in one scope. Where the terms have no name, the selection gives one."""

    held: Services
    scope: TenantScope
    terms: Terms

    async def of_entries(self, entry_ids: list[int]) -> Export:
        """A selection. A single folder or file gives the export its name."""
        name = DEFAULT_NAME
        if not self.terms.name and len(entry_ids) == 1:
            name = _plain((await self.scope.entries.get(entry_ids[0])).name)
        return await self.scope.exports.create(entry_ids, self._named(name), self._planner())

    async def of_directory(self, wanted: Directory) -> Export:
        """A folder's content. The area's root is called like its device."""
        name = DEFAULT_NAME
        if wanted.path.names:
            name = _plain(wanted.path.name)
        elif not self.terms.name:
            name = (await self.scope.devices.get(wanted.device_id)).name
        return await self.scope.exports.create_of_directory(wanted, self._named(name), self._planner())

    async def of_search(self, query: str, since: int | None = None) -> Export:
        """All files that a search finds. `query`: as the search page's address has it. Raises `BadRequest`."""
        terms, found = self._named("search"), self._found(query)
        return await self.scope.exports.create_of_found(found, query, terms, self._planner(), since)

    async def again(self, export: Export, *, only_new: bool) -> Export:
        """The same selection once more: as it is now, or only what was added since."""
        named = replace(self, terms=self._named(export.name))
        if (query := (await self.scope.exports.selection(export.id)).search) is not None:
            return await named.of_search(query, export.id if only_new else None)
        make = self.scope.exports.create_since if only_new else self.scope.exports.create_again
        return await make(export.id, named.terms, self._planner())

    def _named(self, name: str) -> Terms:
        return self.terms if self.terms.name else replace(self.terms, name=name)

    def _planner(self) -> ZipPlanner:
        return ZipPlanner(ZoneInfo(self.terms.time_zone), self.held.readers, self.terms.part_bytes_max)

    async def _found(self, query: str) -> AsyncIterator[Sequence[Entry]]:
        wanted, cursor = search_query(parse_form(query.encode())), None
        while True:
            page = await self.scope.search.find(wanted, cursor, _SEARCH_PAGE)
            yield page.items
            if (cursor := page.next) is None:
                return


def export_url(export: Export, number: int = 1) -> str:
    """The address of one of the export's zips."""
    part = f"?part={number}" if number > 1 else ""
    return f"/api/v1/exports/{export.id}/{quote(export.name, safe='')}.zip{part}"


def export_etag(export: Export, number: int = 1) -> str:
    """Strong: the plan, the zone whose clock the zip shows, and how we write zips."""
    facts = f"{export.etag} {export.time_zone} {ZIP_VERSION} {number}"
    return f'"{blake2b(facts.encode(), digest_size=32).hexdigest()}"'


def zip_name(export: Export, number: int) -> str:
    """Under which name a browser keeps it."""
    return f"{export.name}.zip" if export.part_count == 1 else f"{export.name} ({number} of {export.part_count}).zip"


async def zip_answer(request: Request, caller: Caller, export: Export, number: int) -> Response:
    """The zip, or one range of it, of exactly the announced length. A damaged blob breaks it off. Raises `NotFound`,
    `Purged`, `RangeNotSatisfiable`."""
    held, scope = services(request), caller.scope
    part = await scope.exports.part(export.id, number)
    headers = _headers(export, part)
    if is_unchanged(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    wanted = _range(request, part, headers["ETag"])
    if wanted is not None:
        headers["Content-Range"] = wanted.content_range(part.size_bytes)
    headers["Content-Length"] = str(part.size_bytes if wanted is None else wanted.length)
    await _require_whole(scope, export)
    status = 200 if wanted is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    await _log(held, scope, export, part)
    pieces = _pieces(held, scope, export, part, wanted or ByteRange(0, part.size_bytes))
    return await StreamedAnswer.begin(status, headers, pieces, held.downloads.take(scope.tenant.id))


def _headers(export: Export, part: PlannedPart) -> dict[str, str]:
    return {
        "Content-Type": "application/zip",
        "Content-Disposition": attachment(zip_name(export, part.number)),
        "ETag": export_etag(export, part.number),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }


def _range(request: Request, part: PlannedPart, etag: str) -> ByteRange | None:
    if not range_still_fits(request.headers.get("if-range"), etag):
        return None
    return parse_range(request.headers.get("range"), part.size_bytes)


async def _require_whole(scope: TenantScope, export: Export) -> None:
    """Raise `Purged`, with names, if something of it is gone."""
    if not (gone := await scope.exports.purged(export.id)):
        return
    first, more = gone[0], len(gone) - 1
    what = f"“{first}”" + (f" and {more:,} more" if more else "")
    raise Purged(f"{what} of this export was deleted for good since. Make the export again without it.", gone)


async def _log(held: Services, scope: TenantScope, export: Export, part: PlannedPart) -> None:
    """Into the audit before the first byte leaves; the ranges of one download are one event."""
    key = (scope.tenant.id, scope.actor.kind, scope.actor.id, -export.id)
    if held.download_log.is_new(key):
        detail: dict[str, object] = {"export": str(export.id), "members": part.member_count, "bytes": part.size_bytes}
        await scope.audit.record("export.download", export.name, detail)
        held.download_log.note(key)


async def _pieces(
    held: Services, scope: TenantScope, export: Export, part: PlannedPart, wanted: ByteRange
) -> AsyncGenerator[bytes, None]:
    with MemberReads(held.store) as reads:
        zipped = ZipPart(part, _Plan(scope, export.id, part), ZoneInfo(export.time_zone), reads.read, held.readers)
        try:
            async with aclosing(zipped.pieces(wanted)) as pieces:
                async for piece in pieces:
                    yield piece
        except ContentDamaged as error:
            await report_damage(held, scope, error, f"{export.name}.zip")
            raise


@dataclass(frozen=True, slots=True)
class _Plan:
    """A part's members, page by page, the next one fetched while one is used: nothing is held open in the database
    while a slow reader takes his time. Close `members` (`aclosing`)."""

    scope: TenantScope
    export_id: int
    part: PlannedPart

    async def members(self, section: str, at: int) -> AsyncGenerator[Sequence[Member], None]:
        after = await self.scope.exports.position_at(self.export_id, self.part, section, at) - 1
        page = await self._page(after)
        while len(page) == _MEMBERS_PAGE:
            following = asyncio.ensure_future(self._page(page[-1].position))
            try:
                yield page
            finally:
                # Waited for, not cancelled: that would cost the database a connection.
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({following})
                following.exception()
            page = following.result()
        yield page

    async def _page(self, after: int) -> Sequence[Member]:
        return await self.scope.exports.members(self.export_id, self.part.number, after, _MEMBERS_PAGE)


def _plain(name: bytes) -> str:
    """A file's name as an export may be called."""
    text = name.decode("utf-8", "replace")
    return "".join(c if c.isprintable() and c != "/" else "_" for c in text)[:NAME_CHARACTERS_MAX]
