"""Request smuggling: a request inside another's body is never answered, by the server alone nor behind nginx.

Each attack is followed, on its connection, by an honest request that asks to close. What is answered is told exactly:
a reading that both ends do not share would show the inner request's 404, or lose the honest one.
"""

import re
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.shared.proxy import NAME, SECONDS_MAX, Site

HOST: Final = b"Host: " + NAME.encode() + b"\r\n"
POST: Final = b"POST /sign-out HTTP/1.1\r\n" + HOST
INNER: Final = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
HONEST: Final = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
LENGTH: Final = b"Content-Length: %d\r\n" % len(INNER)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
CHUNKS: Final = b"%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER)
REFUSED: Final = [400]

AMBIGUOUS: Final = {
    "length and chunks": CHUNKED + b"Content-Length: 4\r\n\r\n" + CHUNKS,
    "chunks and length": b"Content-Length: %d\r\n" % (5 + len(INNER)) + CHUNKED + b"\r\n0\r\n\r\n" + INNER,
    "two lengths": b"Content-Length: 0\r\n" + LENGTH + b"\r\n" + INNER,
    "the same length twice": LENGTH + LENGTH + b"\r\n" + INNER,
    "a list of lengths": b"Content-Length: 0, %d\r\n\r\n" % len(INNER) + INNER,
    "a signed length": b"Content-Length: +%d\r\n\r\n" % len(INNER) + INNER,
    "a negative length": b"Content-Length: -1\r\n\r\n" + INNER,
    "a length in hex": b"Content-Length: 0x%x\r\n\r\n" % len(INNER) + INNER,
    "a length beyond 64 bits": b"Content-Length: 18446744073709551617\r\n\r\n" + INNER,
    "no length": b"Content-Length: \r\n\r\n" + INNER,
    "a space before the colon": b"Content-Length : %d\r\n\r\n" % len(INNER) + INNER,
    "chunks, a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    "two codings": CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + INNER,
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a folded line": b"X: a\r\n " + LENGTH + b"\r\n" + INNER,
    "a bare CR": b"X: a\r" + LENGTH + b"\r\n" + INNER,
    "a NUL": b"X: a\0\r\n" + LENGTH + b"\r\n" + INNER,
    "a chunk of 0x": CHUNKED + b"\r\n0x%s" % CHUNKS,
    "a negative chunk": CHUNKED + b"\r\n-%s" % CHUNKS,
    "a chunk beyond 64 bits": CHUNKED + b"\r\n1%016x\r\n" % len(INNER) + INNER + b"\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"\r\n1\r\n" + INNER + b"\r\n0\r\n\r\n",
}
"""Refused by both, with or without nginx."""

STRICT_ALONE: Final = {
    "a coding nobody knows": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a coding behind a control character": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunks that are not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
}
"""nginx says 501 to these."""

LINE_FEEDS: Final = {
    "a bare LF in the headers": b"X: a\n" + LENGTH + b"\r\n" + INNER,
    "a bare LF at their end": LENGTH[:-2] + b"\n\n" + INNER,
    "bare LF around chunks": CHUNKED
    + b"\r\n"
    + CHUNKS.replace(b"\r\n" + INNER + b"\r\n0\r\n\r\n", b"\n" + INNER + b"\n0\n\n"),
    "a bare LF behind a chunk's extension": CHUNKED + b"\r\n%x;a\n%s\r\n0\r\n\r\n" % (len(INNER), INNER),
    "a trailer that is a length": CHUNKED + b"\r\n" + CHUNKS[:-2] + b"Content-Length: 30\r\n\r\n",
}
"""nginx reads these, and says them anew: the server behind it gets one reading."""

ONE_READING: Final = {
    "a length": LENGTH + b"\r\n" + INNER,
    "chunks": CHUNKED + b"\r\n" + CHUNKS,
    "chunks with extensions": CHUNKED + b'\r\n%x;a=b;c="d"\r\n%s\r\n0;x\r\n\r\n' % (len(INNER), INNER),
    "a coding that is spelt otherwise": b"Transfer_Encoding: chunked\r\n" + LENGTH + b"\r\n" + INNER,
}
"""The inner request is a body and nothing else."""


def answers(site: Site, front: str, request: bytes) -> list[int]:
    """The statuses of all that is answered until the connection is closed."""
    parts = urlsplit(site.fronts[front])
    with socket.create_connection((parts.hostname, parts.port), SECONDS_MAX) as plain:
        context = ssl.create_default_context(cafile=site.tls)
        wire = context.wrap_socket(plain, server_hostname=NAME) if parts.scheme == "https" else plain
        with wire:
            got = b""
            try:
                wire.sendall(POST + request + HONEST)
                while data := wire.recv(1 << 16):
                    got += data
            except ConnectionError:
                pass  # closed with something unread
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", got, re.M)]


@pytest.mark.parametrize("front", ["alone", "nginx"])
@pytest.mark.parametrize("attack", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(site: Site, front: str, attack: str) -> None:
    assert answers(site, front, AMBIGUOUS[attack]) == REFUSED


@pytest.mark.parametrize("attack", STRICT_ALONE)
def test_a_coding_that_is_none_is_refused(site: Site, attack: str) -> None:
    assert answers(site, "alone", STRICT_ALONE[attack]) == REFUSED
    assert answers(site, "nginx", STRICT_ALONE[attack]) == [501]


@pytest.mark.parametrize("attack", LINE_FEEDS)
def test_what_nginx_forgives_reaches_nobody_as_it_was(site: Site, attack: str) -> None:
    assert answers(site, "alone", LINE_FEEDS[attack]) == REFUSED
    assert answers(site, "nginx", LINE_FEEDS[attack]) == [303, 200]


@pytest.mark.parametrize("front", ["alone", "nginx"])
@pytest.mark.parametrize("body", ONE_READING)
def test_a_body_is_a_body(site: Site, front: str, body: str) -> None:
    assert answers(site, front, ONE_READING[body]) == [303, 200]


@pytest.mark.parametrize(("front", "status"), [("alone", 421), ("nginx", 400)])
def test_two_hosts_are_refused(site: Site, front: str, status: int) -> None:
    assert answers(site, front, b"Host: other.example\r\nContent-Length: 0\r\n\r\n")[0] == status
