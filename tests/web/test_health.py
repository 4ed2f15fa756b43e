"""What operators and monitors see of the service: the page, the JSON, the metrics; none of it is about anybody."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send

from cas.local import READ_ONLY, LocalBackend
from cas.replicated import REPLICATED_KEY, Replicated, note_replicated
from catalog.condition import Condition
from catalog.job_values import JobCount, Outcome, QueueState
from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.shared.settings import GivenSettings
from tests.web.device import Device
from tests.web.test_openapi import check
from web.app import create_app, open_services
from web.health import Health
from web.pages_health import exposition
from web.state import AppState

PROMETHEUS: Final = Path(__file__).parents[2] / "systemd" / "prometheus"
ADDRESSES = ("/health", "/health.json", "/metrics")


def metrics_of(service: Service) -> dict[str, float]:
    text = httpx2.get(f"{service.url}/metrics").text
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def test_a_healthy_service_says_so(running: Service) -> None:
    told = check(httpx2.get(f"{running.url}/health.json"), "get", "/health.json")
    # Other tests on this server damage files of their own on purpose.
    is_whole = told["damaged_blobs"] + told["missing_blobs"] == 0
    assert (told["status"], told["database"]["status"], told["store"]) == ("ok" if is_whole else "degraded", "ok", "ok")
    disk = shutil.disk_usage(running.settings.storage_root)
    assert told["disk"]["total_bytes"] == disk.total
    assert 0 < told["memory"]["free_bytes"] < told["memory"]["total_bytes"]
    page = httpx2.get(f"{running.url}/health")
    assert page.status_code == 200
    assert ("All is well" if is_whole else "Needs a look") in page.text
    found = metrics_of(running)
    assert (found["otb_cloud_up"], found["otb_cloud_store_writable"]) == (1, 1)
    assert found["otb_cloud_damaged_blobs"] == told["damaged_blobs"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_of_anybody_is_told(running: Service, address: str) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as client:
        laptop = Device.make(client, "a very private laptop")
        client.put(f"{laptop.files}/a very private file.txt", content=b"private")
    told = httpx2.get(running.url + address).text
    for secret in (person.name, person.email, person.label, person.client, "very private"):
        assert secret not in told


def test_a_store_that_takes_nothing_is_told(running: Service) -> None:
    note = running.settings.storage_root / READ_ONLY
    note.write_text("a disk failed\n")
    try:
        told = httpx2.get(f"{running.url}/health.json").json()
        assert (told["status"], told["store"]) == ("degraded", "read-only")
        assert "Needs a look" in httpx2.get(f"{running.url}/health").text
        assert metrics_of(running)["otb_cloud_store_writable"] == 0
    finally:
        note.unlink()


def test_the_alerts_and_the_dashboard_ask_for_metrics_that_there_are() -> None:
    now = datetime.now(UTC)
    condition = Condition(now, 0, 0, 0, QueueState(0, 0, 0, None), [JobCount("thumbnail", Outcome.DONE, 1, 1)])
    health = Health("ok", condition, 0.0, True, 0.0, (0.0, 0.0, 0.0), 1, 1, 1, 1, True, Replicated(now, now))
    families = text_string_to_metric_families(exposition(health).decode())
    told = {sample.name for family in families for sample in family.samples}
    rules, dashboard = (PROMETHEUS / f"otb-cloud.{name}" for name in ("rules.yml", "dashboard.json"))
    panels = json.loads(dashboard.read_text())["panels"]
    asked = rules.read_text() + " ".join(target["expr"] for panel in panels for target in panel["targets"])
    names = set(re.findall(r"\botb_cloud_\w+", asked))
    assert len(names) > 10
    assert names - told == set()


@pytest.mark.anyio
async def test_the_age_of_the_second_copy_is_told(make_settings: Callable[..., GivenSettings], tmp_path: Path) -> None:
    settings = make_settings(REPLICA=str(tmp_path)).settings
    async with open_services(settings) as held:
        app = create_app(settings, held)
        state = AppState(services=held)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": state}, receive, send)

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(serve), base_url=settings.public_url) as client:

            async def told() -> tuple[str, str, str, dict[str, float]]:
                health, ready = (await client.get("/health.json")).json(), (await client.get("/readyz")).json()
                families = text_string_to_metric_families((await client.get("/metrics")).text)
                metrics = {sample.name: sample.value for family in families for sample in family.samples}
                return health["status"], health["replica"]["status"], ready["replica"], metrics

            *never, metrics = await told()
            assert (never, metrics["otb_cloud_replica_wanted"]) == (["degraded", "late", "late"], 1)
            assert "otb_cloud_replica_age_seconds" not in metrics
            backend = LocalBackend(settings.storage_root)
            hour = timedelta(hours=1)
            note_replicated(backend, whole_at=datetime.now(UTC) - 3 * hour)
            assert (await told())[1] == "late", "the database was never dumped"
            note_replicated(backend, dumped_at=datetime.now(UTC) - 4 * hour)
            *soon, metrics = await told()
            assert soon == ["ok", "ok", "ok"]
            assert metrics["otb_cloud_replica_age_seconds"] == pytest.approx(3 * 3600, abs=60)
            assert metrics["otb_cloud_dump_age_seconds"] == pytest.approx(4 * 3600, abs=60)
            assert "3 hours ago" in (await client.get("/health")).text
            note_replicated(backend, whole_at=datetime.now(UTC) - 49 * hour)
            assert (await told())[:3] == ("degraded", "late", "late")
            (settings.storage_root / REPLICATED_KEY).chmod(0o600)
            (settings.storage_root / REPLICATED_KEY).write_bytes(b"{")
            assert (await told())[1] == "late"
            backend.close()
