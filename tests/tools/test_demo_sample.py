"""The sample: the same each time, and what the stand-in's page says of it."""

import io
from itertools import chain

from PIL import Image

from tools.demo import sample
from tools.demo.landscapes import LIGHTS, Scene, paint


def test_photos_span_years_and_have_names_of_their_own() -> None:
    photos = [*sample.laptop_photos(), *sample.phone_photos()]
    assert len({file.path for file in photos}) == len(photos) > 200
    assert {file.modified.year for file in photos} >= set(range(2018, 2027))
    assert all(file.modified.tzinfo is not None for file in photos)


def test_the_plan_comes_out_the_same_each_time() -> None:
    for make in (sample.laptop_photos, sample.phone_photos, sample.laptop_documents, sample.phone_documents):
        first, again = list(make()), list(make())
        assert [(f.path, f.modified) for f in first] == [(f.path, f.modified) for f in again]
        assert first[-1].content() == again[-1].content()


def test_one_document_comes_in_several_versions_that_differ() -> None:
    versions = [f for f in sample.laptop_documents() if f.path == "Documents/Price list.txt"]
    assert len({f.content() for f in versions}) == len(versions) == 3


def test_what_is_deleted_was_sent_before() -> None:
    sent = {f.path for f in chain(sample.laptop_photos(), sample.laptop_documents())}
    deleted = sample.laptop_deleted()
    assert len(deleted) == 2
    assert set(deleted) <= sent


def test_pdfs_are_pdfs() -> None:
    papers = [f for f in sample.laptop_documents() if f.path.endswith(".pdf")]
    assert len(papers) >= 3
    assert all(f.content().startswith(b"%PDF-") for f in papers)


def test_every_scene_in_every_light_is_a_picture_with_its_date() -> None:
    taken = next(sample.laptop_photos()).modified
    for seed, (scene, light) in enumerate((scene, light) for scene in Scene for light in LIGHTS.values()):
        with Image.open(io.BytesIO(paint(seed, scene, light, (240, 160), taken))) as image:
            assert image.size == (240, 160)
            assert len(image.getcolors(240 * 160) or ()) > 1000
            assert image.getexif().get_ifd(0x8769)[0x9003] == taken.strftime("%Y:%m:%d %H:%M:%S")
