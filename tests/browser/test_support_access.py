"""Support access as both sides see it, by keyboard alone: the owner lets staff in, sees what they open as they open it,
and ends it at once. Members are told; staff without a grant see nothing.
"""

from collections.abc import Callable
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.browser.customers import Customer, state_of
from tests.browser.keyboard import press, tab_to, write
from tests.browser.watch import DESK, PHONE, Watched
from tests.shared.portal import handoff, new_person
from tests.shared.portal import sign_in as http_sign_in
from tests.web.device import Device, stored

Window = Callable[..., Watched]
INSIDE: Final = "OutsideTheBox staff are in your account"


def let_in(page: Page, url: str, device: str, reason: str) -> str:
    """As the owner: a token for one device."""
    page.goto(f"{url}/people")
    write(page.get_by_label("What should support help with?"), reason)
    press(page.get_by_role("checkbox", name=device, exact=True), "Space")
    press(page.get_by_role("button", name="Make a token for support"))
    expect(page.get_by_text("It is not shown again.")).to_be_visible()
    return page.locator("#new-token").inner_text()


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_staff_come_in_are_watched_and_are_out_at_once(customer: Customer, open_window: Window, width: int) -> None:
    folder, reason, support = customer.folder(), f"A folder that is lost at {width}", new_person("staff")
    stored(customer.laptop, f"{folder}/a.txt", b"for support to see")
    phone = Device.make(customer.client, f"phone of {width}")
    hidden = stored(phone, "diary.txt", b"not for support")
    owner, staff = open_window(width, state=customer.state), open_window(width)
    staff.expected_statuses = {403, 404}
    place = f"{customer.root}{folder}"

    staff.page.goto(f"{customer.url}/auth/handoff?token={handoff(customer.service.settings, support)}")
    expect(staff.page.get_by_role("heading", level=1)).to_have_text("You see no customer’s files")
    staff.page.goto(place)
    expect(staff.page.locator("main")).not_to_contain_text("a.txt")
    staff.page.goto(customer.url)

    token = let_in(owner.page, customer.url, "laptop", reason)
    owner.check_fits()
    write(staff.page.get_by_label("Token from the owner"), token)
    staff.page.keyboard.press("Enter")
    banner = staff.page.get_by_role("region", name="Support in your account")
    expect(banner).to_contain_text("as OutsideTheBox staff")

    row = owner.page.locator("[data-grant]").filter(has_text=reason)
    expect(row).to_contain_text("In use now")  # by itself
    staff.page.goto(place)
    expect(staff.page.get_by_role("link", name="a.txt")).to_be_visible()
    expect(banner).to_be_visible()
    staff.check_fits()
    expect(row.locator("[data-looks]")).to_contain_text(f"laptop: {folder}")
    staff.page.goto(f"{customer.url}/search?q=txt")
    expect(staff.page.locator("#found")).not_to_contain_text("diary")
    staff.page.goto(f"{customer.url}/entries/{hidden}")
    expect(staff.page.get_by_role("heading", level=1)).to_have_text("Not found")

    owner.page.goto(customer.root)
    expect(owner.page.get_by_text(INSIDE)).to_be_visible()
    owner.check_fits()
    press(owner.page.get_by_role("button", name="End now"))
    expect(owner.page.get_by_text("Support access has ended.")).to_be_visible()
    expect(owner.page.get_by_text(INSIDE)).to_have_count(0)
    staff.page.goto(place)
    expect(staff.page.locator("main")).not_to_contain_text("a.txt")
    staff.page.goto(customer.url)
    expect(staff.page.get_by_role("heading", level=1)).to_have_text("You see no customer’s files")
    write(staff.page.get_by_label("Token from the owner"), token)
    staff.page.keyboard.press("Enter")
    expect(staff.page.get_by_role("alert")).to_contain_text("This token opens nothing.")


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_member_is_told_and_can_do_nothing_about_it(customer: Customer, open_window: Window, width: int) -> None:
    support, client = new_person("staff"), customer.person.client
    owner, staff = open_window(width, state=customer.state), open_window(width)
    staff.page.goto(f"{customer.url}/auth/handoff?token={handoff(customer.service.settings, support)}")
    staff.expected_statuses = {403}
    staff.page.goto(customer.url)
    token = let_in(owner.page, customer.url, "laptop", f"Told to members at {width}")
    with http_sign_in(customer.url, customer.service.settings, new_person("member", client=client)) as member:
        window = open_window(width, state=state_of(member))
        window.page.goto(customer.url)
        expect(window.page.get_by_text(INSIDE)).to_have_count(0)
        write(staff.page.get_by_label("Token from the owner"), token)
        staff.page.keyboard.press("Enter")
        expect(staff.page.get_by_role("region", name="Support in your account")).to_be_visible()
        window.page.goto(customer.url)
        expect(window.page.get_by_text(INSIDE)).to_be_visible()
        expect(window.page.get_by_role("button", name="End now")).to_have_count(0)
        window.page.goto(f"{customer.url}/people")
        expect(window.page.get_by_role("heading", name="Your sessions")).to_be_visible()
        expect(window.page.get_by_role("heading", name="Support access")).to_have_count(0)
    leave = staff.page.get_by_role("button", name="Leave")
    tab_to(leave)
    staff.page.keyboard.press("Enter")
    expect(staff.page.get_by_role("heading", level=1)).to_have_text("You see no customer’s files")
