"""A real Chromium and a real server for the pages' tests. They last while a worker goes through this folder: while the
browser runs, this thread has a running event loop, which async tests elsewhere could not bear.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.customers import Customer, new_customer
from tests.browser.preview import create_app
from tests.browser.watch import DESK, WAIT_MS, Watched
from tests.shared.disks import own_memory
from tests.shared.service import Service, free_port
from tests.shared.sites import new_site
from tools.run.mariadb import PrivateMariaDB

CHROMIUM = "/usr/bin/chromium-headless-shell"
"""Chromium without windows: the same engine at half of the processor time."""
_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def service(mariadb: PrivateMariaDB, quick_folder: Path) -> Iterator[Service]:
    """One running server for all tests that do not harm it. Each has accounts of its own."""
    with own_memory(quick_folder / f"browser_{next(_numbers)}") as folder:
        running = Service(new_site(folder, mariadb.socket, f"otb_{folder.name}"), folder).start()
        yield running
        running.stop()


@pytest.fixture(scope="module")
def customer(service: Service) -> Iterator[Customer]:
    """The module's own customer."""
    with new_customer(service) as made:
        yield made


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """`open_window(width=PHONE, dark=True)`: a watched page of its own. What it complained of is judged at the end."""
    opened: list[Watched] = []

    def open_one(width: int = DESK, *, dark: bool = False, scripts: bool = True, state: Any = None) -> Watched:
        watched = Watched.open(browser, width, dark=dark, scripts=scripts, state=state)
        opened.append(watched)
        return watched

    yield open_one
    for watched in opened:
        watched.page.context.close()
    for watched in opened:
        watched.check_quiet()


@pytest.fixture(scope="package")
def preview() -> Iterator[str]:
    """The address of the preview, served from a thread of this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
