"""A thumbnail or preview as an HTTP answer: there, on its way, or never.

What was re-encoded here is shown in place, under the same policy as any content. Each is one piece and checked before a
byte of it leaves; one that is damaged is made again, and the answer is that it is on its way.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.job_values import Rendition, RenditionState
from catalog.recipes import Recipe
from catalog.values import Entry
from web.answers import json_answer, no_content
from web.damage import mark_damage
from web.digests import etag
from web.downloads import CONTENT_CSP, read_blob
from web.errors import ContentDamaged, NoRendition
from web.parameters import flag, query_of
from web.ranges import is_unchanged
from web.sessions import Caller
from web.state import services

COMING_SECONDS: Final = 1
"""When to ask again for what is being made."""
_CACHE: Final = "private, max-age=3600"
"""An entry's bytes never change, so its rendition does not either."""


async def rendition_or_nothing(request: Request, caller: Caller, entry: Entry, recipe: Recipe) -> Response:
    """As `rendition_answer`; 204 where there is none and the query asks to be quiet: a browser reports each error that
    a page's pictures meet."""
    is_quiet = flag(query_of(request), "quiet")
    try:
        return await rendition_answer(request, caller, entry, recipe)
    except NoRendition:
        if not is_quiet:
            raise
        return no_content()


async def rendition_answer(request: Request, caller: Caller, entry: Entry, recipe: Recipe) -> Response:
    """The rendition of an entry: 200, or 202 while it is being made. Raises `NoRendition`, `ContentDamaged`."""
    if entry.blob is None or not entry.size_bytes:
        raise NoRendition(recipe.title)
    found = await caller.scope.renditions.find(entry.blob.digest, recipe)
    match found:
        case Rendition():
            return await _content(request, caller, entry, recipe, found)
        case RenditionState.COMING:
            headers = {"Retry-After": str(COMING_SECONDS), "Cache-Control": "no-store"}
            return json_answer({"state": "coming"}, 202, headers)
        case RenditionState.NONE:
            raise NoRendition(recipe.title)


async def _content(request: Request, caller: Caller, entry: Entry, recipe: Recipe, rendition: Rendition) -> Response:
    text = "; charset=utf-8" if rendition.media_type.startswith("text/") else ""
    headers = {
        "Content-Type": rendition.media_type + text,
        "Content-Disposition": "inline",
        "Content-Security-Policy": CONTENT_CSP,
        "ETag": etag(rendition.blob.digest),
        "Cache-Control": _CACHE,
    }
    if is_unchanged(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    held = services(request)
    try:
        body = await held.readers.run(lambda: b"".join(read_blob(held.store, rendition.blob)))
    except ContentDamaged as error:
        if not await mark_damage(held, error):
            raise
        return await rendition_answer(request, caller, entry, recipe)  # it is to be made again
    return Response(body, headers=headers)
