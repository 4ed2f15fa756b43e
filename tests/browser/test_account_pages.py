"""The pages of an account, by keyboard alone: sessions, device tokens, space, settings, activity, and saved exports."""

import json
import zipfile
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.customers import Customer, state_of
from tests.browser.keyboard import agree, press, tab_to, write
from tests.browser.watch import DESK, PHONE, Watched
from tests.shared.portal import new_person
from tests.shared.portal import sign_in as http_sign_in
from tests.web.device import stored

Window = Callable[..., Watched]


@pytest.fixture(params=[DESK, PHONE])
def window(request: pytest.FixtureRequest, customer: Customer, open_window: Window) -> Watched:
    return open_window(request.param, state=customer.state)


def test_a_session_elsewhere_is_listed_and_ended(customer: Customer, open_window: Window, window: Watched) -> None:
    page, settings = window.page, customer.service.settings
    member = new_person("member", client=customer.person.client)
    with http_sign_in(customer.url, settings, member) as client:
        other = open_window(DESK, state=state_of(client))
        other.expected_statuses = {401}
        other.page.goto(f"{customer.url}/devices")
        expect(other.page.get_by_role("heading", level=1)).to_have_text("Devices")
        page.goto(f"{customer.url}/people")
        sessions = page.get_by_role("region", name="Signed in now")
        expect(sessions.get_by_text("this browser")).to_be_visible()
        window.check_fits()
        press(sessions.get_by_role("button", name=f"End the session of {member.name}"))
        expect(page.get_by_text("That session has ended.")).to_be_visible()
        expect(sessions.get_by_role("button", name=f"End the session of {member.name}")).to_have_count(0)
        other.page.reload()
        expect(other.page.get_by_role("link", name="Go to the Client Portal")).to_be_visible()


def test_a_program_loses_its_token(customer: Customer, window: Watched) -> None:
    page, label = window.page, f"program of {customer.folder()}"
    made = customer.client.post(f"/api/v1/devices/{customer.laptop.id}/tokens", json={"label": label})
    assert made.status_code == 201
    page.goto(f"{customer.url}/people")
    revoke = page.get_by_role("button", name=f"Revoke {label} of laptop")
    press(revoke)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(revoke).to_be_focused()
    page.keyboard.press("Enter")
    agree(page, "Revoke")
    expect(page.get_by_text("The token was revoked.")).to_be_visible()
    expect(page.get_by_text(label)).to_have_count(0)


def test_the_account_says_what_its_space_is_taken_by(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    stored(customer.laptop, f"{folder}/page.html", b"<p>" + folder.encode() * 2_000)
    page.goto(customer.url)
    press(page.get_by_role("link", name="Your space"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Your space")
    expect(page.get_by_role("img", name="the table below has the parts")).to_be_visible()
    expect(page.get_by_role("table").get_by_role("row", name="laptop")).to_contain_text("KB")
    table = page.get_by_role("group", name="By device")
    tab_to(table)
    window.check_fits()


def test_an_owner_says_how_long_older_versions_are_kept(customer: Customer, window: Watched) -> None:
    window.expected_statuses = {400}
    page = window.page
    customer.client.put("/api/v1/retention", json={"versions": None, "days": None})
    page.goto(customer.url)
    press(page.locator(".top details.menu > summary"))
    press(page.get_by_role("link", name="Settings", exact=True))
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    everything = page.get_by_role("radio", name="Keep all of them")
    tab_to(everything)
    expect(everything).to_be_checked()
    expect(page.get_by_label("The newest of each file")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    press(page.get_by_role("button", name="Save"))
    agree(page, "Change")
    expect(page.get_by_role("alert")).to_contain_text("Say how many versions to keep")
    write(page.get_by_label("The newest of each file"), "3")
    write(page.get_by_label("Replaced within the last"), "90")
    window.check_fits()
    press(page.get_by_role("button", name="Save"))
    agree(page, "Change")
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("The newest of each file")).to_have_value("3")
    assert customer.client.get("/api/v1/retention").json() == {"versions": 3, "days": 90}


def test_the_activity_is_filtered_and_kept_as_a_file(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    stored(customer.laptop, f"{folder}/seen.txt", b"x")
    page.goto(f"{customer.url}/audit")
    fold = page.locator(".audit-filter summary")
    if fold.is_visible():
        press(fold)
    what = page.get_by_label("What", exact=True)
    tab_to(what)
    page.keyboard.type("Uplo")
    expect(page).to_have_url(f"{customer.url}/audit?action=upload&actor=&device=&from=&to=")
    expect(page.locator(".event", has_text="Uploaded").first).to_be_visible()
    expect(page.locator(".event", has_text="Signed in")).to_have_count(0)
    window.check_fits()
    tab_to(page.get_by_role("link", name="JSON"))
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    kept = json.loads(download.value.path().read_bytes())
    assert {event["action"] for event in kept["events"]} == {"upload"}
    tab_to(page.get_by_role("link", name="CSV"), back=True)
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.path().read_text().count("\n") == 1 + len(kept["events"])


def test_an_export_is_saved_and_once_more_holds_what_is_new(customer: Customer, window: Watched) -> None:
    page, name = window.page, f"Everything for {customer.folder()}"
    stored(customer.laptop, f"{name}/old.txt", b"old")
    page.goto(f"{customer.url}/exports")
    write(page.get_by_label("Name (optional)"), name)
    press(page.get_by_role("button", name="Make export"))
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    window.check_fits()
    press(page.get_by_role("button", name="Only what is new"))
    expect(page.get_by_text("Nothing was added since that export.")).to_be_visible()
    stored(customer.laptop, f"{name}/new.txt", b"new")
    press(page.get_by_role("button", name="Only what is new"))
    expect(page.get_by_text("The export was made.")).to_be_visible()
    tab_to(page.get_by_role("link", name="Download", exact=True))
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert {member.rsplit("/", 1)[-1] for member in archive.namelist() if member[-1] != "/"} == {
            "B3SUMS",
            "new.txt",
        }
    page.goto(f"{customer.url}/exports")
    expect(page.get_by_role("list", name="Saved exports")).to_contain_text(f"added since {name}")
    press(page.get_by_role("link", name=name, exact=True).first)
    remove = page.get_by_role("button", name="Remove")
    press(remove)
    page.keyboard.press("Escape")
    expect(remove).to_be_focused()
    page.keyboard.press("Enter")
    agree(page, "Remove")
    expect(page.get_by_text("The export was removed.")).to_be_visible()
