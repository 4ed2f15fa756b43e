"""Every template with every sample: renders strictly, keeps the policy, and escapes what customers wrote."""

import re
from html.parser import HTMLParser

import pytest

from tests.browser.preview import environment
from tests.browser.samples import Sample, samples

SAMPLES = list(samples())


class Reader(HTMLParser):
    """What the tests ask of a page's markup."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.url)
def page(request: pytest.FixtureRequest) -> Reader:
    sample: Sample = request.param
    return Reader(environment().get_template(sample.template).render(sample.context))


def test_nothing_that_the_policy_forbids(page: Reader) -> None:
    assert not page.all("style")
    assert not page.all("base")
    assert all(script.get("src", "").startswith("/static/js/") for script in page.all("script"))  # type: ignore[union-attr]
    for tag, attributes in page.tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag


def test_one_heading_one_main_and_ids_that_are_unique(page: Reader) -> None:
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert len(page.all("title")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_form_that_changes_something_has_its_token(page: Reader) -> None:
    forms = [form for form in page.all("form") if (form.get("method") or "get").lower() == "post"]
    tokens = [field for field in page.all("input") if field.get("name") == "csrf_token"]
    assert len(tokens) == len(forms)
    assert all(token["value"] == "sample" for token in tokens)


def test_every_icon_that_is_used_exists(page: Reader) -> None:
    known = {"#" + str(symbol["id"]) for symbol in page.all("symbol")}
    assert {use["href"] for use in page.all("use")} <= known


def test_links_stay_here_or_go_to_the_portal(page: Reader) -> None:
    for link in page.all("a"):
        href = link.get("href")
        assert href is None or re.match(r"(/(?!/)|#|\?|https://portal\.outsidethebox\.top)", href), href


def test_names_cannot_become_markup_or_disguise_themselves(page: Reader) -> None:
    assert not page.all("b")
    assert not page.all("i")
    assert "\u202e" not in page.words


def test_every_template_has_a_sample() -> None:
    used = {sample.template for sample in SAMPLES}
    pages = {name for name in environment().list_templates() if not name.startswith("_")} - {"base.html"}
    assert used == pages


def test_every_template_says_what_it_must_be_given() -> None:
    jinja = environment()
    assert jinja.loader is not None
    for name in jinja.list_templates():
        source = jinja.loader.get_source(jinja, name)[0]
        assert source.startswith("{#"), name
