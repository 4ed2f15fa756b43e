"""How often something may be done: the buckets by a clock of their own, and each in the running server."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from tests.shared.service import Service
from tests.web.device import Device, as_sent
from web import limits
from web.errors import TooFast
from web.limits import KEYS_MAX, Allowance
from web.rates import Buckets, network

Floods = Callable[[str], "Flood"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


class Clock:
    """Stands until it is moved. Seconds."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def passing(buckets: Buckets, key: object, tries: int) -> int:
    passed = 0
    for _ in range(tries):
        try:
            buckets.take(key)
        except TooFast:
            continue
        passed += 1
    return passed


def test_so_many_at_once_and_then_at_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(Allowance(10, 2), clock)
    assert passing(buckets, "a", 30) == 10
    clock.now += 3
    assert passing(buckets, "a", 30) == 6
    clock.now += 1_000
    assert passing(buckets, "a", 30) == 10
    assert passing(buckets, "b", 3) == 3


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    clock = Clock()
    buckets = Buckets(Allowance(1, 3), clock)
    for _ in range(10_000):
        buckets.take("a")
        clock.now += 1 / 3


def test_it_says_when_to_come_again() -> None:
    clock = Clock()
    buckets = Buckets(Allowance(2, 0.1), clock)
    passing(buckets, "a", 2)
    with pytest.raises(TooFast) as refused:
        buckets.take("a")
    clock.now += refused.value.seconds
    buckets.take("a")


def test_looking_takes_nothing() -> None:
    buckets = Buckets(Allowance(1, 1), Clock())
    for _ in range(5):
        buckets.check("a")
    buckets.take("a")
    with pytest.raises(TooFast):
        buckets.check("a")


def test_memory_has_a_limit_and_the_busy_are_remembered() -> None:
    clock = Clock()
    buckets = Buckets(Allowance(2, 0.001), clock)
    passing(buckets, "busy", 2)
    for number in range(2 * KEYS_MAX):
        buckets.take(number)
        if number % (KEYS_MAX // 2) == 0:
            clock.now += 1_000
            buckets.take("busy")
    assert len(buckets) == KEYS_MAX
    with pytest.raises(TooFast):
        buckets.take("busy")


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"),
        ("fe80::1%eth0", "fe80::2", "10.0.0.1"),
        ("", "no address", "127.0.0.1"),
    ],
)
def test_what_counts_as_one_client(address: str, same: str, other: str) -> None:
    assert network(address) == network(same) != network(other)


class Flood:
    """Many equal requests from an address of this host."""

    def __init__(self, url: str, source: str) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, 60, source_address=(source, 0))
        self.last: HTTPResponse

    def close(self) -> None:
        self._connection.close()

    def __call__(self, count: int, method: str, path: str, headers: dict[str, str], body: str = "") -> list[int]:
        """The statuses of so many; `last` is the last answer."""
        statuses = []
        for _ in range(count):
            self._connection.request(method, path, body or None, headers)
            self.last = self._connection.getresponse()
            self.last.read()
            statuses.append(self.last.status)
        return statuses


@pytest.fixture
def flood_from(running: Service) -> Iterator[Callable[[str], Flood]]:
    """`flood_from("127.0.7.1")`"""
    with ExitStack() as stack:
        yield lambda source: stack.enter_context(closing(Flood(running.url, source)))


def has_an_end(statuses: list[int], allowed: Allowance, answer: int, seconds: float) -> None:
    """The first so many are answered so, then only as many as the rate lets through."""
    assert statuses[: allowed.at_once] == [answer] * allowed.at_once
    assert set(statuses) == {answer, 429}
    assert statuses.count(answer) <= allowed.at_once + allowed.per_second * seconds + 1


def test_what_anybody_may_call(flood_from: Floods) -> None:
    flood, began = flood_from("127.0.7.1"), time.monotonic()
    statuses = flood(1_000, "GET", "/livez", {})
    while statuses[-1] != 429:
        assert time.monotonic() - began < 60
        statuses += flood(20, "GET", "/livez", {})
    has_an_end(statuses, limits.OPEN_CALLS, 200, time.monotonic() - began)
    assert (flood.last.headers["Content-Type"], flood.last.headers["Retry-After"]) == ("application/problem+json", "1")
    assert flood_from("127.0.7.2")(1, "GET", "/livez", {}) == [200]


def test_forged_handoffs(flood_from: Floods) -> None:
    flood, began = flood_from("127.0.7.3"), time.monotonic()
    statuses = flood(110, "POST", "/auth/handoff", FORM, "token=forged")
    has_an_end(statuses, limits.REFUSED_SIGN_INS, 403, time.monotonic() - began)


def test_tokens_that_are_none(flood_from: Floods, laptop: Device) -> None:
    """Who knows one goes on, from another address."""
    wrong, began = {"Authorization": "Bearer otbd_guess"}, time.monotonic()
    flood = flood_from("127.0.7.4")
    statuses = flood(500, "GET", "/api/v1/me", wrong)
    while statuses[-1] != 429:
        assert time.monotonic() - began < 60
        statuses += flood(50, "GET", "/api/v1/me", wrong)
    has_an_end(statuses, limits.WRONG_CREDENTIALS, 401, time.monotonic() - began)
    right = {"Authorization": f"Bearer {laptop.token()}"}
    assert flood_from("127.0.7.5")(1, "GET", "/api/v1/me", right) == [200]


def test_changes_of_one_session_while_files_come_as_fast_as_they_can(flood_from: Floods, laptop: Device) -> None:
    """A bulk upload never meets a limit, and a device token has a bucket of its own."""
    flood, me = flood_from("127.0.7.6"), as_sent(laptop.client) | JSON
    began = time.monotonic()
    statuses = flood(600, "POST", "/api/v1/entries/delete", me, "{}")
    while statuses[-1] != 429:
        assert time.monotonic() - began < 60
        statuses += flood(20, "POST", "/api/v1/entries/delete", me, "{}")
    has_an_end(statuses, limits.CHANGES, 400, time.monotonic() - began)
    assert flood(700, "POST", "/api/v1/blobs/missing", me, '{"digests": []}') == [200] * 700
    assert flood(20, "PUT", f"{laptop.files}/a", me, "content")[1:] == [200] * 19
    by_token = {"Authorization": f"Bearer {laptop.token()}"} | JSON
    assert flood(2, "POST", "/api/v1/entries/delete", by_token, "{}") == [400, 400]
