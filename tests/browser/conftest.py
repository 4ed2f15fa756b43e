"""A real Chromium for the pages' tests. One per module: while it runs, this thread has a running event loop, which
async tests of other modules could not bear.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.preview import create_app
from tests.browser.watch import DESK, WAIT_MS, Watched
from tests.shared.service import free_port

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


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


@pytest.fixture(scope="module")
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
