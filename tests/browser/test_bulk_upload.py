"""Many files from the browser into the real server: each is sent once, whatever happens on the way, and the summary
says what was there already.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import pytest
from blake3 import blake3
from otb_cloud_billing import Person
from playwright.sync_api import Error, Locator, Page, Route, expect

from tests.browser.watch import DESK, PHONE, Watched
from tests.shared.portal import handoff, new_person
from tests.shared.portal import sign_in as http_sign_in
from tests.shared.service import Service

Window = Callable[..., Watched]
Scale = Callable[[int, int], int]
MIB: Final = 1 << 20
BATCHES: Final = "**/api/v1/blobs"
SENDING_MS: Final = 300_000
"""Until so much of thousands of files, or of 2 GB, is sent, on a machine that does much else."""
LONG_MS: Final = 1_200_000

# Tells of each batch that is sent, which digests it holds, and what was answered.
WATCH_BATCHES: Final = """
const send = XMLHttpRequest.prototype.send, open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  this.asked = [method, String(url)];
  this.addEventListener("load", () => this.digests && tellBatch(this.digests, this.status));
  return open.call(this, method, url, ...rest);
};
XMLHttpRequest.prototype.send = function (body) {
  const asked = this.asked.join(" ");
  if (asked !== "POST /api/v1/blobs") {
    tellRequest(asked);
    return send.call(this, body);
  }
  body.arrayBuffer().then(buffer => {
    const view = new DataView(buffer), digests = (this.digests = []);
    for (let at = 0; at < buffer.byteLength; at += 40 + Number(view.getBigUint64(at + 32)))
      digests.push([...new Uint8Array(buffer, at, 32)].map(byte => byte.toString(16).padStart(2, "0")).join(""));
    tellRequest(asked);
    send.call(this, body);
  });
};
"""


@dataclass
class Account:
    """A customer with one device, in a window and by the API."""

    service: Service
    person: Person
    client: httpx2.Client
    device: str
    requests: list[str] = field(default_factory=list)
    batches: list[tuple[list[str], int]] = field(default_factory=list)

    @property
    def page_url(self) -> str:
        return f"{self.service.url}/files/{self.device}/originals/"

    @property
    def acknowledged(self) -> Counter[str]:
        """How often each digest was sent in a batch that the server answered well."""
        return Counter(digest for digests, status in self.batches if status == 200 for digest in digests)

    def open(self, open_window: Window, width: int = DESK, *, before: str = "") -> Watched:
        window = open_window(width)
        page = window.page
        page.expose_function("tellRequest", lambda asked: self.requests.append(asked))
        page.expose_function("tellBatch", lambda digests, status: self.batches.append((digests, status)))
        page.add_init_script(before + WATCH_BATCHES)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{self.service.url}/auth/handoff?token={handoff(self.service.settings, self.person)}")
        page.goto(self.page_url)
        return window

    def until_acknowledged(self, page: Page, least: int) -> None:
        """Wait until the server has answered well for so many blobs."""
        deadline = time.monotonic() + SENDING_MS / 1000
        while self.acknowledged.total() < least:
            assert time.monotonic() < deadline, panel(page).inner_text()
            page.wait_for_timeout(20)

    def listed(self, directory: str = "") -> dict[str, tuple[str, str | None, int | None]]:
        """Every entry below a folder: path → (type, digest, size)."""
        found: dict[str, tuple[str, str | None, int | None]] = {}
        cursor: str | None = None
        while True:
            query = {"directory": directory, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
            answer = self.client.get(f"/api/v1/devices/{self.device}/entries", params=query)
            assert answer.status_code == 200, answer.text
            for entry in answer.json()["entries"]:
                found[entry["path"]] = (entry["type"], entry.get("digest"), entry.get("size"))
                if entry["type"] == "directory":
                    found |= self.listed(entry["path"])
            cursor = answer.json()["next"]
            if cursor is None:
                return found


@pytest.fixture
def account(service: Service) -> Iterator[Account]:
    person = new_person()
    with http_sign_in(service.url, service.settings, person) as client:
        made = client.post("/api/v1/devices", json={"name": "laptop", "kind": "laptop", "source_directories": []})
        yield Account(service, person, client, str(made.json()["id"]))


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Uploads")


def drop(page: Page, paths: list[Path]) -> None:
    """Drop files and folders of this machine onto the page, as a file manager does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 400, "data": data})


def many(root: Path, count: int, *, size: int = 300) -> dict[str, bytes]:
    """So many different small files in folders of a hundred; their paths below `root`, and what is in them."""
    made = {}
    for number in range(count):
        name = f"{number // 100:03}/file {number:05}.bin"
        content = os.urandom(size) + number.to_bytes(4)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        made[name] = content
    return made


def hold_all_but_the_first(page: Page) -> list[Route]:
    """Let one batch pass, and keep the others under way."""
    seen: list[Route] = []

    def hear(route: Route) -> None:
        seen.append(route)
        if len(seen) == 1:
            route.continue_()

    page.route(BATCHES, hear)
    return seen


def let_go(page: Page, seen: list[Route]) -> None:
    page.unroute(BATCHES)
    for route in seen[1:]:
        with suppress(Error):  # unroute let go of it
            route.continue_()


@contextmanager
def slow_line(page: Page, bytes_per_second: int) -> Iterator[None]:
    """Meanwhile the page sends no faster than this."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    line = {"offline": False, "latency": 0, "downloadThroughput": -1}
    session.send("Network.emulateNetworkConditions", line | {"uploadThroughput": bytes_per_second})
    yield
    session.send("Network.emulateNetworkConditions", line | {"uploadThroughput": -1})
    session.detach()


def expect_done(page: Page, words: str, headline: str = "Upload complete") -> None:
    expect(page.get_by_role("heading", name=headline)).to_be_visible(timeout=LONG_MS)
    expect(page.locator("[data-detail]")).to_have_text(words)


def digest_of(content: bytes) -> str:
    return blake3(content).hexdigest()


def test_a_folder_is_sent_in_few_requests_and_listed_with_all_that_is_in_it(
    account: Account, open_window: Window, tmp_path: Path
) -> None:
    root = tmp_path / "Photos"
    made = many(root, 250)
    made["big.bin"] = os.urandom(3 * MIB)
    made["none.txt"] = b""
    for name in ("big.bin", "none.txt"):
        (root / name).write_bytes(made[name])
    (root / "empty" / "inside").mkdir(parents=True)
    window = account.open(open_window)
    drop(window.page, [root])
    expect_done(window.page, "251 new · 1 already there · 1 empty folder")
    listed = account.listed()
    files = {path: entry for path, entry in listed.items() if entry[0] == "file"}
    assert files == {f"Photos/{name}": ("file", digest_of(data), len(data)) for name, data in made.items()}
    assert listed["Photos/empty/inside"][0] == "directory"
    assert account.acknowledged == Counter(digest_of(data) for data in made.values() if 0 < len(data) <= MIB)
    assert len(account.requests) < 15, account.requests
    assert not [asked for asked in account.requests if asked.startswith("PUT")]


@pytest.mark.parametrize("again", ["dropped", "continued"])
def test_after_a_reload_in_mid_flight_only_the_rest_is_sent(
    account: Account, open_window: Window, tmp_path: Path, scale: Scale, again: str
) -> None:
    count = scale(700, 5_000)
    root = tmp_path / "Photos"
    made = many(root, count, size=scale(45_000, 12_000))
    window = account.open(open_window)
    page = window.page
    hold_all_but_the_first(page)
    drop(page, [root])
    account.until_acknowledged(page, 1)
    page.reload()
    page.unroute(BATCHES)
    before = account.acknowledged
    assert 0 < before.total() < count
    offer = page.locator(".upload-offer")
    expect(offer).to_contain_text(re.compile(rf"The upload of “Photos” has not ended: [\d,]+ files of {count:,} left"))
    window.check_accessible()
    if again == "dropped":
        drop(page, [root])
    else:
        page.get_by_role("button", name="Continue the upload of Photos").click()
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible(timeout=LONG_MS)
    new, known = map(number, re.findall(r"([\d,]+) (?:new|already there)", page.locator("[data-detail]").inner_text()))
    assert new + known == count
    assert known >= before.total(), "nothing acknowledged is sent again"
    assert set(account.acknowledged.values()) == {1}
    assert account.acknowledged.keys() == {digest_of(content) for content in made.values()}
    assert offer.count() == 0
    files = {path: digest for path, (kind, digest, _) in account.listed().items() if kind == "file"}
    assert files == {f"Photos/{name}": digest_of(content) for name, content in made.items()}
    page.wait_for_timeout(1_000)  # the browser forgets the upload in the background
    page.reload()
    expect(page.get_by_role("link", name="Photos", exact=True)).to_be_visible()
    assert offer.count() == 0


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_second_drop_sends_what_is_new_and_says_so(account: Account, open_window: Window, tmp_path: Path) -> None:
    root = tmp_path / "Photos"
    many(root, 200, size=1_020)
    window = account.open(open_window, PHONE)
    page = window.page
    drop(page, [root])
    expect_done(page, "200 new")
    expect(page.locator("[data-pace]")).to_have_text("200 KB sent")
    for sent in range(10):
        (root / "000" / f"new {sent}.bin").write_bytes(os.urandom(2_048))
    (root / "000" / "copy.bin").write_bytes((root / "000" / "new 1.bin").read_bytes())
    page.reload()
    drop(page, [root])
    expect_done(page, "10 new · 201 already there")
    expect(page.locator("[data-pace]")).to_have_text("20 KB sent · 202 KB not sent again")
    assert set(account.acknowledged.values()) == {1}
    window.check_fits()
    window.check_accessible()


def test_a_large_file_goes_on_where_it_was_after_a_pause_and_after_a_reload(
    account: Account, open_window: Window, tmp_path: Path, scale: Scale
) -> None:
    size = scale(50, 2_000) * MIB
    film = tmp_path / "film.bin"
    with film.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    window = account.open(open_window)
    page = window.page
    with slow_line(page, size // 10):
        drop(page, [film])
        wait_for_share(page, 10)
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("heading", name="Paused")).to_be_visible()
        page.wait_for_timeout(500)
        asked = len(account.requests)
        page.wait_for_timeout(500)
        assert len(account.requests) == asked, "a pause is one"
        page.get_by_role("button", name="Go on").first.click()
        wait_for_share(page, 40)
        page.reload()
    drop(page, [film])
    expect_done(page, "1 new")
    assert account.listed()["film.bin"] == ("file", digest_of(film.read_bytes()), size)
    assert account.requests.count("POST /api/v1/uploads") == 1, "created once, gone on with twice"
    assert len([asked for asked in account.requests if asked.startswith("HEAD ")]) == 2


def wait_for_share(page: Page, least: int) -> None:
    """Until that many hundredths of the one file are sent."""
    deadline = time.monotonic() + SENDING_MS / 1000
    while time.monotonic() < deadline:
        share = re.search(r"(\d+) % of", panel(page).inner_text())
        if share and int(share[1]) >= least:
            return
        page.wait_for_timeout(20)
    raise AssertionError(panel(page).inner_text())


def test_the_server_may_go_away_and_come_back(
    make_service: Callable[..., Service], open_window: Window, tmp_path: Path
) -> None:
    service = make_service()
    person = new_person()
    with http_sign_in(service.url, service.settings, person) as client:
        made = client.post("/api/v1/devices", json={"name": "laptop", "kind": "laptop", "source_directories": []})
        account = Account(service, person, client, str(made.json()["id"]))
        root = tmp_path / "Photos"
        files = many(root, 600, size=40_000)
        window = account.open(open_window)
        window.expected_breaks = {"ERR_CONNECTION_", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED"}
        window.expected_statuses = {503}
        page = window.page
        held = hold_all_but_the_first(page)
        drop(page, [root])
        account.until_acknowledged(page, 1)
        service.kill()
        let_go(page, held)
        expect(page.locator("[data-trouble-text]")).to_contain_text("OTB Cloud does not answer.")
        service.start()
        expect(page.get_by_role("heading", name="Upload complete")).to_be_visible(timeout=LONG_MS)
        expect(page.locator("[data-detail]")).to_have_text("600 new")
        listed = {path: digest for path, (kind, digest, _) in account.listed().items() if kind == "file"}
    assert listed == {f"Photos/{name}": digest_of(content) for name, content in files.items()}
    assert set(account.acknowledged.values()) == {1}


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_session_that_ends_in_mid_upload_loses_nothing(
    account: Account, open_window: Window, tmp_path: Path, width: int
) -> None:
    root = tmp_path / "Photos"
    files = many(root, 600) | {"film.bin": os.urandom(12 * MIB)}
    (root / "film.bin").write_bytes(files["film.bin"])
    window = account.open(open_window, width)
    window.expected_statuses = {401}
    page = window.page
    held = hold_all_but_the_first(page)
    page.locator("[data-input=folder]").set_input_files(root)
    account.until_acknowledged(page, 1)
    sessions = account.client.get("/api/v1/sessions").json()["sessions"]
    for elsewhere in (one["id"] for one in sessions if not one["current"]):
        assert account.client.delete(f"/api/v1/sessions/{elsewhere}").status_code == 204
    let_go(page, held)
    expect(page.locator("[data-trouble-text]")).to_contain_text("Your session has ended.")
    window.check_accessible()
    window.check_fits()
    tab = page.context.new_page()
    tab.goto(f"{account.service.url}/auth/handoff?token={handoff(account.service.settings, account.person)}")
    tab.close()
    expect_done(page, "601 new")  # it looks by itself whether somebody signed in again
    listed = {path: digest for path, (kind, digest, _) in account.listed().items() if kind == "file"}
    assert listed == {f"Photos/{name}": digest_of(content) for name, content in files.items()}
    assert set(account.acknowledged.values()) == {1}


def test_a_lost_line_is_waited_for(account: Account, open_window: Window, tmp_path: Path) -> None:
    root = tmp_path / "Photos"
    many(root, 600, size=40_000)
    window = account.open(open_window)
    window.expected_breaks = {"ERR_INTERNET_DISCONNECTED"}
    page = window.page
    held = hold_all_but_the_first(page)
    drop(page, [root])
    account.until_acknowledged(page, 1)
    page.context.set_offline(True)
    let_go(page, held)
    expect(page.locator("[data-trouble-text]")).to_contain_text("You are offline.")
    page.context.set_offline(False)
    expect_done(page, "600 new")
    assert set(account.acknowledged.values()) == {1}


def test_what_failed_is_tried_again_in_one_click(account: Account, open_window: Window, tmp_path: Path) -> None:
    blocked = account.client.put(f"/api/v1/devices/{account.device}/files/originals/Photos/001", content=b"in the way")
    assert blocked.status_code == 201, blocked.text
    root = tmp_path / "Photos"
    many(root, 250)
    window = account.open(open_window)
    window.expected_statuses = {409}
    page = window.page
    drop(page, [root])
    expect_done(page, "150 new · 100 failed", "100 files were not uploaded")
    window.check_accessible()
    gone = account.client.post("/api/v1/entries/delete", json={"entries": [blocked.json()["entry"]]})
    assert gone.status_code < 300, gone.text
    page.get_by_role("button", name="Retry failed").click()
    expect_done(page, "150 new · 100 already there")
    assert set(account.acknowledged.values()) == {1}, "their bytes had arrived"


def test_hostile_names_arrive_as_they_are_or_say_why_not(account: Account, open_window: Window, tmp_path: Path) -> None:
    good = ["<img src=x onerror=alert(1)>.txt", "a'b\"c&amp;.txt", "%2e%2e%2f.txt", "#?;=.txt", "..txt", " lead.txt"]
    good += ["\u202egnp.exe", "写真 ✓ 👩‍👩‍👧.jpg", "e\u0301.txt", "é.txt", "constructor", "__proto__", "n" * 255]
    bad = ["line\nfeed.txt", "tab\there.txt"]
    root = tmp_path / "Names"
    root.mkdir()
    for name in [*good, *bad]:
        (root / name).write_text(name)
    window = account.open(open_window)
    window.expected_statuses = {400}
    page = window.page
    drop(page, [root])
    expect_done(page, f"{len(good)} new · {len(bad)} failed", f"{len(bad)} files were not uploaded")
    expect(page.get_by_text("A name must not contain control characters")).to_have_count(len(bad))
    listed = {path for path, (kind, _, _) in account.listed().items() if kind == "file"}
    assert listed == {f"Names/{name}" for name in good}
    window.check_fits()


def test_a_folder_of_many_thousands_is_dropped_and_sent(
    account: Account, open_window: Window, tmp_path: Path, scale: Scale
) -> None:
    count = scale(1_200, 20_000)
    root = tmp_path / "Photos"
    made = many(root, count)
    window = account.open(open_window)
    page = window.page
    drop(page, [root])
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible(timeout=LONG_MS)
    expect(page.locator("[data-detail]")).to_have_text(f"{count:,} new")
    assert account.acknowledged == Counter(digest_of(content) for content in made.values())
    assert len(account.requests) <= 12 + count / 200
    listed = {path: digest for path, (kind, digest, _) in account.listed().items() if kind == "file"}
    assert listed == {f"Photos/{name}": digest_of(content) for name, content in made.items()}


def test_the_worker_alone_may_run_webassembly(account: Account) -> None:
    worker = account.client.get("/static/built/hasher.js")
    assert worker.headers["content-security-policy"] == "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"
    for address in ("/static/built/tus.js", "/static/js/upload.js", f"/files/{account.device}/originals/"):
        answer = account.client.get(address)
        assert answer.status_code == 200
        assert "wasm" not in answer.headers["content-security-policy"]
