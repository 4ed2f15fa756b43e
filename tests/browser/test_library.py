"""The library as a customer uses it, on the real server: list and gallery, folders, moving, choosing across pages,
looking at files in place, a file's own page, and content that means harm.
"""

import io
import re
import wave
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.customers import Customer
from tests.browser.keyboard import agree, press, tab_to, write
from tests.browser.watch import DESK, PHONE, Watched
from tests.web.device import stored

Window = Callable[..., Watched]
MANY: Final = 700

HOSTILE: Final = {
    "page.html": b"<script>fetch('/pwned-html')</script><h1>hello</h1>",
    "image.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>fetch('/pwned-svg')</script></svg>",
    "feed.xml": b"<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>fetch('/pwned-xml')</x:script>",
    "doc.xhtml": b"<html xmlns='http://www.w3.org/1999/xhtml'><script>fetch('/pwned-xhtml')</script></html>",
    "paper.pdf": b"%PDF-1.4\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\ntrailer<</Root 1 0 R>>",
    "looks.jpg": b"<html><script>fetch('/pwned-jpg')</script></html>",
    "plain.txt": b"<script>fetch('/pwned-txt')</script>",
}


@pytest.fixture(params=[DESK, PHONE])
def window(request: pytest.FixtureRequest, customer: Customer, open_window: Window) -> Watched:
    return open_window(request.param, state=customer.state)


def picture(colour: str = "teal") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (320, 200), colour).save(made, "PNG")
    return made.getvalue()


def sound() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(b"\0\0" * 80_000)
    return made.getvalue()


def choose(page: Page, *names: str) -> None:
    for name in names:
        page.get_by_role("checkbox", name=f"Select {name}", exact=True).check(force=True)


def test_the_gallery_is_remembered_and_shows_the_same(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    stored(customer.laptop, f"{folder}/a.txt", b"a")
    page.goto(f"{customer.root}{folder}")
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".gallery")).to_be_visible()
    page.goto(customer.root)
    expect(page.locator(".gallery")).to_be_visible()
    window.check_fits()
    window.check_accessible()
    choose(page, folder)
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_role("link", name="List", exact=True).click()
    expect(page.locator("#selection:not(.gallery)")).to_be_visible()


def test_a_folder_is_made_and_files_move_into_it(customer: Customer, window: Watched) -> None:
    window.expected_statuses = {409}
    page, folder = window.page, customer.folder()
    for name in ("a.txt", "b.txt", "stays.txt"):
        stored(customer.laptop, f"{folder}/{name}", name.encode())
    page.goto(f"{customer.root}{folder}")
    page.get_by_role("button", name="New folder").click()
    dialog = page.get_by_role("dialog")
    window.check_accessible()
    dialog.get_by_label("Name").fill("best of")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("best of")
    page.go_back()
    choose(page, "a.txt", "b.txt")
    page.locator("#selection").get_by_role("button", name="Move").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="best of").click()
    expect(dialog.get_by_text("No folders in here.")).to_be_visible()
    window.check_accessible()
    dialog.get_by_role("button", name="Move here").click()
    expect(page.get_by_text("2 items were moved here.")).to_be_visible()
    expect(page.locator(".row .cover")).to_have_text(["a.txt", "b.txt"])
    page.goto(f"{customer.root}{folder}")
    expect(page.locator(".row .cover")).to_have_text(["best of", "stays.txt"])
    page.get_by_role("button", name="New folder").click()
    dialog.get_by_label("Name").fill("best of")
    dialog.get_by_role("button", name="Make folder").click()
    expect(page.get_by_text("There is a folder named “best of” here already")).to_be_visible()


def test_a_long_folder_comes_as_it_is_scrolled_and_what_was_chosen_stays(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    digest = customer.laptop.put(f"{folder}/0000", b"x").json()["digest"]
    entries = [{"path": f"{folder}/{n:04}", "digest": digest, "size": 1} for n in range(MANY)]
    answer = customer.client.post(f"/api/v1/devices/{customer.laptop.id}/manifests", json={"entries": entries})
    assert answer.status_code == 201
    page.goto(f"{customer.root}{folder}")
    choose(page, "0001")
    last = page.get_by_role("link", name=f"{MANY - 1:04}", exact=True)
    while not last.is_visible():
        page.keyboard.press("End")
        page.wait_for_timeout(50)
    last.scroll_into_view_if_needed()
    page.wait_for_function("most => document.querySelectorAll('.row').length < most", arg=MANY)
    choose(page, f"{MANY - 1:04}")
    expect(page.get_by_text("2 selected")).to_be_visible()
    with page.expect_request(f"{customer.service.url}/entries/delete") as sent:
        page.locator("#selection").get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    assert (sent.value.post_data or "").count("entry=") == 2
    expect(page.get_by_text("2 items were moved to Deleted.")).to_be_visible()
    press(page.locator("[data-select-all]"), "Space")
    press(page.get_by_role("button", name="Select everything in this folder"))
    expect(page.get_by_text("Everything selected")).to_be_visible()
    press(page.locator("#selection").get_by_role("button", name="Delete"))
    agree(page, "Delete")
    expect(page.get_by_text(f"{MANY - 2} items were moved to Deleted.")).to_be_visible()
    expect(page.get_by_role("heading", name="This folder is empty")).to_be_visible()


def test_looking_at_files_one_after_the_other(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    stored(customer.laptop, f"{folder}/a.png", picture())
    stored(customer.laptop, f"{folder}/b.wav", sound())
    stored(customer.laptop, f"{folder}/c.txt", b"first line\nsecond line " + b"x" * 300_000)
    page.goto(f"{customer.root}{folder}")
    page.get_by_role("link", name="a.png").focus()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("img", name="a.png")).to_be_visible()
    expect(viewer.get_by_text("1 of 3")).to_be_visible()
    window.check_accessible()
    page.keyboard.press("ArrowRight")
    audio = viewer.locator("audio")
    expect(audio).to_be_visible()
    seconds: float = audio.evaluate(
        "async audio => { audio.currentTime = 9; await new Promise(done => audio.onseeked = done);"
        " return audio.currentTime }"
    )
    assert seconds == pytest.approx(9, abs=0.5)
    viewer.get_by_role("button", name="Close").focus()
    page.keyboard.press("ArrowRight")
    expect(viewer.locator("pre")).to_contain_text("second line")
    expect(viewer.locator("pre")).to_contain_text("only the first 256 KB are shown")
    expect(viewer.locator("[data-viewer=next]")).to_be_disabled()
    window.check_accessible()
    page.keyboard.press("Home")
    expect(viewer.get_by_role("img", name="a.png")).to_be_visible()
    swipe(page, viewer.locator(".viewer-stage"))
    expect(audio).to_be_visible()
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(page.get_by_role("link", name="b.wav")).to_be_focused()


def swipe(page: Page, stage: Any) -> None:
    """A finger from right to left."""
    touch = {"pointerType": "touch", "isPrimary": True, "clientY": 400, "bubbles": True}
    for kind, x in (("pointerdown", 300), ("pointerup", 100)):
        stage.dispatch_event(kind, touch | {"clientX": x})


def test_the_page_of_a_file_tells_its_story(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    stored(customer.laptop, f"{folder}/copy/twin.txt", b"one and the same %d" % id(page))
    first = stored(customer.laptop, f"{folder}/notes.txt", b"one and the same %d" % id(page))
    second = stored(customer.laptop, f"{folder}/notes.txt", b"another")
    page.goto(f"{customer.service.url}/entries/{first}")
    expect(page.get_by_text("You are looking at an older version")).to_be_visible()
    expect(page.get_by_role("region", name="The same content is at")).to_contain_text("twin.txt")
    page.goto(f"{customer.service.url}/entries/{second}")
    expect(page.locator(".text-sheet")).to_have_text("another")
    expect(page.get_by_text("its first re-reading is still to come")).to_be_visible()
    page.get_by_role("button", name=re.compile("Bring back the version")).click()
    expect(page.get_by_text("This version is the current one again")).to_be_visible()
    expect(page.locator(".text-sheet")).to_contain_text("one and the same")
    page.get_by_label("New name").fill("renamed")
    page.get_by_role("button", name="Rename").click()
    story = page.get_by_role("region", name="What happened to it")
    expect(story).to_contain_text("Renamed from notes.txt")
    expect(story.get_by_role("listitem").last).to_contain_text("Uploaded")
    window.check_accessible()
    window.check_fits()
    page.get_by_role("button", name="Move").click()
    page.get_by_role("dialog").get_by_role("button", name="copy").click()
    page.get_by_role("dialog").get_by_role("button", name="Move here").click()
    expect(page.locator(".row .cover")).to_have_text(["renamed.txt", "twin.txt"])


@pytest.mark.parametrize("width", [DESK])
def test_content_that_means_harm_runs_nothing(customer: Customer, open_window: Window, width: int) -> None:
    window = open_window(width, state=customer.state)
    page, folder, asked = window.page, customer.folder(), list[str]()
    ids = {name: stored(customer.laptop, f"{folder}/{name}", content) for name, content in HOSTILE.items()}
    page.context.on("request", lambda request: asked.append(request.url))
    page.goto(f"{customer.root}{folder}")
    viewer = page.get_by_role("dialog")
    for name in ("page.html", "image.svg", "feed.xml", "plain.txt"):
        page.get_by_role("link", name=name).click()
        expect(viewer.locator("pre")).to_contain_text("pwned")
        page.keyboard.press("Escape")
    for name, entry in ids.items():
        page.goto(f"{customer.service.url}/entries/{entry}")
        address = f"{customer.service.url}/api/v1/entries/{entry}/content?inline=1"
        if name == "looks.jpg":
            page.goto(address)
            continue
        with page.expect_download() as download:
            page.evaluate("address => { location.href = address }", address)
        assert download.value.suggested_filename == name
    assert not [address for address in asked if "pwned" in address]
    # Chromium's own page around a lone picture has styles, which the policy of content refuses as well.
    window.complaints = [told for told in window.complaints if "inline style" not in told]


def test_what_is_on_its_way_can_be_stopped(customer: Customer, window: Watched) -> None:
    page = window.page
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    headers["Upload-Metadata"] = f"device {_base64(customer.laptop.id)},filename {_base64('film.mov')}"
    assert customer.client.post("/api/v1/uploads", headers=headers).status_code == 201
    page.goto(customer.root)
    page.get_by_role("navigation", name="Area").get_by_role("link", name="Uploading").click()
    expect(page.get_by_text("film.mov")).to_be_visible()
    window.check_accessible()
    window.check_fits()
    page.get_by_role("button", name="Stop the upload of film.mov").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop the upload").click()
    expect(page.get_by_text("The upload was stopped.")).to_be_visible()
    expect(page.get_by_role("heading", name="Nothing is on its way")).to_be_visible()


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_the_first_page_says_whether_files_are_safe(customer: Customer, window: Watched) -> None:
    stored(customer.laptop, "a.txt", b"a")
    window.page.goto(customer.service.url)
    safety = window.page.get_by_role("region", name="Your files are safe")
    expect(safety).to_contain_text("laptop")
    expect(safety).to_contain_text("just now")
    window.check_accessible()
    window.check_fits()


def test_choosing_making_moving_and_renaming_by_keyboard(customer: Customer, window: Watched) -> None:
    page, folder = window.page, customer.folder()
    for name in ("a.txt", "b.txt", "c.txt"):
        stored(customer.laptop, f"{folder}/{name}", name.encode())
    page.goto(f"{customer.root}{folder}")
    new = page.get_by_role("button", name="New folder")
    press(new)
    page.keyboard.press("Escape")
    expect(new).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("kept")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("kept")
    page.go_back()
    tab_to(page.get_by_role("link", name="a.txt"))
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="b.txt")).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Select all")).to_be_visible()
    page.keyboard.press("x")
    move = page.locator("#selection").get_by_role("button", name="Move", exact=True)
    tab_to(move, back=True)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(move).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    press(dialog.get_by_role("button", name="kept"))
    expect(dialog.get_by_text("No folders in here.")).to_be_visible()
    press(dialog.get_by_role("button", name="Move here"))
    expect(page.get_by_text("One item was moved here.")).to_be_visible()
    press(page.get_by_role("link", name="b.txt"))
    press(page.get_by_role("dialog").get_by_role("link", name="All about this file"))
    write(page.get_by_label("New name"), "better")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("better.txt")
    press(page.get_by_role("button", name="Delete"))
    agree(page, "Delete")
    expect(page.get_by_text("One item was moved to Deleted.")).to_be_visible()
    expect(page.get_by_role("heading", name="This folder is empty")).to_be_visible()


def test_the_rest_of_the_navigation_on_a_phone(customer: Customer, open_window: Window) -> None:
    window = open_window(PHONE, state=customer.state)
    page = window.page
    page.goto(customer.service.url)
    page.get_by_role("navigation", name="Main").get_by_text("More").click()
    window.check_accessible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Activity").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Activity")
