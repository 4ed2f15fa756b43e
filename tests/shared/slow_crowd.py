"""Many slow clients at once, each with a connection of its own, from some addresses of this host."""

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.shared.proxy import NAME

PER_SECOND: Final = 200
ADDRESSES: Final = 50
GIVE_UP_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Slow:
    """What a client sends at once, and then every second."""

    start: bytes
    drip: bytes


@dataclass(frozen=True, slots=True)
class Lived:
    """How long a connection was let live, and what it was answered."""

    seconds: float
    answer: bytes


def crowd(url: str, tls: Path, clients: list[Slow]) -> list[Lived]:
    """How they all fared. Runs in a process of its own, so that it disturbs nobody's clock."""
    return asyncio.run(_all(url, tls, clients))


async def _all(url: str, tls: Path, clients: list[Slow]) -> list[Lived]:
    context = ssl.create_default_context(cafile=tls) if url.startswith("https:") else None
    lives = []
    async with asyncio.TaskGroup() as tasks:
        for number, client in enumerate(clients):
            lives.append(tasks.create_task(_live(url, context, client, f"127.0.0.{2 + number % ADDRESSES}")))
            await asyncio.sleep(1 / PER_SECOND)
    return [life.result() for life in lives]


async def _live(url: str, context: ssl.SSLContext | None, client: Slow, address: str) -> Lived:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, ssl=context, server_hostname=NAME if context else None, local_addr=(address, 0)
    )
    began, answer = time.monotonic(), b""
    dripping = asyncio.create_task(_drip(writer, client))
    with suppress(ConnectionError):
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while piece := await reader.read(1 << 16):
                answer += piece
    seconds = time.monotonic() - began
    dripping.cancel()
    writer.close()
    return Lived(seconds, answer)


async def _drip(writer: asyncio.StreamWriter, client: Slow) -> None:
    writer.write(client.start)
    while True:
        await asyncio.sleep(1)
        writer.write(client.drip)
