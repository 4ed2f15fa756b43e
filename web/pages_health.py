"""`/health`, `/health.json` and `/metrics`: how the service is, for operators and monitors. Nothing of any tenant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from catalog.condition import Condition
from catalog.job_values import JobCount, Outcome
from catalog.recipes import RECIPES
from web.answers import json_answer
from web.health import UNAVAILABLE, Health, look
from web.shapes import Json
from web.state import services

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


async def health_page(request: Request) -> Response:
    """The page. 503 while the database is away."""
    health = await look(services(request))
    return services(request).pages.render("health.html", _code(health), health=health, work=_work(health.condition))


async def health_json(request: Request) -> Response:
    """The same as JSON."""
    health = await look(services(request))
    return json_answer(_shape(health), _code(health))


async def metrics(request: Request) -> Response:
    """The same for Prometheus."""
    return Response(exposition(await look(services(request))), 200, None, METRICS_TYPE)


@dataclass(frozen=True, slots=True)
class Work:
    """What became of one recipe's jobs since the beginning, as a line of the page."""

    title: str
    jobs: Mapping[Outcome, int]
    seconds: float


def _work(condition: Condition | None) -> list[Work]:
    """A line for each recipe of which a job has ended, in the order of the recipes' names."""
    lines = []
    for recipe, counts in groupby(condition.jobs if condition else (), attrgetter("recipe")):
        some = list(counts)
        jobs = {one.outcome: one.jobs for one in some}
        title = RECIPES[recipe].title if recipe in RECIPES else recipe
        lines.append(Work(title, jobs, sum(one.milliseconds for one in some) / 1_000))
    return lines


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
        "replica": {
            "status": health.replica_status,
            "whole": health.replicated.whole_at,
            "dumped": health.replicated.dumped_at,
        },
    }
    if condition is not None:
        shape |= {
            "verified": condition.verified_at,
            "damaged_blobs": condition.damaged_blobs,
            "missing_blobs": condition.missing_blobs,
            "uploads_open": condition.uploads_open,
            "jobs": _jobs_shape(condition),
        }
    return shape


def _jobs_shape(condition: Condition) -> Json:
    return {
        "waiting": condition.queue.waiting,
        "running": condition.queue.running,
        "set_aside": condition.queue.failed,
        "oldest_waiting": condition.queue.oldest_waiting,
        "ended": [
            {"recipe": one.recipe, "outcome": one.outcome, "jobs": one.jobs, "seconds": one.milliseconds / 1_000}
            for one in condition.jobs
        ],
    }


class _JobCounters(Collector):
    """The lifetime counters of jobs, which are counted in the catalog and not here."""

    def __init__(self, counts: Sequence[JobCount]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        labels = ("recipe", "outcome")
        jobs = CounterMetricFamily("otb_cloud_jobs", "Jobs and tries that ended, since the beginning", labels=labels)
        seconds = CounterMetricFamily("otb_cloud_job_seconds", "What workers spent on them", labels=labels)
        for one in self._counts:
            jobs.add_metric((one.recipe, one.outcome), one.jobs)
            seconds.add_metric((one.recipe, one.outcome), one.milliseconds / 1_000)
        yield jobs
        yield seconds


def exposition(health: Health) -> bytes:
    """All metrics in the text format of Prometheus; those of the catalog are left out while the database is away."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float) -> None:
        Gauge(f"otb_cloud_{name}", text, registry=registry).set(value)

    gauge("up", "1 while the database answers", health.condition is not None)
    gauge("store_writable", "1 while the store takes uploads", health.is_store_writable)
    gauge("uptime_seconds", "Of the server process that answered", health.uptime_seconds)
    gauge("database_seconds", "How long the catalog took to answer", health.database_seconds)
    gauge("disk_free_bytes", "Of the store's file system", health.disk_free_bytes)
    gauge("disk_total_bytes", "Of the store's file system", health.disk_total_bytes)
    gauge("replica_wanted", "1 where the settings name a second copy", health.is_replicated)
    if health.replicated.whole_at is not None:
        gauge("replica_age_seconds", "Since the second copy was last whole", _age_seconds(health.replicated.whole_at))
    if health.replicated.dumped_at is not None:
        gauge("dump_age_seconds", "Since the database was last dumped", _age_seconds(health.replicated.dumped_at))
    condition = health.condition
    if condition is not None:
        gauge("damaged_blobs", "Blobs whose bytes do not match their digest", condition.damaged_blobs)
        gauge("missing_blobs", "Blobs whose file is not there", condition.missing_blobs)
        gauge("uploads_open", "Resumable uploads that are not finished", condition.uploads_open)
        gauge("jobs_waiting", "Jobs that wait for a worker", condition.queue.waiting)
        gauge("jobs_running", "Jobs that workers hold", condition.queue.running)
        gauge("jobs_set_aside", "Jobs that failed, until somebody tries again or deletes them", condition.queue.failed)
        registry.register(_JobCounters(condition.jobs))
        if condition.verified_at is not None:
            age = _age_seconds(condition.verified_at)
            gauge("verified_age_seconds", "Since the blob that was re-read longest ago was", age)
    return generate_latest(registry)


def _age_seconds(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()
