"""The portal's pages: templates found in the operator's brand folder first, then in our own, and rendered
strictly.
"""

from pathlib import Path
from typing import Final

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from web import filters

TEMPLATES: Final = Path(__file__).parent / "templates"
STATIC: Final = Path(__file__).parent / "static"


class Pages:
    """Renders templates. A value a template needs and does not get is an error, never an empty place."""

    def __init__(self, brand_dir: Path | None, portal_url: str) -> None:
        folders = [brand_dir / "templates"] if brand_dir else []
        self._portal_url = portal_url
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in [*folders, TEMPLATES]]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters.install(self._environment)

    def render(self, template: str, code: int = 200, /, **context: object) -> HTMLResponse:
        """A page with that HTTP status; `portal_url` is known to all."""
        text = self._environment.get_template(template).render(portal_url=self._portal_url, **context)
        return HTMLResponse(text, code)


def static_folders(brand_dir: Path | None) -> list[Path]:
    """Where static files are looked for, in this order."""
    own = [STATIC] if STATIC.is_dir() else []
    brand = brand_dir / "static" if brand_dir else None
    return [brand, *own] if brand is not None and brand.is_dir() else own
