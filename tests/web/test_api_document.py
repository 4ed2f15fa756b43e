"""docs/api.md is the OpenAPI document, and its examples work."""

import argparse
import re
import shlex
from contextlib import closing
from typing import Any

import httpx2

from tests.shared.service import Service
from tests.web.stocked import stocked
from web.openapi_markdown import FILE, api_markdown


def examples() -> list[argparse.Namespace]:
    """The curl commands of the document; those that remove things last, the device last of all."""
    curl = argparse.ArgumentParser()
    curl.add_argument("-X", dest="method", default="GET")
    curl.add_argument("--head", dest="method", action="store_const", const="HEAD")
    curl.add_argument("-H", dest="headers", action="append", default=[])
    curl.add_argument("--json", dest="body")
    curl.add_argument("url")
    lines = re.findall(r"^curl (.*)$", FILE.read_text("utf-8"), re.MULTILINE)
    found = [curl.parse_args(shlex.split(line.replace("$AS ", ""))) for line in lines]
    return sorted(
        found, key=lambda one: (one.method == "DELETE" or one.url.endswith("/delete"), one.url.endswith("/{device}"))
    )


def test_the_file_is_made_of_the_openapi_document() -> None:
    assert FILE.read_text("utf-8") == api_markdown()


def test_its_examples_work(running: Service) -> None:
    stock = stocked(running)
    values: dict[str, Any] = {name: several[0] for name, several in stock.values.items()}
    values |= {"area": "originals", "name": "photos"}

    entries = iter(stock.values["entries"])

    def filled(text: str) -> str:
        return re.sub(r"{(\w+)}", lambda name: str(values[name[1]]), text)

    tried = examples()
    assert len(tried) > 60
    with closing(stock.owner) as owner:
        for one in tried:
            headers = dict(header.split(": ", 1) for header in one.headers)
            if "{entry}" in (one.body or ""):
                # What an example renames, moves or deletes is no more there for the next.
                values["entry"] = next(entries)
            if one.body is not None:
                headers["Content-Type"] = "application/json"
            if (one.method, one.url) == ("DELETE", "$OTB/api/v1/devices/{device}"):
                values["device"] = stock.values["device"][-1]  # the empty one
            url = running.url + filled(one.url.removeprefix("$OTB"))
            answer: httpx2.Response = owner.request(
                one.method, url, content=None if one.body is None else filled(one.body).encode(), headers=headers
            )
            assert answer.is_success, f"{one.method} {url}: {answer.status_code} {answer.text}"
