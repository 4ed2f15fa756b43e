"""What every test may ask for: the scale, a real MariaDB, fresh databases and stores, and the real server process."""

import itertools
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import httpcore2
import pytest

from catalog.settings import Settings
from tests.shared.disks import own_disk, own_memory
from tests.shared.proof import ProofRecord
from tests.shared.service import Service
from tests.shared.settings import GivenSettings
from tests.shared.sites import new_site
from tools.run.mariadb import PrivateMariaDB

T = TypeVar("T")

MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES_MIN: Final = 6 << 30
LONG: Final = ("tests/browser/", "tests/tools/")

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof", action="store_true", help="run at the figures of the issues, resuming an earlier run")


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts pytest in the background has it ignore Ctrl-C, and all programs under test inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--proof"):
        config.pluginmanager.register(ProofRecord(), "proof-record")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts browsers and programs comes first: begun last, it would keep one worker busy after the others."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="session", autouse=True)
def shared_authorities() -> Iterator[None]:
    """The certificate authorities are read once: each of thousands of clients would take 50 ms for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Callable[[T, T], T]:
    """`scale(short, proof)`: the figure for this run."""
    proof: bool = request.config.getoption("--proof")
    return lambda short, long: long if proof else short


@pytest.fixture(scope="session")
def quick_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is room, else on the disk. A store has 65,536 folders from its beginning on:
    a disk takes seconds to make them and longer to forget them."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES_MIN:
        yield tmp_path_factory.mktemp("quick")
        return
    with tempfile.TemporaryDirectory(prefix="otb-test-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mariadb(quick_folder: Path) -> Iterator[PrivateMariaDB]:
    """One private MariaDB for the whole run, without a table. It flushes at each commit, like the real one."""
    folder = quick_folder / "mariadb"
    folder.mkdir()
    server = PrivateMariaDB(folder / "server", folder / "mariadb.log")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture(scope="module")
def own_mariadb(quick_folder: Path) -> Iterator[PrivateMariaDB]:
    """A MariaDB of the module's own, which its tests may stop, kill and start again."""
    folder = quick_folder / f"own_{next(_numbers)}"
    folder.mkdir()
    server = PrivateMariaDB(folder / "server", folder / "mariadb.log")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def make_settings(
    mariadb: PrivateMariaDB, quick_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., GivenSettings]]:
    """`make_settings(QUOTA_DEFAULT_BYTES="1000", …)`: a new migrated database, a new store, and their settings.

    `on_disk=True` where the disk matters: for large files, and for what must outlive a kill.
    """
    with ExitStack() as stack:

        def make(*, on_disk: bool = False, **values: str) -> GivenSettings:
            name = f"otb_test_{next(_numbers)}"
            disk = own_disk(tmp_path_factory.mktemp(name)) if on_disk else own_memory(quick_folder / name)
            return new_site(stack.enter_context(disk), mariadb.socket, name, **values)

        yield make


@pytest.fixture(scope="module")
def given(make_settings: Callable[..., GivenSettings]) -> GivenSettings:
    """The module's own database and store, with the file and the environment that name them."""
    return make_settings()


@pytest.fixture(scope="module")
def settings(given: GivenSettings) -> Settings:
    """The same, as the value that programs work with."""
    return given.settings


@pytest.fixture(scope="module")
def make_service(
    make_settings: Callable[..., GivenSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Service]]:
    """`make_service(HOLD_DAYS="0", …)`: a running server with a database and a store of its own."""
    made: list[Service] = []

    def make(*, on_disk: bool = False, **values: str) -> Service:
        service = Service(make_settings(on_disk=on_disk, **values), tmp_path_factory.mktemp("service"))
        made.append(service)
        return service.start()

    yield make
    for service in made:
        service.stop()


@pytest.fixture(scope="module")
def service(make_service: Callable[..., Service]) -> Service:
    """The module's own running server."""
    return make_service()


def pytest_report_header(config: pytest.Config) -> str:
    return f"scale: {'proof' if config.getoption('--proof') else 'short'}, in {Path.cwd()}"
