"""What systemd and this process tell each other: the socket that systemd holds for us, and that we are ready, alive or
ending.

The protocols are those of sd_listen_fds(3) and sd_notify(3). Where systemd did not start us, nothing of it happens.

The watchdog is told of a living event loop and no more: a disk that hangs is not cured by a restart, and turns the
store read-only by itself (docs/decisions/0004-failing-media.md).
"""

import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
ALIVE: Final = "WATCHDOG=1"
STOPPING: Final = "STOPPING=1"

_FIRST_FD: Final = 3


def inherited_listener(environ: Mapping[str, str]) -> socket.socket | None:
    """The listening socket that systemd opened and keeps open over our restarts; None if it gave us none.

    Raises `OSError`, with a sentence, if it gave more than one.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environ.get("LISTEN_FDS") != "1":
        raise OSError(f"systemd passed {environ.get('LISTEN_FDS')} sockets. Give the socket unit one ListenStream=.")
    os.set_inheritable(_FIRST_FD, False)
    return socket.socket(fileno=_FIRST_FD)


def notify(state: str, environ: Mapping[str, str]) -> None:
    """Tell systemd, which listens at `NOTIFY_SOCKET`. Raises `OSError` if it does not."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # a name in the abstract namespace, unix(7)
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address)
