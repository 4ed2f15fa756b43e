"""The page of what was deleted: found by name, device and kind; recovered; deleted for good by the owner alone."""

from urllib.parse import quote

import httpx2

from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, stored


def removed(laptop: Device, *paths: str) -> dict[str, str]:
    """Upload and delete these; name → entry."""
    found = {path: stored(laptop, quote(path), path.encode()) for path in paths}
    done = laptop.client.post("/api/v1/entries/delete", json={"entries": list(found.values())})
    assert done.status_code == 200, done.text
    return found


def shown(client: httpx2.Client, **query: str) -> set[str]:
    page = client.get("/deleted", params=query)
    assert page.status_code == 200
    names = {"sunset.jpg", "Sunrise 100%.png", "letter.pdf", "folder"}
    return {name for name in names if f">{name}</" in page.text}


def test_what_was_deleted_is_found_by_name_device_and_kind(laptop: Device) -> None:
    client = laptop.client
    phone = Device.make(client, "phone")
    removed(laptop, "sunset.jpg", "Sunrise 100%.png")
    stored(laptop, "folder/inside.txt", b"inside")
    (folder,) = [e["id"] for e in laptop.entries() if e["name"] == "folder"]
    client.post("/api/v1/entries/delete", json={"entries": [folder]})
    removed(phone, "letter.pdf")
    assert shown(client) == {"sunset.jpg", "Sunrise 100%.png", "letter.pdf", "folder"}
    assert shown(client, q="SUN") == {"sunset.jpg", "Sunrise 100%.png"}
    assert shown(client, q="100%") == {"Sunrise 100%.png"}
    assert shown(client, q="sun set") == {"sunset.jpg"}
    assert shown(client, device=phone.id) == {"letter.pdf"}
    assert shown(client, kind="image", device=laptop.id) == {"sunset.jpg", "Sunrise 100%.png"}
    assert shown(client, q="nothing of the kind") == set()
    assert client.get("/deleted?device=999999").status_code == 200


def test_the_owner_deletes_for_good_and_the_space_is_free(laptop: Device) -> None:
    client = laptop.client
    gone = removed(laptop, "sunset.jpg", "letter.pdf")
    before = client.get("/api/v1/me").json()["usage"]["used_bytes"]
    fields = {"csrf_token": client.headers["X-CSRF-Token"], "entry": gone["sunset.jpg"], "back": "/deleted?q=sun"}
    done = client.post("/entries/purge", data=fields)
    assert (done.status_code, done.headers["location"]) == (303, "/deleted?q=sun")
    assert shown(client) == {"letter.pdf"}
    assert client.get("/api/v1/me").json()["usage"]["used_bytes"] == before - len("sunset.jpg")
    nothing = client.post("/entries/purge", data={"csrf_token": client.headers["X-CSRF-Token"], "back": "/deleted"})
    assert nothing.status_code == 303


def test_uploading_a_deleted_file_again_makes_it_live(running: Service) -> None:
    with sign_in(running.url, running.settings) as client:
        laptop = Device.make(client, "laptop")
        removed(laptop, "sunset.jpg")
        used = client.get("/api/v1/me").json()["usage"]["used_bytes"]
        stored(laptop, "sunset.jpg", b"sunset.jpg")
        assert shown(client) == set()
        assert client.get("/api/v1/me").json()["usage"]["used_bytes"] == used
