"""OTB Billing reports a customer's status, by the package that it installs, to the real server."""

import threading
import time
from typing import Any

import httpx2
import pytest
from otb_cloud_billing import REPORT_AUDIENCE, HandoffSigner, ReportFailed, report_status

from tests.shared.portal import handoff, new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device

REPORTS = "/api/v1/billing/status"
JWT = {"Content-Type": "application/jwt"}


@pytest.fixture
def signer(running: Service) -> HandoffSigner:
    return HandoffSigner(running.settings.otb_portal_shared_secret)


def post(running: Service, token: str, **headers: str) -> httpx2.Response:
    return httpx2.post(running.url + REPORTS, content=token.encode(), headers=JWT | headers)


def signed(signer: HandoffSigner, client: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "otb-billing", "aud": REPORT_AUDIENCE, "sub": client, "status": "suspended", "iat": now}
    claims |= {"exp": now + 60, "jti": f"a report of some length {time.monotonic_ns()}"}
    return signer.encode({name: value for name, value in (claims | changes).items() if value is not None})


@pytest.mark.parametrize("status", ["suspended", "cancelled"])
def test_who_is_no_customer_any_more_is_out_with_the_next_request_and_comes_back(
    running: Service, signer: HandoffSigner, status: Any
) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as client:
        laptop = Device.make(client, "laptop")
        token = client.post(f"/api/v1/devices/{laptop.id}/tokens", json={"label": "x"}).json()["token"]
        assert client.put(f"{laptop.files}/kept.txt", content=b"kept").status_code == 201
        assert report_status(signer, running.url, person.client, status) is True
        assert client.get("/api/v1/me").status_code == 403
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx2.get(f"{running.url}/api/v1/me", headers=bearer).status_code == 403
        again = httpx2.post(f"{running.url}/auth/handoff", data={"token": handoff(running.settings, person)})
        assert again.status_code == 403
        assert report_status(signer, running.url, person.client, "active") is True
        assert client.get(f"{laptop.files}/kept.txt").content == b"kept"
        events = client.get("/api/v1/audit").json()["events"]
        acts = [(event["action"], event["actor"]) for event in events if event["action"].startswith("tenant.")]
        assert acts == [("tenant.resume", "OTB Billing"), ("tenant.suspend", "OTB Billing")]


def test_a_status_that_is_so_already_is_no_event(running: Service, signer: HandoffSigner) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as client:
        assert report_status(signer, running.url, person.client, "active") is True
        assert [e for e in client.get("/api/v1/audit").json()["events"] if e["action"].startswith("tenant.")] == []


def test_a_customer_without_an_account(running: Service, signer: HandoffSigner) -> None:
    assert report_status(signer, running.url, "nobody of this name", "suspended") is False


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "otb-cloud"},
        {"iss": "otb-cloud"},
        {"status": "owner"},
        {"status": None},
        {"sub": ""},
        {"jti": None},
        {"exp": int(time.time()) + 100_000},
        {"iat": 1_700_000_000, "exp": 1_700_000_060},
    ],
)
def test_what_is_no_report_is_refused(running: Service, signer: HandoffSigner, changes: dict[str, Any]) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as client:
        assert post(running, signed(signer, person.client, **changes)).status_code == 403
        assert client.get("/api/v1/me").status_code == 200


def test_a_handoff_is_no_report_and_a_report_no_handoff(running: Service, signer: HandoffSigner) -> None:
    person = new_person()
    assert post(running, handoff(running.settings, person)).status_code == 403
    report = signer.sign_report(person.client, "active")
    assert httpx2.post(f"{running.url}/auth/handoff", data={"token": report}).status_code == 403


def test_who_has_not_the_key_reports_nothing(running: Service) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person) as client:
        with pytest.raises(ReportFailed, match="403"):
            report_status(HandoffSigner("x" * 40), running.url, person.client, "suspended")
        assert client.get("/api/v1/me").status_code == 200


def test_of_fifty_sendings_at_once_one_is_taken(running: Service, signer: HandoffSigner) -> None:
    person = new_person()
    with sign_in(running.url, running.settings, person):
        report = signer.sign_report(person.client, "suspended")
        answers: list[int] = []

        def send() -> None:
            answers.append(post(running, report).status_code)

        threads = [threading.Thread(target=send) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [200] + [403] * 49


def test_other_bodies(running: Service) -> None:
    assert post(running, "x" * 10_000).status_code == 413
    assert post(running, "").status_code == 403
    assert post(running, "not.a.token").status_code == 403
    assert httpx2.post(running.url + REPORTS, json={}).status_code == 415


def test_otb_cloud_out_of_reach_is_told(signer: HandoffSigner) -> None:
    with pytest.raises(ReportFailed, match="cannot be reached"):
        report_status(signer, "http://127.0.0.1:9", "1001", "suspended")
    with pytest.raises(ReportFailed, match="no address"):
        report_status(signer, "file:///etc/passwd", "1001", "suspended")
