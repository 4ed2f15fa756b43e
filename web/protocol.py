"""What the server itself answers to bytes that are no HTTP: a problem like any other, instead of plain text."""

import secrets
from http import HTTPStatus
from typing import Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from web.answers import PROBLEM_TYPE
from web.errors import Problem
from web.middleware import base_headers

_PROBLEM: Final = Problem(
    HTTPStatus.BAD_REQUEST,
    "bad-http",
    "This is not HTTP as we read it",
    "Percent-encode what is not ASCII in the address, and send exactly as many bytes as Content-Length says.",
)


class Protocol(HttpToolsProtocol):
    """Uvicorn's own, but for that answer."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the server's words are for its log
        """Answer and close."""
        request_id = secrets.token_hex(8)
        body = msgspec.json.encode(_PROBLEM.body(request_id))
        headers = base_headers() | {
            "Content-Type": PROBLEM_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-Id": request_id,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode() + body)
        self.transport.close()
