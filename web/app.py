"""`create_app`: everything is wired here, once, from the settings."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from cas.journal import Journal
from cas.local import LocalBackend
from cas.lock import StoreLock
from cas.store import BlobStore
from cas.trash import Trash
from catalog.catalog import Catalog
from catalog.errors import DatabaseUnavailable
from catalog.settings import Settings
from web.audit_checkpoints import checkpointing
from web.client_wheel import CLIENT_DIR, load_wheel
from web.error_answers import answer_error
from web.handoff import HandoffVerifier
from web.limits import DATABASE_WAIT_SECONDS, READ_THREADS, WRITE_THREADS
from web.middleware import Guard
from web.operations import OPERATIONS
from web.recovery import clear_leftovers
from web.routing import routes_of
from web.second_look import SecondLook
from web.state import AppState, Services
from web.static_files import static_mount
from web.templating import Pages
from web.threads import Workers
from web.tus_expiry import expiring
from web.unsettled import UnsettledPacks

_DATABASE_PAUSE_SECONDS: Final = 0.5


def create_app(settings: Settings, held: Services | None = None) -> Starlette:
    """The application. Its lifespan opens the store and the catalog and closes them, unless they are given."""
    app = Starlette(
        routes=[static_mount(settings.brand_dir), *routes_of(OPERATIONS)],
        middleware=[Middleware(Guard, settings=settings, answer_error=answer_error)],
        # Starlette answers these itself unless told otherwise; all other errors reach `Guard`.
        exception_handlers={HTTPException: _answer_http},
        lifespan=_lifespan(settings, held),
    )
    # A slash more or less is another address: Starlette would build a redirect from the Host header.
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything in order; on the way out close it in the opposite order.

    Waits for a database that is starting. Raises `StoreNotReady`, `DatabaseUnavailable`, `SchemaMismatch`,
    `BadSettings`.
    """
    verifier = HandoffVerifier.from_settings(settings)
    async with AsyncExitStack() as stack:
        backend = LocalBackend(settings.storage_root)
        stack.callback(backend.close)
        store = BlobStore.open(backend)
        catalog = await _open_catalog(settings, Journal(backend), store.store_id)
        stack.push_async_callback(catalog.close)
        store = store.with_second_look(SecondLook(catalog.system, Trash(backend), asyncio.get_running_loop()))
        await clear_leftovers(stack.enter_context(StoreLock(settings.storage_root)), store, catalog)
        writers, readers = Workers(WRITE_THREADS, "write"), Workers(READ_THREADS, "read")
        stack.callback(writers.close)
        stack.callback(readers.close)
        pages = Pages(settings.brand_dir, settings.otb_portal_url)
        wheel = load_wheel(settings.client_dir or CLIENT_DIR)
        unsettled = UnsettledPacks(store, catalog.system, writers)
        held = Services(settings, catalog, store, verifier, pages, writers, readers, unsettled, wheel)
        await stack.enter_async_context(expiring(held))
        await stack.enter_async_context(checkpointing(catalog.audit_checkpoints))
        yield held


async def _open_catalog(settings: Settings, journal: Journal, store_id: str) -> Catalog:
    """Tried again for a while, since after a power cut everything starts at once."""
    give_up = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            return await Catalog.open(settings, journal, store_id)
        except DatabaseUnavailable:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(_DATABASE_PAUSE_SECONDS)


def _lifespan(
    settings: Settings, held: Services | None
) -> Callable[[Starlette], AbstractAsyncContextManager[AppState]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[AppState]:
        async with nullcontext(held) if held else open_services(settings) as opened:
            yield {"services": opened}

    return lifespan


async def _answer_http(request: Request, error: Exception) -> Response:
    return await answer_error(request, error)
