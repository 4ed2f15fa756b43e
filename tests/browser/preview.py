"""The templates with sample contexts, on loopback, under the portal's strict CSP: to look at pages without a database.

`python -m tests.browser.preview [port]`; `/x/` lists all pages. Uploads are swallowed at a readable pace.
"""

import sys
from pathlib import Path
from typing import Final

import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tests.browser.samples import Sample, samples
from tests.browser.uploads import Uploads
from web.filters import install
from web.static_files import static_mount

WEB: Final = Path(__file__).resolve().parents[2] / "web"
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PICTURE: Final = """<svg xmlns="http://www.w3.org/2000/svg" width="1600" height="1066" viewBox="0 0 16 10.66">
<rect width="16" height="10.66" fill="#f4c58a"/><circle cx="11" cy="4" r="1.6" fill="#fff3d6"/>
<path d="M0 8 4 4l3 3 3-4 6 5.5v2.2H0z" fill="#43707a"/><path d="M0 10.66 5 7l4 2 7-1.5v3.2z" fill="#21454d"/></svg>"""


def environment() -> Environment:
    """The portal's Jinja environment, strict about names that a context does not give."""
    jinja = Environment(
        loader=FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    install(jinja)
    return jinja


def create_app() -> Starlette:
    """An app with one route per sample."""
    jinja = environment()
    pages = list(samples())

    def shown(sample: Sample) -> Route:
        async def page(request: Request) -> Response:
            is_end = "cursor" in request.query_params and sample.template == "files.html"
            context = sample.context | ({"entries": [], "next": None, "cursor": "c2"} if is_end else {})
            return HTMLResponse(jinja.get_template(sample.template).render(context), sample.status)

        return Route(sample.url, page)

    async def index(request: Request) -> Response:
        return HTMLResponse("".join(f'<p><a href="{page.url}">{page.url}</a></p>' for page in pages))

    async def content(request: Request) -> Response:
        return Response(PICTURE, media_type="image/svg+xml")

    async def me(request: Request) -> Response:
        return JSONResponse({"tenant": {"id": "7"}, "csrf_token": "sample", "usage": {}})

    async def grant(request: Request) -> Response:
        """As the samples have it: the page of people asks again and again whether it changed."""
        state = "waiting" if request.path_params["id"] == "0" else "use"
        return JSONResponse({"grant": {"state": state}, "events": []})

    routes: list[BaseRoute] = [
        *(shown(sample) for sample in pages),
        Route("/x/", index),
        Route("/api/v1/me", me),
        Route("/api/v1/grants/{id}", grant),
        Route("/api/v1/entries/{id}/content", content),
        Route("/api/v1/entries/{id}/thumbnail", content),
        *Uploads().routes,
        static_mount(None),
    ]
    app = Starlette(routes=routes)

    async def headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers.setdefault("Content-Security-Policy", CSP)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=headers)
    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(), host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 5099, log_level="warning"
    )
