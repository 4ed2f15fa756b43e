"""Slow clients hold nothing that others need: hundreds of uploads that stall or trickle leave the server as it was."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import anyio
import httpx2
import pytest
from starlette.requests import Request
from starlette.types import Message

from catalog.errors import UploadLost
from tests.cas.samples import noise
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, Wire, as_sent
from tests.web.tus_client import CHUNK, UPLOADS, begun, create, offset, send
from web.bodies import flowing, paced
from web.errors import TooSlow
from web.limits import PART_PENDING_BYTES, Rate
from web.tus_turns import Places, Turns

MIB = 1 << 20
IDLE = 500
LIVELY_SECONDS_MAX = 3.0
MEMORY_BYTES_MAX = 200 << 20
FIRST = (0, 100, PART_PENDING_BYTES - 1, 3 * PART_PENDING_BYTES, MIB + 5)


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with sign_in(service.url, service.settings) as signed_in:
        yield signed_in


def begin(service: Service, client: httpx2.Client, upload: str, at: int = 0) -> Wire:
    wire = Wire(service.url, seconds=60)
    headers = as_sent(client) | CHUNK | {"Upload-Offset": str(at), "Content-Length": str(4 * MIB - at)}
    wire.head("PATCH", f"{UPLOADS}/{upload}".encode(), headers)
    return wire


def lively(device: Device, name: str) -> float:
    """A page, a resumable upload of 20 MiB, and a plain one: how many seconds they took, of the same account."""
    began = time.monotonic()
    assert device.client.get("/api/v1/me").status_code == 200
    content = noise(20 * MIB)
    done = create(device.client, len(content), content, device=device.id, filename=name)
    assert (done.status_code, done.headers["upload-offset"]) == (201, str(len(content)))
    assert device.put(f"{name} too", content[:MIB]).status_code == 201
    return time.monotonic() - began


def test_hundreds_of_idle_uploads_leave_it_responsive(
    service: Service, client: httpx2.Client, scale: Callable[[int, int], int]
) -> None:
    """500 requests at once: some send nothing, some a little now and then, some stall in mid-flow. Who is let go for it
    comes again at once."""
    uploads = [begun(client, 4 * MIB) for _ in range(IDLE)]
    device = Device.make(client, "lively")
    alone = statistics.median(lively(device, f"alone {number}") for number in range(3))
    service.forget_memory_peak()
    with ExitStack() as stack:
        wires = [stack.enter_context(begin(service, client, upload)) for upload in uploads]
        for number, wire in enumerate(wires):
            wire.send(bytes(FIRST[number % 5]))
        took = []
        for round_number in range(scale(5, 40)):
            for number, wire in enumerate(wires):
                if wire.has_answer:
                    assert wire.answer()[0] == 408
                    wire.close()
                    at = offset(client, uploads[number])
                    wires[number] = stack.enter_context(begin(service, client, uploads[number], at))
                elif number % 5 in {1, 3}:
                    wire.send(bytes(1 + number % 3000))
            took.append(lively(device, f"{round_number}"))
        assert statistics.median(took) < LIVELY_SECONDS_MAX + 2 * alone, (alone, took)
        assert service.memory_peak_bytes() < MEMORY_BYTES_MAX
        print(f"alone {alone:.2f} s, beside {IDLE} idle ones {took}, peak {service.memory_peak_bytes() >> 20} MiB")
        # None lost anything, and each stands where it should.
        for number in range(5):
            at = offset(client, uploads[number])
            assert at >= FIRST[number]
            assert wires[number].answer()[0] in {408, 409}
            assert send(client, uploads[number], at, bytes(4 * MIB - at)).status_code == 204


def request_of(*pieces: bytes, gap_seconds: float) -> Request:
    """A request whose client sends a piece now and then, and then nothing more."""
    began = time.monotonic()
    left = [(began + gap_seconds * number, piece) for number, piece in enumerate(pieces, 1)]

    async def receive() -> Message:
        await anyio.sleep(left[0][0] - time.monotonic() if left else 60)
        return {"type": "http.request", "body": left.pop(0)[1], "more_body": True}

    return Request({"type": "http", "headers": []}, receive)


async def until_too_slow(body: AsyncIterator[bytes | memoryview]) -> list[bytes]:
    pieces: list[bytes] = []
    try:
        async for piece in body:
            pieces += [bytes(piece)]
    except TooSlow:
        return pieces
    raise AssertionError("it went on for ever")


@pytest.mark.anyio
async def test_a_body_that_stops_coming_is_looked_at_and_then_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.bodies.BODY_RATES", (Rate(1_000, 0.5),))
    request = request_of(b"some", b"more", gap_seconds=0.12)
    pieces = await until_too_slow(flowing(request, lambda: 0.05, lambda: None))
    assert [piece for piece in pieces if piece] == [b"some", b"more"]
    assert pieces.count(b"") >= 3
    assert await until_too_slow(paced(request_of(b"some", gap_seconds=0.12))) == [b"some"]


@pytest.mark.anyio
async def test_places_are_given_in_order_and_fairly() -> None:
    places, order = Places(3, 2), []

    async def work(tenant: int, name: str) -> None:
        await places.take(tenant)
        order.append(name)
        await anyio.sleep(0.05)
        places.leave(tenant)

    async with anyio.create_task_group() as group:
        for tenant, name in ((1, "a"), (1, "b"), (1, "c"), (1, "d"), (2, "e"), (2, "f")):
            group.start_soon(work, tenant, name)
            await anyio.sleep(0)
    # The second tenant does not wait behind the first one's third.
    assert order[:3] == ["a", "b", "e"]
    assert sorted(order) == list("abcdef")


@pytest.mark.anyio
async def test_who_gives_up_waiting_takes_no_place() -> None:
    places = Places(1, 1)
    await places.take(1)
    waiting = [asyncio.create_task(places.take(1)) for _ in range(3)]
    await anyio.sleep(0.01)
    waiting[0].cancel()
    waiting[1].cancel()
    places.leave(1)
    await waiting[2]
    assert [task.cancelled() for task in waiting] == [True, True, False]
    places.leave(1)
    await asyncio.wait_for(places.take(2), 1)


@pytest.mark.anyio
async def test_a_place_given_to_one_who_just_gave_up_goes_on_to_the_next() -> None:
    places = Places(1, 1)
    await places.take(1)
    first, second = (asyncio.create_task(places.take(1)) for _ in range(2))
    await anyio.sleep(0.01)
    places.leave(1)  # given to the first, which is cancelled before it learns of it
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert first.cancelled() or first.done()


@pytest.mark.anyio
async def test_of_many_requests_the_newest_has_the_turn_and_never_two() -> None:
    turns, inside, lost = Turns(), 0, 0

    async def request(seconds: float) -> None:
        nonlocal inside, lost
        try:
            async with turns.take((1, 1)) as turn:
                inside += 1
                assert inside == 1
                try:
                    with turn.interruptible():
                        await anyio.sleep(seconds)
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(0.01)  # what came is being kept
                    inside -= 1
        except UploadLost:
            lost += 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(request, 60)
            await anyio.sleep(0.003)
        group.start_soon(request, 0.01)
    assert (lost, turns.is_taken((1, 1))) == (20, False)
