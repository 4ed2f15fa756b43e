"""The uploader when things go wrong: sessions that end, servers that are busy or full, connections that break; and when
there is much: deep folders, thousands of files. The answers are the preview's, or put in between here.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Dialog, Locator, Page, Route, expect

from tests.browser.watch import PHONE, Watched

Window = Callable[..., Watched]
FOLDER: Final = "/files/1/originals/Photos"
PUTS: Final = "**/api/v1/devices/1/files/originals/**"
LONG_MS: Final = 60_000
ROWS_MAX: Final = 200


@pytest.fixture
def window(preview: str, open_window: Window) -> Watched:
    watched = open_window()
    watched.page.goto(preview + FOLDER)
    return watched


def tree(root: Path, names: list[str]) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return root


def choose(page: Page, files: list[Path]) -> None:
    page.locator("[data-input=files]").set_input_files(files)


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Uploads")


def paths_sent(page: Page) -> list[str]:
    """The decoded paths of all PUTs from now on, under the folder that the page shows."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(_path(request.url)) if request.method == "PUT" else None)
    return sent


def _path(url: str) -> str:
    return unquote(urlsplit(url).path).removeprefix("/api/v1/devices/1/files/originals/Photos/")


def drop(page: Page, paths: list[Path]) -> None:
    """Drop files and folders of this machine onto the page, as a file manager does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 400, "data": data})
        if kind == "dragOver":
            expect(page.get_by_text("Drop to upload into Photos")).to_be_visible()


def test_a_dropped_folder_comes_whole(window: Watched, tmp_path: Path) -> None:
    """More names in one folder than one batch of the browser's directory reader holds."""
    names = [f"wide/{n:03}.txt" for n in range(230)] + [
        "deep/a/b/c/d.txt",
        "deep/#1 50%?.txt",
        "deep/é ü.txt",
        "top.txt",
    ]
    root = tree(tmp_path / "drop me", names)
    sent = paths_sent(window.page)
    drop(window.page, [root, tree(tmp_path, ["single.txt"]) / "single.txt"])
    expect(panel(window.page).get_by_role("heading", name="Upload complete")).to_be_visible(timeout=LONG_MS)
    assert sorted(sent) == sorted([*(f"drop me/{name}" for name in names), "single.txt"])
    expect(window.page.get_by_text("Drop to upload into Photos")).to_be_hidden()


def test_an_empty_folder_says_so(window: Watched, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    drop(window.page, [tmp_path / "hollow"])
    expect(panel(window.page).get_by_text("There is no file in it.")).to_be_visible()


def test_each_file_says_when_it_was_changed_and_proves_where_it_comes_from(window: Watched, tmp_path: Path) -> None:
    file = tree(tmp_path, ["a.txt"]) / "a.txt"
    os.utime(file, ns=(0, 1_714_564_800_123_000_000))
    with window.page.expect_request(lambda request: request.method == "PUT") as asked:
        choose(window.page, [file])
    headers = asked.value.headers
    assert headers["x-csrf-token"] == "sample"
    assert headers["x-otb-mtime"] == "2024-05-01T12:00:00.123Z"
    assert headers["last-modified"] == "Wed, 01 May 2024 12:00:00 GMT"


def test_a_session_that_ends_loses_nothing(window: Watched, tmp_path: Path) -> None:
    window.expected_statuses = {401}
    page, signed_in = window.page, {"in": True}
    tokens: list[str] = []

    def put(route: Route) -> None:
        tokens.append(route.request.headers["x-csrf-token"])
        if len(tokens) == 3:
            signed_in["in"] = False
        if signed_in["in"]:
            route.continue_()
        else:
            route.fulfill(status=401, json={"detail": "Sign in."})

    def me(route: Route) -> None:
        if signed_in["in"]:
            route.fulfill(json={"tenant": {"id": "7"}, "csrf_token": "fresh", "usage": None})
        else:
            route.fulfill(status=401, json={})

    page.route(PUTS, put)
    page.route("**/api/v1/me", me)
    names = [f"{n}.txt" for n in range(20)]
    choose(page, [tree(tmp_path, names) / name for name in names])
    expect(page.get_by_text("Your session has ended.").first).to_be_visible()
    link = page.get_by_role("link", name="Sign in in a new tab")
    expect(link).to_have_attribute("href", "https://portal.outsidethebox.top")
    window.check_accessible()
    signed_in["in"] = True
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible()
    expect(page.locator("[data-detail]")).to_have_text("10 uploaded · 10 already there")
    assert tokens[-1] == "fresh"
    assert not page.locator(".upload-failed").count()


def test_an_upload_never_goes_on_in_another_account(window: Watched, tmp_path: Path) -> None:
    window.expected_statuses = {403}
    page = window.page
    page.route(PUTS, lambda route: route.fulfill(status=403, json={"detail": "This form is out of date."}))
    stranger = {"tenant": {"id": "8"}, "csrf_token": "theirs", "usage": None}
    page.route("**/api/v1/me", lambda route: route.fulfill(json=stranger))
    choose(page, [tree(tmp_path, ["a.txt"]) / "a.txt"])
    expect(page.get_by_text("Another account is signed in now.").first).to_be_visible()
    sent = paths_sent(page)
    page.get_by_role("button", name="Go on").click()
    page.wait_for_timeout(500)
    assert sent == []


def test_a_refusal_is_final_and_a_busy_server_is_asked_again(window: Watched, tmp_path: Path) -> None:
    window.expected_statuses = {409, 503}
    page = window.page
    seen: list[str] = []

    def put(route: Route) -> None:
        name = _path(route.request.url)
        seen.append(name)
        if name == "refused.txt":
            route.fulfill(status=409, json={"detail": "A folder of that name is in the way. Rename the file."})
        elif seen.count(name) < 3:
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "Busy."})
        else:
            route.continue_()

    page.route(PUTS, put)
    choose(page, [tree(tmp_path, ["refused.txt", "busy.txt"]) / name for name in ("refused.txt", "busy.txt")])
    expect(page.get_by_role("heading", name="1 file was not uploaded")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("A folder of that name is in the way. Rename the file.")).to_be_visible()
    assert (seen.count("refused.txt"), seen.count("busy.txt")) == (1, 3)


def test_a_broken_connection_is_tried_again(window: Watched, tmp_path: Path) -> None:
    page = window.page
    tries: list[str] = []

    def put(route: Route) -> None:
        tries.append(route.request.url)
        if len(tries) < 3:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(PUTS, put)
    choose(page, [tree(tmp_path, ["a.txt"]) / "a.txt"])
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible(timeout=LONG_MS)
    assert len(tries) == 3
    window.complaints = [told for told in window.complaints if "ERR_CONNECTION_RESET" not in told]


def test_a_full_account_stops_with_the_servers_sentence_and_goes_on_later(window: Watched, tmp_path: Path) -> None:
    window.expected_statuses = {507}
    page, full = window.page, {"is": True}
    sentence = "This needs 5 bytes and 0 of your 10 are free. Delete files for good, or ask for more space."
    seen = paths_sent(page)

    def put(route: Route) -> None:
        if full["is"]:
            route.fulfill(status=507, json={"detail": sentence})
        else:
            route.continue_()

    page.route(PUTS, put)
    names = [f"{n}.txt" for n in range(40)]
    choose(page, [tree(tmp_path, names) / name for name in names])
    expect(page.locator("[data-trouble-text]")).to_have_text(sentence)
    page.wait_for_timeout(300)
    assert len(seen) <= 5, "the rest is not even tried"
    full["is"] = False
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name=re.compile("not uploaded"))).to_be_visible()
    page.get_by_role("button", name="Retry failed").click()
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible()


def test_pause_cancel_and_the_guard_at_the_door(window: Watched, tmp_path: Path) -> None:
    page, released = window.page, {"is": False}
    waiting: list[Route] = []

    def put(route: Route) -> None:
        if released["is"]:
            route.continue_()
        else:
            waiting.append(route)

    page.route(PUTS, put)
    names = [f"{n}.txt" for n in range(30)]
    choose(page, [tree(tmp_path, names) / name for name in names])
    expect(page.get_by_role("heading", name="Uploading 30 files")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    expect(page.get_by_text("5 files under way will finish")).to_be_visible()

    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.close(run_before_unload=True)
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]

    page.locator("[data-cancel]").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel upload").click()
    expect(page.get_by_role("heading", name="Upload cancelled")).to_be_visible()
    expect(page.get_by_text("30 cancelled", exact=True)).to_be_visible()
    for route in waiting:
        route.abort()
    window.complaints = [told for told in window.complaints if "ERR_FAILED" not in told]


def test_thousands_of_files_keep_the_page_small_and_smooth(
    preview: str, open_window: Window, scale: Callable[[int, int], int]
) -> None:
    count = scale(1_500, 20_000)
    window = open_window(PHONE)
    page = window.page
    page.goto(preview + FOLDER)
    page.evaluate(CHOOSE_MANY, count)
    expect(page.get_by_role("heading", name=f"Uploading {count:,} files")).to_be_visible()
    window.check_fits()
    watched: dict[str, Any] = page.evaluate(WATCH_FRAMES)
    assert watched["rows"] <= ROWS_MAX
    assert watched["worst_ms"] < 400, "the page answers while it uploads"
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible(timeout=600_000)
    expect(page.locator("[data-detail]")).to_have_text(
        f"{count // 2:,} uploaded · {count - count // 2:,} already there"
    )


CHOOSE_MANY: Final = """count => {
  const transfer = new DataTransfer();
  for (let n = 0; n < count; n++) transfer.items.add(new File(["x".repeat(1 + n % 2)], `file ${n}.txt`));
  const input = document.querySelector("[data-input=files]");
  input.files = transfer.files;
  input.dispatchEvent(new Event("change"));
}"""
WATCH_FRAMES: Final = """() => new Promise(resolve => {
  let last = performance.now(), worst_ms = 0, rows = 0;
  const end = last + 3000;
  const look = now => {
    worst_ms = Math.max(worst_ms, now - last);
    rows = Math.max(rows, document.querySelectorAll(".upload-row").length);
    last = now;
    if (now < end) requestAnimationFrame(look); else resolve({worst_ms, rows});
  };
  requestAnimationFrame(look);
})"""
