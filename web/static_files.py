"""`/static/`: styles, scripts and icons; the operator's own file of the same name wins.

A Worker obeys the policy of its own script's answer, not the page's. So WebAssembly is allowed to the one script that
hashes files, and to no page.
"""

from pathlib import Path

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from web.templating import static_folders

STATIC_PATH = "/static"
CACHE_CONTROL = "public, max-age=300"
"""Short, since an operator's file may change at any time; the browser asks again with the entity tag."""

WORKER_PATH = "built/hasher.js"
WORKER_CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"


class _Folders(StaticFiles):
    """Looks in several folders, in order."""

    def __init__(self, folders: list[Path]) -> None:
        super().__init__(directory=folders[-1])
        self.all_directories = [*folders]

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = CACHE_CONTROL
        if path == WORKER_PATH:
            response.headers["Content-Security-Policy"] = WORKER_CSP
        return response


def static_mount(brand_dir: Path | None) -> Mount:
    """The mount of all static files."""
    return Mount(STATIC_PATH, _Folders(static_folders(brand_dir)), name="static")
