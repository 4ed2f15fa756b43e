"""The pages in a real browser under the strict policy, by keyboard and without scripts. The server behind is the
preview; the real one is tested beside this.
"""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.watch import PHONE, Watched

Window = Callable[..., Watched]


def test_the_keyboard_alone_reaches_the_content_and_opens_a_file(preview: str, open_window: Window) -> None:
    page = open_window().page
    page.goto(f"{preview}/files/1/originals/Photos")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "IMG_2041.jpg":
            break
    outline: str = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("heading", name="IMG_2041.jpg")).to_be_visible()


def test_the_account_menu_opens_and_closes_by_keyboard(preview: str, open_window: Window) -> None:
    page = open_window().page
    page.goto(preview)
    menu = page.locator(".top details.menu")
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(menu.locator("summary")).to_be_focused()


def test_the_slash_key_goes_to_the_search(preview: str, open_window: Window) -> None:
    page = open_window().page
    page.goto(preview)
    page.keyboard.press("/")
    expect(page.locator("#top-q")).to_be_focused()
    page.keyboard.type("a/b")
    expect(page.locator("#top-q")).to_have_value("a/b")


def test_choosing_files_shows_what_can_be_done_with_them(preview: str, open_window: Window) -> None:
    window = open_window(PHONE)
    page = window.page
    page.goto(f"{preview}/files/1/originals/Photos")
    boxes = page.locator("[name=entry]")
    delete = page.get_by_role("button", name="Delete")
    expect(delete).to_be_hidden()
    boxes.nth(1).check()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    window.check_fits()
    expect(delete).to_be_enabled()
    page.locator("[data-select-all]").check()
    expect(page.get_by_text(f"{boxes.count()} selected")).to_be_visible()
    page.locator("[data-select-all]").uncheck()
    expect(delete).to_be_hidden()


def test_deleting_asks_first_and_no_means_no(preview: str, open_window: Window) -> None:
    window = open_window()
    page = window.page
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto(f"{preview}/files/1/originals/Photos")
    page.locator("[name=entry]").nth(3).check()
    delete = page.locator("#selection").get_by_role("button", name="Delete")
    delete.click()
    dialog = page.get_by_role("dialog")
    window.check_accessible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    delete.click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert not sent
    window.expected_statuses = {404}
    with page.expect_request(f"{preview}/entries/delete") as asked:
        delete.click()
        dialog.get_by_role("button", name="Delete").click()
    assert re.fullmatch(
        r"csrf_token=sample&back=%2Ffiles%2F1%2Foriginals%2FPhotos&in_device=1&in_area=originals&in_directory=Photos&entry=13.*",
        asked.value.post_data or "",
    )


def test_without_scripts_everything_but_uploading_is_there(preview: str, open_window: Window) -> None:
    page = open_window(scripts=False).page
    page.goto(f"{preview}/files/1/originals/Photos")
    expect(page.get_by_role("button", name="Upload files")).to_be_hidden()
    expect(page.get_by_text("Uploading from the browser needs JavaScript")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_be_enabled()
    expect(page.get_by_role("button", name="Download folder")).to_be_enabled()
    page.goto(f"{preview}/audit")
    expect(page.get_by_role("button", name="Show")).to_be_visible()
    page.goto(f"{preview}/search")
    expect(page.get_by_label("From")).to_be_visible()


def test_a_picture_that_cannot_be_shown_says_so(preview: str, open_window: Window) -> None:
    page = open_window().page
    page.goto(f"{preview}/entries/15")  # a film whose bytes are none
    expect(page.get_by_text("This browser cannot show this file")).to_be_visible()


def test_the_copy_button_copies_the_digest(preview: str, open_window: Window) -> None:
    page = open_window().page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{preview}/entries/13")
    page.get_by_role("button", name="Copy the digest").click()
    expect(page.get_by_text("Copied")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#digest").text_content()


def test_refused_files_are_named_with_their_reason_and_can_be_tried_again(
    preview: str, open_window: Window, tmp_path: Path
) -> None:
    window = open_window()
    window.expected_statuses = {400}
    page = window.page
    for name in ("good.txt", "bad.txt", "empty.txt"):
        (tmp_path / name).write_bytes(b"" if name == "empty.txt" else b"abc")
    summary = page.get_by_text("1 new · 1 already there · 1 failed", exact=True)
    page.goto(f"{preview}/files/1/originals/Photos")
    page.locator("[data-input=files]").set_input_files(sorted(tmp_path.iterdir()))
    expect(page.get_by_role("heading", name="1 file was not uploaded")).to_be_visible()
    expect(page.get_by_text("A name must not contain “bad”. Rename the file.")).to_be_visible()
    expect(summary).to_be_visible()
    window.check_accessible()
    page.get_by_role("button", name="Retry failed").click()
    expect(summary).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("region", name="Uploads")).to_be_hidden()
