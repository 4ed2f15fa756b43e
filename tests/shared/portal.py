"""The customer's way in, for tests: people, their handoffs, and signed-in clients."""

import itertools
from typing import Any, Literal

import httpx2
from otb_cloud_billing import HandoffSigner, Person

from catalog.settings import Settings

_numbers = itertools.count(1)


def new_person(role: Literal["owner", "member", "staff"] = "owner", *, client: str | None = None) -> Person:
    """Somebody never seen before, of a customer never seen before unless `client` is given."""
    number = next(_numbers)
    return Person(
        client=client or f"client-{number}",
        user=f"user-{number}",
        email=f"person{number}@example.test",
        name=f"Person {number}",
        role=role,
        label=f"Customer {client or number}",
    )


def handoff(settings: Settings, person: Person, **claims: Any) -> str:
    """A signed handoff; keyword arguments replace claims, and a claim of None is left out."""
    signer = HandoffSigner(settings.otb_portal_shared_secret)
    changed = signer.claims(person) | claims
    return signer.encode({name: value for name, value in changed.items() if value is not None})


def sign_in(url: str, settings: Settings, person: Person | None = None) -> httpx2.Client:
    """A client with the person's session cookie and `X-CSRF-Token`. Close it, or use it as a context manager."""
    with httpx2.Client(base_url=url, timeout=120) as first:
        token = _enter(first, settings, person)
        return httpx2.Client(base_url=url, timeout=120, cookies=dict(first.cookies), headers={"X-CSRF-Token": token})


def session_of(client: httpx2.Client) -> tuple[dict[str, str], dict[str, str]]:
    """The cookies and the headers of a signed-in client, for another client of any kind."""
    return dict(client.cookies), {"X-CSRF-Token": client.headers["X-CSRF-Token"]}


def async_client(url: str, settings: Settings, person: Person | None = None) -> httpx2.AsyncClient:
    """The same for async tests."""
    with sign_in(url, settings, person) as client:
        cookies, headers = session_of(client)
    return httpx2.AsyncClient(base_url=url, timeout=120, cookies=cookies, headers=headers)


def _enter(client: httpx2.Client, settings: Settings, person: Person | None) -> str:
    token = handoff(settings, person or new_person())
    answer = client.post("/auth/handoff", data={"token": token})
    assert answer.status_code == 303, f"{answer.status_code} {answer.text[:500]}"
    me = client.get("/api/v1/me")
    assert me.status_code == 200, f"{me.status_code} {me.text[:500]}"
    return str(me.json()["csrf_token"])
