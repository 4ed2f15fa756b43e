"""`/api/v1/uploads`: resumable uploads as tus 1.0.0 has them, so that stock clients need nothing else.

What always holds: an answer, an error too, carries `Tus-Resumable`; of two requests on one upload the newer goes on,
and the older is told so; `Upload-Offset` is what is durable, and reaches the length only when the file is committed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from starlette.requests import Request
from starlette.responses import Response

from cas.errors import CasError
from catalog.errors import CatalogError
from catalog.uploads import NewUpload, Upload
from web.answers import json_answer, no_content
from web.bodies import check_length
from web.digests import announced_digests
from web.error_answers import answer_error
from web.errors import TUS_VERSION, Disconnected, FinishFailed, OffsetConflict, TooLarge, WebError
from web.parameters import cursor_of, page_limit, path_id, query_of
from web.routing import Operation, api, bulk, open_to_all
from web.sessions import Caller
from web.shapes import Json
from web.state import Services, services
from web.times import moment_text
from web.tus_finish import finish
from web.tus_headers import (
    ALGORITHMS,
    EXTENSIONS,
    RESUMABLE,
    Checksum,
    check_chunk_type,
    check_version,
    checksum_of,
    describe,
    describe_fully,
    expecting,
    has_body,
    length_of,
    new_upload,
    offset_of,
)
from web.tus_transfer import Transfer, lifetime
from web.tus_turns import Turn

UPLOADS = "/api/v1/uploads"
UPLOAD = "/api/v1/uploads/{upload}"
Handler = Callable[[Request, Caller], Awaitable[Response]]


def tus(method: str, path: str, handler: Handler) -> Operation:
    """An operation of the protocol: as `api`, with the version checked and told."""

    async def checked(request: Request, caller: Caller) -> Response:
        check_version(request)
        return await handler(request, caller)

    return _speaking(bulk(method, path, checked))


def tus_options(path: str) -> Operation:
    """What this server can do, told to anybody."""
    return _speaking(open_to_all("OPTIONS", path, tell_options))


def _speaking(operation: Operation) -> Operation:
    async def answer(request: Request) -> Response:
        try:
            answered = await operation.answer(request)
        except Disconnected:
            raise
        except (WebError, CatalogError, CasError) as error:
            answered = await answer_error(request, error)
        answered.headers[RESUMABLE] = TUS_VERSION
        return answered

    return Operation(operation.method, operation.path, answer, operation.reach)


async def tell_options(request: Request) -> Response:
    """Version, extensions, and the largest file."""
    told = {
        "Tus-Version": TUS_VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Checksum-Algorithm": ALGORITHMS,
        "Tus-Max-Size": str(services(request).settings.upload_bytes_max),
    }
    return Response(status_code=204, headers=told)


async def list_uploads(request: Request, caller: Caller) -> Response:
    """What is under way."""
    query = query_of(request)
    page = await caller.scope.uploads.page(cursor_of(query), page_limit(query))
    return json_answer({"uploads": [upload_json(upload) for upload in page.items], "next": page.next})


async def create_upload(request: Request, caller: Caller) -> Response:
    """Begin one, with its first bytes where they come along. A failure leaves none: its address was not told yet."""
    held, scope = services(request), caller.scope
    new = new_upload(request, held.settings.upload_bytes_max)
    checksum = _first_bytes(request, new)
    upload = await scope.uploads.create(new, lifetime(held), held.incoming.reserved_bytes[scope.tenant.id])
    if has_body(request) or new.size_bytes == 0:
        async with held.tus.turns.take((scope.tenant.id, upload.id)) as turn:
            upload = await _first(request, caller, upload, turn, checksum)
    headers = {"Location": f"{UPLOADS}/{upload.id}"} | describe(upload)
    return Response(status_code=201, headers=headers)


async def head_upload(request: Request, caller: Caller) -> Response:
    """Where it stands. A request that still brings bytes is stopped first, so that what is told stays true."""
    async with _turn(request, caller):
        upload = await _current(request, caller, prolong=False)
    return Response(status_code=200, headers=describe_fully(upload))


async def patch_upload(request: Request, caller: Caller) -> Response:
    """The next bytes. The last of them finish it."""
    check_chunk_type(request)
    held, offset_bytes, checksum = services(request), offset_of(request), checksum_of(request)
    digest = announced_digests(request.headers).blake3
    size_bytes = length_of(request, held.settings.upload_bytes_max)
    async with _turn(request, caller) as turn:
        upload = await _current(request, caller, prolong=True)
        if offset_bytes != upload.offset_bytes or (upload.is_finished and has_body(request)):
            raise OffsetConflict(upload.offset_bytes)
        if not upload.is_finished:
            if size_bytes is not None:
                others_bytes = held.incoming.reserved_bytes[caller.scope.tenant.id]
                upload = await caller.scope.uploads.announce(upload, size_bytes, others_bytes)
            _check_fits(request, upload)
            upload = await _receive(request, caller, expecting(upload, digest), turn, checksum)
    return Response(status_code=204, headers=describe(upload))


async def delete_upload(request: Request, caller: Caller) -> Response:
    """Stop it and forget it. A file that it became stays."""
    await remove_upload(request, caller, path_id(request, "upload"))
    return no_content()


async def remove_upload(request: Request, caller: Caller, upload_id: int) -> None:
    """Whoever writes it is stopped first. Raises `NotFound`."""
    held = services(request)
    await caller.scope.uploads.find(upload_id)
    async with held.tus.turns.take((caller.scope.tenant.id, upload_id)):
        await _remove(held, caller, upload_id)


def upload_json(upload: Upload) -> Json:
    wanted = upload.wanted
    return {
        "id": str(upload.id),
        "device": None if wanted.device_id is None else str(wanted.device_id),
        "path": None if wanted.path is None else str(wanted.path),
        "size": upload.size_bytes,
        "offset": upload.offset_bytes,
        "created": moment_text(upload.created_at),
        "expires": moment_text(upload.expires_at),
    }


@asynccontextmanager
async def _turn(request: Request, caller: Caller) -> AsyncIterator[Turn]:
    """Be the newest request on the upload in the path. Raises `NotFound`, before anybody is stopped."""
    upload_id = path_id(request, "upload")
    await caller.scope.uploads.get(upload_id)
    async with services(request).tus.turns.take((caller.scope.tenant.id, upload_id)) as turn:
        yield turn


async def _current(request: Request, caller: Caller, *, prolong: bool) -> Upload:
    """The upload in the path, as its newest writer. If its part has lost bytes, it begins again."""
    held, uploads = services(request), caller.scope.uploads
    upload = await uploads.take_over(path_id(request, "upload"), lifetime(held) if prolong else None)
    if upload.is_finished or upload.offset_bytes == 0:
        return upload
    if await held.writers.run(held.store.part_bytes, upload.part) >= upload.offset_bytes:
        return upload
    return await uploads.move(upload, 0, lifetime(held))


def _first_bytes(request: Request, new: NewUpload) -> Checksum | None:
    """What can be said of a body that comes with the creation before anything is created."""
    if not has_body(request):
        return None
    check_chunk_type(request)
    _check_length(request, new.size_bytes)
    return checksum_of(request)


def _check_fits(request: Request, upload: Upload) -> None:
    left_bytes = None if upload.size_bytes is None else upload.size_bytes - upload.offset_bytes
    _check_length(request, left_bytes)


def _check_length(request: Request, left_bytes: int | None) -> None:
    """Raises `TooLarge` where more is announced than is missing."""
    bytes_max = services(request).settings.upload_bytes_max if left_bytes is None else left_bytes
    try:
        check_length(request, bytes_max)
    except TooLarge:
        raise TooLarge(bytes_max, "The rest of this upload") from None


async def _first(request: Request, caller: Caller, upload: Upload, turn: Turn, checksum: Checksum | None) -> Upload:
    """The bytes that came with the creation; if they fail, the upload is gone."""
    try:
        return await _receive(request, caller, upload, turn, checksum)
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await _remove(services(request), caller, upload.id)
        if isinstance(error, FinishFailed):
            raise FinishFailed(error.cause, is_kept=False) from error
        raise


async def _receive(request: Request, caller: Caller, upload: Upload, turn: Turn, checksum: Checksum | None) -> Upload:
    held, scope = services(request), caller.scope
    async with Transfer(held, scope, upload, turn) as transfer:
        await transfer.receive(request, checksum)
        if not transfer.is_whole:
            return transfer.upload
        return await finish(held, scope, transfer, turn)


async def _remove(held: Services, caller: Caller, upload_id: int) -> None:
    """Row, part and hashes; what is gone already is no error here."""
    removed = await caller.scope.uploads.remove(upload_id)
    held.tus.hashes.take((caller.scope.tenant.id, upload_id))
    if removed is not None:
        await held.writers.run(held.store.discard_part, removed.part)


OPERATIONS = (
    tus_options(UPLOADS),
    api("GET", UPLOADS, list_uploads),
    tus("POST", UPLOADS, create_upload),
    tus_options(UPLOAD),
    tus("HEAD", UPLOAD, head_upload),
    tus("PATCH", UPLOAD, patch_upload),
    tus("DELETE", UPLOAD, delete_upload),
)
