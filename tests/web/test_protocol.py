"""What comes over the wire and is no good request: refused in time and in size, others undisturbed."""

import asyncio
import time
from collections.abc import Iterator
from threading import Thread

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from tests.shared.service import Service, free_port
from tests.web.device import Wire
from web.limits import HEADERS_BYTES_MAX, Rate
from web.protocol import Protocol

SECONDS_MAX = 20
PIECE = bytes(1 << 20)


def closed_after(wire: Wire, drip: bytes = b"") -> float:
    """Seconds until the server closes the connection, while `drip` is sent five times a second."""
    started = time.monotonic()
    wire._socket.settimeout(0.2)
    while time.monotonic() - started < SECONDS_MAX:
        try:
            if drip:
                wire.send(drip)
            if wire._socket.recv(100) == b"":
                break
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    return time.monotonic() - started


def test_a_second_request_has_its_own_time(running: Service) -> None:
    with Wire(running.url) as wire:
        for _ in range(3):
            wire.head("GET", b"/livez", {})
            assert wire.answer()[0] == 200
            time.sleep(0.5)


@pytest.mark.parametrize("where", ["address", "one header", "many headers", "endless header"])
def test_headers_have_a_limit(running: Service, where: str) -> None:
    with Wire(running.url) as wire:
        match where:
            case "address":
                wire.head("GET", b"/" + b"x" * HEADERS_BYTES_MAX, {})
            case "one header":
                wire.head("GET", b"/livez", {"X": "x" * HEADERS_BYTES_MAX})
            case "many headers":
                wire.head("GET", b"/livez", {f"X-{n}": "x" * 100 for n in range(1000)})
            case _:
                wire.send(b"GET /livez HTTP/1.1\r\nX: ")
                time.sleep(0.3)
                wire.send(b"x" * (HEADERS_BYTES_MAX + 1))
        status, headers, body = wire.answer()
    assert (status, headers["content-type"]) == (431, "application/problem+json")
    assert b"65,536" in body
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02", b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\nNo colon\r\n\r\n"])
def test_what_is_no_http(running: Service, garbage: bytes) -> None:
    with Wire(running.url) as wire:
        wire.send(garbage)
        status, headers, _ = wire.answer()
    assert (status, headers["content-type"]) == (400, "application/problem+json")


def test_both_a_length_and_chunks_are_refused(running: Service) -> None:
    """Request smuggling needs two readings of one body."""
    with Wire(running.url) as wire:
        wire.head("POST", b"/sign-out", {"Content-Length": "4", "Transfer-Encoding": "chunked"})
        wire.send(b"0\r\n\r\n")
        assert wire.answer()[0] == 400


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that waits for half a second and no more, and answers without reading. Its address."""
    monkeypatch.setattr("web.protocol.HEADERS_SECONDS_MAX", 0.5)
    monkeypatch.setattr("web.protocol.BODY_RATES", (Rate(1_000, 0.5),))
    monkeypatch.setattr("web.protocol.ANSWER_RATE", Rate(1_000, 0.5))
    port = free_port()
    config = uvicorn.Config(
        answer_only, port=port, http=Protocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=5
    )
    server = uvicorn.Server(config)
    thread = Thread(target=serve, args=(server,))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def serve(server: uvicorn.Server) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve())


async def answer_only(scope: Scope, receive: Receive, send: Send) -> None:
    """64 MiB at `/large`, elsewhere nothing."""
    pieces = 64 if scope["path"] == "/large" else 0
    length = str(pieces * len(PIECE)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.mark.parametrize(
    "size", [{"Content-Length": "100000"}, {"Transfer-Encoding": "chunked"}], ids=["length", "chunks"]
)
def test_the_rest_of_a_body_that_nobody_reads_has_to_come_in_time(hasty: str, size: dict[str, str]) -> None:
    with Wire(hasty) as wire:
        wire.head("POST", b"/", size)
        assert wire.answer()[0] == 200
        assert closed_after(wire, b"1\r\nx\r\n") < 3


def test_the_rest_of_a_body_that_comes_in_time_is_followed_by_a_request(hasty: str) -> None:
    with Wire(hasty) as wire:
        wire.head("POST", b"/", {"Content-Length": "8000"})
        assert wire.answer()[0] == 200
        for _ in range(8):
            time.sleep(0.1)
            wire.send(bytes(1_000))
        wire.head("GET", b"/", {})
        assert wire.answer()[0] == 200


@pytest.mark.parametrize("after", [b"", b"\r\n"], ids=["nothing", "empty lines"])
def test_what_follows_a_body_that_nobody_read_has_to_come_in_time(hasty: str, after: bytes) -> None:
    with Wire(hasty) as wire:
        wire.head("POST", b"/", {"Content-Length": "4"})
        assert wire.answer()[0] == 200
        wire.send(b"rest")
        assert closed_after(wire, after) < 3


@pytest.mark.parametrize("more", [{}, {"Connection": "close"}], ids=["kept alive", "closed after it"])
def test_who_does_not_take_the_answer_is_let_go(hasty: str, more: dict[str, str]) -> None:
    with Wire(hasty) as wire:
        wire.head("GET", b"/large", more)
        time.sleep(2)
        taken = 0
        try:
            while data := wire._socket.recv(1 << 20):
                taken += len(data)
        except ConnectionResetError:
            pass
        assert taken < 64 * len(PIECE)


def test_who_takes_the_answer_at_leisure_gets_it(hasty: str) -> None:
    with Wire(hasty) as wire:
        wire.head("GET", b"/large", {})
        taken = 0
        while taken < 64 * len(PIECE):
            data = wire._socket.recv(1 << 21)
            assert data
            taken += len(data)
            if taken < 8 << 20:
                time.sleep(0.05)
