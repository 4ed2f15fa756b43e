"""`/health`, `/health.json` and `/metrics`: how the service is, for operators and monitors. Nothing of any tenant."""

from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from web.answers import json_answer
from web.health import UNAVAILABLE, Health, look
from web.shapes import Json
from web.state import services

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


async def health_page(request: Request) -> Response:
    """The page. 503 while the database is away."""
    health = await look(services(request))
    return services(request).pages.render("health.html", _code(health), health=health)


async def health_json(request: Request) -> Response:
    """The same as JSON."""
    health = await look(services(request))
    return json_answer(_shape(health), _code(health))


async def metrics(request: Request) -> Response:
    """The same for Prometheus."""
    return Response(_exposition(await look(services(request))), 200, None, METRICS_TYPE)


def _code(health: Health) -> int:
    return 503 if health.status == UNAVAILABLE else 200


def _shape(health: Health) -> Json:
    condition = health.condition
    one, five, fifteen = health.load_average
    shape: Json = {
        "status": health.status,
        "database": {"status": "ok" if condition else "unavailable", "seconds": round(health.database_seconds, 4)},
        "uptime_seconds": round(health.uptime_seconds),
        "load_average": {"1m": one, "5m": five, "15m": fifteen},
        "memory": {"total_bytes": health.memory_total_bytes, "free_bytes": health.memory_free_bytes},
        "disk": {"total_bytes": health.disk_total_bytes, "free_bytes": health.disk_free_bytes},
        "store": "ok" if health.is_store_writable else "read-only",
    }
    if condition is not None:
        shape |= {
            "verified": condition.verified_at,
            "damaged_blobs": condition.damaged_blobs,
            "missing_blobs": condition.missing_blobs,
            "uploads_open": condition.uploads_open,
        }
    return shape


def _exposition(health: Health) -> bytes:
    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float) -> None:
        Gauge(f"otb_cloud_{name}", text, registry=registry).set(value)

    gauge("up", "1 while the database answers", health.condition is not None)
    gauge("store_writable", "1 while the store takes uploads", health.is_store_writable)
    gauge("uptime_seconds", "Of the server process that answered", health.uptime_seconds)
    gauge("database_seconds", "How long the catalog took to answer", health.database_seconds)
    gauge("disk_free_bytes", "Of the store's file system", health.disk_free_bytes)
    gauge("disk_total_bytes", "Of the store's file system", health.disk_total_bytes)
    condition = health.condition
    if condition is not None:
        gauge("damaged_blobs", "Blobs whose bytes do not match their digest", condition.damaged_blobs)
        gauge("missing_blobs", "Blobs whose file is not there", condition.missing_blobs)
        gauge("uploads_open", "Resumable uploads that are not finished", condition.uploads_open)
        if condition.verified_at is not None:
            age = (datetime.now(UTC) - condition.verified_at).total_seconds()
            gauge("verified_age_seconds", "Since the newest scrub that went through everything", age)
    return generate_latest(registry)
