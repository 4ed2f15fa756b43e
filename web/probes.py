"""`/livez` and `/readyz`, for whoever watches the service. They say nothing about any tenant."""

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import DatabaseUnavailable
from web.answers import json_answer
from web.health import OK, replica_status
from web.state import services


async def livez(_request: Request) -> Response:
    """The process answers."""
    return json_answer({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The database answers and the store is there. 503 otherwise.

    A read-only store is told, and still serves reads; so are a missing otb-cloud, without which no computer connects,
    and a second copy that is late.
    """
    held = services(request)
    try:
        await held.catalog.ready()
    except DatabaseUnavailable:
        return json_answer({"status": "unavailable", "database": "unavailable"}, 503)
    is_read_only = await held.readers.run(lambda: held.store.read_only_reason) is not None
    parts = {"store": "read-only" if is_read_only else OK, "client": OK if held.client_wheel else "missing"}
    if held.settings.replica is not None:
        parts["replica"] = replica_status(await held.readers.run(held.store.replicated))
    return json_answer({"status": OK, "database": OK} | parts)
