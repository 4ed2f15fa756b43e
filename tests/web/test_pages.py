"""The pages and their forms, as a browser without JavaScript uses them."""

import html
import re
from collections.abc import Callable
from urllib.parse import quote

import httpx2
import pytest

from tests.shared.service import Service
from tests.web.device import Device, stored


def send(client: httpx2.Client, address: str, **fields: str | list[str]) -> httpx2.Response:
    """A form with the session's CSRF token, as the page has it."""
    return client.post(address, data={"csrf_token": client.headers["X-CSRF-Token"]} | fields)


def follow(client: httpx2.Client, answer: httpx2.Response) -> httpx2.Response:
    assert answer.status_code == 303, answer.text
    return client.get(answer.headers["location"])


def text_of(answer: httpx2.Response) -> str:
    """What a person reads."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)))


def test_the_token_of_a_page_is_the_sessions(owner: httpx2.Client) -> None:
    page = owner.get("/")
    assert f'name="csrf-token" content="{owner.headers["X-CSRF-Token"]}"' in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_from_nothing_to_a_found_file(owner: httpx2.Client) -> None:
    assert "Name a device" in owner.get("/").text
    made = send(owner, "/devices", name="laptop", kind="laptop", source_directories="/home/ana\n\n/srv\n")
    folder = follow(owner, made)
    assert "Drop files or a whole folder here" in folder.text
    (device,) = owner.get("/api/v1/devices").json()["devices"]
    assert device["source_directories"] == ["/home/ana", "/srv"]
    laptop = Device(owner, device["id"])
    entry = stored(laptop, "photos/Été à la plage.jpg", b"sand")
    home = owner.get("/").text
    assert "Été à la plage.jpg" in home
    assert "photos" in owner.get(f"/files/{laptop.id}/originals/").text
    assert "Été à la plage.jpg" in owner.get(f"/files/{laptop.id}/originals/photos").text
    assert "Été à la plage.jpg" in owner.get(f"/files/{laptop.id}/originals/photos/").text
    assert f'href="/entries/{entry}"' in owner.get("/search", params={"q": "PLAGE"}).text
    page = owner.get(f"/entries/{entry}").text
    assert f"/api/v1/entries/{entry}/content?inline=1" in page
    assert "Uploaded photos/Été à la plage.jpg" in text_of(owner.get("/audit"))
    assert "Nothing found" in owner.get("/search", params={"q": "mountain"}).text


def test_a_refused_device_keeps_what_was_typed(owner: httpx2.Client) -> None:
    Device.make(owner, "laptop")
    for fields, status, words in (
        ({"name": "laptop", "kind": "phone"}, 409, "already"),
        ({"name": "", "kind": "phone"}, 400, "1 to 100 characters"),
        ({"name": "x", "kind": "toaster"}, 400, "from the list"),
    ):
        page = send(owner, "/devices", source_directories="/home/typed", **fields)
        assert page.status_code == status
        assert words in html.unescape(page.text)
        assert "/home/typed" in page.text


def test_a_device_is_changed_and_removed_when_empty(owner: httpx2.Client, laptop: Device) -> None:
    address = f"/devices/{laptop.id}"
    saved = send(owner, address, do="update", name="work", kind="workpc", source_directories="/srv")
    page = follow(owner, saved)
    assert "work" in page.text
    assert "Saved." in page.text
    assert "Saved." not in owner.get(address).text
    taken = send(owner, address, do="update", name=" ", kind="workpc", source_directories="")
    assert taken.status_code == 400
    entry = stored(laptop, "a", b"x")
    assert "Delete them first" in owner.get(address).text
    assert send(owner, address, do="remove").status_code == 409
    assert send(owner, address, do="dance").status_code == 400
    token = send(owner, address, do="create_token", label="nightly")
    assert token.status_code == 200
    (listed,) = owner.get(f"/api/v1/devices/{laptop.id}/tokens").json()["tokens"]
    revoked = follow(owner, send(owner, address, do="revoke_token", token=listed["id"]))
    assert "The token was revoked." in revoked.text
    assert owner.get(f"/api/v1/devices/{laptop.id}/tokens").json()["tokens"] == []
    empty = Device.make(owner, "empty")
    gone = follow(owner, send(owner, f"/devices/{empty.id}", do="remove"))
    assert "The device was removed." in gone.text
    assert entry


def test_delete_and_recover(owner: httpx2.Client, laptop: Device) -> None:
    ids = [stored(laptop, f"f{n}.txt", b"%d" % n) for n in range(3)]
    here = f"/files/{laptop.id}/originals/"
    page = follow(owner, send(owner, "/entries/delete", entry=ids[:2], back=here))
    assert "2 items were moved to Deleted." in page.text
    assert ("f0.txt" in page.text, "f2.txt" in page.text) == (False, True)
    held = owner.get("/deleted")
    assert "f0.txt" in held.text
    assert "30 days" in held.text
    back = follow(owner, send(owner, "/entries/recover", entry=ids[0], back="/deleted"))
    assert "One item was recovered." in back.text
    assert "f0.txt" in owner.get(here).text
    nothing = follow(owner, send(owner, "/entries/delete", back=here))
    assert "Choose one or more files first." in nothing.text
    gone = owner.get(f"/entries/{ids[1]}").text
    assert "Deleted" in gone
    assert "Recover" in gone


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1", "", "/a\nb", "evil"]
)
def test_a_form_leads_back_to_our_own_pages_only(owner: httpx2.Client, back: str) -> None:
    for address in ("/entries/delete", "/entries/recover", "/exports"):
        assert send(owner, address, back=back).headers["location"] == "/"


def test_rename_keeps_the_extension(owner: httpx2.Client, laptop: Device) -> None:
    entry = stored(laptop, "folder/IMG_1.jpg", b"x")
    stored(laptop, "folder/taken.jpg", b"y")
    page = follow(owner, send(owner, f"/entries/{entry}/rename", base_name="Plage"))
    assert "Plage.jpg" in page.text
    assert "Renamed." in page.text
    (renamed,) = [e["id"] for e in laptop.entries("folder") if e["name"] == "Plage.jpg"]
    for name, status, words in (
        ("taken", 409, "already"),
        ("a/b", 400, "slash"),
        ("..", 400, "“..”"),
        ("", 400, "empty"),
    ):
        refused = send(owner, f"/entries/{renamed}/rename", base_name=name)
        assert refused.status_code == status
        assert words in html.unescape(refused.text)
    assert send(owner, f"/entries/{entry}/rename", base_name="x").status_code == 404


def test_an_export_from_a_page(owner: httpx2.Client, laptop: Device) -> None:
    ids = [stored(laptop, f"été & co/f{n}.txt", b"%d" % n) for n in range(2)]
    chosen = send(owner, "/exports", entry=ids)
    assert chosen.status_code == 303
    assert follow(owner, chosen).headers["content-type"] == "application/zip"
    folder = send(owner, "/exports", device=laptop.id, area="originals", directory=quote("été & co"))
    assert folder.headers["location"].endswith(f"/{quote('été & co')}.zip")
    assert follow(owner, folder).status_code == 200
    assert send(owner, "/exports", device=laptop.id, area="tmp", directory="").status_code == 404
    assert send(owner, "/exports", device=laptop.id, area="originals", directory="..").status_code == 400


def test_pages_of_a_long_folder(owner: httpx2.Client, laptop: Device) -> None:
    digest_of = laptop.put("first", b"x").json()["digest"]
    entries = [{"path": f"many/{n:04}", "digest": digest_of, "size": 1} for n in range(450)]
    answer = owner.post(f"/api/v1/devices/{laptop.id}/manifests", json={"entries": entries})
    assert answer.status_code == 201
    address, found = f"/files/{laptop.id}/originals/many", []
    while address:
        page = owner.get(address).text
        found += re.findall(r'class="cover"[^>]*>(\d{4})<', page)
        more = re.search(r'rel="next" href="([^"]+)"', page)
        address = address.partition("?")[0] + html.unescape(more[1]) if more else ""
    assert found == [f"{n:04}" for n in range(450)]


def test_search_tells_what_is_wrong_and_keeps_what_was_asked(owner: httpx2.Client) -> None:
    page = owner.get("/search", params={"q": "plage", "from": "2024-02-30"})
    assert page.status_code == 400
    assert "must be a day that exists" in page.text
    assert 'value="plage"' in page.text
    assert owner.get("/search", params={"q": "x" * 201}).status_code == 400
    assert owner.get("/search", params={"device": "none"}).status_code == 404


def test_addresses_lead_where_they_should(owner: httpx2.Client, laptop: Device) -> None:
    entry = stored(laptop, "a folder/file.txt", b"x")
    (folder,) = laptop.entries()
    redirects = {
        f"/files/{laptop.id}/originals": f"/files/{laptop.id}/originals/",
        f"/files/{laptop.id}/originals/a%20folder/file.txt": f"/entries/{entry}",
        f"/entries/{folder['id']}": f"/files/{laptop.id}/originals/a%20folder",
    }
    for address, target in redirects.items():
        answer = owner.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, target)
    for address in ("/files/1/nothing/", f"/files/{laptop.id}/originals/none", "/entries/77777", "/devices/77777"):
        assert owner.get(address).status_code == 404
        assert "Error 404" in owner.get(address).text


def test_names_cannot_become_markup(owner: httpx2.Client, laptop: Device) -> None:
    name = "<img src=x onerror=alert(1)>\u202egpj.txt"
    entry = stored(laptop, quote(name), b"x")
    for address in ("/", f"/files/{laptop.id}/originals/", f"/entries/{entry}", "/search?q=img", "/audit"):
        page = owner.get(address).text
        assert "<img src=x" not in page
        assert "\u202e" not in page


def test_an_error_page_quotes_the_requests_number(running: Service, join: Callable[[], httpx2.Client]) -> None:
    client = join()
    page = client.get("/nothing/here")
    assert page.status_code == 404
    assert page.headers["x-request-id"] in page.text
    assert "Back to your files" in page.text
    alone = httpx2.get(f"{running.url}/nothing/here")
    assert (alone.status_code, "Go to the Client Portal" in alone.text) == (404, True)


def test_a_form_may_not_be_endless(owner: httpx2.Client) -> None:
    token = owner.headers["X-CSRF-Token"]
    for content, status in (
        (f"csrf_token={token}&" + "entry=1&" * 10_001, 400),
        (f"csrf_token={token}&name=" + "x" * (256 << 10), 413),
        (f"csrf_token={token}&name=%ff", 400),
    ):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert owner.post("/entries/delete", content=content, headers=headers).status_code == status
    assert owner.post("/entries/delete", files={"entry": b"1"}).status_code == 415
