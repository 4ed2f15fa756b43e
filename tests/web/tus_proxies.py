"""What stands between a client and the server in tests: a proxy that cuts the line, and a real nginx."""

import random
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.shared.service import free_port

NGINX: Final = "/usr/sbin/nginx"
_BLOCK_BYTES: Final = 1 << 16
_BYTES_MIN: Final = 4096
"""The request that creates an upload is let through: not every stock client sends that one again."""

_CONFIGURATION: Final = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            proxy_pass http://127.0.0.1:{target};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host $host:$server_port;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class CuttingProxy:
    """Passes bytes on, and resets both ends of a connection after a random number of bytes from the client, as long as
    cuts are left. As a context manager it stops at the end."""

    def __init__(self, target_port: int, cuts: int, bytes_max: int, seed: int = 1) -> None:
        self.cuts_left = cuts
        self._target_port = target_port
        self._bytes_max = bytes_max
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "CuttingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:  # the server is down just now
            client.close()
            return
        back = threading.Thread(target=self._pass_back, args=(server, client), daemon=True)
        back.start()
        with suppress(OSError):
            self._pass_on(client, server)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join()
        client.close()
        server.close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        left = self._random.randrange(_BYTES_MIN, self._bytes_max)
        while data := client.recv(_BLOCK_BYTES):
            if len(data) >= left and self._may_cut():
                server.sendall(data[:left])
                return
            server.sendall(data)
            left -= min(left, len(data))

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_BLOCK_BYTES):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def _may_cut(self) -> bool:
        with self._lock:
            self.cuts_left -= self.cuts_left > 0
            return self.cuts_left > 0


class Nginx:
    """A private nginx on loopback, configured as docs/uploads.md says. As a context manager it stops at the end."""

    def __init__(self, folder: Path, target_port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.body_folder = folder / "body"
        configuration = folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, port=self.port, target=target_port))
        self._process = subprocess.Popen([NGINX, "-p", folder, "-c", configuration, "-e", folder / "error.log"])
        deadline = time.monotonic() + 20
        while not self._listens():
            assert self._process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def __enter__(self) -> "Nginx":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False
