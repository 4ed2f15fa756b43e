"""The main job as a customer does it: from the portal into the real service, a folder up, found, down, as a zip, away
and back; and every page of a real account at both widths.
"""

import hashlib
import os
import re
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.watch import DESK, PHONE, Watched
from tests.shared.portal import handoff, new_person
from tests.shared.portal import sign_in as http_sign_in
from tests.shared.service import Service, free_port
from tests.shared.trees import facts_of, make_tree
from tools.run.processes import Child, python
from tools.standin.people import EMPTY_OWNER, SAMPLE_OWNER, STAFF

TORONTO: Final = ZoneInfo("America/Toronto")
MIB: Final = 1 << 20
BIG: Final = "Holiday film.bin"
DAWN: Final = "Harbour at dawn (édition).jpg"
LONG_MS: Final = 1_800_000


@dataclass(frozen=True)
class Portal:
    """The stand-in's address, and the service behind it."""

    url: str
    service: Service


@dataclass(frozen=True)
class Journey:
    """A customer whose folder was uploaded in the browser: the session to go on with, and what was sent."""

    portal: Portal
    folder: Path
    device: str
    state: Any
    seen: list[str]

    @property
    def url(self) -> str:
        return self.portal.service.url

    @property
    def folder_url(self) -> str:
        return f"{self.url}/files/{self.device}/originals/{self.folder.name}"


Window = Callable[..., Watched]


@pytest.fixture(scope="module")
def portal(make_service: Callable[..., Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    service = make_service(OTB_PORTAL_URL=url)
    environ = dict(service.given.environ) | {"STANDIN_PORT": str(port), "PUBLIC_URL": service.url}
    environ["OTB_PORTAL_SHARED_SECRET"] = service.settings.otb_portal_shared_secret
    log = tmp_path_factory.mktemp("standin") / "log"
    child = Child.start("The stand-in", python("tools.standin"), log=log, env=environ)
    try:
        wait_for(port, child)
        yield Portal(url, service)
    finally:
        child.stop()


def wait_for(port: int, child: Child) -> None:
    """Return once the child listens."""
    while child.is_running:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(str(child.failure()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, scale: Callable[[int, int], int]) -> Path:
    """A real folder: sub-folders, awkward names, photos of known days, and one large file."""
    root = make_tree(tmp_path_factory.mktemp("source") / "Holiday", scale(150, 2_000), bytes_max=scale(20_000, 60_000))
    photos = {"first minute.jpg": "2021-03-14T00:01", DAWN: "2021-03-14T23:59", "the day after.jpg": "2021-03-15T00:00"}
    for name, minute in photos.items():
        picture(root / "Photos" / name, minute)
    block = os.urandom(MIB)
    with (root / BIG).open("wb") as file:
        for number in range(scale(64, 3 * 1024)):
            file.write(block[number % 4096 :] + block[: number % 4096])
    return root


def picture(path: Path, modified: str) -> None:
    """A small real photo of that minute in Toronto."""
    path.parent.mkdir(exist_ok=True)
    colour = (hash_of(path.name.encode())[0], 120, 160)
    Image.new("RGB", (640, 420), colour).save(path, "JPEG")
    moment = datetime.fromisoformat(modified).replace(tzinfo=TORONTO).timestamp()
    os.utime(path, (moment, moment))


def hash_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sign_in(page: Page, portal: Portal, name: str) -> None:
    """Through the stand-in's page, as a customer does."""
    page.goto(portal.url)
    page.get_by_role("button", name=re.compile(re.escape(name))).click()
    page.wait_for_url(f"{portal.service.url}/**")


def open_file(page: Page, name: str) -> None:
    """To a file's own page, by way of the viewer."""
    page.get_by_role("link", name=name).click()
    page.get_by_role("dialog").get_by_role("link", name="All about this file").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


@pytest.fixture(scope="module")
def journey(browser: Browser, portal: Portal, folder: Path) -> Journey:
    window = Watched.open(browser, DESK, dark=False, scripts=True)
    page = window.page
    sign_in(page, portal, EMPTY_OWNER.name)
    expect(page.get_by_role("heading", name="Hello, Priya")).to_be_visible()
    page.get_by_role("link", name="Add your first device").click()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_label("Folders to back up").fill("/home/priya/Pictures\n/home/priya/Documents")
    page.get_by_role("button", name="Add device").click()
    page.wait_for_url(re.compile(r"/files/\d+/originals/$"))
    device = re.findall(r"/files/(\d+)/", page.url)[0]
    expect(page.get_by_text("Drop files or a whole folder here")).to_be_visible()

    page.locator("[data-input=folder]").set_input_files(folder)
    seen = progress_seen(page)
    total = sum(path.is_file() for path in folder.rglob("*"))
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible()
    counts = [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:new|already there)", seen[-1])]
    assert sum(counts) == total, seen[-1]
    expect(page.get_by_role("link", name=folder.name, exact=True)).to_be_visible()
    state = page.context.storage_state()
    page.context.close()
    window.check_quiet()
    return Journey(portal, folder, device, state, seen)


def progress_seen(page: Page) -> list[str]:
    """What the panel said over time, until the upload ended."""
    seen: list[str] = []
    done = page.locator("[data-close]")
    while not done.is_visible():
        seen.append(page.locator("[data-detail]").inner_text())
        page.wait_for_timeout(200)
    return [*seen, page.locator("[data-detail]").inner_text()]


@pytest.fixture
def customer(journey: Journey, open_window: Window) -> Watched:
    """A window of the signed-in customer."""
    window = open_window(state=journey.state)
    window.page.goto(journey.url)
    return window


def test_the_upload_showed_how_far_it_was(journey: Journey) -> None:
    assert len({text for text in journey.seen if re.match(r"[\d,]+ of [\d,]+ · .* of ", text)}) > 3


def test_nobody_comes_in_without_the_portal(portal: Portal, open_window: Window) -> None:
    window = open_window()
    window.expected_statuses = {401}
    page = window.page
    answer = page.goto(f"{portal.service.url}/devices")
    assert answer
    assert answer.status == 401
    page.get_by_role("link", name="Go to the Client Portal").click()
    expect(page).to_have_url(portal.url + "/")


def test_the_upload_is_there_with_its_folders_and_dates(journey: Journey, customer: Watched) -> None:
    page = customer.page
    page.get_by_role("link", name="laptop").first.click()
    page.get_by_role("link", name=journey.folder.name, exact=True).click()
    page.get_by_role("link", name="Photos", exact=True).click()
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_contain_text("laptop")
    row = page.get_by_role("listitem").filter(has=page.get_by_role("link", name=DAWN))
    expect(row).to_contain_text("14 March 2021")
    expect(row.locator("time")).to_have_attribute("title", "14 March 2021, 23:59")


def test_part_of_a_name_finds_the_file(journey: Journey, customer: Watched) -> None:
    page = customer.page
    page.locator("#top-q").fill("HARBOUR")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name=DAWN)).to_be_visible()
    expect(page.locator("main")).to_contain_text(f"laptop › {journey.folder.name} › Photos")
    page.locator("#q").fill("no such name anywhere")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_a_single_day_finds_all_of_that_day_and_nothing_else(customer: Watched, journey: Journey) -> None:
    page = customer.page
    page.goto(f"{journey.url}/search")
    page.get_by_label("From").fill("2021-03-14")
    page.get_by_label("To", exact=True).fill("2021-03-14")
    page.get_by_label("Kind").select_option(label="Images")
    page.locator("main").get_by_role("button", name="Search").click()
    expect(page.locator(".rows .row-words a").filter(has_text="minute")).to_have_text(["first minute.jpg"])
    expect(page.get_by_role("link", name=DAWN)).to_be_visible()
    expect(page.get_by_role("link", name="the day after.jpg")).to_have_count(0)


def test_a_photo_is_shown_and_comes_down_as_it_went_up(journey: Journey, customer: Watched, tmp_path: Path) -> None:
    page = customer.page
    page.goto(f"{journey.folder_url}/Photos")
    open_file(page, DAWN)
    width: int = page.locator(".preview img").evaluate("async image => (await image.decode(), image.naturalWidth)")
    assert width == 640
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).click()
    download.value.save_as(tmp_path / "down.jpg")
    assert download.value.suggested_filename == DAWN
    assert (tmp_path / "down.jpg").read_bytes() == (journey.folder / "Photos" / DAWN).read_bytes()


def test_the_large_file_comes_down_whole(journey: Journey, customer: Watched, tmp_path: Path) -> None:
    page = customer.page
    page.goto(journey.folder_url)
    page.get_by_role("link", name=BIG).click()
    with page.expect_download(timeout=LONG_MS) as download:
        page.get_by_role("link", name="Download", exact=True).click()
    download.value.save_as(tmp_path / BIG)
    assert digest_of(tmp_path / BIG) == digest_of(journey.folder / BIG)
    (tmp_path / BIG).unlink()


def test_the_folder_comes_down_as_a_zip_of_the_same_tree(journey: Journey, customer: Watched, tmp_path: Path) -> None:
    page = customer.page
    page.goto(f"{journey.url}/files/{journey.device}/originals/")
    with page.expect_download(timeout=LONG_MS) as download:
        page.get_by_role("button", name="Download folder").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path / "out")
    (tmp_path / "all.zip").unlink()
    (top,) = [path for path in (tmp_path / "out").rglob(journey.folder.name) if path.is_dir()]
    down = {name: (facts.size_bytes, facts.sha256) for name, facts in facts_of(top).items() if facts.sha256}
    up = {name: (facts.size_bytes, facts.sha256) for name, facts in facts_of(journey.folder).items() if facts.sha256}
    assert down == up


def test_a_selection_comes_down_as_a_zip(journey: Journey, customer: Watched, tmp_path: Path) -> None:
    page = customer.page
    page.goto(f"{journey.folder_url}/Photos")
    for name in (DAWN, "first minute.jpg"):
        page.get_by_role("checkbox", name=f"Select {name}").check()
    with page.expect_download() as download:
        page.locator("#selection").get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "two.zip") as archive:
        assert sorted(Path(name).name for name in archive.namelist()) == sorted(["B3SUMS", DAWN, "first minute.jpg"])
        assert archive.testzip() is None


def test_what_is_deleted_waits_and_comes_back(journey: Journey, customer: Watched) -> None:
    page = customer.page
    page.goto(f"{journey.folder_url}/Photos")
    page.get_by_role("checkbox", name="Select the day after.jpg").check()
    page.locator("#selection").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("One item was moved to Deleted.")).to_be_visible()
    expect(page.get_by_role("link", name="the day after.jpg")).to_have_count(0)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Deleted").click()
    row = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="the day after.jpg"))
    expect(row).to_contain_text("30 days left")
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Recover").click()
    expect(page.get_by_text("One item was recovered.")).to_be_visible()
    page.goto(f"{journey.folder_url}/Photos")
    expect(page.get_by_role("link", name="the day after.jpg")).to_be_visible()


def test_a_rename_keeps_the_extension_and_a_taken_name_is_told(journey: Journey, customer: Watched) -> None:
    customer.expected_statuses = {409}
    page = customer.page
    page.goto(f"{journey.folder_url}/Photos")
    open_file(page, "first minute.jpg")
    name = page.get_by_label("New name")
    expect(name).to_have_value("first minute")
    name.fill("the day after")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("alert")).to_be_visible()
    name.fill("just past midnight")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("just past midnight.jpg")
    expect(page.get_by_text("Renamed.")).to_be_visible()


def test_the_same_folder_again_is_already_there(journey: Journey, customer: Watched) -> None:
    page = customer.page
    page.goto(f"{journey.folder_url}/Photos")
    page.locator("[data-input=files]").set_input_files(journey.folder / "Photos" / DAWN)
    expect(page.locator("[data-detail]")).to_have_text("1 already there")


def test_a_new_version_keeps_the_old_one(journey: Journey, customer: Watched, tmp_path: Path) -> None:
    page = customer.page
    page.goto(journey.folder_url)
    (tmp_path / "notes.txt").write_text("first")
    page.locator("[data-input=files]").set_input_files(tmp_path / "notes.txt")
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible()
    (tmp_path / "notes.txt").write_text("second and longer")
    page.locator("[data-input=files]").set_input_files(tmp_path / "notes.txt")
    expect(page.locator("[data-detail]")).to_have_text("2 new")
    open_file(page, "notes.txt")
    versions = page.get_by_role("region", name="Versions")
    expect(versions.get_by_role("listitem")).to_have_count(2)
    with page.expect_download() as download:
        versions.get_by_role("link", name=re.compile("Download")).nth(1).click()
    assert download.value.path().read_text() == "first"


def test_a_device_is_described_its_tokens_shown_once_and_kept_while_it_holds_files(
    journey: Journey, customer: Watched
) -> None:
    page = customer.page
    page.goto(f"{journey.url}/devices/{journey.device}")
    expect(page.get_by_label("Folders to back up")).to_have_value("/home/priya/Pictures\n/home/priya/Documents")
    page.get_by_label("Kind").select_option("homepc")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("Kind")).to_have_value("homepc")
    page.get_by_label("New token for").fill("nightly <backup>")
    page.get_by_role("button", name="Create token").click()
    token = page.locator("#new-token").inner_text()
    customer.check_accessible()
    page.goto(f"{journey.url}/devices/{journey.device}")
    assert token not in page.content()
    page.get_by_role("button", name="Revoke nightly <backup>").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The token was revoked.")).to_be_visible()
    expect(page.get_by_text("A device can be removed when it holds nothing any more")).to_be_visible()
    expect(page.get_by_role("button", name="Remove device")).to_have_count(0)


def test_an_empty_device_can_be_removed_and_a_taken_name_is_told(journey: Journey, customer: Watched) -> None:
    customer.expected_statuses = {409}
    page = customer.page
    page.goto(f"{journey.url}/devices")
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Add device").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("laptop")
    page.get_by_label("Name", exact=True).fill("old phone")
    page.get_by_role("radio", name="Phone").check(force=True)
    page.get_by_role("button", name="Add device").click()
    page.get_by_role("link", name="Settings of old phone").click()
    page.get_by_role("button", name="Remove device").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The device was removed.")).to_be_visible()
    expect(page.get_by_role("link", name="old phone")).to_have_count(0)


def test_the_activity_tells_it_all(journey: Journey, customer: Watched) -> None:
    page = customer.page
    page.goto(f"{journey.url}/audit")
    expect(page.locator("main")).to_contain_text(EMPTY_OWNER.name)
    expect(page.locator("main")).to_contain_text("127.0.0.1")
    page.get_by_label("What", exact=True).select_option("sign_in")
    page.wait_for_url("**/audit?action=sign_in*")
    expect(page.get_by_text("Signed in").first).to_be_visible()
    for action in ("upload", "device.create"):
        page.goto(f"{journey.url}/audit?action={action}")
        expect(page.locator(".event").first).to_be_visible()
    page.get_by_label("What", exact=True).select_option("device.create")
    expect(page.get_by_text("Added the device laptop")).to_be_visible()


def test_every_page_of_the_account_at_every_look(journey: Journey, open_window: Window) -> None:
    """Both widths: quiet, within the window, accessible, and nothing refused by the policy."""
    addresses = ["/", "/devices", f"/devices/{journey.device}", f"/files/{journey.device}/originals/"]
    addresses += [
        f"/files/{journey.device}/originals/{journey.folder.name}/Photos",
        f"/files/{journey.device}/derived/",
    ]
    addresses += ["/search", "/search?q=a", "/search?q=a&by=uploaded&kind=image", "/deleted", "/audit", "/uploads"]
    addresses += [f"/uploads?device={journey.device}", f"/files/{journey.device}/originals/?view=gallery"]
    for width, dark in ((DESK, False), (PHONE, True)):
        window = open_window(width, dark=dark, state=journey.state)
        window.page.goto(f"{journey.folder_url}/Photos")
        entry = window.page.get_by_role("link", name=DAWN).get_attribute("href")
        for address in [*addresses, str(entry)]:
            answer = window.page.goto(journey.url + address)
            assert answer
            assert answer.status == 200, address
            assert "default-src 'none'" in (answer.header_value("content-security-policy") or "")
            window.check_fits()
            if width == DESK:  # the samples' test judges the phone and the dark, state by state
                window.check_accessible()


def test_pages_of_what_goes_wrong(journey: Journey, open_window: Window) -> None:
    window = open_window(PHONE, state=journey.state)
    window.expected_statuses = {400, 403, 404}
    wrong = {"/entries/999999": 404, "/nothing/here": 404, "/files/1/sideways/": 404, "/auth/handoff?token=x": 403}
    wrong["/search?from=2024-02-31"] = 400
    for address, status in wrong.items():
        answer = window.page.goto(journey.url + address)
        assert answer
        assert answer.status == status, address
        window.check_fits()
        window.check_accessible()


def test_a_replayed_and_a_suspended_way_in_are_told_apart(portal: Portal, open_window: Window) -> None:
    window = open_window()
    window.expected_statuses = {403}
    page = window.page
    with page.expect_request(f"{portal.service.url}/auth/handoff") as sent:
        sign_in(page, portal, SAMPLE_OWNER.name)
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, Ana")
    page.goto(f"{portal.service.url}/auth/handoff?{sent.value.post_data}")
    expect(page.get_by_role("heading", level=1)).to_have_text("This sign-in link was used already")
    window.check_accessible()


def test_staff_see_nothing_of_any_customer(journey: Journey, open_window: Window) -> None:
    window = open_window()
    window.expected_statuses = {401, 403}
    page = window.page
    sign_in(page, journey.portal, STAFF.name)
    for address in ("/", "/devices", f"/files/{journey.device}/originals/", "/audit"):
        page.goto(journey.url + address)
        expect(page.get_by_role("heading", level=1)).to_have_text("You see no customer’s files")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Sign in"))


def test_signing_out_ends_it(portal: Portal, open_window: Window) -> None:
    window = open_window(PHONE)
    window.expected_statuses = {401}
    page = window.page
    sign_in(page, portal, SAMPLE_OWNER.name)
    page.locator(".top details.menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Sign in"))
    page.goto(f"{portal.service.url}/audit")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Sign in"))


def test_a_full_account_hears_it_from_the_server(
    make_service: Callable[..., Service], open_window: Window, tmp_path: Path
) -> None:
    """The refusal comes before the large body was sent, and is still heard."""
    service = make_service(QUOTA_DEFAULT_BYTES=str(20 * MIB))
    person = new_person()
    with http_sign_in(service.url, service.settings, person) as client:
        made = client.post("/api/v1/devices", json={"name": "laptop", "kind": "laptop", "source_directories": []})
        address = f"/files/{made.json()['id']}/originals/"
    window = open_window()
    window.expected_statuses = {507}
    page = window.page
    page.goto(f"{service.url}/auth/handoff?token={handoff(service.settings, person)}")
    page.goto(service.url + address)
    (tmp_path / "small.txt").write_bytes(b"fits")
    (tmp_path / "large.bin").write_bytes(os.urandom(64 * MIB))
    page.locator("[data-input=files]").set_input_files(tmp_path / "small.txt")
    expect(page.get_by_role("heading", name="Upload complete")).to_be_visible()
    page.locator("[data-input=files]").set_input_files(tmp_path / "large.bin")
    expect(page.get_by_role("heading", name="1 file was not uploaded")).to_be_visible()
    expect(page.locator(".upload-failed")).to_contain_text(re.compile("This needs .* bytes and .* are free"))
    expect(page.locator("[data-detail]")).to_have_text("1 new · 1 failed")
    window.complaints = [told for told in window.complaints if "ERR_CONNECTION" not in told]
