"""A crowd of customers who browse, search, upload and export at once, each with an account, and pauses to think.

Each has an address of its own, as the proxy would tell it. What a customer is told to try again is tried again, as
browsers and our client do; everything else that is not the expected answer is a fault.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from blake3 import blake3

from catalog.settings import Settings
from tests.shared.portal import handoff, new_person
from tests.web.frames import frame, hex_of
from web.blob_frames import BLOBS_TYPE

FILES: Final = 60
FILE_BYTES: Final = 4_096
UPLOAD_BYTES_MAX: Final = 1 << 20
WAIT_SECONDS_MAX: Final = 120.0
"""A customer who is not served for so long gives up."""
PAUSE_SECONDS: Final = 0.5
_WORDS: Final = ("beach", "holiday", "invoice", "letter", "party", "report", "school", "wedding")


@dataclass
class Seen:
    """What the crowd met: seconds of each kind of request that went through at once, faults in words, and how often
    something had to be tried again."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    repeats: int = 0


class Customer:
    """One of the crowd. `acknowledged`: path → digest of what the server said was stored."""

    def __init__(self, url: str, settings: Settings, number: int, think: tuple[float, float], seen: Seen) -> None:
        self.acknowledged: dict[str, str] = {}
        self._address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self._client = httpx2.AsyncClient(base_url=url, timeout=60, headers={"X-Forwarded-For": self._address})
        self._settings = settings
        self._chosen = random.Random(number)
        self._think = think
        self._seen = seen
        self._device = ""
        self._uploads = 0

    async def move_in(self) -> None:
        """Sign in, and back up the first files."""
        answer = await self._client.post("/auth/handoff", data={"token": handoff(self._settings, new_person())})
        assert answer.status_code == 303, answer.text
        me = await self._client.get("/api/v1/me")
        self._client.headers["X-CSRF-Token"] = me.json()["csrf_token"]
        made = await self._client.post("/api/v1/devices", json={"name": "laptop", "kind": "laptop"})
        self._device = str(made.json()["id"])
        files = {
            f"{_WORDS[n % len(_WORDS)]}/{_WORDS[n // len(_WORDS)]} {n}.txt": self._chosen.randbytes(FILE_BYTES)
            for n in range(FILES)
        }
        body = b"".join(map(frame, files.values()))
        sent = await self._client.post("/api/v1/blobs", content=body, headers={"Content-Type": BLOBS_TYPE})
        assert sent.status_code == 200, sent.text
        entries = [
            {
                "path": path,
                "type": "file",
                "digest": hex_of(content),
                "size": FILE_BYTES,
                "mtime": "2024-05-01T10:00:00Z",
            }
            for path, content in files.items()
        ]
        kept = await self._client.post(f"/api/v1/devices/{self._device}/manifests", json={"entries": entries})
        assert kept.status_code == 201, kept.text
        self.acknowledged = {path: hex_of(content) for path, content in files.items()}

    async def live(self, is_over: asyncio.Event) -> None:
        """Do something, think, and so on until it is over."""
        acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._browse, 10), (self._search, 4), (self._upload, 3), (self._download, 2), (self._export, 1),
        ]  # fmt: skip
        try:
            async with asyncio.timeout(self._chosen.uniform(0, self._think[1])):
                await is_over.wait()
        except TimeoutError:
            pass
        while not is_over.is_set():
            (act,) = self._chosen.choices([act for act, _ in acts], [weight for _, weight in acts])
            await act()
            try:
                async with asyncio.timeout(self._chosen.uniform(*self._think)):
                    await is_over.wait()
            except TimeoutError:
                continue

    async def check(self) -> None:
        """All that was acknowledged comes back as it was."""
        for path, digest in self.acknowledged.items():
            answer = await self._asked("", "GET", self._file(path))
            if answer is None or blake3(answer.content).hexdigest() != digest:
                self._seen.faults.append(f"{path} was acknowledged and is not there")

    async def close(self) -> None:
        await self._client.aclose()

    # -- what one does

    async def _browse(self) -> None:
        folder = self._chosen.choice(_WORDS)
        await self._asked("browse", "GET", "/")
        await self._asked("browse", "GET", f"/files/{self._device}/originals/")
        await self._asked("browse", "GET", f"/files/{self._device}/originals/{folder}")

    async def _search(self) -> None:
        await self._asked("search", "GET", "/search", params={"q": self._chosen.choice(_WORDS)[:4]})

    async def _upload(self) -> None:
        self._uploads += 1
        path = f"{self._chosen.choice(_WORDS)}/new {self._uploads}.bin"
        content = self._chosen.randbytes(self._chosen.randrange(1, UPLOAD_BYTES_MAX))
        if await self._asked("upload", "PUT", self._file(path), content=content):
            self.acknowledged[path] = blake3(content).hexdigest()

    async def _download(self) -> None:
        path = self._chosen.choice(list(self.acknowledged))
        answer = await self._asked("download", "GET", self._file(path))
        if answer is not None and blake3(answer.content).hexdigest() != self.acknowledged[path]:
            self._seen.faults.append(f"{path} came down as something else")

    async def _export(self) -> None:
        wanted = {"device": self._device, "directory": self._chosen.choice(_WORDS)}
        made = await self._asked("export", "POST", "/api/v1/exports", json=wanted)
        if made is not None:
            zipped = await self._asked("zip", "GET", made.json()["url"])
            if zipped is not None and len(zipped.content) != made.json()["size_bytes"]:
                self._seen.faults.append("a zip has another size than was said")

    def _file(self, path: str) -> str:
        return f"/api/v1/devices/{self._device}/files/originals/{path}"

    async def _asked(self, kind: str, method: str, url: str, **more: Any) -> httpx2.Response | None:
        """The answer; None after a fault. A lost connection, and a server that says it is away, are tried again."""
        give_up = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            begin = time.monotonic()
            try:
                answer = await self._client.request(method, url, **more)
            except httpx2.TransportError as error:
                told = f"{type(error).__name__} {error}"
            else:
                if answer.status_code in {200, 201}:
                    self._seen.seconds[kind].append(time.monotonic() - begin)
                    return answer
                told = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code != 503:
                    give_up = 0
            if time.monotonic() > give_up:
                self._seen.faults.append(f"{method} {url}: {told}")
                return None
            self._seen.repeats += 1
            await asyncio.sleep(PAUSE_SECONDS)


class Crowd:
    """So many customers of the service at `url`."""

    def __init__(self, url: str, settings: Settings, count: int, think: tuple[float, float]) -> None:
        self.seen = Seen()
        self._customers = [Customer(url, settings, number, think, self.seen) for number in range(1, count + 1)]
        self._is_over = asyncio.Event()
        self._lives: Sequence[asyncio.Task[None]] = ()

    @property
    def acknowledged(self) -> int:
        return sum(len(customer.acknowledged) for customer in self._customers)

    async def move_in(self) -> None:
        for customer in self._customers:
            await customer.move_in()

    def begin(self) -> None:
        self._is_over.clear()
        self._lives = [asyncio.create_task(customer.live(self._is_over)) for customer in self._customers]

    async def end(self) -> None:
        """Let each end what it is doing."""
        self._is_over.set()
        await asyncio.gather(*self._lives)

    async def check(self) -> None:
        await asyncio.gather(*(customer.check() for customer in self._customers))

    async def close(self) -> None:
        for customer in self._customers:
            await customer.close()
