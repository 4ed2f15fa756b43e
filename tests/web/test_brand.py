"""The operator's own templates and static files win over ours, one by one."""

from pathlib import Path

import httpx2
import pytest
from jinja2 import UndefinedError
from starlette.applications import Starlette

from web.static_files import static_mount
from web.templating import STATIC, TEMPLATES, Pages

PORTAL_URL = "https://portal.example"


@pytest.fixture
def brand(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/_brand.html").write_text("<b>Acme & {{ 'Sons' }}</b>")
    (tmp_path / "static").mkdir()
    (tmp_path / "static/favicon.svg").write_text("<svg>acme</svg>")
    return tmp_path


def test_a_template_of_the_operator_replaces_ours(brand: Path) -> None:
    ours = bytes(Pages(None, PORTAL_URL).render("sign_in_required.html", 401).body).decode()
    theirs = bytes(Pages(brand, PORTAL_URL).render("sign_in_required.html", 401).body).decode()
    assert ("Acme & Sons" in ours, "Acme & Sons" in theirs) == (False, True)
    assert PORTAL_URL in theirs
    assert "Sign in to see your files" in theirs


def test_a_value_that_a_template_misses_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        Pages(None, PORTAL_URL).render("error.html", 500)


@pytest.mark.anyio
async def test_a_static_file_of_the_operator_replaces_ours(brand: Path) -> None:
    app = Starlette(routes=[static_mount(brand)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
        assert (await client.get("/static/favicon.svg")).text == "<svg>acme</svg>"
        assert (await client.get("/static/style.css")).text == (STATIC / "style.css").read_text()
        assert (await client.get("/static/../templates/base.html")).status_code == 404
        assert (await client.get("/static/js")).status_code == 404
        head = await client.get("/static/style.css")
        fresh = await client.get("/static/style.css", headers={"If-None-Match": head.headers["etag"]})
        assert fresh.status_code == 304


def test_a_brand_folder_without_parts_changes_nothing(tmp_path: Path) -> None:
    assert Pages(tmp_path, PORTAL_URL).render("sign_in_required.html").body
    assert static_mount(tmp_path)
    assert TEMPLATES.is_dir()
