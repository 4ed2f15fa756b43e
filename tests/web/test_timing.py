"""What others have cannot be told by time: a request for something of another account takes as long as one for what
never was, and bytes that another account stored as long as bytes that nobody did.

Both kinds are asked in turn, in random order, and ranked by the time of their answers. The area under the curve (AUC)
is how often one of the first kind took longer than one of the second: 0.5 where time tells nothing (Mann and Whitney
1947). Asserted is that it lies within five standard errors of that, 0.05 with 1,700 of each kind; never a time.
"""

import http.client
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import sqrt
from statistics import quantiles
from urllib.parse import urlsplit

import httpx2
import pytest
from blake3 import blake3

from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, as_sent, stored

SHORT, PROOF = 40, 1_700
ERRORS_MAX = 5
CONTENT_BYTES = 4 << 10
DELAY_SECONDS = 0.002
NEVER = "999999999"


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True)
class Samples:
    """Seconds of the calls that touch what another account has, and of those that touch nothing."""

    touching: list[float]
    nothing: list[float]

    def auc(self) -> float:
        """How often a touching call took longer, 0.5 for a draw; turned so that it is at least 0.5."""
        ranked = sorted([(seconds, True) for seconds in self.touching] + [(seconds, False) for seconds in self.nothing])
        ranks = sum(rank for rank, (_, touches) in enumerate(ranked, 1) if touches)
        count = len(self.touching)
        area = (ranks - count * (count + 1) / 2) / (count * len(self.nothing))
        return max(area, 1 - area)


def auc_max(count: int) -> float:
    """What samples from one distribution, `count` of each kind, stay below but for one time in a million."""
    return 0.5 + ERRORS_MAX * sqrt((2 * count + 1) / (12 * count * count))


class Stranger:
    """Another account's owner, who measures over one connection."""

    def __init__(self, service: Service, client: httpx2.Client) -> None:
        self.laptop = Device.make(client, "laptop")
        self.connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=120)
        self._headers = as_sent(client) | {"Content-Type": "application/json"}

    def compare(self, calls: Callable[[int], tuple[Call, Call]], count: int) -> Samples:
        """`calls`: the touching call of a round, and the other."""
        samples, chance = Samples([], []), random.Random(count)
        for number in range(count):
            touching, nothing = calls(number)
            both = [(samples.touching, touching), (samples.nothing, nothing)]
            chance.shuffle(both)
            for taken, call in both:
                taken.append(self._seconds(call))
        return samples

    def _seconds(self, call: Call) -> float:
        started = time.perf_counter()
        self.connection.request(call.method, call.path, call.body, self._headers)
        answer = self.connection.getresponse()
        answer.read()
        taken = time.perf_counter() - started
        assert answer.status in {200, 201, 404}
        return taken


class Victim:
    """An account with files, one of them in an export. `contents`: of the files, which others will send as well."""

    def __init__(self, client: httpx2.Client, count: int) -> None:
        self.laptop = Device.make(client, "laptop")
        self.contents = [os.urandom(CONTENT_BYTES) for _ in range(count)]
        # Ids count per account: the last of these is beyond all that a stranger's own things have.
        entries = [stored(self.laptop, f"known/{number:04}", content) for number, content in enumerate(self.contents)]
        self.entry = entries[-1]
        made = client.post("/api/v1/exports", json={"entries": [self.entry]})
        self.export = str(made.json()["export"])


@pytest.fixture(scope="module")
def count(scale: Callable[[int, int], int]) -> int:
    return scale(SHORT, PROOF)


@pytest.fixture(scope="module")
def victim(running: Service, count: int) -> Iterator[Victim]:
    with sign_in(running.url, running.settings) as client:
        yield Victim(client, count)


@pytest.fixture
def stranger(running: Service, owner: httpx2.Client) -> Iterator[Stranger]:
    made = Stranger(running, owner)
    with closing(made.connection):
        yield made


def entries(victim: Victim, _: int) -> tuple[Call, Call]:
    return Call("GET", f"/api/v1/entries/{victim.entry}"), Call("GET", f"/api/v1/entries/{NEVER}")


def exports(victim: Victim, _: int) -> tuple[Call, Call]:
    return Call("GET", f"/api/v1/exports/{victim.export}"), Call("GET", f"/api/v1/exports/{NEVER}")


def names(victim: Victim, number: int) -> tuple[Call, Call]:
    files = victim.laptop.files
    return Call("GET", f"{files}/known/{number:04}"), Call("GET", f"{files}/never/{number:04}")


def digests(victim: Victim, number: int) -> tuple[Call, Call]:
    def asked(content: bytes) -> Call:
        return Call("POST", "/api/v1/blobs/missing", b'{"digests":["%s"]}' % blake3(content).hexdigest().encode())

    return asked(victim.contents[number]), asked(os.urandom(CONTENT_BYTES))


@pytest.mark.parametrize("kind", [entries, exports, names, digests], ids=lambda kind: kind.__name__)
def test_what_another_account_has_answers_like_what_never_was(
    victim: Victim, stranger: Stranger, count: int, kind: Callable[[Victim, int], tuple[Call, Call]]
) -> None:
    assert stranger.compare(partial(kind, victim), count).auc() <= auc_max(count)


def test_bytes_that_another_account_stored_are_taken_like_new_ones(
    victim: Victim, stranger: Stranger, count: int
) -> None:
    def uploads(number: int) -> tuple[Call, Call]:
        put = partial(Call, "PUT")
        known, new = f"{stranger.laptop.files}/a/{number:04}", f"{stranger.laptop.files}/b/{number:04}"
        return put(known, victim.contents[number]), put(new, os.urandom(CONTENT_BYTES))

    assert stranger.compare(uploads, count).auc() <= auc_max(count)


def test_a_difference_would_be_seen(victim: Victim, stranger: Stranger, count: int) -> None:
    """2 ms more for what another account has; where the machine's own noise is larger, nine tenths of that."""
    taken = stranger.compare(partial(entries, victim), count)
    twentieths = quantiles(taken.nothing, n=20)
    delay_seconds = max(DELAY_SECONDS, twentieths[-1] - twentieths[0])
    slower = Samples([seconds + delay_seconds for seconds in taken.touching], taken.nothing)
    assert slower.auc() > auc_max(count)


def test_the_proof_bounds_the_area_at_0_55() -> None:
    assert auc_max(PROOF) <= 0.55
