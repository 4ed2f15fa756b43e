"""What a running app holds: made in `create_app`'s lifespan, read by handlers through `services`."""

from dataclasses import dataclass, field
from typing import TypedDict, cast

from starlette.requests import HTTPConnection

from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.settings import Settings
from web import limits
from web.admission import Incoming, Slots
from web.client_wheel import Wheel
from web.download_log import DownloadLog
from web.gathering import Gatherer
from web.handoff import HandoffVerifier
from web.rates import Rates
from web.small_files import Put, SmallFile
from web.templating import Pages
from web.threads import Workers
from web.tus_turns import Tus
from web.unsettled import UnsettledPacks


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may need, and nothing it could reach another tenant with but `catalog.system`."""

    settings: Settings
    catalog: Catalog
    store: BlobStore
    verifier: HandoffVerifier
    pages: Pages
    writers: Workers
    readers: Workers
    unsettled: UnsettledPacks
    client_wheel: Wheel | None = None
    uploads: Slots = field(
        default_factory=lambda: Slots(limits.UPLOADS_AT_ONCE, "uploads", limits.UPLOADS_AT_ONCE_OF_TENANT)
    )
    downloads: Slots = field(
        default_factory=lambda: Slots(limits.DOWNLOADS_AT_ONCE, "downloads", limits.DOWNLOADS_AT_ONCE_OF_TENANT)
    )
    small_slots: Slots = field(
        default_factory=lambda: Slots(
            limits.SMALL_UPLOADS_AT_ONCE, "small uploads", limits.SMALL_UPLOADS_AT_ONCE_OF_TENANT
        )
    )
    small_uploads: Gatherer[SmallFile, Put] = field(
        default_factory=lambda: Gatherer(limits.SMALL_UPLOADS_TOGETHER_MAX, lambda file: file.path)
    )
    large_bodies: Slots = field(default_factory=lambda: Slots(limits.LARGE_BODIES_AT_ONCE, "large requests"))
    incoming: Incoming = field(default_factory=Incoming)
    download_log: DownloadLog = field(default_factory=DownloadLog)
    rates: Rates = field(default_factory=Rates)
    tus: Tus = field(default_factory=Tus)


class AppState(TypedDict):
    """The lifespan's state, copied into each request's scope."""

    services: Services


def services(request: HTTPConnection) -> Services:
    """The app's services."""
    return cast("AppState", request.scope["state"])["services"]
