"""What operators and monitors see of the service: the page, the JSON, the metrics; none of it is about anybody."""

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cas.local import READ_ONLY
from catalog.condition import Condition
from catalog.job_values import JobCount, Outcome, QueueState
from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device
from tests.web.test_openapi import check
from web.health import Health
from web.pages_health import exposition

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
    health = Health("ok", condition, 0.0, True, 0.0, (0.0, 0.0, 0.0), 1, 1, 1, 1)
    families = text_string_to_metric_families(exposition(health).decode())
    told = {sample.name for family in families for sample in family.samples}
    rules, dashboard = (PROMETHEUS / f"otb-cloud.{name}" for name in ("rules.yml", "dashboard.json"))
    panels = json.loads(dashboard.read_text())["panels"]
    asked = rules.read_text() + " ".join(target["expr"] for panel in panels for target in panel["targets"])
    names = set(re.findall(r"\botb_cloud_\w+", asked))
    assert len(names) > 10
    assert names - told == set()
