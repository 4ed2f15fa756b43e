"""Who writes to a store holds its lock: whoever has it alone takes what lies in `incoming/` for leftovers."""

import asyncio
import importlib
import re
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cas.layout import blob_key
from cas.local import LocalBackend
from cas.lock import StoreLock
from tests.shared.rig import Rig, make_site, open_rig
from tests.shared.settings import GivenSettings
from tools.run.mariadb import PrivateMariaDB
from tools.worker.worker import Worker

ROOT: Final = Path(__file__).resolve().parents[2]
WRITING: Final = ("prepare", "create", "append", "publish", "move", "remove", "discard")
"""The methods of a backend that change what lies in the store."""

ONLY_READS: Final = {
    "migrate": (),
    "usage": ("record",),
    "search": ("rebuild",),
    "rebuild": ("compare",),
    "replicate": ("status",),
    "lapses": (),
}
"""Programs that open a store and change nothing in it, and what is tried of them."""


async def something_purged(rig: Rig) -> None:
    await rig.purge("a")


async def something_damaged(rig: Rig) -> None:
    blob = await rig.upload("b", secrets.token_bytes(3000))
    path = rig.backend.root / blob_key(blob.digest, blob.encoding)
    path.chmod(0o600)
    path.write_bytes(bytes(3000))


async def nothing(_rig: Rig) -> None:
    """What is there is enough."""


WRITES: Final[list[tuple[str, tuple[str, ...], Callable[[Rig], Awaitable[None]]]]] = [
    ("store", ("writable",), nothing),
    ("tenant", ("quota", "CLIENT", "1G"), nothing),
    ("tenant", ("suspend", "CLIENT"), nothing),
    ("tenant", ("resume", "CLIENT"), nothing),
    ("journal", ("checkpoint", "--all"), nothing),
    ("sweep", ("--full",), something_purged),
    ("verify", ("--fresh",), something_damaged),
    ("importing", ("SCAFFOLD", "CLIENT"), nothing),
    ("tenant", ("close", "CLIENT", "--erase-everything"), nothing),
]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(mariadb: PrivateMariaDB, quick_folder: Path, loop: asyncio.AbstractEventLoop) -> GivenSettings:
    folder = quick_folder / "writers"
    folder.mkdir()
    return loop.run_until_complete(make_site(mariadb, folder, "writers"))


@pytest.fixture
def main(site: GivenSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """A program of tools/, run in this process."""
    monkeypatch.setenv("OTB_CLOUD_SETTINGS", str(site.file))
    monkeypatch.setenv("MAIL_SERVER", "mail.example")
    monkeypatch.setenv("MAIL_FROM", "cloud@example.org")

    def run(program: str, *arguments: str) -> int:
        code: int = importlib.import_module(f"tools.{program}.main").main(arguments)
        return code

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def writes(site: GivenSettings, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Each call that changes the store, and whether the lock was held then."""
    seen: list[tuple[str, bool]] = []

    def watched(name: str) -> Callable[..., Any]:
        whole = getattr(LocalBackend, name)

        def call(backend: LocalBackend, *arguments: Any) -> Any:
            seen.append((name, is_held(site.settings.storage_root)))
            return whole(backend, *arguments)

        return call

    for name in WRITING:
        monkeypatch.setattr(LocalBackend, name, watched(name))
    return seen


def is_held(root: Path) -> bool:
    with StoreLock(root) as another:
        return not another.try_alone()


@pytest.mark.parametrize(
    ("program", "arguments", "prepare"), WRITES, ids=[f"{program} {arguments[0]}" for program, arguments, _ in WRITES]
)
def test_a_program_that_writes_holds_the_lock(
    site: GivenSettings,
    loop: asyncio.AbstractEventLoop,
    main: Callable[..., int],
    writes: list[tuple[str, bool]],
    tmp_path: Path,
    program: str,
    arguments: tuple[str, ...],
    prepare: Callable[[Rig], Awaitable[None]],
) -> None:
    originals = tmp_path / "phone" / "originals"
    originals.mkdir(parents=True)
    (originals / "c").write_bytes(secrets.token_bytes(3000))

    async def client() -> str:
        async with open_rig(site) as rig:
            await rig.upload("a", secrets.token_bytes(3000))
            await prepare(rig)
            if program == "sweep":  # condemned now, so that the program takes it away
                await rig.sweep()
            return rig.scope.tenant.billing_client

    named = {"CLIENT": loop.run_until_complete(client()), "SCAFFOLD": str(tmp_path)}
    writes.clear()
    assert main(program, *(named.get(argument, argument) for argument in arguments)) in {0, 1}
    assert writes, "it was to write something"
    assert [name for name, held in writes if not held] == []


@pytest.mark.parametrize("program", ONLY_READS)
def test_a_program_that_only_reads_changes_nothing(
    main: Callable[..., int], writes: list[tuple[str, bool]], program: str
) -> None:
    main(program, *ONLY_READS[program])
    assert writes == []


def test_a_worker_holds_the_lock_while_it_works(
    site: GivenSettings, main: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []

    async def work(_worker: Worker, _stop: asyncio.Event, **_options: bool) -> None:
        held.append(is_held(site.settings.storage_root))

    monkeypatch.setattr(Worker, "run", work)
    assert main("worker", "--until-idle") == 0
    assert held == [True]


def test_every_program_that_opens_the_store_is_told_of_here() -> None:
    opening = {
        path.parent.name
        for path in (ROOT / "tools").glob("*/main.py")
        if re.search(r"LocalBackend\((settings\.storage_root|root)\)", path.read_text())
    }
    assert opening == {program for program, _, _ in WRITES} | ONLY_READS.keys() | {"worker"}
