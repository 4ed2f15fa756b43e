"""`tools/search`: what the indexes hold, and making them again while a server runs."""

import subprocess

import httpx2

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device
from tools.run.processes import python


def run(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*python("tools.search"), *words]
    return subprocess.run(command, env=dict(service.given.environ), capture_output=True, text=True, check=False)


def test_status_and_rebuild_while_a_server_runs(service: Service) -> None:
    person = new_person()
    with sign_in(service.url, service.settings, person) as client:
        laptop = Device.make(client, "laptop")
        assert laptop.put("beach.jpg", b"x").status_code == 201
        made = run(service, "rebuild", person.client)
        assert made.returncode == 0, made.stderr
        assert "1 entries" in made.stdout
        after = run(service, "status")
        assert after.returncode == 0, after.stderr
        assert " 1 segments" in after.stdout
        assert laptop.put("another beach.jpg", b"y").status_code == 201
        assert _names(client) == ["another beach.jpg", "beach.jpg"]
        assert run(service, "rebuild").returncode == 0
        assert _names(client) == ["another beach.jpg", "beach.jpg"]


def _names(client: httpx2.Client) -> list[str]:
    answer = client.get("/api/v1/search", params={"q": "beach", "by": "uploaded"}).json()
    assert answer["complete"] is True
    return [entry["name"] for entry in answer["entries"]]


def test_a_tenant_that_is_not_there_is_a_sentence(service: Service) -> None:
    done = run(service, "rebuild", "nobody")
    assert (done.returncode, done.stderr) == (2, "tools/search: There is no such tenant.\n")
