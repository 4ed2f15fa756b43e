"""The small parts of the HTTP side, each by itself: times, paces, slots, reservations, threads, notices, paths."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from types import SimpleNamespace
from typing import cast
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from catalog.errors import BadPath, BadRequest, QuotaExceeded
from catalog.tenant import TenantScope
from catalog.values import EntryPath
from web import bodies
from web.admission import Incoming, Reservation, Slots
from web.bodies import paced
from web.csrf import check_csrf, csrf_token
from web.download_log import DownloadLog
from web.errors import Busy, CsrfRefused, Disconnected, TooSlow, problem_of
from web.limits import BODY_RATES, Rate
from web.notices import notice_of
from web.paths import entry_path, parse_encoded
from web.threads import Workers, in_thread
from web.times import http_date, parse_http_date, parse_moment, parse_time, time_text

MIB = 1 << 20
NS = 1_000_000_000


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_time_written_is_the_time_read(nanoseconds: int) -> None:
    assert parse_time(time_text(nanoseconds), "t") == nanoseconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.5z", NS + NS // 2),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2024-05-03T14:05:06.123456789Z", 1_714_745_106_123_456_789),
    ],
)
def test_rfc_3339(text: str, nanoseconds: int) -> None:
    assert parse_time(text, "t") == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-05-03", "2024-05-03T14:05Z", "2024-13-01T00:00:00Z", "2024-01-01T25:00:00Z",
     "1600-01-01T00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00.1234567890Z", "٢٠٢٤-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_time(text, "t")


def test_http_dates() -> None:
    assert parse_http_date("Fri, 03 May 2024 14:05:06 GMT", "d") == 1_714_745_106 * NS
    assert http_date(1_714_745_106_999_999_999) == "Fri, 03 May 2024 14:05:06 GMT"
    assert parse_moment("2024-05-03T14:05:06.123456789Z", "t").microsecond == 123_456
    with pytest.raises(BadRequest):
        parse_http_date("tomorrow", "d")


class Body:
    """A request whose body comes in these pieces, with these pauses (seconds) before each."""

    def __init__(self, pieces: list[tuple[float, Message]]) -> None:
        self._pieces = iter(pieces)

    async def receive(self) -> Message:
        seconds, message = next(self._pieces)
        await asyncio.sleep(seconds)
        return message

    @property
    def request(self) -> Request:
        return Request({"type": "http", "method": "PUT", "headers": []}, self.receive)


def piece(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of 0.2 s in which at least 200 bytes must come."""
    monkeypatch.setattr(bodies, "BODY_RATES", (Rate(1000, 0.2),))


async def all_of(request: Request) -> bytes:
    return b"".join([data async for data in paced(request)])


@pytest.mark.anyio
async def test_a_body_that_comes_quickly_enough(quick: None) -> None:
    pieces = [(0.02, piece(b"x" * 200)) for _ in range(30)]
    assert len(await all_of(Body([*pieces, (0.0, piece(b"", more=False))]).request)) > 4_000


@pytest.mark.anyio
async def test_a_small_body_may_take_its_time_within_one_window(quick: None) -> None:
    assert await all_of(Body([(0.15, piece(b"x", more=False))]).request) == b"x"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "pieces",
    [[(60.0, piece(b"x"))], [(0.05, piece(b"x"))] * 100],
    ids=["silence", "drip"],
)
async def test_a_body_that_drips_is_ended(quick: None, pieces: list[tuple[float, Message]]) -> None:
    started = time.monotonic()
    with pytest.raises(TooSlow):
        await all_of(Body(pieces).request)
    assert time.monotonic() - started < 2


@pytest.mark.anyio
async def test_our_own_slowness_is_not_held_against_the_client(quick: None) -> None:
    async with aclosing(paced(Body([(0.0, piece(b"x"))] * 4 + [(0.0, piece(b"", more=False))]).request)) as pieces:
        async for _ in pieces:
            await asyncio.sleep(0.1)


@pytest.mark.anyio
async def test_a_client_that_leaves(quick: None) -> None:
    with pytest.raises(Disconnected):
        await all_of(Body([(0.0, piece(b"x")), (0.0, {"type": "http.disconnect"})]).request)


def test_too_slow_closes_the_connection() -> None:
    problem = problem_of(TooSlow(BODY_RATES[0]))
    assert (problem.status, problem.headers["Connection"]) == (408, "close")
    assert "1 KiB a second over 12 seconds" in problem.detail


def test_slots_are_counted_for_all_and_for_each() -> None:
    slots = Slots(3, "uploads", count_of_tenant=2)
    with slots.take(1), slots.take(1):
        with pytest.raises(Busy, match="Too many uploads"), slots.take(1):
            pass
        with slots.take(2), pytest.raises(Busy), slots.take(3):
            pass
    for tenant in range(10):
        with slots.take(tenant):
            pass
    assert problem_of(Busy("uploads")).headers["Retry-After"] == "5"


class Room:
    """A tenant with so many bytes free; stands in for the scope that `Reservation` asks."""

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.tenant = SimpleNamespace(id=1)
        self.blobs = self

    async def check_room(self, wanted_bytes: int) -> None:
        await asyncio.sleep(0)
        if wanted_bytes > self.free_bytes:
            raise QuotaExceeded(self.free_bytes, 0, wanted_bytes)


def reservation(incoming: Incoming, room: Room) -> Reservation:
    return Reservation(incoming, cast("TenantScope", room))


@pytest.mark.anyio
async def test_of_uploads_that_fit_alone_and_not_together_one_is_refused() -> None:
    incoming, room = Incoming(), Room(100)
    with reservation(incoming, room) as first, reservation(incoming, room) as second:
        results = await asyncio.gather(
            first.cover(60, exact=True), second.cover(60, exact=True), return_exceptions=True
        )
        # Each sees the other's wish, so neither can slip past; one at least is refused.
        assert any(isinstance(result, QuotaExceeded) for result in results)
    assert not incoming.reserved_bytes
    with reservation(incoming, room) as alone:
        await alone.cover(100, exact=True)
    assert not incoming.reserved_bytes


@pytest.mark.anyio
async def test_an_upload_of_unknown_length_reserves_in_steps_up_to_the_last_byte() -> None:
    incoming, room = Incoming(), Room(100 * MIB)
    with reservation(incoming, room) as growing:
        for size in range(MIB, 100 * MIB + 1, MIB):
            await growing.cover(size)
        assert incoming.reserved_bytes[1] == 100 * MIB
        with pytest.raises(QuotaExceeded):
            await growing.cover(100 * MIB + 1)


@pytest.mark.anyio
async def test_a_cancelled_task_waits_for_its_thread() -> None:
    workers, entered, leave = Workers(1, "test"), threading.Event(), threading.Event()
    finished: list[bool] = []

    def work() -> None:
        entered.set()
        leave.wait()
        finished.append(True)

    async def task() -> None:
        try:
            await workers.run(work)
        finally:
            assert finished == [True]

    running = asyncio.ensure_future(task())
    while not entered.is_set():
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.sleep(0.05)
    assert not running.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    workers.close()


async def all_pieces(pieces: AsyncGenerator[bytes, None]) -> list[bytes]:
    async with aclosing(pieces):
        return [data async for data in pieces]


@pytest.mark.anyio
async def test_a_generator_in_threads_is_closed_however_it_ends() -> None:
    workers, closed = Workers(2, "test"), []

    def chunks(error: Exception | None = None) -> Generator[bytes, None, None]:
        try:
            for _ in range(320):
                yield bytes(MIB // 32)
            if error is not None:
                raise error
        finally:
            closed.append(True)

    assert [len(data) for data in await all_pieces(in_thread(chunks(), workers))] == [MIB] * 10
    async with aclosing(in_thread(chunks(), workers)) as pieces:
        assert len(await anext(pieces)) == MIB
    with pytest.raises(ValueError, match="broken"):
        await all_pieces(in_thread(chunks(ValueError("broken")), workers))
    assert closed == [True] * 3
    workers.close()


def test_csrf_tokens_belong_to_one_session_and_one_key() -> None:
    token = csrf_token("k" * 32, b"session")
    check_csrf(token, None, "", token)
    others = csrf_token("k" * 32, b"other"), csrf_token("j" * 32, b"session")
    for wrong in (None, "", "x", token[:-1], token.upper(), *others):
        with pytest.raises(CsrfRefused):
            check_csrf(token, wrong)
    with pytest.raises(CsrfRefused):
        check_csrf(token, "é")


@pytest.mark.parametrize("cookie", [None, "", "deleted", "unknown.1", "deleted.x", "deleted.1.2", "deleted.١", "<b>.1"])
def test_a_notice_is_one_of_ours_or_none(cookie: str | None) -> None:
    assert notice_of(cookie) is None
    assert notice_of("deleted.3") == {"tone": "good", "text": "3 items were moved to Deleted."}
    assert notice_of("choose.1") == {"tone": "bad", "text": "Choose one or more files first."}


def test_the_download_log_forgets_the_oldest() -> None:
    log = DownloadLog()
    assert log.is_new((1, "user", 1, 1))
    log.note((1, "user", 1, 1))
    assert not log.is_new((1, "user", 1, 1))
    for entry in range(10_001):
        log.note((2, "user", 1, entry))
    assert log.is_new((1, "user", 1, 1))


PREFIX = "/api/v1/devices/3/files/originals"


def path_in(raw: bytes) -> EntryPath:
    return entry_path({"raw_path": PREFIX.encode() + b"/" + raw, "path": "unused"}, PREFIX)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_path_inside_or_a_refusal(raw: bytes) -> None:
    try:
        path = path_in(raw)
    except BadPath:
        return
    assert all(name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name for name in path.names)


names = st.text(min_size=1, max_size=40).filter(
    lambda t: "/" not in t and t not in (".", "..") and t.isprintable() and len(t.encode()) <= 255
)


@given(st.lists(names, min_size=1, max_size=5))
def test_what_a_browser_encodes_is_what_we_read(parts: list[str]) -> None:
    encoded = "/".join(quote(part, safe="") for part in parts)
    expected = tuple(part.encode() for part in parts)
    assert path_in(encoded.encode()).names == expected
    assert parse_encoded(encoded).names == expected
