"""What comes over the wire and is no good request: refused in time and in size, others undisturbed."""

import time

import httpx2
import pytest

from tests.shared.service import Service
from tests.web.device import Wire
from web.limits import HEADERS_BYTES_MAX, HEADERS_SECONDS_MAX


def closed_after(wire: Wire, drip: bytes) -> float:
    """Seconds until the server closes the connection, while `drip` is sent four times a second."""
    started = time.monotonic()
    wire._socket.settimeout(0.25)
    while time.monotonic() - started < HEADERS_SECONDS_MAX + 10:
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


@pytest.mark.parametrize("start", [b"", b"GET /livez HTTP/1.1\r\n"], ids=["silence", "drip"])
def test_headers_must_come_in_time(running: Service, start: bytes) -> None:
    with Wire(running.url) as wire:
        if start:
            wire.send(start)
        seconds = closed_after(wire, b"X-Drip: 1\r\n" if start else b"")
    assert HEADERS_SECONDS_MAX - 1 < seconds < HEADERS_SECONDS_MAX + 5
    assert httpx2.get(f"{running.url}/livez").status_code == 200


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
