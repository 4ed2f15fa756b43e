"""A program that walks the whole write path, to inject faults into: `python -m tests.cas.write_path ROOT SOCKET`.

For each line on its input, a number, it forks a child that has everything loaded, prints the child's process id, and
lets it wait for SIGUSR1 (a tracer attaches meanwhile). The child writes three blobs, a pack, and two journal records
of the chain with that number, and tells the datagram socket at SOCKET, by a system call that no fault is injected into:
`ack <what> <digest>` once something is acknowledged, `refused <error>` for an error of `cas`, `bug <error>` for any
other, `end` at last.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Final

from cas.digest import Digest
from cas.errors import CasError
from cas.journal import Journal
from cas.store import BlobStore
from tests.cas.power import FewShards, content
from tests.cas.samples import KIB, MIB, noise, prose

CHAIN: Final = "0e8e5a4c-7d0f-4f0e-9a53-3d1c6d3c6f11/run-{run}"


@cache
def contents() -> tuple[bytes, ...]:
    """The blobs of a run: a small one, a compressible one, and one that takes the way of large files."""
    return content(3 * KIB, 1), content(40 * KIB, 2, compressible=True), content(11 * MIB, 3)


@cache
def packed_contents() -> tuple[bytes, ...]:
    """The blobs of a run's pack: small ones of both encodings, and enough to take the way of large files."""
    return b"1", prose(40 * KIB), *(noise(900 * KIB, seed) for seed in range(11))


def walk(root: Path, run: int, say: socket.socket) -> None:
    try:
        backend = FewShards(root)
    except CasError as error:
        say.send(f"refused {type(error).__name__}: {error}".encode())
        return
    for data in contents():
        attempt(partial(put, backend, data), "blob", say)
    attempt(partial(put_pack, backend), "pack", say)
    attempt(partial(append, backend, run, abandoned=True), "record", say)
    attempt(partial(append, backend, run, abandoned=False), "record", say)
    backend.close()


def put(backend: FewShards, data: bytes) -> Digest:
    store = BlobStore.open(backend)
    return store.place(store.stage([data])).digest


def put_pack(backend: FewShards) -> Digest:
    """All of the blobs that a pack takes; what is acknowledged is the last of them."""
    store = BlobStore.open(backend)
    with store.pack() as writer:
        for data in packed_contents():
            writer.add(data)
        return store.place_pack(writer.finish())[-1].digest


def append(backend: FewShards, run: int, abandoned: bool) -> Digest:
    """First a record of a commit that fails, later the one that counts, in its place."""
    journal = Journal(backend)
    digest = journal.append(CHAIN.format(run=run), 1, None, b"failed" if abandoned else b"the one")
    if abandoned:
        raise CasError("the commit failed")
    return digest


def attempt(act: Callable[[], Digest], what: str, say: socket.socket) -> None:
    try:
        digest = act()
    except CasError as error:
        say.send(f"refused {type(error).__name__}: {error}".encode())
    except Exception as error:  # noqa: BLE001 - any other error is what the test is after
        say.send(f"bug {type(error).__name__}: {error}".encode())
    else:
        say.send(f"ack {what} {digest}".encode())


def child(root: Path, address: str, run: int) -> None:
    signal.sigwait({signal.SIGUSR1})
    say = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    say.connect(address)
    walk(root, run, say)
    say.send(b"end")


def main() -> None:
    root, address = Path(sys.argv[1]), sys.argv[2]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    contents()
    packed_contents()
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            child(root, address, int(line))
            os._exit(0)
        print(process, flush=True)
        os.waitpid(process, 0)
        print("done", flush=True)


if __name__ == "__main__":
    main()
