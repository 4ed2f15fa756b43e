"""The page of uploads under way (the area tmp): how far each is, until when it is kept, and a way to stop it."""

from starlette.requests import Request
from starlette.responses import Response

from web.answers import see_other
from web.api_uploads import remove_upload
from web.bodies import Form, field
from web.limits import UPLOADS_OPEN_MAX
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import optional_id, parse_id, query_of
from web.places import areas_of
from web.sessions import Caller
from web.state import services


async def uploads_page(request: Request, caller: Caller) -> Response:
    """All that are not finished; with `device` in the query those to that device."""
    query = query_of(request)
    device_id = optional_id(query, "device")
    device = None if device_id is None else await caller.scope.devices.get(device_id)
    page = await caller.scope.uploads.page(limit=UPLOADS_OPEN_MAX)
    return await person_page(
        request,
        caller,
        "uploads.html",
        "devices",
        device=device,
        areas=areas_of(device.id, "tmp") if device else [],
        devices={one.id: one for one in await caller.scope.devices.all()},
        uploads=[upload for upload in page.items if device_id in (None, upload.wanted.device_id)],
    )


async def stop_upload(request: Request, caller: Caller, fields: Form) -> Response:
    """Forget one, with the bytes that came."""
    await remove_upload(request, caller, parse_id(field(fields, "upload"), "upload"))
    device = field(fields, "device")
    back = f"/uploads?device={parse_id(device, 'device')}" if device else "/uploads"
    return with_notice(see_other(back), services(request).settings, "upload_stopped")
