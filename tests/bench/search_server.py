"""The same questions to the real server, over HTTP: the whole way of a request, pages as people get them among them.

By the clock it is what a client on this machine waits for; the processor's milliseconds are the server's, all its
threads. MariaDB's own work is in the clock's alone.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
from otb_cloud_billing import Person

from tests.bench.search_filling import LARGE_CLIENT, Filled
from tests.bench.search_measure import HITS, Taken, line
from tests.bench.search_names import EVERYTHING, FILTERED, KINDS, Kind
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.shared.settings import write_settings

_WARM_UP = 3


async def served(there: Filled, folder: Path, times: int) -> AsyncIterator[str]:
    """A line for each kind of question, and what memory the server took."""
    service = Service(write_settings(folder / "settings-served", there.values), folder)
    await asyncio.to_thread(service.start)
    try:
        person = Person(client=LARGE_CLIENT, user="bench", email="b@example.test", name="Bench", role="owner", label="")
        with sign_in(service.url, service.settings, person) as client:
            for name, path, kinds in (
                ("API: search", f"/api/v1/search?limit={HITS}&q=", (*KINDS, *FILTERED)),
                ("API: facets", "/api/v1/search/facets?q=", (EVERYTHING, *KINDS, *FILTERED)),
                ("page of search", "/search?q=", (KINDS[2], KINDS[4], FILTERED[0])),
            ):
                for kind in kinds:
                    taken = await asyncio.to_thread(_asked, client, service.pid, path, kind, times)
                    yield line(f"{name}: {kind.name}", taken)
            yield _memory(service)
    finally:
        await asyncio.to_thread(service.stop)


def _asked(client: httpx2.Client, pid: int, path: str, kind: Kind, times: int) -> Taken:
    chosen = random.Random(7)
    clock: list[float] = []
    cpu: list[float] = []
    for number in range(times + _WARM_UP):
        text = str(httpx2.QueryParams({"q": kind.text(chosen)})).removeprefix("q=")
        begin, ran = time.perf_counter(), _cpu_ns(pid)
        answer = client.get(path + text)
        answer.raise_for_status()
        if number >= _WARM_UP:
            clock.append((time.perf_counter() - begin) * 1_000)
            cpu.append((_cpu_ns(pid) - ran) / 1e6)
    return Taken(clock, cpu)


def _cpu_ns(pid: int) -> int:
    """Nanoseconds on a processor, of all threads (schedstats of the kernel)."""
    return sum(int(_read(task / "schedstat").split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def _memory(service: Service) -> str:
    fields = dict(text.split(":", 1) for text in _read(Path(f"/proc/{service.pid}/status")).splitlines() if ":" in text)
    own, files, most = (int(fields[name].split()[0]) // 1_024 for name in ("RssAnon", "RssFile", "VmHWM"))
    return f"the server's memory: {own:,} MiB of its own, {files:,} MiB of mapped files; at most {most:,} MiB"


def _read(file: Path) -> str:
    return file.read_text("ascii", "replace")
