"""Derived files as a customer makes them, by keyboard alone: chosen, asked for, followed as cards, refused in words and
with the log, tried again, cancelled, cleared; and small pictures that come into the gallery as they are made.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.customers import Customer
from tests.browser.keyboard import press, tab_to, write
from tests.browser.watch import DESK, PHONE, Watched
from tests.shared.service import Service
from tests.shared.workers import WorkerProcess, asked, rendition, until
from tests.tools.worker.corpus import film, picture, repeated_film, saved
from tests.web.device import stored

Window = Callable[..., Watched]


@pytest.fixture(scope="module")
def worker(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    started = WorkerProcess(service.given, tmp_path_factory.mktemp("worker")).start()
    yield started
    started.stop()


@contextmanager
def stopped(worker: WorkerProcess) -> Iterator[None]:
    """Nothing is taken up, and nothing is told, meanwhile."""
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid, signal.SIGCONT)


@pytest.fixture(params=[DESK, PHONE])
def window(request: pytest.FixtureRequest, customer: Customer, open_window: Window) -> Watched:
    return open_window(request.param, state=customer.state)


def cards(page: Page, name: str) -> Locator:
    return page.locator(".job").filter(has_text=name)


def test_pictures_are_chosen_made_smaller_and_found(customer: Customer, worker: WorkerProcess, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    names = [f"one of {folder}.jpg", f"two of {folder}.jpg"]
    for number, name in enumerate(names):
        entry = stored(customer.laptop, f"{folder}/{name}", saved(picture((480, 300 + number)), "JPEG"))
        assert rendition(customer.client, entry).status_code == 200
    page.goto(f"{customer.root}{folder}?view=gallery")
    expect(page.locator(".gallery .tile-pictured")).to_have_count(2)
    page.goto(f"{customer.root}{folder}?view=list")
    tab_to(page.get_by_role("link", name=names[0]))
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    make = page.locator("#selection").get_by_role("button", name="Make …")
    tab_to(make, back=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Make something of 2 files")
    first = page.get_by_role("radio").first
    tab_to(first)
    smaller = page.get_by_role("radio", name="Make smaller")
    for _ in range(page.get_by_role("radio").count()):
        if not smaller.is_checked():
            page.keyboard.press("ArrowDown")
    expect(smaller).to_be_checked()
    window.check_fits()
    write(page.locator("[name='resize.edge']"), "120")
    with stopped(worker):
        press(page.get_by_role("button", name="Make", exact=True))
        expect(page.get_by_text("2 files are being made.")).to_be_visible()
        expect(cards(page, names[0])).to_contain_text("Waiting")
        press(cards(page, names[1]).get_by_role("button", name="Cancel"))
        expect(cards(page, names[1])).to_contain_text("Cancelled")
        press(cards(page, names[1]).get_by_role("button", name="Try again"))
        expect(cards(page, names[1])).to_contain_text("Waiting")
        window.check_fits()
    for name in names:
        expect(cards(page, name)).to_contain_text("Done")
        expect(cards(page, name).locator(".job-files")).to_contain_text(name.removesuffix(".jpg"))
    press(cards(page, names[0]).get_by_role("button", name="Remove"))
    expect(cards(page, names[0])).to_have_count(0)
    press(page.get_by_role("button", name="Clear finished"))
    expect(cards(page, names[1])).to_have_count(0)
    page.goto(f"{customer.url}/files/{customer.laptop.id}/derived/{folder}")
    expect(page.locator("#selection .row")).to_have_count(2)


def test_progress_is_shown_and_a_failure_told_in_words(
    customer: Customer, worker: WorkerProcess, window: Watched, tmp_path: Path
) -> None:
    page, folder = window.page, customer.folder()
    client, laptop = customer.client, customer.laptop
    long = stored(laptop, f"{folder}/long.mp4", repeated_film(tmp_path, 10))
    (job,) = asked(client, [long], "video", profile="compress")
    until(lambda: client.get(f"/api/v1/jobs/{job}").json()["state"] == "running", "the film is being made")
    with stopped(worker):
        page.goto(f"{customer.url}/jobs")
        card = cards(page, "long.mp4").first
        expect(card).to_contain_text("In progress")
        expect(card.get_by_role("progressbar")).to_be_visible()
        press(card.get_by_role("button", name="Cancel"))
    expect(cards(page, "long.mp4").first).to_contain_text("Cancelled")

    with stopped(worker):  # so that it is asked before it is known that no film is in it
        broken = stored(laptop, f"{folder}/broken.mp4", film(tmp_path, "whole.mp4", "-c:v", "libx264")[:2_000])
        asked(client, [broken], "video", profile="compress")
        page.goto(f"{customer.url}/jobs")
    failed = cards(page, "broken.mp4").first
    expect(failed).to_contain_text("Failed")
    window.check_fits()
    press(failed.get_by_role("link", name="Show the log"))
    expect(page.locator(".job-log")).not_to_be_empty()
    window.check_fits()
    page.go_back()
    press(failed.get_by_role("button", name="Remove"))
    expect(page.get_by_text("The card was removed.")).to_be_visible()
    expect(cards(page, "broken.mp4")).to_have_count(0)
