"""Slow clients are let go, with nginx in front and without, and nobody else notices that they were there."""

import math
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

import httpx2
import pytest

from tests.cas.samples import noise
from tests.shared.proxy import NAME, Site, sign_in_as
from tests.shared.slow_crowd import Lived, Slow, crowd
from tests.web.device import Device
from tests.web.tus_client import CHUNK, UPLOADS, begun, send
from web.limits import HEADERS_SECONDS_MAX

GONE_SECONDS: Final = 15
SLOWER_MAX: Final = 2.0
"""A customer's p99 beside a crowd, by that before."""
KIB: Final = 1 << 10
MIB: Final = 1 << 20
LENGTH: Final = ("Content-Length", str(MIB))
DRIP: Final = 900
AT_FIRST: Final = ("Upload-Offset", "0")


@pytest.fixture
def owner(site: Site) -> Iterator[httpx2.Client]:
    with sign_in_as(site.service, "127.0.0.1") as client:
        yield client


def head(line: str, fields: Sequence[tuple[str, str]] = ()) -> bytes:
    """A request's line and headers."""
    return "\r\n".join(
        [f"{line} HTTP/1.1", f"Host: {NAME}", *(f"{name}: {value}" for name, value in fields), "", ""]
    ).encode()


def me(owner: httpx2.Client) -> list[tuple[str, str]]:
    """The headers that make a request the owner's."""
    return [(name, owner.headers[name]) for name in ("Cookie", "X-CSRF-Token")]


def slow_headers(count: int) -> list[Slow]:
    """Silence, headers one by one, one header without end, and nothing but empty lines."""
    kinds = [
        Slow(b"", b""),
        Slow(b"GET / HTTP/1.1\r\n", b"X-Drip: 1\r\n"),
        Slow(f"GET /livez HTTP/1.1\r\nHost: {NAME}\r\nX: ".encode(), b"x"),
        Slow(b"", b"\r\n"),
    ]
    return [kinds[number % len(kinds)] for number in range(count)]


def slow_bodies(owner: httpx2.Client, name: str, count: int) -> list[Slow]:
    """Just below 1 KiB/s: files, parts of uploads, JSON and forms, of somebody signed in and of a stranger."""
    device, drip = Device.make(owner, f"{name} {time.monotonic()}"), bytes(DRIP)
    json = ("Content-Type", "application/json")
    kinds: list[Callable[[int], tuple[str, list[tuple[str, str]]]]] = [
        lambda n: (f"PUT {device.files}/{n}", [*me(owner), LENGTH]),
        lambda n: (f"PUT {device.files}/{n}", [*me(owner), ("Content-Length", str(40 * KIB))]),
        lambda n: (
            f"PATCH {UPLOADS}/{begun(owner, MIB)}",
            [*me(owner), *CHUNK.items(), AT_FIRST, LENGTH],
        ),
        lambda n: ("POST /api/v1/blobs/missing", [*me(owner), json, ("Content-Length", str(64 * KIB))]),
        lambda n: ("POST /api/v1/entries/delete", [json, LENGTH]),
        lambda n: (
            "POST /auth/handoff",
            [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", str(64 * KIB))],
        ),
    ]
    return [Slow(head(*kinds[number % len(kinds)](number)), drip) for number in range(count)]


def times(client: httpx2.Client, until: Callable[[int], bool]) -> list[float]:
    """What a customer waits for: pages, lists, small files stored and read, in seconds."""
    device, taken = Device.make(client, f"lively {time.monotonic()}"), list[float]()
    while not until(len(taken)):
        number = len(taken)
        began = time.monotonic()
        match number % 4:
            case 0:
                answer = device.put(f"{number}.bin", noise(10 * KIB, number))
            case 1:
                answer = device.get(f"{number - 1}.bin")
            case 2:
                answer = client.get(f"/api/v1/devices/{device.id}/entries")
            case _:
                answer = client.get("/")
        assert answer.is_success, answer.text
        taken.append(time.monotonic() - began)
    return taken


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[-1]


@dataclass(frozen=True)
class Noticed:
    """What a crowd did to a customer: the p99 of its requests before, and beside it, in seconds."""

    before: float
    beside: float


def beside_a_crowd(site: Site, owner: httpx2.Client, fronts: Sequence[str], count: int, requests: int) -> Noticed:
    """Let `count` slow clients come by these ways, half of them with headers, half with bodies; all must be let go."""
    with ProcessPoolExecutor(len(fronts), get_context("spawn")) as others, site.customer(owner, fronts[0]) as customer:
        before = times(customer, lambda done: done >= requests)
        crowds: list[Future[list[Lived]]] = []
        for front in fronts:
            half = count // len(fronts) // 2
            pairs = zip(slow_headers(half), slow_bodies(owner, front, half), strict=True)
            clients = [one for pair in pairs for one in pair]
            crowds.append(others.submit(crowd, site.fronts[front], site.tls, clients))
        beside = times(customer, lambda done: done >= requests and all(one.done() for one in crowds))
        for lives in (one.result() for one in crowds):
            assert max(one.seconds for one in lives) < GONE_SECONDS
            assert min(one.seconds for one in lives[::2]) > HEADERS_SECONDS_MAX - 1
            assert {status(one) for one in lives[1::2]} <= {401, 403, 408, 503}
    return Noticed(p99(before), p99(beside))


def go_on(owner: httpx2.Client, count: int) -> None:
    """What came of uploads that were too slow is kept: on a better line the rest comes, here of one of so many."""
    uploads = owner.get(UPLOADS).json()["uploads"]
    assert len(uploads) >= count // 2
    assert all(upload["offset"] >= 9 * DRIP for upload in uploads)
    upload, at = uploads[0]["id"], uploads[0]["offset"]
    assert send(owner, upload, at, bytes(MIB - at)).status_code == 204


def status(one: Lived) -> int:
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", one.answer)
    return int(match[1]) if match else 0


def test_a_thousand_slow_connections_are_gone_and_nobody_noticed(
    site: Site, owner: httpx2.Client, scale: Callable[[Any, Any], Any]
) -> None:
    """At full scale by one way after the other; a machine that was busy with something else gets two more tries."""
    count, requests, slower_max = scale((100, 20, math.inf), (1_000, 1_200, SLOWER_MAX))
    for fronts in scale([("alone", "nginx")], [("alone",), ("nginx",)]):
        for last in (False, False, True):
            noticed = beside_a_crowd(site, owner, fronts, count, requests)
            go_on(owner, count // 12)
            print(f"{count} slow ones by {fronts}: {noticed}")
            if noticed.beside < slower_max * noticed.before:
                break
            assert not last, noticed
