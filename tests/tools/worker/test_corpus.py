"""Every kind of file gets the right picture or text, whatever its name says, and its facts are read."""

import io
from pathlib import Path

import httpx2
import pytest
from PIL import Image, ImageDraw

from tests.shared.workers import WorkerProcess, rendition
from tests.tools.worker.corpus import Sample, corpus
from tests.web.device import Device, stored

Uploaded = dict[str, tuple[Sample, str]]


@pytest.fixture(scope="module")
def uploaded(laptop: Device, worker: WorkerProcess, samples_folder: Path) -> Uploaded:
    """Every sample, with the id of its entry."""
    return {sample.name: (sample, stored(laptop, sample.name, sample.content)) for sample in corpus(samples_folder)}


def test_each_gets_its_thumbnail(uploaded: Uploaded, owner: httpx2.Client, samples_folder: Path) -> None:
    """The contact sheet lies beside the samples: `contact-sheet.png`, to be looked at (-o
    tmp_path_retention_policy=all)."""
    pictures = []
    for sample, entry in uploaded.values():
        answer = rendition(owner, entry)
        assert answer.status_code == (404 if sample.kind == "other" else 200), (sample.name, answer.text)
        if sample.kind == "other":
            continue
        assert answer.headers["content-type"] == "image/webp", sample.name
        assert answer.headers["etag"].strip('"')
        image = opened(answer)
        pictures.append((sample.name, image))
        assert max(image.size) <= 320, sample.name
        if sample.size is not None:
            assert (image.width > image.height) is (sample.size[0] > sample.size[1]), (sample.name, image.size)
        if sample.marked:
            check_marked(sample.name, image)
    contact_sheet(pictures).save(samples_folder / "contact-sheet.png")


def test_each_gets_its_preview(uploaded: Uploaded, owner: httpx2.Client) -> None:
    for sample, entry in uploaded.values():
        answer = rendition(owner, entry, "preview")
        assert answer.status_code == (404 if sample.kind == "other" else 200), (sample.name, answer.text)
        if sample.words:
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert sample.words in answer.text, (sample.name, answer.text[:200])
        elif sample.marked:
            check_marked(sample.name, opened(answer))


def test_facts_are_those_of_the_content(uploaded: Uploaded, owner: httpx2.Client) -> None:
    for sample, entry in uploaded.values():
        rendition(owner, entry)
        facts = owner.get(f"/api/v1/entries/{entry}/derived").json()["facts"]
        assert facts["kind"] == sample.kind, sample.name
        if sample.size is not None:
            assert (facts["width"], facts["height"]) == sample.size, sample.name
        if sample.kind in {"video", "audio"}:
            assert 1.5 <= facts["duration"] <= 2.5, (sample.name, facts)
        assert facts["taken"] == sample.taken, sample.name
        assert owner.get(f"/api/v1/entries/{entry}").json()["taken"] == sample.taken, sample.name
    camera = owner.get(f"/api/v1/entries/{uploaded['turned-6.jpg'][1]}/derived").json()["facts"]
    assert (camera["camera"], camera["latitude"], camera["longitude"]) == ("Maple M1", 45.51, -73.57)
    assert camera["taken_source"] == "exif:DateTimeOriginal"
    assert owner.get(f"/api/v1/entries/{uploaded['paper.pdf'][1]}/derived").json()["facts"]["pages"] == 2


def opened(answer: httpx2.Response) -> Image.Image:
    with Image.open(io.BytesIO(answer.content)) as image:
        return image.convert("RGB")


def check_marked(name: str, image: Image.Image) -> None:
    """The upper left corner is red, the opposite one is not."""
    red, green, blue = _colour(image, 0.1)
    assert red > 150, (name, red, green, blue)
    assert max(green, blue) < 110, (name, red, green, blue)
    red, green, blue = _colour(image, 0.9)
    assert abs(red - green) < 40, (name, red, green, blue)


def contact_sheet(pictures: list[tuple[str, Image.Image]], columns: int = 8) -> Image.Image:
    sheet = Image.new("RGB", (columns * 170, -(-len(pictures) // columns) * 190), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, image) in enumerate(pictures):
        small = image.copy()
        small.thumbnail((160, 160))
        left, top = number % columns * 170 + 5, number // columns * 190 + 5
        sheet.paste(small, (left, top))
        draw.text((left, top + 164), name, fill="black")
    return sheet


def _colour(image: Image.Image, share: float) -> tuple[int, int, int]:
    colour = image.getpixel((int(image.width * share), int(image.height * share)))
    assert isinstance(colour, tuple)
    red, green, blue = colour
    return int(red), int(green), int(blue)
