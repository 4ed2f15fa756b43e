"""A server that lies: the API as far as a restore uses it, saying whatever a test wants."""

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from blake3 import blake3


def hex_of(content: bytes) -> str:
    return blake3(content).hexdigest()


class Impostor:
    """`entries`: the tree; `contents`: bytes by the digest under which they are sent; `raw_tree`: the answer itself."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.contents: dict[str, bytes] = {}
        self.raw_tree: bytes | None = None
        self.statuses: list[dict[str, Any]] = []
        self.url = ""

    def add_file(self, content: bytes, *, sent: bytes | None = None, **entry: Any) -> None:
        """A file whose bytes come as `sent`."""
        self.contents[hex_of(content)] = content if sent is None else sent
        self.entries.append(
            {"id": str(len(self.entries) + 1), "type": "file", "digest": hex_of(content), "size": len(content),
             "mtime": "2024-01-02T03:04:05Z", "mode": 0o644} | entry
        )  # fmt: skip

    def add(self, kind: str, **entry: Any) -> None:
        self.entries.append(
            {"id": str(len(self.entries) + 1), "type": kind, "mtime": "2024-01-02T03:04:05Z", "mode": None} | entry
        )

    def tree(self) -> bytes:
        return self.raw_tree or json.dumps({"entries": self.entries, "next": None}).encode()

    def frames(self, digests: list[str]) -> bytes:
        return b"".join(
            bytes.fromhex(digest) + struct.pack(">Q", len(self.contents[digest])) + self.contents[digest]
            for digest in digests
        )


@contextmanager
def listening(impostor: Impostor) -> Iterator[Impostor]:
    """The impostor on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            if "/content" not in self.path:
                return self.answer(impostor.tree())
            entry = next(e for e in impostor.entries if f"/{e['id']}/" in self.path)
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            content = impostor.contents[entry["digest"]]
            return self.answer(
                content[start:], 206, {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            )

        def do_POST(self) -> None:
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["digests"]
            if self.path.endswith("/status"):
                return self.answer(json.dumps({"blobs": impostor.statuses}).encode())
            return self.answer(impostor.frames(wanted))

        def answer(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    impostor.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield impostor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
