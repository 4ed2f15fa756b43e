"""Search in the browser, on the real server: as one types, by keyboard, narrowed down, chosen from, shared."""

from collections.abc import Callable, Iterator
from typing import Final

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.customers import Customer, new_customer
from tests.browser.watch import DESK, PHONE, Watched
from tests.shared.service import Service
from tests.web.device import Device
from web.pages_search import HITS_SHOWN

Window = Callable[..., Watched]
MANY: Final = HITS_SHOWN + 30
"""More than a page."""


@pytest.fixture(scope="module")
def customer(service: Service) -> Iterator[Customer]:
    """Somebody with two devices: pictures and papers of several years."""
    with new_customer(service) as made:
        client, laptop, phone = made.client, made.laptop, Device.make(made.client, "phone")
        digest = laptop.put("seed.bin", b"x").json()["digest"]
        many = [(f"Photos/IMG_{n:04}.jpg", f"20{10 + n % 12}-0{1 + n % 9}-11") for n in range(MANY)]
        papers = [("Papers/Report beach.pdf", "2024-05-03"), ("Papers/report <b>.txt", "2024-05-04")]
        _name(client, laptop, digest, many + papers)
        _name(client, phone, digest, [("DCIM/beach day.mp4", "2023-07-01")])
        yield made


def _name(client: httpx2.Client, device: Device, digest: str, files: list[tuple[str, str]]) -> None:
    entries = [{"path": path, "digest": digest, "size": 1, "mtime": f"{day}T12:00:00Z"} for path, day in files]
    answer = client.post(f"/api/v1/devices/{device.id}/manifests", json={"entries": entries})
    assert answer.status_code == 201, answer.text


@pytest.fixture(params=[DESK, PHONE])
def window(request: pytest.FixtureRequest, customer: Customer, open_window: Window) -> Watched:
    return open_window(request.param, state=customer.state)


def test_results_come_as_one_types_and_the_address_follows(customer: Customer, window: Watched) -> None:
    page = window.page
    page.goto(f"{customer.service.url}/search")
    box = page.get_by_label("Name, or any part of it")
    box.press_sequentially("each re")
    expect(page.locator("#found .row")).to_have_count(1)
    expect(page.get_by_role("link", name="Report beach.pdf")).to_be_visible()
    expect(page).to_have_url(f"{customer.service.url}/search?q=each+re")
    expect(page.locator("[data-search-says]")).to_have_text("1 result found")
    box.fill("report <b")
    expect(page.get_by_role("link", name="report <b>.txt")).to_be_visible()
    box.fill("nowhere to be found")
    expect(page.get_by_text("Nothing found", exact=True).first).to_be_visible()
    box.fill("size:10M")
    window.expected_statuses.add(400)
    expect(page.get_by_role("alert")).to_contain_text("size:>10M")
    window.check_accessible()
    page.goto(f"{customer.service.url}/search?q=beach")
    expect(page.locator("#found .row")).to_have_count(2)
    window.check_fits()
    window.check_accessible()
    window.check_quiet()


def test_the_keyboard_leads_through_what_was_found(customer: Customer, window: Watched) -> None:
    page = window.page
    page.goto(f"{customer.service.url}/search?q=beach")
    box = page.get_by_label("Name, or any part of it")
    box.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Report beach.pdf")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="beach day.mp4")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(box).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(box).to_be_focused()
    window.check_quiet()


def test_choices_narrow_it_down_and_lead_back(customer: Customer, window: Watched) -> None:
    page = window.page
    page.goto(f"{customer.service.url}/search?q=beach")
    if page.locator(".found-side > summary").is_visible():
        page.locator(".found-side > summary").click()
    side = page.locator(".found-side")
    expect(side.get_by_role("link", name="phone 1")).to_be_visible()
    side.get_by_role("link", name="phone 1").click()
    expect(page.locator("#found .row")).to_have_count(1)
    if page.locator(".found-side > summary").is_visible():
        page.locator(".found-side > summary").click()
    chosen = page.locator(".facet-choice[aria-current=true]")
    expect(chosen).to_contain_text("phone")
    window.check_accessible()
    chosen.click()
    expect(page.locator("#found .row")).to_have_count(2)
    if page.locator(".found-side > summary").is_visible():
        page.locator(".found-side > summary").click()
    page.get_by_role("link", name="May 2024").click()
    expect(page.get_by_role("link", name="Report beach.pdf")).to_be_visible()
    expect(page.locator("#found .row")).to_have_count(1)
    assert "from=2024-05-01&to=2024-05-31" in page.url
    window.check_fits()
    window.check_quiet()


def test_a_long_result_goes_on_and_is_chosen_from(customer: Customer, window: Watched) -> None:
    page = window.page
    page.goto(f"{customer.service.url}/search?q=ext:jpg&view=gallery")
    expect(page.locator("[data-total]")).to_have_text(f"{MANY} results")
    expect(page.locator(".gallery")).to_be_visible()
    page.mouse.wheel(0, 100_000)
    page.get_by_role("checkbox", name="Select IMG_0000.jpg").check(force=True)
    expect(page.get_by_text("1 selected")).to_be_visible()
    window.check_fits()
    page.goto(f"{customer.service.url}/search?q=ext:jpg&view=list")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    assert download.value.suggested_filename.endswith(".zip")
    window.check_quiet()


def test_without_scripts_the_form_and_the_links_do_it_all(customer: Customer, open_window: Window) -> None:
    window = open_window(PHONE, state=customer.state, scripts=False)
    page = window.page
    page.goto(f"{customer.service.url}/search")
    page.get_by_label("Name, or any part of it").fill("beach")
    page.get_by_label("Name, or any part of it").press("Enter")
    expect(page.locator("#found .row")).to_have_count(2)
    page.locator(".found-side").get_by_role("link", name="phone 1").click()
    expect(page.locator("#found .row")).to_have_count(1)
    page.goto(f"{customer.service.url}/search?q=jpg")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#found .row")).to_have_count(MANY - HITS_SHOWN)
