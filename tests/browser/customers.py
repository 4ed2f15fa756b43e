"""A signed-in person for windows of the browser: through HTTP to prepare things, and the session to go on with."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from otb_cloud_billing import Person

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.web.device import Device

_names = itertools.count(1)


@dataclass(frozen=True)
class Customer:
    """`client` and `state` are one and the same session."""

    service: Service
    person: Person
    client: httpx2.Client
    laptop: Device

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def state(self) -> Any:
        return state_of(self.client)

    @property
    def root(self) -> str:
        return f"{self.url}/files/{self.laptop.id}/originals/"

    def folder(self) -> str:
        """The name of a folder that nothing else uses."""
        return f"folder {next(_names)}"


@contextmanager
def new_customer(service: Service) -> Iterator[Customer]:
    """The owner of a new account with one device."""
    person = new_person()
    with sign_in(service.url, service.settings, person) as client:
        yield Customer(service, person, client, Device.make(client, "laptop"))


def state_of(client: httpx2.Client) -> Any:
    """The client's session as `Browser.new_context(storage_state=…)` takes it."""
    host = urlsplit(str(client.base_url)).hostname
    kept = {"domain": host, "path": "/", "expires": -1, "httpOnly": True, "secure": False, "sameSite": "Lax"}
    return {"cookies": [{"name": name, "value": value} | kept for name, value in client.cookies.items()], "origins": []}
