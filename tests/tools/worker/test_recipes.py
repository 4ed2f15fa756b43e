"""What can be asked for: every recipe, its result looked at; the cards; and where a derived file comes from."""

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from cas.blob import parsed_pack_location
from cas.digest import Digest
from cas.layout import pack_key
from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service
from tests.shared.sql import fetched
from tests.shared.workers import WorkerProcess, asked, ended_job, rendition, until
from tests.tools.worker.corpus import WIDE, film, pdf, picture, repeated_film, saved, tone, turned, turned_film
from tests.web.device import Device, bearer, stored
from tests.web.test_openapi import check

JOBS = "/api/v1/jobs"
_COUNTED = "SELECT jobs, milliseconds FROM job_counter WHERE recipe = %s AND outcome = %s"
_LOCATION = "SELECT location FROM `blob` WHERE digest = UNHEX(%s)"


@pytest.fixture(scope="module")
def files(laptop: Device, worker: WorkerProcess, samples_folder: Path) -> dict[str, str]:
    """Sources: name → entry."""
    contents = {
        "trip/photo.jpg": turned(6),
        "trip/clear.png": saved(picture(mode="RGBA"), "PNG"),
        "trip/film.mp4": film(samples_folder, "r.mp4", "-c:v", "libx264"),
        "trip/lying.mov": turned_film(samples_folder),
        "trip/tone.wav": tone(samples_folder, "r.wav"),
        "papers/two.pdf": pdf(),
        "papers/words.txt": b"words",
    }
    return {path: stored(laptop, path, content) for path, content in contents.items()}


@pytest.fixture(scope="module")
def make(owner: httpx2.Client, files: dict[str, str]) -> Any:
    """`make("trip/photo.jpg", "rotate", angle="90")`: the job, done, and the contents of its files."""

    def made(path: str, recipe: str, **parameters: int | str) -> tuple[dict[str, Any], list[bytes]]:
        (job,) = asked(owner, [files[path]], recipe, **parameters)
        done = ended_job(owner, job)
        assert done["state"] == "done", (done, owner.get(f"{JOBS}/{job}/log").text)
        contents = [owner.get(f"/api/v1/entries/{entry['id']}/content").content for entry in done["outputs"]]
        return done, contents

    return made


def test_pictures(make: Any) -> None:
    sizes = {}
    for recipe, parameters, size, form in (
        ("rotate", {"angle": "90"}, (WIDE[1], WIDE[0]), "JPEG"),
        ("crop", {"left": 0, "top": 0, "width": 100, "height": 50}, (100, 50), "JPEG"),
        ("resize", {"edge": 240}, (240, 160), "JPEG"),
        ("convert", {"format": "webp"}, WIDE, "WEBP"),
        ("convert", {"format": "avif", "quality": 60}, WIDE, "AVIF"),
        ("convert", {"format": "png"}, WIDE, "PNG"),
        ("strip", {}, WIDE, "JPEG"),
    ):
        done, (content,) = make("trip/photo.jpg", recipe, **parameters)
        with Image.open(io.BytesIO(content)) as image:
            sizes[recipe] = image.size
            assert (image.size, image.format) == (size, form), recipe
            exif = image.getexif()
            assert 0x0112 not in exif, recipe
            assert (exif.get(0x0110) == "Maple M1") is (recipe != "strip"), recipe
        assert done["outputs"][0]["area"] == "derived"
        assert done["outputs"][0]["path"].startswith("trip/photo"), done
    done, (content,) = make("trip/clear.png", "convert", format="jpeg")
    assert done["outputs"][0]["path"] == "trip/clear.jpg"


def test_turned_by_a_quarter_the_corner_is_where_it_belongs(make: Any) -> None:
    _, (content,) = make("trip/photo.jpg", "rotate", angle="90")
    with Image.open(io.BytesIO(content)) as image:
        red, green, _ = image.convert("RGB").getpixel((image.width - 10, 10))  # type: ignore[misc]
    assert red > 150 > 110 > green


def test_pages_of_a_pdf(make: Any) -> None:
    done, contents = make("papers/two.pdf", "pdf-pages", first=1, pages=5, dpi=72)
    assert [entry["path"] for entry in done["outputs"]] == ["papers/two-page-1.png", "papers/two-page-2.png"]
    with Image.open(io.BytesIO(contents[1])) as image:
        assert image.size == (300, 400)


def test_films_and_sound(make: Any, samples_folder: Path) -> None:
    for path, recipe, parameters, name in (
        ("trip/film.mp4", "video", {"profile": "compress"}, "trip/film-compress.mp4"),
        ("trip/film.mp4", "video", {"profile": "hq", "rotation": "90"}, "trip/film-hq-rotated-90.mp4"),
        ("trip/film.mp4", "video-poster", {"second": 1}, "trip/film-at-1s.png"),
        ("trip/film.mp4", "contact-strip", {"frames": 4}, "trip/film-strip.jpg"),
        ("trip/film.mp4", "audio", {"format": "mp3"}, "trip/film.mp3"),
        ("trip/tone.wav", "audio", {"format": "flac"}, "trip/tone.flac"),
        ("trip/tone.wav", "audio", {"format": "opus", "kbps": 64}, "trip/tone.opus"),
        ("trip/tone.wav", "waveform", {"width": 400}, "trip/tone-waveform.png"),
        ("trip/lying.mov", "video", {}, "trip/lying-default.mp4"),
    ):
        done, (content,) = make(path, recipe, **parameters)
        assert done["outputs"][0]["path"] == name
        file = samples_folder / "made"
        file.write_bytes(content)
        probed = _probe(file)
        if name.endswith("rotated-90.mp4") or name.startswith("trip/lying"):
            assert "240x320" in probed, (name, probed)
        elif name.endswith(".mp4"):
            assert "320x240" in probed, (name, probed)


def test_where_it_comes_from_is_shown_on_both_files(make: Any, owner: httpx2.Client, files: dict[str, str]) -> None:
    done, _ = make("trip/photo.jpg", "rotate", angle="180")
    output = done["outputs"][0]["id"]
    source = owner.get(f"/api/v1/entries/{files['trip/photo.jpg']}").json()
    origin = owner.get(f"/api/v1/entries/{output}/derived").json()["origin"]
    assert (origin["digest"], origin["recipe"], origin["parameters"]) == (source["digest"], "rotate", {"angle": "180"})
    assert origin["entry"]["id"] == files["trip/photo.jpg"]
    derived = owner.get(f"/api/v1/entries/{files['trip/photo.jpg']}/derived").json()["derived"]
    assert output in {one["entry"]["id"] for one in derived}


def test_what_was_made_once_is_not_made_again(make: Any, owner: httpx2.Client) -> None:
    first, (content,) = make("trip/photo.jpg", "resize", edge=100)
    second, (again,) = make("trip/photo.jpg", "resize", edge=100)
    assert content == again
    assert [entry["id"] for entry in first["outputs"]] == [entry["id"] for entry in second["outputs"]]


def test_a_taken_name_gets_a_number(make: Any, owner: httpx2.Client, files: dict[str, str]) -> None:
    """The same name, other bytes: neither replaces the other."""
    first, _ = make("trip/clear.png", "convert", format="webp", quality=90)
    second, _ = make("trip/clear.png", "convert", format="webp", quality=10)
    assert [job["outputs"][0]["path"] for job in (first, second)] == ["trip/clear.webp", "trip/clear-2.webp"]


def test_a_batch_and_its_cards(owner: httpx2.Client, files: dict[str, str]) -> None:
    jobs = asked(owner, [files["trip/photo.jpg"], files["trip/clear.png"]], "convert", format="jpeg", quality=50)
    assert len(jobs) == 2
    for job in jobs:
        assert ended_job(owner, job)["progress"] == 100
    listed = owner.get(JOBS, params={"limit": "2"}).json()
    assert [job["id"] for job in listed["jobs"]] == sorted(jobs, key=int, reverse=True)
    assert owner.delete(f"{JOBS}/{jobs[0]}").status_code == 204
    assert owner.get(f"{JOBS}/{jobs[0]}").status_code == 404


def test_lifetime_counters_are_shown_and_survive_the_cards(service: Service, make: Any, owner: httpx2.Client) -> None:
    done, _ = make("trip/photo.jpg", "resize", edge=77)
    assert owner.delete(f"{JOBS}/{done['id']}").status_code == 204
    ((jobs, milliseconds),) = fetched(service.settings, _COUNTED, ("resize", "done"))
    assert jobs > 0
    told = check(httpx2.get(f"{service.url}/health.json"), "get", "/health.json")["jobs"]
    (counted,) = [one for one in told["ended"] if (one["recipe"], one["outcome"]) == ("resize", "done")]
    assert (counted["jobs"], counted["seconds"]) == (jobs, milliseconds / 1_000)
    families = text_string_to_metric_families(httpx2.get(f"{service.url}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    (metric,) = [
        sample.value
        for sample in samples
        if sample.name == "otb_cloud_jobs_total" and sample.labels == {"recipe": "resize", "outcome": "done"}
    ]
    assert metric == jobs
    page = httpx2.get(f"{service.url}/health").text
    assert re.search(rf"Make smaller</th><td>{jobs}</td>", page), page


def test_a_failure_is_told_in_words_with_the_log_behind_it(owner: httpx2.Client, laptop: Device) -> None:
    entry = stored(laptop, "broken.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(range(256)) * 20)
    (job,) = asked(owner, [entry], "video")
    failed = ended_job(owner, job)
    assert failed["state"] == "failed"
    assert failed["failure"].endswith("."), failed
    log = owner.get(f"{JOBS}/{job}/log")
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert "moov" in log.text, log.text
    again = owner.post(f"{JOBS}/{job}/retry")
    assert (again.status_code, again.json()["state"]) == (200, "waiting")
    assert ended_job(owner, job)["state"] == "failed"
    assert owner.post(f"{JOBS}/{job}/cancel").status_code == 409


@pytest.mark.usefixtures("worker")
def test_a_running_job_is_cancelled(owner: httpx2.Client, laptop: Device, samples_folder: Path) -> None:
    long = repeated_film(samples_folder, 450)
    (job,) = asked(owner, [stored(laptop, "long.mp4", long)], "video", profile="hq")
    until(lambda: owner.get(f"{JOBS}/{job}").json()["state"] == "running", "the film's turn")
    assert owner.delete(f"{JOBS}/{job}").status_code == 409
    assert owner.post(f"{JOBS}/{job}/cancel").status_code == 200
    cancelled = ended_job(owner, job)
    assert (cancelled["state"], cancelled["outputs"]) == ("cancelled", [])


@pytest.mark.parametrize(
    ("path", "recipe", "parameters", "status"),
    [
        ("trip/photo.jpg", "rotate", {"angle": "45"}, 400),
        ("trip/photo.jpg", "rotate", {"angel": "90"}, 400),
        ("trip/photo.jpg", "crop", {"width": 10}, 400),
        ("trip/photo.jpg", "resize", {"edge": 15}, 400),
        ("trip/photo.jpg", "convert", {"format": "exe"}, 400),
        ("trip/photo.jpg", "thumbnail", {}, 400),
        ("trip/photo.jpg", "magic", {}, 400),
        ("trip/photo.jpg", "video", {}, 409),
        ("papers/words.txt", "rotate", {}, 409),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(
    owner: httpx2.Client, files: dict[str, str], path: str, recipe: str, parameters: dict[str, Any], status: int
) -> None:
    until(lambda: owner.get(f"/api/v1/entries/{files[path]}/derived").json()["facts"], "the facts")
    wanted = {"entries": [files[path]], "recipe": recipe, "parameters": parameters}
    answer = owner.post("/api/v1/derivations", json=wanted)
    assert answer.status_code == status, answer.text


def test_others_see_nothing_of_it(service: Service, make: Any, owner: httpx2.Client, files: dict[str, str]) -> None:
    """Another account, and a token of another device of the same one."""
    done, _ = make("trip/photo.jpg", "rotate", angle="90")
    other = Device.make(owner, "phone")
    with (
        sign_in(service.url, service.settings, new_person()) as stranger,
        bearer(service.url, other.token()) as phone,
    ):
        for client in (stranger, phone):
            for url in (
                f"{JOBS}/{done['id']}",
                f"{JOBS}/{done['id']}/log",
                f"/api/v1/entries/{files['trip/photo.jpg']}/thumbnail",
                f"/api/v1/entries/{files['trip/photo.jpg']}/derived",
            ):
                assert client.get(url).status_code == 404, url
            for url in (f"{JOBS}/{done['id']}/retry", f"{JOBS}/{done['id']}/cancel"):
                assert client.post(url).status_code == 404, url
            assert client.get(JOBS).json() == {"jobs": [], "next": None}
            wanted = {"entries": [files["trip/photo.jpg"]], "recipe": "rotate"}
            assert client.post("/api/v1/derivations", json=wanted).status_code == 404


def test_the_same_photo_of_another_account_is_made_for_it_anew(
    service: Service, worker: WorkerProcess, files: dict[str, str]
) -> None:
    """Nothing tells that somebody else has it: it is on its way at first, as any other."""
    with sign_in(service.url, service.settings, new_person()) as stranger:
        entry = stored(Device.make(stranger, "laptop"), "mine.jpg", turned(6))
        first = stranger.get(f"/api/v1/entries/{entry}/derived").json()["facts"]
        assert first is None
        thumbnail = f"/api/v1/entries/{entry}/thumbnail"
        until(lambda: stranger.get(thumbnail).status_code == 200, "the thumbnail")


def test_a_thumbnail_whose_stored_copy_is_lost_is_made_again(
    service: Service, owner: httpx2.Client, files: dict[str, str]
) -> None:
    entry = files["trip/clear.png"]
    first = rendition(owner, entry)
    ((location,),) = fetched(service.settings, _LOCATION, (first.headers["etag"].strip('"'),))
    place = parsed_pack_location(location)
    assert place is not None
    (service.settings.storage_root / pack_key(place[0])).unlink()
    assert owner.get(f"/api/v1/entries/{entry}/thumbnail").status_code == 202
    again = rendition(owner, entry)
    assert (again.status_code, again.content) == (200, first.content)


def test_a_damaged_photo_is_marked_and_gets_its_thumbnail_once_it_is_whole(
    service: Service, worker: WorkerProcess, owner: httpx2.Client
) -> None:
    """The worker finds the damage first; nothing is told of the photo itself, and the same upload again heals it."""
    phone, photo = Device.make(owner, "phone that is sent again"), saved(picture((333, 222)), "JPEG")
    worker.stop()
    entry = stored(phone, "a.jpg", photo)
    folder = service.settings.storage_root / "blobs"
    (file,) = folder.glob(f"*/*/{Digest.of(photo).hex}*")
    file.unlink()
    worker.start()
    damaged = "SELECT v.outcome FROM verification v JOIN `blob` b ON b.id = v.blob_id WHERE b.digest = %s"
    until(lambda: fetched(service.settings, damaged, (Digest.of(photo).raw,)) == [("missing",)], "the mark")
    assert rendition(owner, entry).status_code == 404
    stored(phone, "a.jpg", photo)
    assert rendition(owner, entry).status_code == 200


def _probe(file: Path) -> str:
    command = ["ffprobe", "-hide_banner", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=s=x:p=0"]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
