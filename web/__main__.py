"""`python -m web`: reads the settings, opens the store and the catalog, and serves until it is told to stop.

Exit code: 0 stopped as asked, 2 it could not start (a sentence for each reason is on stderr).
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from typing import Final

import uvicorn
import uvloop

from cas.errors import CasError
from catalog.errors import CatalogError
from catalog.logs import begin_logging
from catalog.settings import BadSettings, Settings, load_settings
from web.app import create_app, open_services
from web.limits import (
    ALIVE_SECONDS,
    CONNECTIONS_WAITING_MAX,
    DRAIN_SECONDS,
    KEEP_ALIVE_SECONDS,
    SHUTDOWN_SECONDS,
)
from web.memory import keep_freed_memory, seldom_look_for_cycles
from web.protocol import Protocol
from web.supervision import ALIVE, READY, STOPPING, inherited_listener, notify

_DONE: Final = 0
_FAILED: Final = 2
_DRAIN_PAUSE_SECONDS: Final = 0.05


def main() -> int:
    """Serve. Returns the exit code."""
    keep_freed_memory()
    seldom_look_for_cycles()
    try:
        settings = load_settings()
        begin_logging(settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except (BadSettings, CasError, CatalogError, OSError) as e:
        print("".join(f"otb-cloud: {line}\n" for line in str(e).splitlines()), end="", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _DONE
    return _DONE


async def _serve(settings: Settings) -> None:
    inherited = inherited_listener(os.environ)
    with inherited or _listen(settings.app_host, settings.app_port) as listener:
        async with open_services(settings) as held:
            config = uvicorn.Config(
                create_app(settings, held),
                http=Protocol,
                ws="none",
                loop="none",
                interface="asgi3",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=bool(settings.proxy_addresses),
                forwarded_allow_ips=list(settings.proxy_addresses),
                callback_notify=_Reports(),
                timeout_notify=ALIVE_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                backlog=CONNECTIONS_WAITING_MAX,
            )
            # Uvicorn raises the signal that stopped it once more when it is done; by then we only close what we opened.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: None)
            logging.getLogger("otb.web").info("serving on %s:%d", *listener.getsockname()[:2])
            await _Server(config, drains=inherited is not None).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Uvicorn, which says when it begins to end. `drains`: another server takes what comes from then on, so requests
    that are on their way over connections made before are waited for."""

    def __init__(self, config: uvicorn.Config, *, drains: bool) -> None:
        super().__init__(config)
        self._drains = drains

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify(STOPPING, os.environ)
        if self._drains:
            await self._drain(sockets or [])
        await super().shutdown(sockets)

    async def _drain(self, sockets: list[socket.socket]) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        give_up = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < give_up:
            await asyncio.sleep(_DRAIN_PAUSE_SECONDS)  # first: who was accepted just now becomes a connection meanwhile
            if not self.server_state.connections:
                return
            for connection in self.server_state.connections:
                if isinstance(connection, Protocol):
                    connection.drain()


class _Reports:
    """Called once the server listens, and then every `ALIVE_SECONDS` while its event loop turns."""

    def __init__(self) -> None:
        self._state = READY

    async def __call__(self) -> None:
        notify(self._state, os.environ)
        self._state = ALIVE


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket. Raises `OSError` with a sentence that says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS_WAITING_MAX)
    except OSError as e:
        raise OSError(
            f"Cannot listen on {host}:{port} ({os.strerror(e.errno or 0)})."
            " Set APP_PORT to a free port, or stop what uses this one."
        ) from e


if __name__ == "__main__":
    sys.exit(main())
