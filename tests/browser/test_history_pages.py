"""History as a customer uses it, by keyboard alone: undoing an upload and a delete, any moment by slider and by date, a
folder brought back to how it was; and what was deleted: recovered, also where its name is taken, and deleted for good.
"""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from tests.browser.customers import Customer
from tests.browser.keyboard import agree, press, tab_to, write
from tests.browser.watch import DESK, PHONE, Watched
from tests.web.device import Device, stored

Window = Callable[..., Watched]


@pytest.fixture(params=[DESK, PHONE])
def window(request: pytest.FixtureRequest, customer: Customer, open_window: Window) -> Watched:
    return open_window(request.param, state=customer.state)


def open_newest_change(page: Page, customer: Customer) -> None:
    page.goto(f"{customer.url}/history/{customer.laptop.id}")
    press(page.get_by_role("region", name="Changes so far").get_by_role("link").first)
    expect(page.get_by_role("button", name="Undo this change")).to_be_visible()


def age(customer: Customer, device: Device, days: int) -> None:
    """All that happened to the device happened so many days earlier."""
    settings = customer.service.settings
    statement = f"UPDATE manifest SET at = at - INTERVAL {days} DAY WHERE device_id = {device.id} ORDER BY sequence"
    command = ["mariadb", f"--socket={settings.mariadb_socket}", "--user=root", settings.mariadb_db]
    subprocess.run([*command, f"--execute={statement}"], check=True)


def test_an_upload_and_a_delete_are_undone(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    kept = stored(customer.laptop, f"{folder}/kept.txt", b"kept")
    stored(customer.laptop, f"{folder}/mistake.txt", b"mistake")
    open_newest_change(page, customer)
    expect(page.get_by_role("list", name="What changed")).to_contain_text("mistake.txt")
    window.check_fits()
    undo = page.get_by_role("button", name="Undo this change")
    press(undo)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(undo).to_be_focused()
    page.keyboard.press("Enter")
    agree(page, "Undo")
    expect(page.get_by_text("Undone. This is the change that did it.")).to_be_visible()
    assert [entry["name"] for entry in customer.laptop.entries(folder)] == ["kept.txt"]

    assert customer.client.post("/api/v1/entries/delete", json={"entries": [kept]}).status_code == 200
    open_newest_change(page, customer)
    press(page.get_by_role("button", name="Undo this change"))
    agree(page, "Undo")
    expect(page.get_by_text("Undone. This is the change that did it.")).to_be_visible()
    assert [entry["name"] for entry in customer.laptop.entries(folder)] == ["kept.txt"]


def test_a_folder_is_brought_back_to_a_moment_of_the_slider_or_a_date(customer: Customer, window: Watched) -> None:
    page = window.page
    device = Device.make(customer.client, f"studio {customer.folder()}")
    for name, content in (("song.txt", b"first verse"), ("gone.txt", b"to be deleted")):
        stored(device, f"Songs/{name}", content)
    age(customer, device, 20)
    stored(device, "Songs/song.txt", b"all different now")
    stored(device, "Songs/new.txt", b"added later")
    gone = next(entry["id"] for entry in device.entries("Songs") if entry["name"] == "gone.txt")
    assert customer.client.post("/api/v1/entries/delete", json={"entries": [gone]}).status_code == 200

    page.goto(f"{customer.url}/history/{device.id}")
    slider = page.get_by_role("slider", name="The moment to show")
    tab_to(slider)
    page.keyboard.press("Home")
    expect(page.get_by_role("heading", name="As of")).to_be_visible()
    window.check_fits()

    page.goto(f"{customer.url}/history/{device.id}")
    then = (datetime.now(UTC) - timedelta(days=3)).astimezone(ZoneInfo("America/Toronto"))
    field = page.get_by_label("Day and time")
    tab_to(field)
    page.keyboard.type(then.strftime("%m%d%Y"))
    page.keyboard.press("ArrowRight")
    page.keyboard.type(then.strftime("%I%M%p"))
    expect(field).to_have_value(then.strftime("%Y-%m-%dT%H:%M"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="As of")).to_contain_text(str(then.year))
    press(page.get_by_role("link", name="Songs", exact=True))
    expect(page.locator(".row-then .cover")).to_have_text(["gone.txt", "song.txt"])
    press(page.get_by_role("checkbox", name="Also move to Deleted what was added since then"), "Space")
    press(page.get_by_role("button", name="Bring back"))
    agree(page, "Bring back")
    expect(page.get_by_text("3 items were brought back to how they were.")).to_be_visible()
    expect(page.locator("#selection .row .cover")).to_have_text(["gone.txt", "song.txt"])
    assert device.get("Songs/song.txt").content == b"first verse"


def test_what_was_deleted_comes_back_beside_what_took_its_name(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    first = stored(customer.laptop, f"{folder}/plan.txt", b"the first plan")
    assert customer.client.post("/api/v1/entries/delete", json={"entries": [first]}).status_code == 200
    stored(customer.laptop, f"{folder}/plan.txt", b"another plan")
    page.goto(f"{customer.url}/deleted")
    write(page.get_by_role("search", name="Among what was deleted").get_by_label("Name"), "plan")
    page.keyboard.press("Enter")
    press(page.get_by_role("checkbox", name="Select plan.txt").first, "Space")
    window.check_fits()
    press(page.get_by_role("button", name="Recover"))
    expect(page.get_by_text("One item was recovered.")).to_be_visible()
    found = {entry["name"]: entry for entry in customer.laptop.entries(folder)}
    assert set(found) == {"plan.txt", "plan-recovered.txt"}
    assert customer.laptop.get(f"{folder}/plan-recovered.txt").content == b"the first plan"
    assert customer.laptop.get(f"{folder}/plan.txt").content == b"another plan"


def test_what_is_deleted_for_good_is_asked_about_first(customer: Customer, window: Watched) -> None:
    page, name = window.page, f"secret {customer.folder()}.txt"
    entry = stored(customer.laptop, name, name.encode())
    assert customer.client.post("/api/v1/entries/delete", json={"entries": [entry]}).status_code == 200
    page.goto(f"{customer.url}/deleted")
    press(page.get_by_role("checkbox", name=f"Select {name}"), "Space")
    purge = page.get_by_role("button", name="Delete for good")
    press(purge)
    window.check_accessible()
    page.keyboard.press("Escape")
    expect(purge).to_be_focused()
    expect(page.get_by_role("link", name=name)).to_be_visible()
    page.keyboard.press("Enter")
    agree(page, "Delete for good")
    expect(page.get_by_text("One file was deleted for good.")).to_be_visible()
    expect(page.get_by_role("link", name=name)).to_have_count(0)
    assert customer.client.get(f"/api/v1/entries/{entry}").status_code == 404
