"""Bodies that the kernel puts straight into the reader's memory: the same bytes, and HTTP goes on behind them."""

import re
import socket
import time

import httpx2
import pytest

from tests.cas.samples import noise
from tests.shared.service import Service
from tests.web.device import Device, Wire, as_sent
from tests.web.test_tus import to
from tests.web.tus_client import CHUNK, TUS, UPLOADS, begun, offset, send

MIB = 1 << 20
SIZE = 22 * MIB + 4097


def patch_head(client: httpx2.Client, upload: str, at: int, length: int) -> dict[str, str]:
    return as_sent(client) | CHUNK | {"Upload-Offset": str(at), "Content-Length": str(length)}


def begin(running: Service, client: httpx2.Client, upload: str, at: int = 0, length: int = SIZE) -> Wire:
    wire = Wire(running.url)
    wire.head("PATCH", f"{UPLOADS}/{upload}".encode(), patch_head(client, upload, at, length))
    return wire


@pytest.mark.parametrize("first", [0, 1, 4095, 4096, 9 * MIB + 17], ids=str)
def test_from_any_offset_on(running: Service, laptop: Device, first: int) -> None:
    """What came before decides where in its pages the file goes on."""
    content = noise(SIZE)
    upload = begun(laptop.client, SIZE, content[:first] if first else None, **to(laptop, "x"))
    with begin(running, laptop.client, upload, first, SIZE - first) as wire:
        wire.send(content[first:])
        assert wire.answer()[0] == 204
    assert laptop.get("x").content == content


def test_a_body_that_flows_stalls_and_flows_again(running: Service, laptop: Device) -> None:
    content = noise(SIZE)
    upload = begun(laptop.client, SIZE, **to(laptop, "x"))
    with begin(running, laptop.client, upload) as wire:
        for start, end in ((0, 7 * MIB + 1), (7 * MIB + 1, 7 * MIB + 9), (7 * MIB + 9, 15 * MIB), (15 * MIB, SIZE)):
            wire.send(content[start:end])
            time.sleep(0.25)  # longer than the server waits before it gives the turn back
        assert wire.answer()[0] == 204
    assert laptop.get("x").content == content


def test_requests_that_follow_in_the_same_breath_are_answered(running: Service, laptop: Device) -> None:
    """The last bytes of a body and the requests behind it come in one read."""
    content = noise(SIZE)
    uploads = [begun(laptop.client, SIZE, **to(laptop, name)) for name in ("x", "y")]
    with begin(running, laptop.client, uploads[0]) as wire:
        wire.send(content)
        wire.head("PATCH", f"{UPLOADS}/{uploads[1]}".encode(), patch_head(laptop.client, uploads[1], 0, SIZE))
        wire.send(content)
        wire.head("HEAD", f"{UPLOADS}/{uploads[1]}".encode(), as_sent(laptop.client) | TUS)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 3:
            answers += wire._some()
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"204", b"204", b"200"]
    assert laptop.get("x").content == laptop.get("y").content == content


def test_who_lost_the_upload_in_mid_flow_may_send_the_rest_and_go_on(running: Service, laptop: Device) -> None:
    """It is dropped; then the connection is as good as new."""
    content = noise(SIZE)
    upload = begun(laptop.client, SIZE, **to(laptop, "x"))
    with begin(running, laptop.client, upload) as wire:
        wire.send(content[: 10 * MIB])
        time.sleep(0.25)
        came = offset(laptop.client, upload)
        assert came == 10 * MIB
        wire.send(content[10 * MIB :])
        status, _, body = wire.answer()
        assert (status, b"upload-taken" in body) == (409, True)
        wire.head("GET", b"/livez", {})
        assert wire.answer()[0] == 200
    assert send(laptop.client, upload, came, content[came:]).status_code == 204
    assert laptop.get("x").content == content


@pytest.mark.parametrize("reset", [False, True], ids=["ended", "reset"])
def test_what_came_before_the_line_was_cut_stays(running: Service, laptop: Device, reset: bool) -> None:
    content = noise(SIZE)
    upload = begun(laptop.client, SIZE, **to(laptop, "x"))
    with begin(running, laptop.client, upload) as wire:
        wire.send(content[: 10 * MIB])
        time.sleep(0.25)
        if reset:
            wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    came = offset(laptop.client, upload)
    assert came == 10 * MIB
    assert send(laptop.client, upload, came, content[came:]).status_code == 204
    assert laptop.get("x").content == content


@pytest.mark.parametrize("length_told", [True, False])
def test_a_plain_upload_that_flows_stalls_and_flows_again(running: Service, laptop: Device, length_told: bool) -> None:
    """Without a length every byte goes through the parser."""
    content = noise(SIZE)
    how = {"Content-Length": str(SIZE)} if length_told else {"Transfer-Encoding": "chunked"}
    with Wire(running.url) as wire:
        wire.head("PUT", f"{laptop.files}/x".encode(), as_sent(laptop.client) | how)
        for start, end in ((0, 1), (1, 9 * MIB + 1), (9 * MIB + 1, SIZE)):
            piece = content[start:end]
            wire.send(piece if length_told else b"%x\r\n%b\r\n" % (len(piece), piece))
            time.sleep(1.2)  # longer than a block is gathered
        wire.send(b"" if length_told else b"0\r\n\r\n")
        assert wire.answer()[0] == 201
        wire.head("GET", b"/livez", {})
        assert wire.answer()[0] == 200
    assert laptop.get("x").content == content
